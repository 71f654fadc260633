// Package search finds messages, and names and topics of rooms, by what they say:
// https://spec.matrix.org/v1.19/client-server-api/#server-side-search
//
// [Index.Run] follows the journal behind a cursor of its own and keeps an index of the
// texts of events ([parley/internal/textindex]), so that sending does not wait for it. In
// one transaction goes in what some entries have changed, and how far the cursor has come;
// so a crash neither loses nor repeats anything. What was there before the index, or when
// it is made anew, is gone through beside that ([Index.Rebuild], [Index.Progress]).
//
// Each event is found by what it says at present: what its sender has replaced it with
// last. What is redacted, purged or in a room that was deleted leaves the index. What is
// encrypted was never in it.
//
// # Who finds what
//
// The index knows nothing of who may see what. [Index.Find] takes candidates from it, the
// latest first, and of each asks whether it is in a place whose events the user sees
// ([room.Engine.Seen]), then for the event itself, which has to be there still, to have
// the words, and to pass the filter. So what cannot be seen neither appears nor counts.
//
// A request looks at so many candidates at most. If that was not enough it answers with
// what it has found, and the token goes on from there.
package search
