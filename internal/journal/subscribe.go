package journal

import (
	"context"
	"maps"
	"slices"
)

// A Subscription watches scopes for somebody who waits. It is made once for all
// that a user waits for, not for each wait, because a user may be in thousands
// of rooms. It is safe for concurrent use.
type Subscription struct {
	j *Journal

	// Guarded by the journal's mu:
	scopes  map[Scope]struct{}
	last    Position      // of the last entry that concerns it, as far as the window knows
	pokes   uint64        // how often it was poked
	changed chan struct{} // is closed, and replaced, when last or pokes move
}

// Subscribe begins to watch scopes. Close ends it.
func (j *Journal) Subscribe(scopes ...Scope) *Subscription {
	s := &Subscription{j: j, scopes: make(map[Scope]struct{}, len(scopes)), changed: make(chan struct{})}
	s.Add(scopes...)
	return s
}

// Add watches more scopes.
func (s *Subscription) Add(scopes ...Scope) {
	s.j.mu.Lock()
	defer s.j.mu.Unlock()
	for _, scope := range scopes {
		s.scopes[scope] = struct{}{}
		watchers := s.j.subs[scope]
		if watchers == nil {
			watchers = make(map[*Subscription]struct{})
			s.j.subs[scope] = watchers
		}
		watchers[s] = struct{}{}
		if last := s.j.window.last(scope); last > s.last {
			s.last = last
			s.signal()
		}
	}
}

// Remove stops watching scopes.
func (s *Subscription) Remove(scopes ...Scope) {
	s.j.mu.Lock()
	defer s.j.mu.Unlock()
	s.remove(scopes)
}

func (s *Subscription) remove(scopes []Scope) {
	for _, scope := range scopes {
		delete(s.scopes, scope)
		watchers := s.j.subs[scope]
		if delete(watchers, s); len(watchers) == 0 {
			delete(s.j.subs, scope)
		}
	}
}

// Close stops watching. Waits that are under way go on until their contexts
// end.
func (s *Subscription) Close() {
	s.j.mu.Lock()
	defer s.j.mu.Unlock()
	for scope := range maps.Clone(s.scopes) {
		s.remove([]Scope{scope})
	}
}

// Read returns the entries of the watched scopes behind a position up to and
// including another, in order. The error is ErrGone when entries in between were
// trimmed.
func (s *Subscription) Read(ctx context.Context, after, upTo Position) ([]Entry, error) {
	if after >= upTo {
		return nil, nil
	}
	entries, scopes, ok := s.recent(after, upTo)
	if ok {
		return entries, nil
	}
	return s.j.ReadScopes(ctx, scopes, after, upTo)
}

// recent returns the entries if the window has them and looking through it takes
// less than looking up all scopes; otherwise the scopes.
func (s *Subscription) recent(after, upTo Position) (entries []Entry, scopes []Scope, ok bool) {
	s.j.mu.Lock()
	defer s.j.mu.Unlock()
	w := s.j.window
	if !w.holds(after) || upTo-after > Position(4*len(s.scopes)+16) {
		return nil, slices.Collect(maps.Keys(s.scopes)), false
	}
	if s.last <= after {
		return nil, nil, true
	}
	for p := after + 1; p <= min(upTo, w.head); p++ {
		e := w.ring[w.index(p)]
		if _, watched := s.scopes[e.Scope]; watched {
			entries = append(entries, e)
		}
	}
	return entries, nil, true
}

// signal wakes who waits. The caller holds the journal's mu.
func (s *Subscription) signal() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Poke wakes the subscriptions to a scope for something that is not in the
// journal: that somebody types, say.
func (j *Journal) Poke(scope Scope) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for s := range j.subs[scope] {
		s.pokes++
		s.signal()
	}
}

// Pokes returns how often the subscription was poked, to be given to Wait. Ask
// before looking at what pokes are about.
func (s *Subscription) Pokes() uint64 {
	s.j.mu.Lock()
	defer s.j.mu.Unlock()
	return s.pokes
}

// Wait returns the head of the journal as soon as there may be an entry in one
// of the scopes behind a position; at once, if that lies behind the window. It
// also returns when the subscription was poked more often than so many times. A
// scope that is added while a wait is under way counts from then on. The error
// is that of the context.
func (s *Subscription) Wait(ctx context.Context, after Position, pokes uint64) (Position, error) {
	for {
		s.j.mu.Lock()
		head, news := s.j.window.head, s.last > after || s.pokes > pokes || !s.j.window.holds(after)
		changed := s.changed
		s.j.mu.Unlock()
		if news {
			return head, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// waitHead returns when the journal has an entry behind a position.
func (j *Journal) waitHead(ctx context.Context, after Position) error {
	for {
		j.mu.Lock()
		news, moved := j.window.head > after, j.moved
		j.mu.Unlock()
		if news {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
