// Package devicelist tells who shares a room with a user that something has changed
// of the user's devices or keys, and keeps what is known of the devices of users of
// other servers.
// https://spec.matrix.org/v1.19/client-server-api/#tracking-the-device-list-for-a-user
// https://spec.matrix.org/v1.19/server-server-api/#device-management
//
// # Clients
//
// A change is one entry of the journal, whoever shares a room with the user, and
// one row, which has the position of the user's last change: [Store.Changed]. Who is told
// asks [Store.Since] which users have changed; how that goes is [journal.UserChanges].
//
// # Telling other servers
//
// What other servers were told of a user's devices is kept, and compared with what
// there is when they have to be told again: [Store.Publish]. So a device that is
// gone is told of, what changed twice is told once, and nobody has to say which
// device it was. Changes are numbered by the time, or by one more than the one
// before: numbers do not come again when a database is restored.
//
// # Users of other servers
//
// Their devices are kept as long as they share a room with a user of this server.
// A list is right if it was at a position of the journal and has been kept up
// to date since: there is a room that the user and this server have both been in
// since then. A change that does not follow the last one, or that nobody understands,
// makes it stale: it is fetched anew, once however many ask, and again until that
// succeeds, also after a restart. A server is left alone as package remote says.
package devicelist
