// Package fedsend sends to other servers what happens here in rooms they are in:
// https://spec.matrix.org/v1.19/server-server-api/#transactions
//
// It reads the journal behind a cursor of its own. What a server is owed goes into
// a queue for it, in the journal's order, and from there in transactions, one at a
// time. Before the cursor moves on it is durable since when each server is owed
// something; so a crash sends again what may have arrived already, which does no
// harm, and forgets nothing.
//
// Who types, who is online and who has read what rides along, or goes alone if
// nothing is owed. Nobody is owed that: it is told once, the last word only, and
// not at all to a server that cannot be reached.
//
// A server that cannot be reached costs its queue, of bounded length. What does not
// fit is read from the database once the server is back: all of it, in order. It
// is tried again when package remote says so: soon at first, then less and less
// often, and at once when anything is heard of it.
package fedsend
