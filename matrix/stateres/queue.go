package stateres

import "math/bits"

// queue is a heap that yields the greatest number first. Numbers are pushed
// once.
type queue struct {
	heap heap[Num]
}

func (q *queue) len() int   { return len(q.heap.items) }
func (q *queue) push(n Num) { q.heap.push(n, func(a, b Num) bool { return a > b }) }
func (q *queue) pop() Num   { return q.heap.pop(func(a, b Num) bool { return a > b }) }

// heap is a binary heap; the callers say the order, always the same one.
type heap[T any] struct {
	items []T
}

func (h *heap[T]) push(item T, before func(a, b T) bool) {
	h.items = append(h.items, item)
	for i := len(h.items) - 1; i > 0; {
		parent := (i - 1) / 2
		if !before(h.items[i], h.items[parent]) {
			return
		}
		h.items[i], h.items[parent] = h.items[parent], h.items[i]
		i = parent
	}
}

func (h *heap[T]) pop(before func(a, b T) bool) T {
	top := h.items[0]
	last := len(h.items) - 1
	h.items[0] = h.items[last]
	h.items = h.items[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return top
		}
		if right := child + 1; right < last && before(h.items[right], h.items[child]) {
			child = right
		}
		if !before(h.items[child], h.items[i]) {
			return top
		}
		h.items[i], h.items[child] = h.items[child], h.items[i]
		i = child
	}
}

// stateSet is a set of the indexes of states. Sets of up to 64 states, which
// is nearly all, cost no allocation.
type stateSet struct {
	low  uint64
	rest []uint64 // never modified once made
}

func (s stateSet) with(i int) stateSet {
	if i < 64 {
		s.low |= 1 << i
		return s
	}
	rest := make([]uint64, max(len(s.rest), i/64))
	copy(rest, s.rest)
	rest[i/64-1] |= 1 << (i % 64)
	s.rest = rest
	return s
}

func fullSet(n int) stateSet {
	var s stateSet
	for i := range n {
		s = s.with(i)
	}
	return s
}

func (s stateSet) union(o stateSet) stateSet {
	s.low |= o.low
	if len(o.rest) == 0 {
		return s
	}
	rest := make([]uint64, max(len(s.rest), len(o.rest)))
	copy(rest, s.rest)
	for i, word := range o.rest {
		rest[i] |= word
	}
	s.rest = rest
	return s
}

func (s stateSet) size() int {
	n := bits.OnesCount64(s.low)
	for _, word := range s.rest {
		n += bits.OnesCount64(word)
	}
	return n
}
