package push

import (
	"context"
	"sync"
	"time"

	"parley/internal/room"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/pushrule"
)

// A badge is how much is unread for somebody in all rooms together. It is counted
// once, and then again for the rooms where something has changed.
type badge struct {
	mu    sync.Mutex // is held while it is counted
	known bool
	rooms map[room.Num]int64 // without those in which nothing is unread
}

// gatherFor is how long it waits after something was read whether more is: who opens a
// room reads all of its threads.
const gatherFor = time.Second

// outdate notes that the number of what is unread of a room may have changed. The
// caller holds the mu of the sender.
func (r *recipient) outdate(num room.Num) {
	if r.stale == nil {
		r.stale = make(map[room.Num]bool)
	}
	r.stale[num] = true
}

// outdate notes that somebody may have read something of a room, and has the pushers
// told if so.
func (s *Sender) outdate(r *recipient, num room.Num) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.outdate(num)
	s.clear(r)
}

// outdateAll is outdate for all rooms.
func (s *Sender) outdateAll(r *recipient) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.allStale = true
	s.clear(r)
}

// clear has it looked at soon whether the pushers of a user are to be told another
// number. The caller holds mu.
func (s *Sender) clear(r *recipient) {
	for _, t := range r.targets {
		if t.Kind == KindEmail {
			t.letters = 0
			continue
		}
		// One that knows that nothing is unread will be told with what comes next.
		if !t.Enabled || !t.Active || t.outlet == nil || t.clearing != nil || t.told == 0 {
			continue
		}
		t.clearing = time.AfterFunc(gatherFor, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if t.clearing = nil; !t.gone {
				t.clears = true
				s.wake(t)
			}
		})
	}
}

// count returns how much is unread for a recipient.
func (s *Sender) count(ctx context.Context, r *recipient) (total int64, err error) {
	r.badge.mu.Lock()
	defer r.badge.mu.Unlock()
	s.mu.Lock()
	stale, all := r.stale, r.allStale || !r.badge.known
	r.stale, r.allStale = nil, false
	s.mu.Unlock()
	if all {
		err = s.countAll(ctx, r)
	} else {
		err = s.countSome(ctx, r, stale)
	}
	if err != nil {
		r.badge.known = false
		return 0, err
	}
	for _, n := range r.badge.rooms {
		total += n
	}
	return total, nil
}

func (s *Sender) countAll(ctx context.Context, r *recipient) error {
	r.badge.rooms = make(map[room.Num]int64)
	rooms, err := s.Rooms.Rooms(ctx, r.user)
	for _, m := range rooms {
		if err == nil && (m.Membership == event.MembershipJoin || m.Membership == event.MembershipInvite) {
			err = s.countRoom(ctx, r, m.RoomID, m.Room, m.Membership)
		}
	}
	r.badge.known = err == nil
	return err
}

func (s *Sender) countSome(ctx context.Context, r *recipient, rooms map[room.Num]bool) error {
	for num := range rooms {
		delete(r.badge.rooms, num)
		roomID, err := s.Rooms.RoomID(ctx, num)
		membership := ""
		if err == nil {
			membership, err = s.Rooms.Membership(ctx, roomID, r.user)
		}
		if err == nil {
			err = s.countRoom(ctx, r, roomID, num, membership)
		}
		if err != nil && !room.IsGone(err) {
			return err
		}
	}
	return nil
}

// countRoom counts what is unread of one room: an invite that waits is one.
func (s *Sender) countRoom(ctx context.Context, r *recipient, roomID id.RoomID, num room.Num, membership string) (err error) {
	var n int64
	switch membership {
	case event.MembershipJoin:
		n, err = s.unread(ctx, r.user, roomID, num)
	case event.MembershipInvite:
		var m *message
		if m, err = s.invite(ctx, roomID, num, r.user); m != nil {
			n = 1
		}
	}
	if room.IsGone(err) {
		return nil
	}
	if err == nil && n > 0 {
		r.badge.rooms[num] = n
	}
	return err
}

func (s *Sender) unread(ctx context.Context, user id.UserID, roomID id.RoomID, num room.Num) (int64, error) {
	rules, err := s.History.rules(ctx, user)
	if err != nil || rules != nil && rules.In(roomID) == pushrule.Silence {
		return 0, err
	}
	now, err := s.Rooms.Now(ctx, roomID)
	if err != nil {
		return 0, err
	}
	reads, err := s.History.reads(ctx, user, []room.Num{num})
	if err != nil {
		return 0, err
	}
	unread, err := s.Rooms.UnreadBy(ctx, rules, roomID, user, num, now, reads[num], false)
	return unread.Notifications, err
}
