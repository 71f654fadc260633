// Package profile is what users say about themselves: their displayname, their
// avatar and whatever else fits into the fields of a profile.
// https://spec.matrix.org/v1.19/client-server-api/#profiles
//
// Other users see the displayname and the avatar in the member events of the
// rooms that a user is in. So a change of one of these is committed together with
// a note that it has to be told, and [Keeper.Run] tells it to each of the rooms
// in the background. The note stays until all rooms know the profile as it was
// when telling them began, or later: a crash in the middle, a fault of a room, or
// another change meanwhile only mean that the rooms are told again, and those
// that know already are not changed. In the end each has the profile of the last
// change. Several changes at once may be told as one.
//
// # Clients that ask for fields
//
// Those can be told of any field, by /sync: a change is one entry of the journal,
// whoever shares a room with the user ([journal.UserChanges]), and each field has the
// position of its last change, also one that was removed, as long as the journal
// reaches back to that. Member events are told in their own way, beside that.
//
// # Who joins
//
// A member event that is made while the profile changes may have the profile of
// before, and may come too late to be among the rooms that are told. Who makes
// one holds the user with [Keeper.Hold] before asking [Keeper.Member], and until the
// event is durable: the note of a change that comes meanwhile stays until the new
// room was told, too. Another node does not know of it; so who makes the event
// compares afterwards, with [Keeper.RetellUnless]: if the profile has changed, the
// rooms are told again.
package profile
