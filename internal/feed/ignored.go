package feed

import (
	"context"

	"parley/internal/accountdata"
	"parley/internal/room"
	"parley/matrix/event"
	"parley/matrix/id"
)

// Hidden reports whether somebody who ignores users is not to see an event: all
// that they send is hidden but for the state of rooms. What servers say among
// themselves is for nobody.
func Hidden(ignored map[id.UserID]bool, e *event.Event) bool {
	if e.Type() != room.TypeDummy && (len(ignored) == 0 || !ignored[e.Sender()]) {
		return false
	}
	_, isState := e.Tuple()
	return !isState
}

// HidesInvite reports whether an invite of a user by another is not for the user to
// see.
func (f *Feed) HidesInvite(ctx context.Context, user, by id.UserID) (bool, error) {
	what, err := f.AccountData.Invite(ctx, user, by)
	return what != accountdata.InviteShown, err
}

// relist tells anew what depends on whom the user wants to hear of and is no
// event, as that has changed and nobody knows what it was: invites, receipts, who
// is typing, presence and what is unread. Events of somebody who is not ignored
// any more come from now on.
func (a *answer) relist(ctx context.Context, moved map[room.Num]bool) error {
	a.relisted = true
	for num := range a.watch.during(a.since.Pos, a.now.Pos) {
		if n := a.about(num); n != nil {
			n.typing = true
		}
	}
	rooms, err := a.Rooms.Rooms(ctx, a.q.User)
	if err != nil {
		return err
	}
	for _, m := range rooms {
		if m.Membership == event.MembershipInvite && m.Pos <= a.since.Pos && !moved[m.Room] {
			if err := a.moved(ctx, m.Room, m.RoomID); err != nil {
				return err
			}
		}
	}
	return nil
}

// wishesChanged reports whether account data has changed that says of whom the
// user wants to hear.
func wishesChanged(data []accountdata.Data) bool {
	for _, d := range data {
		if d.Room == "" && accountdata.IsWish(d.Type) {
			return true
		}
	}
	return false
}

// quiet reports whether nothing of what was said behind the last answer is for the
// user to know of.
func (s *joinedSection) quiet() bool {
	return s.timeline.hidden > 0 && s.timeline.hidden == s.at.Place-s.before.Place
}
