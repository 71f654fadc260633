package feed

import (
	"context"
	"slices"
	"sync"
	"time"
)

// turns lets only so many requests do something at once. The rest wait in line.
//
// A message in a room may concern a thousand requests. If all of them woke up,
// whoever sends the next message would wait for a thousand goroutines, each of
// which would find that it is not its turn. So who waits for news is put into
// the line when there is some, and sleeps on until it is served.
type turns struct {
	pace *pace

	mu   sync.Mutex
	free int
	line []*turn // those that wait, in order
}

// A turn is that of one request.
type turn struct {
	turns   *turns
	granted chan struct{} // is closed when it has come

	// Guarded by the mutex of turns:
	waits, has bool
	since      time.Time // when it has come
}

func newTurns(count int, pace *pace) *turns { return &turns{free: count, pace: pace} }

// new returns a turn that is not in line yet.
func (t *turns) new() *turn { return &turn{turns: t, granted: make(chan struct{})} }

// queue puts a turn into the line. It does not block.
func (n *turn) queue() {
	n.turns.mu.Lock()
	defer n.turns.mu.Unlock()
	if n.turns.free > 0 {
		n.turns.free--
		n.grant()
		return
	}
	n.waits = true
	n.turns.line = append(n.turns.line, n)
}

func (n *turn) grant() {
	n.waits, n.has, n.since = false, true, time.Now()
	close(n.granted)
}

// wait returns when the turn has come, or the context has ended.
func (n *turn) wait(ctx context.Context) error {
	select {
	case <-n.granted:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end gives the turn to the next in line, if it had come, and takes it out of the
// line, if it had not. A turn that was never in line, or has ended, may end again.
func (n *turn) end() {
	t := n.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case n.waits:
		n.waits = false
		t.line = slices.DeleteFunc(t.line, func(other *turn) bool { return other == n })
	case n.has:
		n.has = false
		if rest := t.pace.rest(time.Since(n.since)); rest > 0 && len(t.line) > 0 {
			time.AfterFunc(rest, t.next)
			return
		}
		t.pass()
	}
}

// next gives a turn that has rested to the next in line.
func (t *turns) next() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pass()
}

func (t *turns) pass() {
	if len(t.line) == 0 {
		t.free++
		return
	}
	next := t.line[0]
	t.line[0] = nil
	t.line = t.line[1:]
	next.grant()
}
