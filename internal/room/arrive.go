package room

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/stateres"
)

// An Arrival is what this server gets of another when it joins a room: the
// handover (see [Handover]) as events that have passed the checks on their form,
// signatures and hash.
type Arrival struct {
	// Join is the event by which a local user joins, with all its signatures.
	Join *event.Event
	// State is the state before the join. AuthChain is what authorises it and the
	// join, and may have events of the state in it.
	State, AuthChain []*event.Event
}

// Places of a room that this server has not seen from its beginning. What is
// missing in between lies in the room's own order when it comes later, so there
// is space for it.
const (
	firstPlace = 1 << 40
	gapPlaces  = 1 << 32
)

// Arrive makes a room of another server one of this server's, or one again. The
// state is stored before the room has it, in pieces, so that nobody has to wait:
// after a crash in between nothing refers to it, and to try again is safe. The
// error is a *mxerr.Error if what the other server says is not a room that the
// user may have joined.
func (g *Engine) Arrive(ctx context.Context, a Arrival) (Sent, error) {
	unlock, err := g.arriving.lock(ctx, a.Join.RoomID())
	if err != nil {
		return Sent{}, err
	}
	defer unlock()
	switch here, err := g.HasMembers(ctx, a.Join.RoomID(), g.server); {
	case errors.Is(err, mxerr.NotFound): // the room is new
	case err != nil:
		return Sent{}, err
	case here:
		// Somebody else of this server was faster: it is an event as any other.
		_, err := g.Receive(ctx, a.Join)
		return Sent{EventID: a.Join.ID(), Pos: g.journal.Head()}, err
	}
	for range attempts {
		sent, err := g.arrive(ctx, a)
		if !errors.Is(err, errConflict) {
			return sent, err
		}
	}
	return Sent{}, fmt.Errorf("arriving in %s: %w", a.Join.RoomID(), errConflict)
}

func (g *Engine) arrive(ctx context.Context, a Arrival) (Sent, error) {
	handed, err := judgeHandover(a)
	if err != nil {
		return Sent{}, err
	}
	r, err := g.roomOrNew(ctx, a.Join)
	if err != nil {
		return Sent{}, err
	}
	nums, err := g.storeOutliers(ctx, r, handed.events)
	if err != nil {
		return Sent{}, err
	}
	root, err := g.storeState(ctx, r, handed.state, nums)
	if err != nil {
		return Sent{}, err
	}
	place := arrivalPlace(r)
	count, err := g.storeMembers(ctx, r, handed.state, nums, place)
	if err != nil {
		return Sent{}, err
	}
	appended, wait, err := r.arrive(ctx, a.Join, arrival{root: root, place: place, count: count, nums: nums})
	if err != nil {
		return Sent{}, err
	}
	pos, err := r.settle(appended, wait)
	if err != nil {
		return Sent{}, fmt.Errorf("arriving in %s: %w", r.id, err)
	}
	return Sent{EventID: a.Join.ID(), Pos: pos}, nil
}

// roomOrNew returns the room of a join, or one that is to be made.
func (g *Engine) roomOrNew(ctx context.Context, join *event.Event) (*live, error) {
	r, err := g.room(ctx, join.RoomID())
	if !errors.Is(err, mxerr.NotFound) {
		return r, err
	}
	num, err := reserveNumbers(ctx, g.db, "room", 1)
	if err != nil {
		return nil, err
	}
	r = newLive(g, Num(num), join.Rules())
	r.id = join.RoomID()
	return r, nil
}

// arrivalPlace is where the state is that a room had before the join.
func arrivalPlace(r *live) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.exists {
		return firstPlace
	}
	return r.row.place + gapPlaces
}

// arrival is what is stored of a room before the join.
type arrival struct {
	root  statetrie.Root
	place int64
	count record // joined and invited members
	nums  map[id.EventID]stateres.Num
}

// arrive appends the join to the state that is stored.
func (r *live) arrive(ctx context.Context, join *event.Event, to arrival) (a appended, wait func() (journal.Position, error), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stale || r.exists && r.row.place+gapPlaces != to.place {
		r.engine.forget(r)
		return a, nil, errConflict
	}
	before, head := r.row, r.head
	r.row.root, r.row.place, r.row.joined, r.row.invited = to.root, to.place, to.count.joined, to.count.invited
	made := entry{event: join, before: to.root, status: accepted, gap: join.PrevEvents()}
	for _, eventID := range join.AuthEvents() {
		made.auth = append(made.auth, to.nums[eventID])
	}
	if made.num, err = r.engine.numbers.above(ctx, made.auth); err == nil {
		made, err = r.follow(ctx, made, nil, nil)
	}
	if err != nil {
		r.row, r.head = before, head
		return a, nil, err
	}
	// The state is another than that after the last event that was seen.
	made.merges = r.exists
	r.pending[made.num] = made
	a = r.finish(before, []entry{made})
	return a, r.engine.journal.Submit(a.change), nil
}

// A handover is an arrival after the rules were asked about it.
type handover struct {
	events []outlier // what authorises comes before what it authorises
	state  map[event.Tuple]*event.Event
}

// An outlier is an event that is known without its place in the room.
type outlier struct {
	event  *event.Event
	status int64 // accepted or rejected, by its auth events
}

// judgeHandover decides which of the events count, and whether the join is allowed
// by the state they make.
func judgeHandover(a Arrival) (h handover, err error) {
	h = handover{state: make(map[event.Tuple]*event.Event)}
	all := make(map[id.EventID]*event.Event)
	for _, e := range slices.Concat(a.AuthChain, a.State) {
		if e.RoomID() == a.Join.RoomID() {
			all[e.ID()] = e
		}
	}
	h.events = judgeOutliers(all, nil)
	good := make(map[id.EventID]bool, len(h.events))
	for _, o := range h.events {
		good[o.event.ID()] = o.status == accepted
	}
	for _, e := range a.State {
		t, isState := e.Tuple()
		if !isState || !good[e.ID()] {
			continue
		}
		if other := h.state[t]; other != nil && other.ID() != e.ID() {
			return h, mxerr.New(mxerr.Unknown, "The other server says two things about %s %q", t.Type, t.StateKey).WithStatus(502)
		}
		h.state[t] = e
	}
	if h.state[event.Tuple{Type: event.TypeCreate}] == nil {
		return h, mxerr.New(mxerr.Unknown, "The other server does not say how the room began").WithStatus(502)
	}
	var auth eventauth.AuthEvents
	auth.Create = h.state[event.Tuple{Type: event.TypeCreate}]
	for _, eventID := range a.Join.AuthEvents() {
		if all[eventID] == nil || !good[eventID] {
			return h, mxerr.New(mxerr.Unknown, "The other server does not say what lets you join").WithStatus(502)
		}
		auth.Events = append(auth.Events, all[eventID])
	}
	err = eventauth.CheckAuthEvents(a.Join, auth)
	if err == nil {
		err = eventauth.Check(a.Join, eventauth.AuthState(auth.Events, auth.Create))
	}
	if err == nil {
		err = eventauth.Check(a.Join, eventauth.MapState(h.state))
	}
	return h, refused(err)
}

// judgeOutliers decides about events by what authorises them, which has to be
// among them or among those that are known; known says whether such an event was
// accepted. Events that refer to what is not there, or to each other, are left out.
func judgeOutliers(all map[id.EventID]*event.Event, known func(id.EventID) (e *event.Event, accepted, ok bool)) []outlier {
	j := judging{all: all, known: known, verdict: make(map[id.EventID]bool)}
	for _, e := range all {
		j.visit(e)
	}
	return j.order
}

// judging goes through events depth first, without recursion: chains are as long
// as others want.
type judging struct {
	all     map[id.EventID]*event.Event
	known   func(id.EventID) (e *event.Event, accepted, ok bool)
	verdict map[id.EventID]bool // of events in order: whether accepted
	state   map[id.EventID]uint8
	order   []outlier
}

const (
	begun uint8 = iota + 1
	ended
)

func (j *judging) visit(start *event.Event) {
	if j.state == nil {
		j.state = make(map[id.EventID]uint8, len(j.all))
	}
	stack := []*event.Event{start}
	for len(stack) > 0 {
		e := stack[len(stack)-1]
		switch j.state[e.ID()] {
		case ended:
			stack = stack[:len(stack)-1]
			continue
		case 0:
			j.state[e.ID()] = begun
			waits := false
			for _, eventID := range e.AuthEvents() {
				if auth := j.all[eventID]; auth != nil && j.state[eventID] == 0 {
					stack, waits = append(stack, auth), true
				}
			}
			if waits {
				continue
			}
		}
		stack = stack[:len(stack)-1]
		j.state[e.ID()] = ended
		j.judge(e)
	}
}

// judge decides about an event all of whose auth events have been decided about,
// if they can be.
func (j *judging) judge(e *event.Event) {
	var auth eventauth.AuthEvents
	good := make(map[id.EventID]bool)
	for _, eventID := range e.AuthEvents() {
		a, ok := j.all[eventID], false
		if a != nil {
			good[eventID], ok = j.verdict[eventID]
		} else if j.known != nil {
			a, good[eventID], ok = j.known(eventID)
		}
		if !ok {
			return
		}
		auth.Events = append(auth.Events, a)
		if a.IsState(event.TypeCreate, "") {
			auth.Create = a
		}
	}
	if auth.Create == nil && e.Rules().RoomIDFromCreate {
		auth.Create = j.create(e)
	}
	auth.Rejected = func(eventID id.EventID) bool { return !good[eventID] }
	err := eventauth.CheckAuthEvents(e, auth)
	if err == nil {
		err = eventauth.Check(e, eventauth.AuthState(auth.Events, auth.Create))
	}
	j.verdict[e.ID()] = err == nil
	status := int64(accepted)
	if err != nil {
		status = rejected
	}
	j.order = append(j.order, outlier{e, status})
}

// create returns the create event of the room where events do not cite it: its ID
// is that of the room.
func (j *judging) create(e *event.Event) *event.Event {
	if e.IsState(event.TypeCreate, "") {
		return nil
	}
	eventID := id.EventID("$" + string(e.RoomID())[1:])
	if create := j.all[eventID]; create != nil {
		return create
	}
	if j.known == nil {
		return nil
	}
	create, _, _ := j.known(eventID)
	return create
}

// storeOutliers stores events that have no place in the room, in pieces, and
// returns their numbers. Those that the room has already stay as they are.
func (g *Engine) storeOutliers(ctx context.Context, r *live, events []outlier) (map[id.EventID]stateres.Num, error) {
	nums := make(map[id.EventID]stateres.Num, len(events))
	for chunk := range slices.Chunk(events, chainStep) {
		if err := g.findOutliers(ctx, r, chunk, nums); err != nil {
			return nil, err
		}
	}
	var fresh []outlier
	for _, o := range events {
		if nums[o.event.ID()] == 0 {
			fresh = append(fresh, o)
		}
	}
	if len(fresh) == 0 {
		return nums, nil
	}
	first, err := reserveNumbers(ctx, g.db, "event", int64(len(fresh)))
	if err != nil {
		return nil, err
	}
	for i, o := range fresh {
		nums[o.event.ID()] = stateres.Num(first + int64(i))
	}
	for chunk := range slices.Chunk(fresh, chainStep) {
		err := g.db.Update(ctx, func(tx *store.Tx) error {
			rows := make([][]any, len(chunk))
			for i, o := range chunk {
				rows[i] = o.row(r, nums)
			}
			return tx.QueueAll(insertEvents, rows)
		})
		if err != nil {
			return nil, fmt.Errorf("storing %d events of %s: %w", len(fresh), r.id, err)
		}
	}
	return nums, nil
}

func (g *Engine) findOutliers(ctx context.Context, r *live, events []outlier, nums map[id.EventID]stateres.Num) error {
	var ids []id.EventID
	for _, o := range events {
		ids = append(ids, o.event.ID())
	}
	err := g.db.View(ctx, func(tx *store.Tx) error {
		in, list := tx.In(2, ids)
		for row, err := range tx.Query("SELECT event, event_id FROM events WHERE room = $1 AND event_id "+in, r.num, list) {
			if err != nil {
				return err
			}
			var n stateres.Num
			var eventID id.EventID
			if err := row.Scan(&n, &eventID); err != nil {
				return err
			}
			nums[eventID] = n
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("looking for events of %s: %w", r.id, err)
	}
	return nil
}

// row is the event in the database.
func (o outlier) row(r *live, nums map[id.EventID]stateres.Num) []any {
	var auth []stateres.Num
	for _, eventID := range o.event.AuthEvents() {
		auth = append(auth, nums[eventID])
	}
	return []any{
		nums[o.event.ID()], r.num, o.event.ID(), nil, nil, o.status, nil, nil, false, nil,
		int64(0), int64(0), int64(0), int64(0), nil, nil, nil, encodeNums(auth), nil, o.event.WithUnsigned(nil).JSON(), nil, nil,
	}
}

// storeState stores the trie of a state, in pieces.
func (g *Engine) storeState(ctx context.Context, r *live, state map[event.Tuple]*event.Event, nums map[id.EventID]stateres.Num) (statetrie.Root, error) {
	n := &nodes{engine: g, room: r.num, uncommitted: make(map[statetrie.Address][]byte)}
	root, err := statetrie.Build(ctx, n, func(yield func(statetrie.Entry) bool) {
		for t, e := range state {
			if !yield(statetrie.Entry{Key: statetrie.Key(t), Number: uint64(nums[e.ID()])}) {
				return
			}
		}
	})
	if err != nil {
		return root, fmt.Errorf("building the state of %s: %w", r.id, err)
	}
	for chunk := range slices.Chunk(n.fresh, chainStep) {
		err := g.db.Update(ctx, func(tx *store.Tx) error {
			rows := make([][]any, len(chunk))
			for i, node := range chunk {
				rows[i] = []any{r.num, node.Address, node.Bytes}
			}
			return tx.QueueAll(insertNodes, rows)
		})
		if err != nil {
			return root, fmt.Errorf("storing the state of %s: %w", r.id, err)
		}
	}
	n.settled(n.fresh)
	return root, nil
}
