// Package delay sends events later: users say what is to be sent and after which
// time, and until then may start the time again, send it at once, or cancel it.
// It is MSC4140: https://github.com/matrix-org/matrix-spec-proposals/pull/4140
//
// What is scheduled is durable, and so is each restart of its time: a client that
// shows by restarts that it is there is not taken for gone because the server was.
// What became due while the server was down is sent at the next start, in order.
//
// An event is sent once. That it was is committed with the event itself, and what
// was cancelled, restarted or sent meanwhile is refused by that commit: all changes
// are made one after the other, under the head of the journal. None of them is
// anything that a /sync can see, so they have no entries.
//
// Whether the sender may send it is found out when it is sent. What the room
// refuses then is cancelled, with the error; after a fault of this server it is
// tried again. A user has so few scheduled that there is no further limit on how
// many are sent at once.
//
// Other state that comes in the place of a scheduled state event does not cancel it,
// as the proposal leaves that to the users.
package delay
