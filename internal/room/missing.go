package room

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"parley/internal/remote"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/stateres"
)

// Keys knows the keys of servers, as remote.KeyRing does.
type Keys interface {
	Lookup(ctx context.Context, wants []remote.Want) (event.Keys, error)
}

// Elsewhere asks other servers for what a room lacks here. What they answer is as
// they send it.
type Elsewhere interface {
	MissingEvents(ctx context.Context, server id.ServerName, roomID id.RoomID, q remote.Missing) ([]canonjson.Value, error)
	Backfill(ctx context.Context, server id.ServerName, roomID id.RoomID, from []id.EventID, limit int) ([]canonjson.Value, error)
	StateIDs(ctx context.Context, server id.ServerName, roomID id.RoomID, at id.EventID) (state, authChain []id.EventID, err error)
	State(ctx context.Context, server id.ServerName, roomID id.RoomID, at id.EventID, each remote.Handed) error
	Event(ctx context.Context, server id.ServerName, eventID id.EventID) (canonjson.Value, error)
	EventAuth(ctx context.Context, server id.ServerName, roomID id.RoomID, eventID id.EventID) ([]canonjson.Value, error)
	Make(ctx context.Context, server id.ServerName, membership string, roomID id.RoomID, user id.UserID, versions []roomver.Version) (remote.Template, error)
	Send(ctx context.Context, server id.ServerName, membership string, roomID id.RoomID, eventID id.EventID, event canonjson.Value) (canonjson.Value, error)
	Join(ctx context.Context, server id.ServerName, roomID id.RoomID, eventID id.EventID, event canonjson.Value, each remote.Handed) (remote.Joined, error)
	Invite(ctx context.Context, server id.ServerName, roomID id.RoomID, eventID id.EventID, invite remote.Invite) (canonjson.Value, error)
	Exchange(ctx context.Context, server id.ServerName, roomID id.RoomID, invite canonjson.Value) error
	Sign(ctx context.Context, policy id.ServerName, event canonjson.Value, insist bool) (canonjson.Value, error)
}

// Check makes the checks on events of a room version that come from outside which
// need neither the room nor other events: on their form, signatures and hashes. An
// event whose hash is wrong is returned in its redacted form. The results are in
// the order of the events; one with an error is to be dropped.
// https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu
func (g *Engine) Check(ctx context.Context, rules *roomver.Rules, pdus []canonjson.Value) ([]event.Result, error) {
	raw := make([][]byte, len(pdus))
	for i, pdu := range pdus {
		raw[i] = pdu
	}
	results := event.ParseAll(raw, rules)
	var wants []remote.Want
	var parsed []*event.Event
	for _, r := range results {
		if r.Err == nil {
			parsed = append(parsed, r.Event)
			wants = appendWants(wants, r.Event)
		}
	}
	keys, err := g.keys.Lookup(ctx, wants)
	if err != nil {
		return nil, fmt.Errorf("looking up the keys for %d events: %w", len(parsed), err)
	}
	verified := g.verifier.ReceiveAll(parsed, keys)
	for i, r := range results {
		if r.Err == nil {
			results[i], verified = verified[0], verified[1:]
		}
	}
	return results, nil
}

// appendWants appends the keys that are needed to check an event's signatures.
func appendWants(wants []remote.Want, e *event.Event) []remote.Want {
	signatures := e.JSON().Get("signatures")
	for _, server := range e.Signers() {
		for name := range signatures.Get(string(server)).Members() {
			text, _ := name.Text()
			if keyID, err := id.ParseKeyID(text); err == nil && keyID != policyKey {
				wants = append(wants, remote.Want{Server: server, Key: keyID, At: e.OriginServerTS()})
			}
		}
	}
	return wants
}

// ErrSilent means that what the room lacks could not be fetched because none of those
// answers that may have it.
var ErrSilent = errors.New("no server that may have them answers")

// ReceiveFrom is Receive for an event that has passed Check. What the room lacks of
// that which the event refers to is fetched from the server that sent it, and from
// others in the room if that one does not answer. If nobody does, the error is
// ErrSilent.
func (g *Engine) ReceiveFrom(ctx context.Context, server id.ServerName, e *event.Event) (Outcome, error) {
	outcome, _, err := g.receiveAsking(ctx, e, gap{})
	if !errors.Is(err, ErrMissing) || g.elsewhere == nil {
		return outcome, err
	}
	unlock, err := g.filling.lock(ctx, e.RoomID())
	if err != nil {
		return 0, err
	}
	defer unlock()
	f := filling{Engine: g, server: server}
	if outcome, err = f.receive(ctx, e); errors.Is(err, ErrSilent) {
		outcome, err = f.receiveFromOthers(ctx, e, err)
	}
	if err != nil {
		g.orphan(e, err)
	}
	return outcome, err
}

// receiveFromOthers is receive by way of those in the room that were not asked yet.
func (f filling) receiveFromOthers(ctx context.Context, e *event.Event, silent error) (outcome Outcome, err error) {
	r, err := f.room(ctx, e.RoomID())
	if err != nil {
		return 0, err
	}
	servers, err := f.historians(ctx, r, e)
	if err != nil {
		return 0, err
	}
	for _, server := range servers {
		if server == f.server {
			continue
		}
		other := filling{Engine: f.Engine, server: server, relayed: true}
		if outcome, err = other.receive(ctx, e); err == nil || ctx.Err() != nil {
			return outcome, err
		}
		silent = errors.Join(silent, err)
	}
	return 0, silent
}

// filling is the way by which an event comes that refers to missing ones.
type filling struct {
	*Engine
	server id.ServerName // that is asked
	// relayed says that it is not the one that sent the event, and need not have it.
	relayed bool
}

// unanswered makes ErrSilent of an error of a request that had no answer.
func unanswered(err error) error {
	if err == nil || answered(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrSilent, err)
}

// How much is fetched because of one event.
const (
	mostMissing = 100 // events between those of the room and it
	fewEvents   = 50  // events of a state, one by one; else it is fetched as a whole
)

// receive takes in an event after what lies between it and the room. Where one of
// those in between cannot be received, those behind it lack what they follow: then the
// event has a gap in front of it.
func (f filling) receive(ctx context.Context, e *event.Event) (Outcome, error) {
	between, err := f.between(ctx, e)
	if err != nil {
		return 0, err
	}
	for _, b := range between {
		if _, err := f.one(ctx, b); err != nil {
			if ctx.Err() != nil {
				return 0, ctx.Err()
			}
			f.orphan(b, err)
			if errors.Is(err, ErrSilent) {
				return 0, err
			}
			f.log.Info("an event in between is left out", "room", e.RoomID(), "event", b.ID(), "before", e.ID(), "server", f.server, "err", err)
			break
		}
	}
	return f.one(ctx, e)
}

// between fetches the events that lie between those of the room and one that
// follows them, oldest first. That the other server has none is no error.
func (f filling) between(ctx context.Context, e *event.Event) ([]*event.Event, error) {
	missing, err := f.lacks(ctx, e.RoomID(), e.PrevEvents(), placed)
	if err != nil || len(missing) == 0 {
		return nil, err
	}
	pdus, err := f.before(ctx, e, missing)
	if err != nil {
		return nil, err
	}
	results, err := f.Check(ctx, e.Rules(), pdus[:min(len(pdus), mostMissing+event.MaxPrevEvents)])
	if err != nil {
		return nil, err
	}
	between, err := f.onTheWay(ctx, e, results)
	slices.SortStableFunc(between, func(a, b *event.Event) int { return cmp.Compare(a.Depth(), b.Depth()) })
	return between, err
}

// before asks for the events that an event follows, some of which are missing.
func (f filling) before(ctx context.Context, e *event.Event, missing []id.EventID) (pdus []canonjson.Value, err error) {
	heads, least, err := f.headsOf(ctx, e.RoomID())
	if err != nil {
		return nil, err
	}
	latest := []id.EventID{e.ID()}
	if f.relayed {
		latest = missing
		for _, eventID := range missing {
			pdu, err := f.elsewhere.Event(ctx, f.server, eventID)
			if err != nil {
				return nil, unanswered(err)
			}
			pdus = append(pdus, pdu)
		}
	}
	more, err := f.elsewhere.MissingEvents(ctx, f.server, e.RoomID(), remote.Missing{
		Earliest: heads, Latest: latest, Limit: mostMissing, MinDepth: least,
	})
	if err != nil && answered(err) {
		return pdus, nil // the state is asked for instead
	}
	return append(pdus, more...), unanswered(err)
}

// onTheWay returns those of some events that lead from an event back to those of
// the room. Who does not know the heads of the room sends what is older, too: how
// the room began, perhaps, which is not to be taken for news.
func (f filling) onTheWay(ctx context.Context, e *event.Event, results []event.Result) (between []*event.Event, err error) {
	sent := make(map[id.EventID]*event.Event)
	for _, r := range results {
		if r.Err == nil && r.Event.RoomID() == e.RoomID() {
			sent[r.Event.ID()] = r.Event
		}
	}
	for step := []*event.Event{e}; len(step) > 0; {
		var prev []id.EventID
		for _, e := range step {
			prev = append(prev, e.PrevEvents()...)
		}
		lacks, err := f.lacks(ctx, e.RoomID(), prev, placed)
		if err != nil {
			return nil, err
		}
		step = nil
		for _, eventID := range lacks {
			if p := sent[eventID]; p != nil {
				step = append(step, p)
				delete(sent, eventID) // once
			}
		}
		between = append(between, step...)
	}
	return between, nil
}

// headsOf returns the forward extremities of a room, and their least depth.
func (f filling) headsOf(ctx context.Context, roomID id.RoomID) (heads []id.EventID, least int64, err error) {
	r, err := f.room(ctx, roomID)
	if err != nil {
		return nil, 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.head {
		heads = append(heads, e.ID())
		if least == 0 || e.Depth() < least {
			least = e.Depth()
		}
	}
	return heads, least, nil
}

// one takes in an event of which the room may lack what it refers to.
func (f filling) one(ctx context.Context, e *event.Event) (Outcome, error) {
	failed := f.authorise(ctx, e)
	if failed != nil && ctx.Err() != nil {
		return 0, ctx.Err()
	}
	outcome, _, err := f.receiveAsking(ctx, e, gap{})
	if !errors.Is(err, ErrMissing) {
		return outcome, err
	}
	lacked, wrong := f.lacks(ctx, e.RoomID(), e.PrevEvents(), placed)
	if wrong != nil {
		return 0, wrong
	}
	if failed != nil || len(lacked) == 0 {
		return 0, errors.Join(err, failed) // of what authorises it
	}
	if outcome, wrong = f.behindGap(ctx, e, lacked); wrong != nil {
		wrong = errors.Join(err, wrong) // it still lacks what it lacked
	}
	return outcome, wrong
}

// mostOutdated is how often a state is fetched because something was purged meanwhile.
const mostOutdated = 3

// behindGap takes in an event which follows some that cannot be had, after the state
// before it.
func (f filling) behindGap(ctx context.Context, e *event.Event, lacked []id.EventID) (outcome Outcome, err error) {
	for range mostOutdated {
		before, whole, err := f.stateAt(ctx, e)
		if err != nil {
			return 0, fmt.Errorf("fetching the state before %s from %s: %w", e.ID(), f.server, err)
		}
		behind := gap{before: before, missing: lacked, unsure: !whole || f.server != e.Sender().Server()}
		if outcome, _, err = f.receiveAsking(ctx, e, behind); !errors.Is(err, errOutdated) {
			return outcome, err
		}
	}
	return 0, fmt.Errorf("receiving %s: %w", e.ID(), errOutdated)
}

// lacks returns which of some events a room does not have, or not in a place.
func (g *Engine) lacks(ctx context.Context, roomID id.RoomID, ids []id.EventID, onlyPlaced bool) ([]id.EventID, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var missing []id.EventID
	for _, eventID := range ids {
		outlier, n, err := r.findOutlier(ctx, eventID)
		if err != nil {
			return nil, err
		}
		if n == 0 || outlier && onlyPlaced {
			missing = append(missing, eventID)
		}
	}
	return missing, nil
}

// authorise fetches what authorises an event, if the room lacks of it.
func (f filling) authorise(ctx context.Context, e *event.Event) error {
	missing, err := f.lacks(ctx, e.RoomID(), e.AuthEvents(), anywhere)
	if err != nil || len(missing) == 0 {
		return err
	}
	pdus, err := f.elsewhere.EventAuth(ctx, f.server, e.RoomID(), e.ID())
	if err != nil {
		return fmt.Errorf("fetching what authorises %s from %s: %w", e.ID(), f.server, unanswered(err))
	}
	r, err := f.room(ctx, e.RoomID())
	if err != nil {
		return err
	}
	return f.takeOutliers(ctx, r, pdus)
}

// takeOutliers checks and stores events without their places in the room.
func (g *Engine) takeOutliers(ctx context.Context, r *live, pdus []canonjson.Value) error {
	h := handed{engine: g, room: r.id, rules: r.rules}
	take := h.events(ctx)
	for _, pdu := range pdus {
		if err := take(false, pdu); err != nil {
			return err
		}
	}
	if err := h.end(ctx); err != nil {
		return err
	}
	_, _, err := g.storeJudged(ctx, r, h.all())
	return err
}

// storeJudged stores checked events without their places in the room, as what
// authorises them makes them, which may be among them. It returns those that could
// be judged, with their numbers.
func (g *Engine) storeJudged(ctx context.Context, r *live, all map[id.EventID]*event.Event) ([]outlier, map[id.EventID]stateres.Num, error) {
	missing := make(map[id.EventID]bool)
	for _, e := range all {
		for _, eventID := range e.AuthEvents() {
			if all[eventID] == nil {
				missing[eventID] = true
			}
		}
	}
	if r.rules.RoomIDFromCreate {
		missing[createID(r.id)] = true
	}
	known, err := g.knownOutliers(ctx, r, slices.Collect(maps.Keys(missing)))
	if err != nil {
		return nil, nil, err
	}
	list := judgeOutliers(all, func(eventID id.EventID) (*event.Event, bool, bool) {
		o, ok := known[eventID]
		return o.event, o.status != rejected, ok
	})
	nums, err := g.storeOutliers(ctx, r, list)
	if err != nil {
		return nil, nil, err
	}
	var come []id.EventID
	for _, o := range list {
		come = append(come, o.event.ID())
	}
	g.adopt(ctx, come...)
	return list, nums, nil
}

// knownOutliers returns events that the room has, whatever their place.
func (g *Engine) knownOutliers(ctx context.Context, r *live, ids []id.EventID) (map[id.EventID]outlier, error) {
	found := make(map[id.EventID]outlier)
	for chunk := range slices.Chunk(ids, chainStep) {
		err := g.db.View(ctx, func(tx *store.Tx) error {
			in, list := tx.In(2, chunk)
			for row, err := range tx.Query("SELECT event_id, status, json FROM events WHERE room = $1 AND event_id "+in, r.num, list) {
				if err != nil {
					return err
				}
				var eventID id.EventID
				var status int64
				var json []byte
				if err := row.Scan(&eventID, &status, &json); err != nil {
					return err
				}
				e, err := event.Load(json, eventID, r.rules)
				if err != nil {
					return err
				}
				found[eventID] = outlier{e, status}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading events of %s: %w", r.id, err)
		}
	}
	return found, nil
}

// stateAt fetches the state before an event and stores it. It is not whole if some
// of its events could not be had.
func (f filling) stateAt(ctx context.Context, e *event.Event) (before heardState, whole bool, err error) {
	r, err := f.room(ctx, e.RoomID())
	if err != nil {
		return before, false, err
	}
	ids, chain, err := f.elsewhere.StateIDs(ctx, f.server, e.RoomID(), e.ID())
	if err != nil {
		return before, false, unanswered(err)
	}
	if err := f.fetchEvents(ctx, e, slices.Concat(chain, ids)); err != nil {
		return before, false, err
	}
	known, err := f.knownOutliers(ctx, r, ids)
	if err != nil {
		return before, false, err
	}
	state := make(map[event.Tuple]*event.Event)
	whole = true
	for _, eventID := range ids {
		o := known[eventID]
		whole = whole && o.event != nil
		if o.event == nil || o.status == rejected {
			continue
		}
		t, ok := o.event.Tuple()
		if other := state[t]; other != nil && other.ID() != eventID {
			return before, false, fmt.Errorf("%s says two things about %s %q before %s", f.server, t.Type, t.StateKey, e.ID())
		}
		if ok {
			state[t] = o.event
		}
	}
	nums := make(map[id.EventID]stateres.Num)
	for chunk := range slices.Chunk(ids, chainStep) {
		if err := f.numsOf(ctx, r, chunk, nums); err != nil {
			return before, false, err
		}
	}
	before, err = f.storeState(ctx, r, state, nums)
	return before, whole, err
}

// fetchEvents fetches what the room lacks of the events that a state before an
// event is made of: one by one, if they are few.
func (f filling) fetchEvents(ctx context.Context, before *event.Event, ids []id.EventID) error {
	roomID := before.RoomID()
	r, err := f.room(ctx, roomID)
	if err != nil {
		return err
	}
	nums := make(map[id.EventID]stateres.Num)
	for chunk := range slices.Chunk(ids, chainStep) {
		if err := f.numsOf(ctx, r, chunk, nums); err != nil {
			return err
		}
	}
	var missing []id.EventID
	for _, eventID := range ids {
		if nums[eventID] == 0 {
			missing = append(missing, eventID)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	h := handed{engine: f.Engine, room: roomID, rules: r.rules}
	take, few := h.events(ctx), len(missing) <= fewEvents
	if !few || !f.each(ctx, missing, take) {
		if err := f.elsewhere.State(ctx, f.server, roomID, before.ID(), take); err != nil && (!few || !answered(err)) {
			return unanswered(err)
		} // otherwise the state is as far as it can be had: the server answers
	}
	if err := h.end(ctx); err != nil {
		return err
	}
	_, _, err = f.storeJudged(ctx, r, h.all())
	return err
}

// each fetches events one by one, and reports whether all could be had.
func (f filling) each(ctx context.Context, ids []id.EventID, take remote.Handed) bool {
	for _, eventID := range ids {
		pdu, err := f.elsewhere.Event(ctx, f.server, eventID)
		if err == nil {
			err = take(false, pdu)
		}
		if err != nil {
			return false
		}
	}
	return true
}
