// Package errand does in the background what has to be done some time: that
// nobody waits for, that may fail for now, and that a crash must not lose.
//
// What there is to do is noted durably by whose subject it is, best in the
// transaction that makes it necessary. A [Queue] has the names of what is noted,
// and [Queue.Run] does each until it succeeds, and asks for all of the notes at
// first. What goes on as long as the server does, as to follow the journal, is for
// [Persist].
package errand
