package push

import (
	"time"

	"parley/matrix/id"
)

// A Name names one of the pushers of a user.
type Name struct{ AppID, Key string }

// A Health is how it goes with a pusher, since the server was started.
type Health struct {
	// Waiting is how many events are in its queue.
	Waiting int
	// Failures is how often in a row it has not been told anything, because it was
	// refused or its gateway could not be reached, and Trouble is why the last time.
	Failures int
	Trouble  string
	// Sent is when it was told something last.
	Sent time.Time
}

// Health returns how it goes with the pushers of a user.
func (s *Sender) Health(user id.UserID) map[Name]Health {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := make(map[Name]Health)
	r, ok := s.users[user]
	if !ok {
		return found
	}
	for _, t := range r.targets {
		h := Health{Waiting: len(t.queue), Failures: t.failures, Trouble: t.trouble, Sent: t.sent}
		if t.outlet != nil {
			h.Failures += t.outlet.failures
		}
		found[Name{t.AppID, t.Key}] = h
	}
	return found
}
