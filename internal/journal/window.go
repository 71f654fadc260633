package journal

import "slices"

// window is the recent entries, by position and by scope.
type window struct {
	size  int
	start Position // the entries are those behind it
	head  Position
	ring  []Entry // entry at position p is at p % size
	scope map[Scope][]Entry
}

func newWindow(head Position, size int) *window {
	return &window{size: size, start: head, head: head, ring: make([]Entry, 0), scope: make(map[Scope][]Entry)}
}

// add adds the entry that follows the head. When the window is full the oldest
// entry goes.
func (w *window) add(e Entry) {
	if e.Pos != w.head+1 {
		panic("journal: an entry does not follow the head")
	}
	if w.head-w.start == Position(w.size) {
		w.dropOldest()
	}
	i := w.index(e.Pos)
	for len(w.ring) <= i {
		w.ring = append(w.ring, Entry{})
	}
	w.ring[i] = e
	w.head = e.Pos
	w.scope[e.Scope] = append(w.scope[e.Scope], e)
}

func (w *window) index(p Position) int { return int(p % Position(w.size)) }

func (w *window) dropOldest() {
	w.start++
	oldest := w.ring[w.index(w.start)]
	rest := w.scope[oldest.Scope][1:]
	if len(rest) == 0 {
		delete(w.scope, oldest.Scope)
		return
	}
	// Appending to a slice that loses its front moves it now and then, so the
	// front is not kept for long.
	w.scope[oldest.Scope] = rest
}

// holds reports whether the window has everything behind a position.
func (w *window) holds(after Position) bool { return after >= w.start }

// last returns the position of the last entry of a scope, or start if the
// window has none.
func (w *window) last(s Scope) Position {
	if entries := w.scope[s]; len(entries) > 0 {
		return entries[len(entries)-1].Pos
	}
	return w.start
}

// between returns up to limit entries behind a position up to another, never
// nil.
func (w *window) between(after, upTo Position, limit int) []Entry {
	upTo = min(upTo, w.head, after+Position(limit))
	entries := make([]Entry, 0, max(0, upTo-after))
	for p := after + 1; p <= upTo; p++ {
		entries = append(entries, w.ring[w.index(p)])
	}
	return entries
}

// of returns the entries of scopes behind a position up to another, in order,
// never nil.
func (w *window) of(scopes []Scope, after, upTo Position) []Entry {
	entries := []Entry{}
	for _, s := range scopes {
		list := w.scope[s]
		first, _ := slices.BinarySearchFunc(list, after+1, comparePos)
		last, _ := slices.BinarySearchFunc(list, upTo+1, comparePos)
		entries = append(entries, list[first:last]...)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return comparePos(a, b.Pos) })
	return entries
}

func comparePos(e Entry, p Position) int {
	switch {
	case e.Pos < p:
		return -1
	case e.Pos > p:
		return 1
	}
	return 0
}
