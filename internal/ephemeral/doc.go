// Package ephemeral is what clients see and nobody stores: who is typing, and who
// is online.
// https://spec.matrix.org/v1.19/client-server-api/#typing-notifications
// https://spec.matrix.org/v1.19/client-server-api/#presence
//
// It is a board in memory, beside the journal. Changes of it are numbered: the
// sequence begins with 0 when the board is made, so a number means something only
// together with the epoch of the board that gave it. A reader keeps both. With
// the number of another epoch it has to be told everything, as one that comes for
// the first time; with one of this epoch, what has changed last under a greater
// number.
//
// # Presence
//
// What the devices of users do is taken in at once, and shown to others in ticks:
// at a tick all that is different from what was shown before gets numbers, and the
// readers whom it concerns are woken. A tick comes soon after quiet, and otherwise
// so long after the one before that telling does not cost more than its budget,
// whoever changes how often. What becomes different and the same again between two
// ticks is no news.
//
// Who shares a room with whom is known from an index in memory of the rooms of
// those who are online. It follows the journal, and may be behind it by one tick:
// who comes into a room then counts as changed, so that those in it are told.
//
// # What is forgotten
//
// A room in which nobody types any more is remembered for the number of its last
// change, so that a reader who was told of somebody typing is told that it has
// ended. Of such rooms the board remembers [MostIdle], those that changed last.
// For the others [Board.Changed] returns the greatest number that was forgotten:
// a reader who is behind that is told about each of them once, whether it
// changed or not, and misses nothing.
//
// In the same way users who are offline are remembered, of whom a reader may
// believe otherwise: at most [MostOffline] of them. A reader that was away while
// so many went offline is not told of some, and one from before a restart is told
// of those who were seen shortly before it.
package ephemeral
