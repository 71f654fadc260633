package ephemeral

import (
	"container/list"
	"maps"
	"slices"
	"sync"
	"time"

	"parley/internal/journal"
	"parley/matrix/id"
)

// How long somebody is typing who does not say more.
const (
	DefaultTimeout = 30 * time.Second
	leastTimeout   = time.Second
	mostTimeout    = 120 * time.Second
)

// MostIdle is how many rooms a board remembers in which nobody types, at about
// 200 bytes each.
const MostIdle = 1 << 15

// Board numbers changes, and knows who is typing where. A [Presence] takes its
// numbers from it. It is safe for concurrent use.
type Board struct {
	epoch string
	poke  func(journal.Scope)
	idle  int // how many rooms are remembered in which nobody types
	watch func(scope journal.Scope, user id.UserID, typing bool)

	mu     sync.Mutex
	seq    uint64
	typed  uint64 // the number of the last change of who is typing
	floor  uint64 // the greatest number of a change of these that was forgotten
	rooms  map[journal.Scope]*room
	quiet  *list.List // of *room in which nobody types; the one that changed last is in front
	closed bool
}

type room struct {
	scope   journal.Scope
	changed uint64 // the number of the last change
	typing  map[id.UserID]*typist
	quiet   *list.Element // its place in the board's list, nil while somebody types
}

// typist is somebody who types, until the timer ends it. A typist who says so
// again becomes another.
type typist struct {
	timer *time.Timer
	said  time.Time // when it was said last to who watches
}

// NewBoard returns an empty board. The epoch must be one that no other board had.
// After each change the scope of the room is poked, see [journal.Journal.Poke].
// Close ends it.
func NewBoard(epoch string, poke func(journal.Scope)) *Board {
	return &Board{
		epoch: epoch, poke: poke, idle: MostIdle, rooms: make(map[journal.Scope]*room), quiet: list.New(),
		watch: func(journal.Scope, id.UserID, bool) {},
	}
}

// sayAgain is after how long it is said again that somebody types who goes on.
const sayAgain = 20 * time.Second

// OnTyping sets what is called when somebody begins to type in a room, still does
// so after a while, and ends: in the order in which that happens. It must not
// block, nor call the board. It is set before anybody types.
func (b *Board) OnTyping(f func(scope journal.Scope, user id.UserID, typing bool)) { b.watch = f }

// Epoch names the sequence of the numbers.
func (b *Board) Epoch() string { return b.epoch }

// Seq returns the number of the last change. Who asks for it before looking at
// anything will be told again of what changes in between.
func (b *Board) Seq() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seq
}

// Typed returns the number of the last change of who is typing, in any room.
func (b *Board) Typed() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.typed
}

// number numbers a change that is made elsewhere. The caller holds the lock that
// readers need to see it: who then has the number from Seq waits for the rest.
func (b *Board) number() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seq++
	return b.seq
}

// Changed returns the number of the last change in a room, or one that is
// greater, see the package comment. It is 0 if there was none.
func (b *Board) Changed(scope journal.Scope) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.rooms[scope]; r != nil {
		return r.changed
	}
	return b.floor
}

// Typing returns who is typing in a room, in order.
func (b *Board) Typing(scope journal.Scope) []id.UserID {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.rooms[scope]; r != nil {
		return slices.Sorted(maps.Keys(r.typing))
	}
	return nil
}

// Type says that a user, who must be in the room, is typing for so long: between
// one second and two minutes, and for 0 the default. Saying so again prolongs it,
// which is no change.
func (b *Board) Type(scope journal.Scope, user id.UserID, timeout time.Duration) {
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	timeout = min(max(timeout, leastTimeout), mostTimeout)
	if b.begin(scope, user, timeout) {
		b.poke(scope)
	}
}

// begin reports whether the user was not typing before.
func (b *Board) begin(scope journal.Scope, user id.UserID, timeout time.Duration) (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	r := b.rooms[scope]
	if r == nil {
		r = &room{scope: scope, typing: make(map[id.UserID]*typist)}
		b.rooms[scope] = r
	}
	earlier := r.typing[user]
	if earlier != nil {
		earlier.timer.Stop()
	}
	t := &typist{said: time.Now()}
	if earlier != nil && time.Since(earlier.said) < sayAgain {
		t.said = earlier.said
	} else {
		b.watch(scope, user, true)
	}
	t.timer = time.AfterFunc(timeout, func() { b.end(scope, user, t) })
	r.typing[user] = t
	if earlier != nil {
		return false
	}
	b.change(r)
	return true
}

// Stop says that a user is not typing any more.
func (b *Board) Stop(scope journal.Scope, user id.UserID) { b.end(scope, user, nil) }

// end ends the typing of a user; if it is one that is named, then only that one.
func (b *Board) end(scope journal.Scope, user id.UserID, only *typist) {
	if b.remove(scope, user, only) {
		b.poke(scope)
	}
}

func (b *Board) remove(scope journal.Scope, user id.UserID, only *typist) (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.rooms[scope]
	if r == nil || r.typing[user] == nil || only != nil && r.typing[user] != only || b.closed {
		return false
	}
	r.typing[user].timer.Stop()
	delete(r.typing, user)
	b.watch(scope, user, false)
	b.change(r)
	return true
}

// change numbers a change of a room and forgets rooms that are too many. The
// caller holds mu.
func (b *Board) change(r *room) {
	b.seq++
	r.changed, b.typed = b.seq, b.seq
	switch {
	case len(r.typing) > 0 && r.quiet != nil:
		b.quiet.Remove(r.quiet)
		r.quiet = nil
	case len(r.typing) == 0 && r.quiet == nil:
		r.quiet = b.quiet.PushFront(r)
	}
	// The list is in the order of the numbers: a room comes into it when it
	// changes and leaves it when it changes again.
	for b.quiet.Len() > b.idle {
		oldest := b.quiet.Remove(b.quiet.Back()).(*room)
		delete(b.rooms, oldest.scope)
		b.floor = max(b.floor, oldest.changed)
	}
}

// Close stops all timers. Nothing changes any more.
func (b *Board) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, r := range b.rooms {
		for _, t := range r.typing {
			t.timer.Stop()
		}
	}
}
