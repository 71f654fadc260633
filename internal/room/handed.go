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
// thousand events: they are checked in batches while the rest is under way. Events
// that do not pass are left out, as if they had not been there, and so are those of
// other rooms.
type handed struct {
	engine *Engine
	room   id.RoomID
	rules  *roomver.Rules

	pdus    []canonjson.Value // that are to be checked
	inState []bool
	// state is the events of the state, and chain those that authorise them and are
	// not said to be of it.
	state, chain []*event.Event
}

// checkAtOnce is how many events are checked together.
const checkAtOnce = 500

// events returns what is to be called with the events. What is left of them is
// taken in by end.
func (h *handed) events(ctx context.Context) remote.Handed {
	return func(inState bool, pdu canonjson.Value) error {
		h.pdus, h.inState = append(h.pdus, pdu), append(h.inState, inState)
		if len(h.pdus) < checkAtOnce {
			return nil
		}
		return h.end(ctx)
	}
}

// end takes in the events that have come since the last batch.
func (h *handed) end(ctx context.Context) error {
	results, err := h.engine.Check(ctx, h.rules, h.pdus)
	if err != nil {
		return err
	}
	for i, r := range results {
		switch {
		case r.Err != nil || r.Event.RoomID() != h.room:
		case h.inState[i]:
			h.state = append(h.state, r.Event)
		default:
			h.chain = append(h.chain, r.Event)
		}
	}
	clear(h.pdus)
	h.pdus, h.inState = h.pdus[:0], h.inState[:0]
	return nil
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
