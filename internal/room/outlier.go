package room

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// An outlier is an event that is known without its place in the room.
type outlier struct {
	event  *event.Event
	status int64 // accepted or rejected, by its auth events
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

// createID is the ID of the event that has given a room its ID.
func createID(roomID id.RoomID) id.EventID { return id.EventID("$" + string(roomID)[1:]) }

// create returns the create event of the room where events do not cite it: its ID
// is that of the room.
func (j *judging) create(e *event.Event) *event.Event {
	if e.IsState(event.TypeCreate, "") {
		return nil
	}
	eventID := createID(e.RoomID())
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
	var ids []id.EventID // most events are authorised by the same ones
	seen := make(map[id.EventID]bool, len(events))
	for _, o := range events {
		for _, eventID := range append([]id.EventID{o.event.ID()}, o.event.AuthEvents()...) {
			if !seen[eventID] {
				seen[eventID] = true
				ids = append(ids, eventID)
			}
		}
	}
	for chunk := range slices.Chunk(ids, chainStep) {
		if err := g.numsOf(ctx, r, chunk, nums); err != nil {
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
	if err := g.expectCited(ctx, r, fresh, nums); err != nil {
		return nil, err
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

// expectCited refuses events that are authorised by what is about to be deleted.
func (g *Engine) expectCited(ctx context.Context, r *live, fresh []outlier, nums map[id.EventID]stateres.Num) error {
	cited := make(map[stateres.Num]bool)
	for _, o := range fresh {
		for _, eventID := range o.event.AuthEvents() {
			if n := nums[eventID]; n != 0 {
				cited[n] = true
			}
		}
	}
	if _, err := g.expectStays(ctx, r.num, slices.Collect(maps.Keys(cited))); err != nil {
		return fmt.Errorf("storing %d events of %s: %w", len(fresh), r.id, err)
	}
	return nil
}

// numsOf notes the numbers of those of some events that a room has.
func (g *Engine) numsOf(ctx context.Context, r *live, ids []id.EventID, nums map[id.EventID]stateres.Num) error {
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
		int64(0), int64(0), int64(0), int64(0), nil, nil, nil, encodeNums(auth), nil, o.event.WithUnsigned(nil).JSON(), nil, nil, false,
	}
}
