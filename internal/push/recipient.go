package push

import (
	"context"
	"fmt"
	"slices"
	"time"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
)

// A recipient is a user who has pushers.
type recipient struct {
	user id.UserID
	// version is how often the user's push rules have changed. It belongs to the
	// goroutine that follows the journal.
	version uint64
	badge   badge
	// What follows is guarded by the mu of the sender.
	targets []*target
	calls   []call
	// stale are rooms of which the number of what is unread may have changed, and
	// allStale says that it may have in all.
	stale    map[room.Num]bool
	allStale bool
}

// A target is a pusher, with what it is to get. A pusher that is changed is another
// target. But for what names it, it is guarded by the mu of the sender.
type target struct {
	Pusher
	owner  *recipient
	outlet *outlet
	queue  []note           // in order, at most mostQueued
	last   journal.Position // of what was put into the queue
	// recall, if not 0, is the position behind which the history has to be asked what
	// the target is to get: it is not in the queue.
	recall   journal.Position
	clears   bool        // the number of what is unread may have changed
	clearing *time.Timer // until that is looked at
	told     totals      // which numbers it knows
	running  bool        // it is being sent to
	doubtful bool        // and it was not known whether its gateway answers
	ready    bool        // it waits for its gateway
	ripe     bool        // what is to be said by mail has waited for long enough
	greets   bool        // the device is to be sent what it shows that it gets things by
	letters  int         // how often mail was sent since the user has read something
	waiting  *time.Timer // until it is tried again
	failures int         // in a row
	stored   bool        // the database knows that it lags behind
	gone     bool        // it was removed
	sent     time.Time   // when it was told something last
	trouble  string      // why it was not the last time, empty if it was
}

// mostQueued is how much waits for a pusher. If more comes the oldest is not pushed:
// who has not been reached for so long does not want all of it at once.
const mostQueued = 20

// since is the position up to which the target has got everything.
func (t *target) since(reached journal.Position) journal.Position {
	switch {
	case t.recall != 0:
		return t.recall
	case len(t.queue) > 0:
		return t.queue[0].pos - 1
	}
	return reached
}

// idle reports whether there is nothing to send.
func (t *target) idle() bool { return len(t.queue) == 0 && t.recall == 0 && !t.clears && !t.greets }

// add makes a target of a pusher. The caller holds mu, and is the one that follows the
// journal.
func (s *Sender) add(p Pusher) (r *recipient, fresh bool) {
	r, there := s.users[p.User]
	if !there {
		r = &recipient{user: p.User}
		scope := journal.UserScope(p.User)
		s.users[p.User], s.scopes[scope] = r, append(s.scopes[scope], r)
	}
	t := &target{Pusher: p, owner: r, told: untold(), recall: p.behind, stored: p.behind != 0}
	r.targets = append(r.targets, t)
	number := handle(p.AppID, p.Key)
	s.handles[number] = append(s.handles[number], t)
	if t.outlet = s.outletOf(p); t.outlet == nil {
		return r, !there
	}
	t.greets = !p.Active && time.Now().UnixMilli() < p.expires
	if t.recall != 0 {
		t.clears, s.pending[t] = p.Kind == KindHTTP, true
	}
	s.wake(t)
	return r, !there
}

// drop ends a target. The caller holds mu, and is the one that follows the journal.
func (s *Sender) drop(t *target) {
	t.gone = true
	t.queue, t.recall, t.clears, t.greets = nil, 0, false, false
	for _, timer := range []*time.Timer{t.waiting, t.clearing} {
		if timer != nil {
			timer.Stop()
		}
	}
	delete(s.pending, t)
	if g := t.outlet; g != nil {
		if g.targets--; g.targets == 0 {
			delete(s.outlets, g.host)
		}
	}
	is := func(other *target) bool { return other == t }
	number := handle(t.AppID, t.Key)
	if s.handles[number] = slices.DeleteFunc(s.handles[number], is); len(s.handles[number]) == 0 {
		delete(s.handles, number)
	}
	r := t.owner
	if r.targets = slices.DeleteFunc(r.targets, is); len(r.targets) > 0 {
		return
	}
	delete(s.users, r.user)
	scope := journal.UserScope(r.user)
	s.scopes[scope] = slices.DeleteFunc(s.scopes[scope], func(other *recipient) bool { return other == r })
	if len(s.scopes[scope]) == 0 {
		delete(s.scopes, scope)
	}
}

// reload takes in that pushers with one handle have changed.
func (s *Sender) reload(ctx context.Context, number int64) error {
	var list []Pusher
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		list, err = pushersOf(tx.Query("SELECT "+pusherColumns+" FROM pushers WHERE handle = $1", number))
		return err
	})
	if err != nil {
		return fmt.Errorf("reading pushers that have changed: %w", err)
	}
	var newcomers []*recipient
	s.mu.Lock()
	for _, t := range slices.Clone(s.handles[number]) {
		same := func(p Pusher) bool { return p.name() == t.name() && p.pos == t.pos }
		if i := slices.IndexFunc(list, same); i >= 0 {
			list = slices.Delete(list, i, i+1)
		} else {
			s.drop(t)
		}
	}
	for _, p := range list {
		if r, fresh := s.add(p); fresh {
			newcomers = append(newcomers, r)
		}
	}
	s.mu.Unlock()
	for _, r := range newcomers {
		if err := s.enter(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// enter makes a recipient one of those who are told of rooms that are in memory.
func (s *Sender) enter(ctx context.Context, r *recipient) error {
	rooms, err := s.Rooms.Rooms(ctx, r.user)
	if err != nil {
		return err
	}
	for _, m := range rooms {
		if a, ok := s.audiences.Get(m.Room); ok && m.Membership == event.MembershipJoin {
			a.members[r.user] = &listener{recipient: r, since: m.Pos}
			s.audiences.Put(m.Room, a)
		}
	}
	return nil
}
