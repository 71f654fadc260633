// Package alias is the names by which rooms are found on this server.
// https://spec.matrix.org/v1.19/client-server-api/#room-aliases
//
// They are the server's own word and no part of a room: an alias may outlive the
// m.room.canonical_alias that lists it, and the other way round. Who may change
// what depends on the room and is for the caller to ask. Nothing here appears in
// /sync, so it is not in the journal; only what moves from a room to the one that
// replaces it does so in the batch that replaces it.
//
// The aliases of other servers are not known here.
package alias
