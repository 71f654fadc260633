// Package directory finds users by their names and IDs, or what was mistyped of these:
// https://spec.matrix.org/v1.19/client-server-api/#user-directory
//
// # Who is found
//
// Users of this server who have an account that is in use and is not a guest's, and users
// of others who are in rooms with users of this one. Who looks for users finds those who
// share a room with them, or are in one that everybody may join or read; with
// [Parts.All] everybody.
//
// # By what name
//
// Users of this server are found by, and shown with, their profiles, whatever they call
// themselves in a room. Of others only member events are known. They are in the index by
// the names that they have in the rooms where they changed something last, up to
// [indexedRooms]; but who looks for them finds them, and sees them, only by names that
// they have in rooms which concern both, or everybody.
//
// # How it is kept
//
// [Directory.Run] follows the journal behind a cursor of its own: of whom there are new
// member events, those are looked at anew. Of users of this server a note is made in the
// transaction that changes the profile, see [Directory.Note]. Both can be done again.
package directory
