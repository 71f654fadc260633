package push

import (
	"context"
	"slices"
	"time"

	"parley/internal/room"
	"parley/matrix/event"
	"parley/matrix/id"
)

// A call is one that somebody was told of and has not answered.
// https://spec.matrix.org/v1.19/client-server-api/#voice-over-ip
type call struct {
	*message
	id     string
	until  time.Time // when it ceases to ring
	hungUp bool
	taken  bool // it was answered, or refused
}

// mostCalls is how many calls are remembered of one user. They are in memory only: what
// was missed before the server was started is not counted any more.
const mostCalls = 20

// defaultRinging is for how long a call rings that does not say.
const defaultRinging = time.Minute

// rings notes that a call rings at those whom a message notifies. The caller holds mu.
func (r *recipient) rings(m *message) {
	if slices.ContainsFunc(r.calls, func(c call) bool { return c.event.ID() == m.event.ID() }) {
		return
	}
	callID, _ := m.event.Content().Get("call_id").Text()
	ringing := defaultRinging
	if ms, ok := m.event.Content().Get("lifetime").Int(); ok && ms > 0 && ms < time.Hour.Milliseconds() {
		ringing = time.Duration(ms) * time.Millisecond
	}
	if r.calls = append(r.calls, call{message: m, id: callID, until: m.came.Add(ringing)}); len(r.calls) > mostCalls {
		r.calls = r.calls[1:]
	}
}

// called takes in what became of a call: that who called has hung up, or that somebody
// has answered or refused it.
func (s *Sender) called(e *event.Event, num room.Num, a *audience) {
	switch e.Type() {
	case "m.call.hangup", "m.call.answer", "m.call.reject":
	default:
		return
	}
	callID, _ := e.Content().Get("call_id").Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	for user, l := range a.members {
		for i, c := range l.calls {
			switch {
			case c.room != num || c.id != callID:
			case user == e.Sender():
				l.calls[i].taken = true
			case e.Type() == "m.call.hangup" && e.Sender() == c.event.Sender():
				l.calls[i].hungUp = true
				s.clear(l.recipient)
			}
		}
	}
}

// missed counts the calls that somebody has missed and has not seen yet, and forgets
// those that need not be remembered.
func (s *Sender) missed(ctx context.Context, r *recipient) (n int64, err error) {
	s.mu.Lock()
	calls := slices.Clone(r.calls)
	s.mu.Unlock()
	settled := make(map[id.EventID]bool)
	for _, c := range calls {
		reads, err := s.History.reads(ctx, r.user, []room.Num{c.room})
		if err != nil {
			return 0, err
		}
		read, err := s.Rooms.HasRead(ctx, r.user, c.room, reads[c.room], []room.Item{c.item})
		switch {
		case err != nil:
			return 0, err
		case c.taken || read[0]:
			settled[c.event.ID()] = true
		case c.hungUp || time.Now().After(c.until):
			n++
		}
	}
	if len(settled) > 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		r.calls = slices.DeleteFunc(r.calls, func(c call) bool { return settled[c.event.ID()] })
	}
	return n, nil
}
