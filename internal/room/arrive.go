package room

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
	"parley/matrix/stateres"
)

// An arrival is what this server gets of another when it joins a room: the handover,
// see [Handover].
type arrival struct {
	// join is the event by which a local user joins, with all its signatures.
	join *event.Event
	// from is the server that says the rest.
	from id.ServerName
	// state is the state before the join, of which all has come.
	state *gathering
	// partial says that members are missing in the state. They are fetched later,
	// see [Engine.CompleteRooms]. servers are those in the room then.
	partial bool
	servers []id.ServerName
}

// Places of a room that this server has not seen from its beginning. What is
// missing in between lies in the room's own order when it comes later, so there
// is space for it.
const (
	firstPlace = 1 << 40
	gapPlaces  = 1 << 32
)

// arrive makes a room of another server one of this server's, or one again. What was
// handed over is stored before the room has it: after a crash in between nothing refers
// to it, to try again is safe, and it is removed in the end
// ([Engine.ForgetUnfinished]). The error is a *mxerr.Error if what the other server says
// is not a room that the user may have joined.
func (g *Engine) arrive(ctx context.Context, a arrival) (Sent, error) {
	roomID := a.join.RoomID()
	unlock, err := g.arriving.lock(ctx, roomID)
	if err != nil {
		return Sent{}, err
	}
	defer unlock()
	if a.partial {
		a.state.members.suppose(a.servers, g.server)
	}
	for range attempts {
		switch here, err := g.HasMembers(ctx, roomID, g.server); {
		case errors.Is(err, mxerr.NotFound): // the room is new
		case err != nil:
			return Sent{}, err
		case here:
			// Somebody else of this server was faster: it is an event as any other.
			return g.takeJoin(ctx, a.from, a.join)
		}
		sent, err := g.settleIn(ctx, a)
		if errors.Is(err, ErrMissing) {
			err = mxerr.New(mxerr.LimitExceeded, "What this server had of room %s is being deleted", roomID).
				With("retry_after_ms", g.purges.pause.Milliseconds()).Wrap(err)
		}
		if !errors.Is(err, errConflict) {
			return sent, err
		}
	}
	return Sent{}, fmt.Errorf("arriving in %s: %w", roomID, errConflict)
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

// settleIn is arrive into a room that this server is not in.
func (g *Engine) settleIn(ctx context.Context, a arrival) (Sent, error) {
	r, err := g.sameOrNew(ctx, a.state.live)
	if err != nil {
		return Sent{}, err
	}
	state, err := a.state.trie(ctx)
	if err != nil {
		return Sent{}, err
	}
	to := foundation{root: state.root, place: arrivalPlace(r), members: a.state.members, partial: a.partial, from: a.from}
	if to.auth, err = r.admits(ctx, to.root, a); err != nil {
		return Sent{}, err
	}
	if err := r.storeMembers(ctx, to); err != nil {
		return Sent{}, err
	}
	appended, wait, err := r.arrive(ctx, a.join, to)
	if err != nil {
		return Sent{}, err
	}
	pos, err := r.settle(appended, wait)
	if err != nil {
		return Sent{}, fmt.Errorf("arriving in %s: %w", r.id, err)
	}
	return Sent{EventID: a.join.ID(), Pos: pos}, nil
}

// sameOrNew returns the room that something was gathered for, as it is now, or what it
// is to be made of. The error is errConflict if meanwhile somebody else has made it.
func (g *Engine) sameOrNew(ctx context.Context, gathered *live) (*live, error) {
	r, err := g.room(ctx, gathered.id)
	switch {
	case errors.Is(err, mxerr.NotFound):
		return gathered, nil
	case err == nil && r.num != gathered.num:
		return nil, errConflict
	}
	return r, err
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

// foundation is what is stored of a room before the join.
type foundation struct {
	root    statetrie.Root
	place   int64
	members handedMembers
	auth    []stateres.Num // the auth events of the join
	// partial says that members are missing, and from is who is asked first for them.
	partial bool
	from    id.ServerName
}

// arrive appends the join to the state that is stored.
func (r *live) arrive(ctx context.Context, join *event.Event, to foundation) (a appended, wait func() (journal.Position, error), err error) {
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
	made := entry{event: join, before: to.root, status: accepted, gap: join.PrevEvents(), auth: to.auth}
	if made.num, err = r.number(ctx, made.auth); err == nil {
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
		if err := a.change(b); err != nil {
			return err
		}
		b.Append(journal.NewScope(journal.ScopeNobody, int64(r.num)), journal.KindMembers, 0)
		if a.creates {
			finishRoom(b, r.num)
		}
		if !to.partial {
			return nil
		}
		p := partial{room: r.id, join: made.num, place: made.place, from: to.from}
		p.write(b, r.num)
		return nil
	}), nil
}

// admits decides whether the join is allowed by the state that was handed over and is
// stored, and returns the numbers of the join's auth events.
func (r *live) admits(ctx context.Context, root statetrie.Root, a arrival) (auth []stateres.Num, err error) {
	known, err := r.engine.knownOutliers(ctx, r, a.join.AuthEvents())
	if err != nil {
		return nil, err
	}
	nums := make(map[id.EventID]stateres.Num)
	if err := r.engine.numsOf(ctx, r, a.join.AuthEvents(), nums); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	before := &snapshot{ctx: ctx, room: r, root: root}
	says := eventauth.AuthEvents{Create: before.StateEvent(event.Tuple{Type: event.TypeCreate})}
	if before.fault != nil {
		return nil, before.fault
	}
	if says.Create == nil {
		return nil, badHandover("The other server does not say how the room began")
	}
	for _, eventID := range a.join.AuthEvents() {
		if o := known[eventID]; o.event == nil || o.status != accepted {
			return nil, badHandover("The other server does not say what lets you join")
		}
		says.Events, auth = append(says.Events, known[eventID].event), append(auth, nums[eventID])
	}
	err = eventauth.CheckAuthEvents(a.join, says)
	if err == nil {
		err = eventauth.Check(a.join, eventauth.AuthState(says.Events, says.Create))
	}
	if state := eventauth.State(before); err == nil {
		if a.partial {
			state = lentState{before, says.Events}
		}
		err = eventauth.Check(a.join, state)
	}
	if before.fault != nil {
		return nil, before.fault
	}
	return auth, refused(err)
}

func badHandover(format string, args ...any) error {
	return mxerr.New(mxerr.Unknown, format, args...).WithStatus(http.StatusBadRequest)
}
