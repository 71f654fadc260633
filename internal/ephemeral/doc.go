// Package ephemeral is what clients see and nobody stores: who is typing.
// https://spec.matrix.org/v1.19/client-server-api/#typing-notifications
//
// It is a board in memory, beside the journal. Changes of it are numbered: the
// sequence begins with 0 when the board is made, so a number means something only
// together with the epoch of the board that gave it. A reader keeps both. With
// the number of another epoch it has to be told everything, as one that comes for
// the first time; with one of this epoch, the rooms whose last change has a
// greater number.
//
// # What is forgotten
//
// A room in which nobody types any more is remembered for the number of its last
// change, so that a reader who was told of somebody typing is told that it has
// ended. Of such rooms the board remembers [MostIdle], those that changed last.
// For the others [Board.Changed] returns the greatest number that was forgotten:
// a reader who is behind that is told about each of them once, whether it
// changed or not, and misses nothing.
package ephemeral
