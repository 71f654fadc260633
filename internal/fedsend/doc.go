// Package fedsend sends to other servers what happens here in rooms they are in, and
// what is said to devices of their users:
// https://spec.matrix.org/v1.19/server-server-api/#transactions
//
// It reads the journal behind a cursor of its own. What a server is owed goes into
// a queue for it, in the journal's order, and from there in transactions, one at a
// time. Before the cursor moves on it is durable since when each server is owed
// something; so a crash sends again what may have arrived already, which does no
// harm, and forgets nothing.
//
// Messages to devices and changes of devices are owed as surely as events, and keep
// their place among them. Who gets one twice knows it again by its ID or number.
//
// Who types, who is online and who has read what rides along, or goes alone if
// nothing is owed. Nobody is owed that: it is told once, the last word only, and
// not at all to a server that cannot be reached.
//
// A server that cannot be reached costs next to nothing: nothing is kept for it in
// memory but since when it is owed something. What does not fit into a queue of
// bounded length is not kept, either. It is read from the database once the server
// has shown that it is back: all of it, in order. Where that is older than the
// journal, it is sent the last events of each room, and sees there what it misses.
// It is tried again when package remote says so: soon at first, then less and less
// often, and at once when anything is heard of it.
package fedsend
