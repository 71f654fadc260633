package feed

import (
	"container/list"
	"context"
	"maps"
	"sync"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/event"
	"parley/matrix/id"
)

// watches keeps the watches of users that are in use, and of those that were
// used last: a client comes back at once.
type watches struct {
	journal *journal.Journal
	rooms   *room.Engine

	// mu guards what follows. A watch's own lock may be taken after it.
	mu     sync.Mutex
	byUser map[id.UserID]*watch
	idle   *list.List // of watches that nobody uses; the one used last is in front
	weight int        // of the idle ones
}

// maxIdle bounds the idle watches: each weighs one, and one for each room.
const maxIdle = 100_000

// A watch is what a user's devices wait for.
type watch struct {
	user  id.UserID
	sub   *journal.Subscription
	ready chan struct{} // is closed when err is set
	err   error

	// Guarded by the mutex of watches:
	uses   int
	idle   *list.Element // set when uses is 0
	weight int           // while it is idle

	mu    sync.Mutex       // guards what follows
	upTo  journal.Position // what the user became up to there is in rooms
	rooms map[room.Num]*stays
	left  int // of rooms, those that the user is not in any more
	// rostered is how many rooms the roster has.
	rostered int

	roster roster // has a lock of its own, which is taken before mu
}

// stays is when the user was in a room, as far as that is of interest: a request
// may be answered for a position that others have already left behind.
type stays struct {
	id    id.RoomID
	spans []span           // the last few, in order
	asOf  journal.Position // up to which it is known
}

// A span begins at a position of the journal, and ends before another unless
// that is 0.
type span struct{ from, to journal.Position }

// throughout reports whether the user was in the room all the time from one
// position to another.
func (s *stays) throughout(from, to journal.Position) bool {
	for _, span := range s.spans {
		if span.from <= from && (span.to == 0 || to < span.to) {
			return true
		}
	}
	return false
}

// lasts reports whether the user is still in the room.
func (s *stays) lasts() bool { return len(s.spans) > 0 && s.spans[len(s.spans)-1].to == 0 }

func newWatches(j *journal.Journal, rooms *room.Engine) *watches {
	return &watches{journal: j, rooms: rooms, byUser: make(map[id.UserID]*watch), idle: list.New()}
}

// acquire returns the watch of a user, to be released. Whoever needs the roster, too,
// spares reading the rooms twice by saying so.
func (ws *watches) acquire(ctx context.Context, user id.UserID, rostered bool) (*watch, error) {
	w, made := ws.use(user)
	if made {
		ws.fill(context.WithoutCancel(ctx), w, rostered)
	}
	select {
	case <-w.ready:
	case <-ctx.Done():
		ws.release(w)
		return nil, ctx.Err()
	}
	if w.err != nil {
		ws.release(w)
		return nil, w.err
	}
	return w, nil
}

// use returns the watch of a user, and whether it was made and has to be filled.
func (ws *watches) use(user id.UserID) (w *watch, made bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w = ws.byUser[user]; w == nil {
		w = &watch{user: user, sub: ws.journal.Subscribe(journal.UserScope(user)), ready: make(chan struct{}), rooms: make(map[room.Num]*stays)}
		ws.byUser[user], made = w, true
	}
	if w.idle != nil {
		ws.idle.Remove(w.idle)
		ws.weight -= w.weight
		w.idle = nil
		w.prune()
	}
	w.uses++
	return w, made
}

// release gives a watch back.
func (ws *watches) release(w *watch) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w.uses--; w.uses > 0 {
		return
	}
	w.weight = w.weigh()
	w.idle = ws.idle.PushFront(w)
	ws.weight += w.weight
	if w.err != nil {
		ws.drop(w)
	}
	for ws.weight > maxIdle {
		ws.drop(ws.idle.Back().Value.(*watch))
	}
}

// drop ends a watch that nobody uses. The caller holds mu.
func (ws *watches) drop(w *watch) {
	ws.idle.Remove(w.idle)
	ws.weight -= w.weight
	delete(ws.byUser, w.user)
	w.sub.Close()
}

func (w *watch) weigh() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return 1 + len(w.rooms) + w.rostered
}

// weighs takes in how many rooms the roster has.
func (w *watch) weighs(rooms int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rostered = rooms
}

// prune forgets the rooms that the user has left. It is called when no request
// is under way that may need them.
func (w *watch) prune() {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.rooms, func(_ room.Num, s *stays) bool { return !s.lasts() })
	w.left = 0
}

// fill finds out which rooms a new watch is about. What changes meanwhile has an
// entry in the user's scope, which is watched already.
func (ws *watches) fill(ctx context.Context, w *watch, rostered bool) {
	defer close(w.ready)
	w.upTo = ws.journal.Head()
	rooms, err := ws.list(ctx, w, rostered)
	if err != nil {
		w.err = err
		return
	}
	last := w.begin(rooms)
	// What was read may be durable and not visible yet, and the first answer must
	// not be for a position before it.
	if last > ws.journal.Head() {
		_, w.err = w.sub.Wait(ctx, last-1, 0)
	}
}

// list reads the rooms of a new watch, and begins its roster with them where that is
// needed.
func (ws *watches) list(ctx context.Context, w *watch, rostered bool) ([]room.Membership, error) {
	if !rostered {
		return ws.rooms.Rooms(ctx, w.user)
	}
	list, err := ws.rooms.Standings(ctx, w.user)
	if err != nil {
		return nil, err
	}
	w.roster.mu.Lock()
	defer w.roster.mu.Unlock()
	w.roster.begin(list, w.upTo)
	w.weighs(len(list))
	rooms := make([]room.Membership, len(list))
	for i, one := range list {
		rooms[i] = one.Membership
	}
	return rooms, nil
}

// begin takes over what the user is to rooms, and returns the position of the
// last change.
func (w *watch) begin(rooms []room.Membership) (last journal.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var scopes []journal.Scope
	for _, m := range rooms {
		if m.Membership == event.MembershipJoin {
			w.rooms[m.Room] = &stays{id: m.RoomID, spans: []span{{from: m.Pos}}, asOf: m.Pos}
			scopes = append(scopes, m.Room.Scope())
		}
		last = max(last, m.Pos)
	}
	w.sub.Add(scopes...)
	return last
}

// known returns up to where the watch knows what the user became. A client that
// comes with a token from elsewhere may be ahead of it, or one that begins.
func (w *watch) known() journal.Position {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.upTo
}

// knows says that all that the user became up to a position was taken over.
func (w *watch) knows(pos journal.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.upTo = max(w.upTo, pos)
}

// keepSpans is how many stays in a room are remembered. Only answers for a
// position that is out of date already need more than the last.
const keepSpans = 4

// update takes over what the user was to a room up to a position, and watches
// the room or does not any more.
func (w *watch) update(num room.Num, roomID id.RoomID, sight room.Sight, asOf journal.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, known := w.rooms[num]
	if !known {
		s = &stays{id: roomID}
		w.rooms[num] = s
	}
	if asOf <= s.asOf {
		return
	}
	if known && !s.lasts() {
		w.left--
	}
	s.asOf, s.spans = asOf, spansOf(sight)
	if !s.lasts() {
		w.left++
	}
	if sight.Membership() == event.MembershipJoin {
		w.sub.Add(num.Scope())
	} else {
		w.sub.Remove(num.Scope())
	}
}

// spansOf returns the last spans in which a user was in a room. What was put into a gap
// later, and was no news, has no position.
func spansOf(sight room.Sight) []span {
	var spans []span
	for _, m := range sight.Memberships {
		if m.Pos == 0 {
			continue
		}
		in := len(spans) > 0 && spans[len(spans)-1].to == 0
		switch joined := m.Membership == event.MembershipJoin; {
		case joined && !in:
			spans = append(spans, span{from: m.Pos})
		case !joined && in:
			spans[len(spans)-1].to = m.Pos
		}
	}
	return spans[max(0, len(spans)-keepSpans):]
}

// room returns the ID of a room, if the user was in it all the time from one
// position to another.
func (w *watch) room(num room.Num, from, to journal.Position) (id.RoomID, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.rooms[num]
	if s == nil || !s.throughout(from, to) {
		return "", false
	}
	return s.id, true
}

// during returns the rooms that the user was in all the time from one position
// to another.
func (w *watch) during(from, to journal.Position) map[room.Num]id.RoomID {
	w.mu.Lock()
	defer w.mu.Unlock()
	rooms := make(map[room.Num]id.RoomID, len(w.rooms))
	for num, s := range w.rooms {
		if s.throughout(from, to) {
			rooms[num] = s.id
		}
	}
	return rooms
}

// split calls one function for the rooms that the user was in all the time from
// one position to another, and another one for those that the user came into
// meanwhile. They must not call anything of the watch.
func (w *watch) split(from, to journal.Position, stayed, entered func(room.Num)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for num, s := range w.rooms {
		switch {
		case s.throughout(from, to):
			stayed(num)
		case s.throughout(to, to):
			entered(num)
		}
	}
}

// read returns the entries that concern the user behind one position up to
// another.
func (w *watch) read(ctx context.Context, j *journal.Journal, from, to journal.Position) ([]journal.Entry, error) {
	entries, err := w.sub.Read(ctx, from, to)
	if err != nil {
		return nil, err
	}
	// Rooms are not watched any more that were left behind the position.
	scopes := w.departed(from, to)
	if len(scopes) == 0 {
		return entries, nil
	}
	more, err := j.ReadScopes(ctx, scopes, from, to)
	return append(entries, more...), err
}

// departed returns the scopes of rooms that the user was in from one position to
// another and has left since.
func (w *watch) departed(from, to journal.Position) (scopes []journal.Scope) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left == 0 {
		return nil
	}
	for num, s := range w.rooms {
		if s.throughout(from, to) && !s.lasts() {
			scopes = append(scopes, num.Scope())
		}
	}
	return scopes
}
