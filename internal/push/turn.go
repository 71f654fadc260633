package push

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"parley/internal/gateway"
	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/stateres"
)

var (
	// errRejected says that the gateway does not know the pushkey, or not any more.
	errRejected = errors.New("the gateway has rejected the pushkey")
	// errFault is what went wrong here.
	errFault = errors.New("deciding what to push")
)

// turn sends one thing to a target.
func (s *Sender) turn(ctx context.Context, t *target) {
	began := time.Now()
	sent, err := s.sendNext(ctx, t)
	if errors.Is(err, errRejected) {
		s.counters.rejected.Add(1)
		err = faultOf(s.Pushers.reject(ctx, t.Pusher))
		s.mu.Lock()
		t.gone, t.queue = err == nil, nil
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		t.trouble = err.Error()
	}
	refused := (*gateway.Refused)(nil)
	switch {
	case err == nil && sent:
		t.failures, t.outlet.failures, t.outlet.answered = 0, 0, true
		t.sent, t.trouble = time.Now(), ""
	case err == nil || ctx.Err() != nil:
	case errors.As(err, &refused):
		s.counters.refused.Add(1)
		t.outlet.failures, t.outlet.answered = 0, true
		s.refused(t, refused.Pause)
	case errors.Is(err, errFault):
		s.Log.Error("pushing", "user", t.User, "err", err)
		s.refused(t, 0)
	default:
		s.counters.unreached.Add(1)
		s.Log.Debug("a push gateway cannot be reached", "gateway", t.outlet.host, "err", err)
		s.unreached(t.outlet, began)
	}
	s.leave(t)
}

// sendNext sends the first of what is in the queue, or if there is nothing how much is
// unread, if that has changed.
func (s *Sender) sendNext(ctx context.Context, t *target) (sent bool, err error) {
	switch {
	case t.Kind == KindEmail:
		return s.sendMail(ctx, t)
	case !t.Active:
		return s.greet(ctx, t)
	}
	if err := s.recollect(ctx, t); err != nil {
		return false, faultOf(err)
	}
	for {
		n, ok := s.first(t)
		if !ok {
			return s.sendCount(ctx, t)
		}
		due, err := s.due(ctx, t, n)
		if err != nil {
			return false, faultOf(err)
		}
		if due {
			return true, s.sendNote(ctx, t, n)
		}
		s.counters.dropped.Add(1)
		s.done(t, n)
	}
}

// first returns what is to be sent next; ok is false if there is nothing.
func (s *Sender) first(t *target) (n note, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.gone || len(t.queue) == 0 {
		return note{}, false
	}
	return t.queue[0], true
}

// done takes what was dealt with out of the queue.
func (s *Sender) done(t *target, n note) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(t.queue) > 0 && t.queue[0].message == n.message {
		t.queue = t.queue[1:]
	}
}

// due reports whether somebody still wants to be told of an event: it is not old, nobody
// has redacted it, the user has not read it meanwhile, and nor is the user to be left
// alone.
func (s *Sender) due(ctx context.Context, t *target, n note) (bool, error) {
	if time.Since(n.came) > mostAge {
		return false, nil
	}
	if quiet, err := s.Quiet(ctx, t.User); err != nil || quiet {
		return false, err
	}
	due, err := s.unheard(ctx, t, n)
	if room.IsGone(err) {
		return false, nil
	}
	return due, err
}

func (s *Sender) unheard(ctx context.Context, t *target, n note) (bool, error) {
	if n.invites(t.User) {
		m, err := s.invite(ctx, n.roomID, n.room, t.User)
		return m != nil, err
	}
	now, err := s.Rooms.ItemsShown(ctx, n.roomID, []stateres.Num{n.item.Num})
	if err != nil || len(now) == 0 || isRedacted(now[0].Event) {
		return false, err
	}
	reads, err := s.History.reads(ctx, t.User, []room.Num{n.room})
	if err != nil {
		return false, err
	}
	read, err := s.Rooms.HasRead(ctx, t.User, n.room, reads[n.room], []room.Item{n.item})
	return err == nil && !read[0], err
}

// sendNote sends what there is to say about an event.
func (s *Sender) sendNote(ctx context.Context, t *target, n note) error {
	total, err := s.count(ctx, t.owner)
	if err != nil {
		return faultOf(err)
	}
	if err := s.ask(ctx, t.Pusher, notifying(t.Pusher, n, total)); err != nil {
		return err
	}
	s.counters.sent.Add(1)
	s.done(t, n)
	s.tell(t, total)
	return nil
}

// sendCount sends how much is unread, if the target does not know that.
func (s *Sender) sendCount(ctx context.Context, t *target) (sent bool, err error) {
	s.mu.Lock()
	due, told := t.clears && !t.gone, t.told
	t.clears = false
	s.mu.Unlock()
	if !due {
		return false, nil
	}
	defer func() {
		if err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			t.clears = !t.gone
		}
	}()
	if quiet, err := s.Quiet(ctx, t.User); err != nil || quiet {
		return false, faultOf(err)
	}
	total, err := s.count(ctx, t.owner)
	if err != nil || total == told {
		return false, faultOf(err)
	}
	if err := s.ask(ctx, t.Pusher, counting(t.Pusher, told, total)); err != nil {
		return false, err
	}
	s.counters.counts.Add(1)
	s.tell(t, total)
	return true, nil
}

func faultOf(err error) error {
	if err != nil {
		err = fmt.Errorf("%w: %w", errFault, err)
	}
	return err
}

// tell notes what a target knows.
func (s *Sender) tell(t *target, total totals) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.told = total
}

// recollect finds in the history what a target has not got that was not reached
// before this process began.
func (s *Sender) recollect(ctx context.Context, t *target) error {
	for {
		s.mu.Lock()
		from, upTo := t.recall, max(s.reached, t.last)
		s.mu.Unlock()
		if from == 0 {
			return nil
		}
		queue, err := s.remember(ctx, t, max(from, t.pos), upTo, mostAge, mostQueued)
		if err != nil {
			return err
		}
		s.mu.Lock()
		if t.last <= upTo && !t.gone { // otherwise something has come meanwhile
			t.queue, t.last, t.recall = queue, upTo, 0
		}
		s.mu.Unlock()
	}
}

// mostPages is how many pages of the history are looked at to find what somebody has
// not been told.
const mostPages = 4

// remember returns what has notified a user between two positions of the journal and
// is unread and not older than age, the last of it up to a limit.
func (s *Sender) remember(ctx context.Context, t *target, from, upTo journal.Position, age time.Duration, limit int) (queue []note, err error) {
	before := upTo + 1
	for page := 0; page < mostPages && before > from+1 && len(queue) < limit; page++ {
		list, next, err := s.History.Before(ctx, Query{User: t.User, Before: before, Limit: limit})
		if err != nil {
			return nil, err
		}
		for _, n := range list {
			sent := time.UnixMilli(n.Item.Event.OriginServerTS())
			if n.Item.Pos <= from || isRedacted(n.Item.Event) || n.Read || time.Since(sent) > age || len(queue) == limit {
				continue
			}
			m := &message{pos: n.Item.Pos, came: sent, room: n.Room, roomID: n.RoomID, event: n.Item.Event, item: n.Item}
			if err := s.name(ctx, m); err != nil && !room.IsGone(err) {
				return nil, err
			}
			queue = append(queue, note{m, &n.Result, time.Now()})
		}
		if before = next; next == 0 {
			break
		}
	}
	slices.Reverse(queue)
	invites, err := s.waitingOutside(ctx, t.User, from)
	for _, n := range invites {
		if n.pos <= upTo && time.Since(n.came) <= age {
			queue = append(queue, n)
		}
	}
	return queue, err
}
