// Package server puts a server together: it opens what lies on disk, makes every
// part with what it needs of the others, and runs them until it is told to stop.
// It knows all parts and decides nothing.
//
// [New] opens, [Server.Run] serves, [Server.Close] closes. A process can hold
// many servers, each in a data directory of its own.
//
// # What lies in the data directory
//
//	parley.db     the database, if it is SQLite; with -wal and -shm while in use
//	parley.lock   is locked by the process that serves, so that no second one does
//	signing.key   the key that signs for the server, see below
//
// The signing key is one line, "ed25519", the version and the seed in base64, as
// other servers keep theirs. It is made at the first start. Whoever can read it
// can speak for the server, so one that others than the owner may read is
// refused.
//
// The server's name is in the database. A server that is started under another
// name is refused: the old one is in every event that its users sent.
//
// # The end
//
// When its context ends, Run stops accepting connections and ends the requests
// that only wait for news (see [endpoint.Policy]). All others may finish, for ten
// seconds; what has not by then is cut off. Then the parts stop, the journal last,
// so that what was submitted is committed. None of this is needed for safety:
// a server that is killed loses nothing that it acknowledged.
package server
