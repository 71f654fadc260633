// Package room is the room engine: it decides what happens in rooms, and
// records it.
//
// An [Engine] keeps rooms that are in use in memory: their forward extremities,
// the root of their current state, and the nodes and events that were needed of
// it. Somebody who sends builds the next event on what is there, and hands it
// to the journal without waiting; whoever sends next builds on that event, which
// still waits for its commit. So what many people send into one room is one line
// of events, at the speed of the journal's groups, not a fork for each.
//
// An append says which change of the room it was decided on. If that is not the
// room's last one when the group is committed, because another node was faster
// or what it builds on failed, it is refused, the room is read anew, and the
// event is built again.
//
// Nothing that is not durable is told to anybody: Send returns after the commit.
package room
