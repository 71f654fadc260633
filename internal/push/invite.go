package push

import (
	"context"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/pushrule"
)

// invite returns the invite by which a user waits before a room, as a message without
// its position and time; nil if there is none, or none that the user is to know of.
func (s *Sender) invite(ctx context.Context, roomID id.RoomID, num room.Num, user id.UserID) (*message, error) {
	m := &message{room: num, roomID: roomID}
	outside, ok, err := s.Rooms.Outside(ctx, roomID, user)
	if err != nil {
		return nil, err
	}
	if ok {
		m.event = outside.Event
		for _, e := range outside.Preview {
			text := func(name string) string {
				text, _ := e.Get("content").Get(name).Text()
				return text
			}
			switch {
			case e.Get("type").Is("m.room.name"):
				m.roomName = text("name")
			case e.Get("type").Is("m.room.canonical_alias"):
				m.roomAlias = text("alias")
			case e.Get("type").Is(event.TypeMember) && e.Get("state_key").Is(string(m.event.Sender())):
				m.sender = text("displayname")
			}
		}
	} else {
		sight, err := s.Rooms.Sight(ctx, roomID, user)
		if err != nil || sight.Membership() != event.MembershipInvite {
			return nil, err
		}
		last := sight.Memberships[len(sight.Memberships)-1]
		if m.item, ok, err = s.Rooms.Own(ctx, roomID, user, last.Place); err != nil || !ok {
			return nil, err
		}
		m.event = m.item.Event
	}
	if m.event.Membership() != event.MembershipInvite {
		return nil, nil
	}
	if hidden, err := s.HidesInvite(ctx, user, m.event.Sender()); err != nil || hidden {
		return nil, err
	}
	return m, nil
}

// invited tells a recipient of an invite, if what has changed of the membership is
// that.
func (s *Sender) invited(ctx context.Context, pos journal.Position, num room.Num, r *recipient) error {
	roomID, err := s.Rooms.RoomID(ctx, num)
	if err != nil {
		return err
	}
	m, err := s.invite(ctx, roomID, num, r.user)
	if err != nil || m == nil {
		return err
	}
	m.pos, m.came = pos, s.came(pos, m.event)
	about := pushrule.Context{}
	if m.item.Event != nil {
		if err := s.name(ctx, m); err != nil {
			return err
		}
		now, err := s.Rooms.Now(ctx, roomID)
		if err != nil {
			return err
		}
		about.MemberCount = int(now.Joined)
	}
	rules, err := s.History.rules(ctx, r.user)
	if err != nil {
		return err
	}
	if rules == nil {
		rules = pushrule.NewPersonal(pushrule.Settings{}, r.user)
	}
	if result := rules.Evaluate(m.event.JSON(), about); result.Notify {
		s.enqueue(m, []hit{{r, &result}})
	}
	return nil
}
