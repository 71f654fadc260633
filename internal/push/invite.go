package push

import (
	"context"
	"time"

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
	// The entry is behind that of the event, by which it is found in the history.
	if m.pos = pos; m.item.Pos != 0 {
		m.pos = m.item.Pos
	}
	m.came = s.came(pos, m.event)
	result, err := s.judgeInvite(ctx, m, r.user)
	if err == nil && result.Notify {
		s.enqueue(m, []hit{{r, &result}})
	}
	return err
}

// judgeInvite finds out whether an invite notifies a user, and how all are called.
func (s *Sender) judgeInvite(ctx context.Context, m *message, user id.UserID) (result pushrule.Result, err error) {
	about := pushrule.Context{}
	if m.item.Event != nil {
		if err := s.name(ctx, m); err != nil {
			return result, err
		}
		now, err := s.Rooms.Now(ctx, m.roomID)
		if err != nil {
			return result, err
		}
		about.MemberCount = int(now.Joined)
	}
	rules, err := s.History.rules(ctx, user)
	if err != nil {
		return result, err
	}
	return rules.Evaluate(m.event.JSON(), about), nil
}

// waitingOutside returns the invites of a user into rooms that this server is not in,
// of which there is no history, behind a position of the journal.
func (s *Sender) waitingOutside(ctx context.Context, user id.UserID, from journal.Position) (notes []note, err error) {
	rooms, err := s.Rooms.Rooms(ctx, user)
	if err != nil {
		return nil, err
	}
	for _, r := range rooms {
		if r.Membership != event.MembershipInvite || r.Pos <= from {
			continue
		}
		m, err := s.invite(ctx, r.RoomID, r.Room, user)
		if room.IsGone(err) || err == nil && (m == nil || m.item.Event != nil) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m.pos, m.came = r.Pos, time.UnixMilli(m.event.OriginServerTS())
		result, err := s.judgeInvite(ctx, m, user)
		if err != nil {
			return nil, err
		}
		if result.Notify {
			notes = append(notes, note{m, &result, time.Now()})
		}
	}
	return notes, nil
}
