package profile

import (
	"context"
	"sync"
	"time"

	"parley/matrix/id"
)

// How long it takes until a user whose rooms could not all be told has another
// turn: doubling from the first to the last.
const (
	firstWait = time.Second
	lastWait  = 5 * time.Minute
)

// queue is the users whose rooms have to be told. A user is in it once, and is
// given to one worker at a time.
type queue struct {
	mu    sync.Mutex
	turns []id.UserID // waiting, in order
	known map[id.UserID]*turn
	some  chan struct{} // has room for one signal that turns is not empty
}

type turn struct {
	waiting bool // it is in turns, or will be when the timer ends
	busy    bool // a worker has it
	again   bool // it was added while a worker had it
	faults  int  // how often in a row it ended with a fault
	timer   *time.Timer
}

func newQueue() *queue {
	return &queue{known: make(map[id.UserID]*turn), some: make(chan struct{}, 1)}
}

// add gives users a turn. One who waits after a fault does not have to wait any
// longer: a new change is tried at once.
func (q *queue) add(users ...id.UserID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, user := range users {
		t := q.known[user]
		if t == nil {
			t = &turn{}
			q.known[user] = t
		}
		switch {
		case t.busy:
			t.again = true
		case t.timer != nil && t.timer.Stop():
			t.timer = nil
			q.push(user)
		case !t.waiting:
			t.waiting = true
			q.push(user)
		}
	}
}

// push puts a user at the end and wakes a worker. The caller holds mu.
func (q *queue) push(user id.UserID) {
	q.turns = append(q.turns, user)
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.some <- struct{}{}:
	default:
	}
}

// next waits for a user whose turn it is; ok is false when the context ends.
func (q *queue) next(ctx context.Context) (user id.UserID, ok bool) {
	for {
		select {
		case <-q.some:
		case <-ctx.Done():
			return "", false
		}
		if user, ok := q.pop(); ok {
			return user, true
		}
	}
}

func (q *queue) pop() (user id.UserID, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.turns) == 0 {
		return "", false
	}
	user, q.turns = q.turns[0], q.turns[1:]
	if len(q.turns) > 0 {
		q.signal() // for the next worker
	}
	t := q.known[user]
	t.waiting, t.busy = false, true
	return user, true
}

// done ends the turn of a user, who is forgotten, or has another: at once if
// added meanwhile, later after a fault.
func (q *queue) done(user id.UserID, fault bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.known[user]
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
		t.timer = time.AfterFunc(wait, func() { q.due(user) })
	case again:
		t.waiting, t.faults = true, 0
		q.push(user)
	default:
		delete(q.known, user)
	}
}

// due gives a user who has waited after a fault a turn.
func (q *queue) due(user id.UserID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t := q.known[user]; t != nil && t.timer != nil {
		t.timer = nil
		q.push(user)
	}
}

// stop ends all timers.
func (q *queue) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range q.known {
		if t.timer != nil {
			t.timer.Stop()
		}
	}
}
