package room

import (
	"context"

	"parley/internal/remote"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// handed takes in a state as another server sends it, which may be of a hundred
// thousand events: they are checked in batches while the rest is under way. Some
// batches are checked side by side, since each may wait for the keys of servers that
// do not answer, and are taken in in their order. Events that do not pass are left
// out, as if they had not been there, and so are those of other rooms.
type handed struct {
	engine *Engine
	room   id.RoomID
	rules  *roomver.Rules

	pdus    []canonjson.Value // of the batch that is not full yet
	inState []bool
	checks  []chan batch // of batches that are being checked
	// state is the events of the state, and chain those that authorise them and are
	// not said to be of it.
	state, chain []*event.Event
}

// batch is events that were checked.
type batch struct {
	inState []bool
	results []event.Result
	err     error
}

// How many events are checked together, and how many batches of them side by side.
const (
	checkAtOnce = 500
	mostChecks  = 32
)

// events returns what is to be called with the events. What is left of them is
// taken in by end, which has to be called.
func (h *handed) events(ctx context.Context) remote.Handed {
	return func(inState bool, pdu canonjson.Value) error {
		h.pdus, h.inState = append(h.pdus, pdu), append(h.inState, inState)
		if len(h.pdus) < checkAtOnce {
			return nil
		}
		h.check(ctx)
		return h.take(mostChecks)
	}
}

// end takes in all events that have come, or waits for those that are being checked.
func (h *handed) end(ctx context.Context) error {
	if len(h.pdus) > 0 {
		h.check(ctx)
	}
	return h.take(0)
}

// check begins to check the events of a batch.
func (h *handed) check(ctx context.Context) {
	pdus, b, checked := h.pdus, batch{inState: h.inState}, make(chan batch, 1)
	h.pdus, h.inState, h.checks = nil, nil, append(h.checks, checked)
	go func() {
		b.results, b.err = h.engine.Check(ctx, h.rules, pdus)
		checked <- b
	}()
}

// take takes in the first batches that have been checked, and waits until no more
// are under way than may be.
func (h *handed) take(most int) error {
	for len(h.checks) > 0 {
		var b batch
		if len(h.checks) > most {
			b = <-h.checks[0]
		} else {
			select {
			case b = <-h.checks[0]:
			default:
				return nil
			}
		}
		h.checks = h.checks[1:]
		if b.err != nil {
			return b.err
		}
		h.add(b)
	}
	return nil
}

func (h *handed) add(b batch) {
	for i, r := range b.results {
		switch {
		case r.Err != nil || r.Event.RoomID() != h.room:
		case b.inState[i]:
			h.state = append(h.state, r.Event)
		default:
			h.chain = append(h.chain, r.Event)
		}
	}
}

// all returns all events, by their IDs.
func (h *handed) all() map[id.EventID]*event.Event {
	all := make(map[id.EventID]*event.Event, len(h.state)+len(h.chain))
	for _, list := range [][]*event.Event{h.chain, h.state} {
		for _, e := range list {
			all[e.ID()] = e
		}
	}
	return all
}
