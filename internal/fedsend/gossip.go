package fedsend

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"parley/internal/ephemeral"
	"parley/internal/journal"
	"parley/internal/receipt"
	"parley/internal/room"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// A gossip is what was said of local users, and is not sorted yet by the servers
// that are to be told.
type gossip struct {
	typing   map[typist]bool
	presence map[id.UserID]present
	// came are users who may share a room with others from now on, with the position of
	// their joins.
	came map[typist]journal.Position
}

type typist struct {
	room room.Num
	user id.UserID
}

// present is what a user is, and who may know.
type present struct {
	rooms  []journal.Scope
	status ephemeral.Status
	told   time.Time
}

const (
	// repeatAfter is when it is said again what a user is who is not offline: others
	// believe that the user is gone of whom they hear nothing for half an hour.
	repeatAfter = 25 * time.Minute
	repeatEvery = time.Minute
)

// Typing takes in that a local user has begun to type in a room, or ended, and
// tells the other servers in the room at once. It does not block.
func (s *Sender) Typing(num room.Num, user id.UserID, typing bool) {
	s.talk.Lock()
	defer s.talk.Unlock()
	if s.gossip.typing == nil {
		s.gossip.typing = make(map[typist]bool)
	}
	s.gossip.typing[typist{num, user}] = typing
	s.stir()
}

// Presence takes in what a local user is, and in which rooms, and tells the other
// servers in them soon. It does not block.
func (s *Sender) Presence(user id.UserID, rooms []journal.Scope, status ephemeral.Status) {
	s.talk.Lock()
	defer s.talk.Unlock()
	if s.gossip.presence == nil {
		s.gossip.presence = make(map[id.UserID]present)
	}
	s.gossip.presence[user] = present{rooms: rooms, status: status}
	s.stir()
}

// stir has the gossip spread. The caller holds talk.
func (s *Sender) stir() {
	select {
	case s.said <- struct{}{}:
	default:
	}
}

// spread spreads the gossip until the context ends.
func (s *Sender) spread(ctx context.Context) {
	ticker := time.NewTicker(repeatEvery)
	defer ticker.Stop()
	online := make(map[id.UserID]present) // those who are not offline
	for {
		select {
		case <-s.said:
		case <-ticker.C:
			s.repeat(online)
		case <-ctx.Done():
			return
		}
		s.talk.Lock()
		g := s.gossip
		s.gossip = gossip{}
		s.talk.Unlock()
		for t, typing := range g.typing {
			s.spreadTyping(ctx, t, typing)
		}
		for c, pos := range g.came {
			s.welcome(ctx, c, pos, online)
		}
		for user, p := range g.presence {
			if p.told = time.Now(); p.status.State == ephemeral.Offline {
				delete(online, user)
			} else {
				online[user] = p
			}
			s.spreadPresence(ctx, user, p)
		}
	}
}

// repeat has it said again what users are.
func (s *Sender) repeat(online map[id.UserID]present) {
	for user, p := range online {
		if time.Since(p.told) >= repeatAfter {
			s.Presence(user, p.rooms, s.Status(user))
		}
	}
}

// othersIn returns the other servers that are in a room. If that cannot be found
// out they are not told, which is no more than if they were down.
func (s *Sender) othersIn(ctx context.Context, num room.Num) []id.ServerName {
	all, err := s.Rooms.ServersIn(ctx, num)
	if err != nil && ctx.Err() == nil && !errors.Is(err, mxerr.NotFound) {
		s.Log.Warn("other servers are not told what users do", "room", num, "err", err)
	}
	return slices.DeleteFunc(all, func(server id.ServerName) bool { return server == s.Server })
}

func (s *Sender) spreadTyping(ctx context.Context, t typist, typing bool) {
	servers := s.othersIn(ctx, t.room)
	if len(servers) == 0 {
		return
	}
	roomID, err := s.Rooms.RoomID(ctx, t.room)
	if err != nil {
		return // it is gone
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, server := range servers {
		s.tell(server, true, func(n *news) { put(&n.typing, typingKey{roomID, t.user}, typing) })
	}
}

func (s *Sender) spreadPresence(ctx context.Context, user id.UserID, p present) {
	sharing := make(map[id.ServerName]bool)
	for _, scope := range p.rooms {
		for _, server := range s.othersIn(ctx, room.Num(scope.Number())) {
			sharing[server] = true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for server := range sharing {
		s.tell(server, false, func(n *news) { put(&n.presence, user, p.status) })
	}
}

// tellReceipts has other servers told of the receipts of local users that were put
// by some entries of the journal, as far as they did not move on since then. If
// those cannot be read they are not told: the events of the entries are in the
// queues by now, and must not be put there again for the sake of receipts.
func (s *Sender) tellReceipts(ctx context.Context, entries []journal.Entry) {
	servers := make(map[int64][]id.ServerName)
	for _, e := range entries {
		if num := room.Num(e.Ref); e.Kind == journal.KindReceipt && e.Scope == num.Scope() && servers[e.Ref] == nil {
			if list := s.othersIn(ctx, num); len(list) > 0 {
				servers[e.Ref] = list
			}
		}
	}
	if len(servers) == 0 {
		return
	}
	rooms := slices.Sorted(maps.Keys(servers))
	found, err := s.Receipts.Since(ctx, rooms, "", entries[0].Pos-1, entries[len(entries)-1].Pos)
	if err != nil && ctx.Err() == nil {
		s.Log.Warn("other servers are not told what users have read", "err", err)
	}
	for num, list := range found {
		roomID, err := s.Rooms.RoomID(ctx, room.Num(num))
		if err != nil {
			continue // it is gone
		}
		s.mu.Lock()
		for _, r := range list {
			if r.User.Server() != s.Server || r.Type != receipt.TypeRead {
				continue
			}
			for _, server := range servers[num] {
				s.tell(server, false, func(n *news) { put(&n.receipts, receiptKey{roomID, r.User, r.Thread}, r) })
			}
		}
		s.mu.Unlock()
	}
}
