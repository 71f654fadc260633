package room

import (
	"context"

	"parley/internal/statetrie"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// strippedTypes are the types of the state that somebody gets to see who is invited
// or knocks. https://spec.matrix.org/v1.19/client-server-api/#stripped-state
var strippedTypes = [...]string{
	event.TypeCreate, "m.room.name", "m.room.avatar", "m.room.topic", event.TypeJoinRules,
	"m.room.canonical_alias", "m.room.encryption",
}

// StrippedState returns what somebody gets to see of a state who is invited or
// knocks, by the member event that says so: first that event, as it is in the state,
// and that of who sent it.
func (g *Engine) StrippedState(ctx context.Context, roomID id.RoomID, root statetrie.Root, member *event.Event) ([]*event.Event, error) {
	user, _ := member.StateKey()
	tuples := []event.Tuple{{Type: event.TypeMember, StateKey: user}}
	if sender := string(member.Sender()); sender != user {
		tuples = append(tuples, event.Tuple{Type: event.TypeMember, StateKey: sender})
	}
	for _, eventType := range strippedTypes {
		tuples = append(tuples, event.Tuple{Type: eventType})
	}
	var state []*event.Event
	for _, t := range tuples {
		e, err := g.State(ctx, roomID, root, t)
		if err != nil {
			return nil, err
		}
		if e != nil {
			state = append(state, e)
		}
	}
	return state, nil
}

// StrippedFor is StrippedState at present for another server, whose user the member
// event is about: whole events, so that the create event can be checked.
func (g *Engine) StrippedFor(ctx context.Context, member *event.Event) ([]canonjson.Value, error) {
	now, err := g.Now(ctx, member.RoomID())
	if err != nil {
		return nil, err
	}
	state, err := g.StrippedState(ctx, member.RoomID(), now.Root, member)
	list := []canonjson.Value{}
	for _, e := range state {
		list = append(list, e.JSON().Without("unsigned"))
	}
	return list, err
}
