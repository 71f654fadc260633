package errand

import (
	"context"
	"sync"
	"time"
)

// How long it takes until an errand that had a fault has another turn: doubling
// from the first to the last.
const (
	firstWait = time.Second
	lastWait  = 5 * time.Minute
)

// A Queue has the errands that are to be done, by the names that tell them
// apart. One is in it once, and is given to one worker at a time. It is safe for
// concurrent use.
type Queue[K comparable] struct {
	mu    sync.Mutex
	turns []K // waiting, in order
	known map[K]*turn
	some  chan struct{} // has room for one signal that turns is not empty
}

type turn struct {
	waiting bool // it is in turns, or will be when the timer ends
	busy    bool // a worker has it
	again   bool // it was added while a worker had it
	faults  int  // how often in a row it ended with a fault
	timer   *time.Timer
}

// New returns an empty queue.
func New[K comparable]() *Queue[K] {
	return &Queue[K]{known: make(map[K]*turn), some: make(chan struct{}, 1)}
}

// Add gives errands a turn. One that waits after a fault does not have to wait
// any longer: what is new is tried at once. One that is being done has another
// turn afterwards.
func (q *Queue[K]) Add(keys ...K) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, key := range keys {
		t := q.known[key]
		if t == nil {
			t = &turn{}
			q.known[key] = t
		}
		switch {
		case t.busy:
			t.again = true
		case t.timer != nil && t.timer.Stop():
			t.timer = nil
			q.push(key)
		case !t.waiting:
			t.waiting = true
			q.push(key)
		}
	}
}

// push puts an errand at the end and wakes a worker. The caller holds mu.
func (q *Queue[K]) push(key K) {
	q.turns = append(q.turns, key)
	q.signal()
}

func (q *Queue[K]) signal() {
	select {
	case q.some <- struct{}{}:
	default:
	}
}

// next waits for an errand whose turn it is; ok is false when the context ends.
func (q *Queue[K]) next(ctx context.Context) (key K, ok bool) {
	for {
		select {
		case <-q.some:
		case <-ctx.Done():
			return key, false
		}
		if key, ok := q.pop(); ok {
			return key, true
		}
	}
}

func (q *Queue[K]) pop() (key K, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.turns) == 0 {
		return key, false
	}
	key, q.turns = q.turns[0], q.turns[1:]
	if len(q.turns) > 0 {
		q.signal() // for the next worker
	}
	t := q.known[key]
	t.waiting, t.busy = false, true
	return key, true
}

// done ends the turn of an errand, which is forgotten, or has another: at once if
// added meanwhile, later after a fault.
func (q *Queue[K]) done(key K, fault bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.known[key]
	again := t.again
	t.busy, t.again = false, false
	switch {
	case fault:
		t.waiting = true
		t.faults++
		wait := min(firstWait<<min(t.faults-1, 20), lastWait)
		if again {
			wait = firstWait
		}
		t.timer = time.AfterFunc(wait, func() { q.due(key) })
	case again:
		t.waiting, t.faults = true, 0
		q.push(key)
	default:
		delete(q.known, key)
	}
}

// due gives an errand that has waited after a fault a turn.
func (q *Queue[K]) due(key K) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t := q.known[key]; t != nil && t.timer != nil {
		t.timer = nil
		q.push(key)
	}
}

// stop ends all timers.
func (q *Queue[K]) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range q.known {
		if t.timer != nil {
			t.timer.Stop()
		}
	}
}
