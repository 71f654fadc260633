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
	last    Position  // of the last entry that concerns it, as far as the window knows
	told    []telling // of what is in none of its scopes
	pokes   uint64    // how often it was poked
	waiting []*notice // to be called when last or pokes move
}

// A telling is the last entry of a kind that a subscription was told of by Batch.Tell.
type telling struct {
	kind Kind
	pos  Position
}

// Subscribe begins to watch scopes. Close ends it.
func (j *Journal) Subscribe(scopes ...Scope) *Subscription {
	s := &Subscription{j: j, scopes: make(map[Scope]struct{}, len(scopes))}
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

// Close stops watching. Whoever waits is not told any more.
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
	if s.last <= after && len(s.j.untold) == 0 {
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

// Pokes returns how often the subscription was poked, to be given to Notify. Ask
// before looking at what pokes are about.
func (s *Subscription) Pokes() uint64 {
	s.j.mu.Lock()
	defer s.j.mu.Unlock()
	return s.pokes
}

// A notice is somebody who wants to be told, once.
type notice struct {
	after Position
	pokes uint64
	deaf  []Kind
	tell  func()
}

// Notify calls tell, once, as soon as there may be an entry in one of the scopes
// behind a position, or the subscription was poked more often than so many times.
// If that is so already, or the position lies behind the window, it reports so
// and does not call tell. A scope that is added meanwhile counts from then on. What is
// told by [Batch.Tell] does not count if it is of one of the kinds deaf.
//
// The journal is locked during the call, so tell must not block, and must not
// call anything of the journal. It is not called any more when cancel has
// returned.
func (s *Subscription) Notify(after Position, pokes uint64, tell func(), deaf ...Kind) (cancel func(), news bool) {
	s.j.mu.Lock()
	defer s.j.mu.Unlock()
	n := &notice{after, pokes, deaf, tell}
	if s.news(n) {
		return func() {}, true
	}
	s.waiting = append(s.waiting, n)
	return func() {
		s.j.mu.Lock()
		defer s.j.mu.Unlock()
		s.waiting = slices.DeleteFunc(s.waiting, func(other *notice) bool { return other == n })
	}, false
}

func (s *Subscription) news(n *notice) bool {
	return s.last > n.after || s.pokes > n.pokes || !s.j.window.holds(n.after) || slices.ContainsFunc(s.told, func(t telling) bool {
		return t.pos > n.after && !slices.Contains(n.deaf, t.kind)
	})
}

// hears takes in an entry of which it is told. The caller holds the journal's mu.
func (s *Subscription) hears(e Entry) {
	i := slices.IndexFunc(s.told, func(t telling) bool { return t.kind == e.Kind })
	if i < 0 {
		i = len(s.told)
		s.told = append(s.told, telling{kind: e.Kind})
	}
	s.told[i].pos = e.Pos
}

// signal tells those who wait for what has come. The caller holds the journal's
// mu.
func (s *Subscription) signal() {
	s.waiting = slices.DeleteFunc(s.waiting, func(n *notice) bool {
		news := s.news(n)
		if news {
			n.tell()
		}
		return news
	})
}

// Wait returns the head of the journal when Notify would tell. The error is that
// of the context.
func (s *Subscription) Wait(ctx context.Context, after Position, pokes uint64) (Position, error) {
	told := make(chan struct{})
	cancel, news := s.Notify(after, pokes, func() { close(told) })
	if !news {
		select {
		case <-told:
		case <-ctx.Done():
			cancel()
			return 0, ctx.Err()
		}
	}
	return s.j.Head(), nil
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
