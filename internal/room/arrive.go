package room

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
	"parley/matrix/stateres"
)

// An Arrival is what this server gets of another when it joins a room: the
// handover (see [Handover]) as events that have passed the checks on their form,
// signatures and hash.
type Arrival struct {
	// Join is the event by which a local user joins, with all its signatures.
	Join *event.Event
	// From is the server that says the rest.
	From id.ServerName
	// State is the state before the join. AuthChain is what authorises it and the
	// join, and may have events of the state in it.
	State, AuthChain []*event.Event
	// Partial says that members are missing in the state. They are fetched later,
	// see [Engine.CompleteRooms]. Servers are those in the room then.
	Partial bool
	Servers []id.ServerName
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
		return g.takeJoin(ctx, a.From, a.Join)
	}
	for range attempts {
		sent, err := g.arrive(ctx, a)
		if !errors.Is(err, errConflict) {
			return sent, err
		}
	}
	return Sent{}, fmt.Errorf("arriving in %s: %w", a.Join.RoomID(), errConflict)
}

// takeJoin receives a join that another server has taken into a room that this
// server is in, too.
func (g *Engine) takeJoin(ctx context.Context, from id.ServerName, join *event.Event) (Sent, error) {
	outcome, err := g.ReceiveFrom(ctx, from, join)
	switch {
	case err != nil:
		return Sent{}, err
	case outcome == Rejected, outcome == SoftFailed:
		return Sent{}, mxerr.New(mxerr.Forbidden, "The room does not allow the join")
	}
	return Sent{EventID: join.ID(), Pos: g.journal.Head()}, nil
}

func (g *Engine) arrive(ctx context.Context, a Arrival) (Sent, error) {
	handed, err := judgeHandover(a)
	if err != nil {
		return Sent{}, err
	}
	r, err := g.roomOrNew(ctx, a.Join.RoomID(), a.Join.Rules())
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
	members := membersOf(handed.state, nums)
	if a.Partial {
		members.suppose(a.Servers, g.server)
	}
	if err := g.storeMembers(ctx, r, members, handed.state, nums, place); err != nil {
		return Sent{}, err
	}
	to := arrival{root: root, place: place, members: members, nums: nums, partial: a.Partial, from: a.From}
	appended, wait, err := r.arrive(ctx, a.Join, to)
	if err != nil {
		return Sent{}, err
	}
	pos, err := r.settle(appended, wait)
	if err != nil {
		return Sent{}, fmt.Errorf("arriving in %s: %w", r.id, err)
	}
	return Sent{EventID: a.Join.ID(), Pos: pos}, nil
}

// roomOrNew returns a room, or one that is to be made.
func (g *Engine) roomOrNew(ctx context.Context, roomID id.RoomID, rules *roomver.Rules) (*live, error) {
	r, err := g.room(ctx, roomID)
	if !errors.Is(err, mxerr.NotFound) {
		return r, err
	}
	num, err := reserveNumbers(ctx, g.db, "room", 1)
	if err != nil {
		return nil, err
	}
	r = newLive(g, Num(num), rules)
	r.id = roomID
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
	root    statetrie.Root
	place   int64
	members handedMembers
	nums    map[id.EventID]stateres.Num
	// partial says that members are missing, and from is who is asked first for them.
	partial bool
	from    id.ServerName
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
	r.row.root, r.row.place, r.row.joined, r.row.invited = to.root, to.place-gapPlaces, to.members.joined, to.members.invited
	if r.row.whole = 0; to.partial {
		r.row.whole = notWhole
	}
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
	if made.summary, err = r.summarise(ctx, r.row.root); err != nil {
		r.row, r.head = before, head
		delete(r.pending, made.num)
		return a, nil, err
	}
	r.pending[made.num] = made
	r.whole.Store(int64(r.row.whole))
	r.sticky.Store(r.row.sticky)
	a = r.finish(before, []entry{made})
	return a, r.engine.journal.Submit(func(b *journal.Batch) error {
		if err := a.change(b); err != nil || !to.partial {
			return err
		}
		p := partial{room: r.id, join: made.num, place: made.place, from: to.from}
		p.write(b, r.num)
		return nil
	}), nil
}

// A handover is an arrival after the rules were asked about it.
type handover struct {
	events []outlier // what authorises comes before what it authorises
	state  map[event.Tuple]*event.Event
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
			return h, mxerr.New(mxerr.Unknown, "The other server says two things about %s %q", t.Type, t.StateKey).WithStatus(400)
		}
		h.state[t] = e
	}
	if h.state[event.Tuple{Type: event.TypeCreate}] == nil {
		return h, mxerr.New(mxerr.Unknown, "The other server does not say how the room began").WithStatus(400)
	}
	var auth eventauth.AuthEvents
	auth.Create = h.state[event.Tuple{Type: event.TypeCreate}]
	for _, eventID := range a.Join.AuthEvents() {
		if all[eventID] == nil || !good[eventID] {
			return h, mxerr.New(mxerr.Unknown, "The other server does not say what lets you join").WithStatus(400)
		}
		auth.Events = append(auth.Events, all[eventID])
	}
	err = eventauth.CheckAuthEvents(a.Join, auth)
	if err == nil {
		err = eventauth.Check(a.Join, eventauth.AuthState(auth.Events, auth.Create))
	}
	if before := eventauth.State(eventauth.MapState(h.state)); err == nil {
		if a.Partial {
			before = lentState{before, auth.Events}
		}
		err = eventauth.Check(a.Join, before)
	}
	return h, refused(err)
}
