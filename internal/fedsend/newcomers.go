package fedsend

import (
	"context"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/event"
	"parley/matrix/id"
)

// Who comes into a room is to see who of it is online, and to be seen. Servers say
// what their users are when that changes, so they have to say it to who comes later.

// came takes in an event after which a user may be in a room.
func (s *Sender) came(e *event.Event, num room.Num, pos journal.Position) {
	if e == nil || e.Membership() != event.MembershipJoin {
		return
	}
	key, _ := e.StateKey()
	s.talk.Lock()
	defer s.talk.Unlock()
	if s.gossip.came == nil {
		s.gossip.came = make(map[typist]journal.Position)
	}
	s.gossip.came[typist{num, id.UserID(key)}] = pos
	s.stir()
}

// stick has the server of a user who may have come into a room get what is sticky
// there, if it has come with that user.
func (s *Sender) stick(ctx context.Context, e *event.Event, pos journal.Position, work map[id.ServerName][]owed) error {
	if e == nil || e.Membership() != event.MembershipJoin {
		return nil
	}
	key, _ := e.StateKey()
	server := id.UserID(key).Server()
	if server == s.Server {
		return nil
	}
	may, err := s.Rooms.MaySticky(ctx, e.RoomID())
	if room.IsGone(err) {
		return nil
	}
	if err != nil || !may {
		return err
	}
	found, err := s.Rooms.OwedSticky(ctx, server, pos, pos)
	if err != nil || len(found) == 0 {
		return err
	}
	work[server] = queue(work[server], found)
	return nil
}

// welcome tells the other servers in a room of a local user who has come, or the
// server of another user, if that is its first one there, of the local users.
func (s *Sender) welcome(ctx context.Context, c typist, pos journal.Position, online map[id.UserID]present) {
	if c.user.Server() == s.Server {
		p, ok := online[c.user]
		if !ok {
			return
		}
		for _, scope := range p.rooms {
			if scope == c.room.Scope() {
				return // it has another name, or they know already
			}
		}
		p.rooms = append(p.rooms[:len(p.rooms):len(p.rooms)], c.room.Scope())
		online[c.user] = p
		s.tellPresence(s.othersIn(ctx, c.room), c.user)
		return
	}
	server := c.user.Server()
	since, err := s.Rooms.ServerSince(ctx, c.room, server)
	if err != nil || since != pos || len(online) == 0 {
		return
	}
	roomID, err := s.Rooms.RoomID(ctx, c.room)
	if err != nil {
		return // it is gone
	}
	members, err := s.Rooms.LocalMembers(ctx, roomID)
	if err != nil {
		return
	}
	for _, user := range members {
		if _, ok := online[user]; ok {
			s.tellPresence([]id.ServerName{server}, user)
		}
	}
}

// tellPresence has servers told what a local user is at this moment.
func (s *Sender) tellPresence(servers []id.ServerName, user id.UserID) {
	status := s.Status(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, server := range servers {
		s.tell(server, false, func(n *news) { put(&n.presence, user, status) })
	}
}
