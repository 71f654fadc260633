package eventauth

import (
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// State is the state of a room as far as the rules look at it. Where room IDs
// come from the create event, it holds the create event like any other.
type State interface {
	// StateEvent returns the event in a place of the state, nil when there is
	// none.
	StateEvent(event.Tuple) *event.Event
}

// MapState is a state held in a map.
type MapState map[event.Tuple]*event.Event

// StateEvent implements State.
func (s MapState) StateEvent(t event.Tuple) *event.Event { return s[t] }

// AuthState is the state that the auth events of an event make. The create
// event is among authEvents, or given apart where the room ID implies it, or
// nil. Of several events in one place the first counts; [CheckAuthEvents]
// refuses such lists.
func AuthState(authEvents []*event.Event, create *event.Event) State {
	s := authState(authEvents)
	if create != nil {
		s = append(authState{create}, s...)
	}
	return s
}

// authState is searched from the front: it never holds more than a dozen.
type authState []*event.Event

func (s authState) StateEvent(t event.Tuple) *event.Event {
	for _, e := range s {
		if e.IsState(t.Type, t.StateKey) {
			return e
		}
	}
	return nil
}

// A Draft is what decides which events authorise an event, known before there
// is an event.
type Draft struct {
	Type     string
	StateKey *string // nil when it is not state
	Sender   id.UserID
	Content  canonjson.Value
}

// Selection returns the places in the state whose events, where there are any,
// go into auth_events:
// https://spec.matrix.org/v1.19/server-server-api/#auth-events-selection
func (d Draft) Selection(rules *roomver.Rules) []event.Tuple {
	if d.Type == event.TypeCreate {
		return nil
	}
	s := make([]event.Tuple, 0, 6)
	if !rules.RoomIDFromCreate {
		s = append(s, event.Tuple{Type: event.TypeCreate})
	}
	s = append(s, event.Tuple{Type: event.TypePowerLevels}, member(string(d.Sender)))
	if d.Type == event.TypeMember && d.StateKey != nil {
		s = d.appendMembers(s, rules)
	}
	return s
}

// Selection returns the places from which an event may take its auth events.
func Selection(e *event.Event) []event.Tuple {
	d := Draft{Type: e.Type(), Sender: e.Sender(), Content: e.Content()}
	if key, ok := e.StateKey(); ok {
		d.StateKey = &key
	}
	return d.Selection(e.Rules())
}

func (d Draft) appendMembers(s []event.Tuple, rules *roomver.Rules) []event.Tuple {
	if *d.StateKey != string(d.Sender) {
		s = append(s, member(*d.StateKey))
	}
	membership, _ := d.Content.Get("membership").Text()
	switch membership {
	case event.MembershipJoin, event.MembershipInvite, event.MembershipKnock:
		s = append(s, event.Tuple{Type: event.TypeJoinRules})
	}
	switch membership {
	case event.MembershipInvite:
		if token, ok := d.Content.Get("third_party_invite").Get("signed").Get("token").Text(); ok {
			s = append(s, event.Tuple{Type: event.TypeThirdPartyInvite, StateKey: token})
		}
	case event.MembershipJoin:
		authoriser, ok := d.Content.Get("join_authorised_via_users_server").Text()
		if ok && rules.Restricted && authoriser != *d.StateKey && authoriser != string(d.Sender) {
			s = append(s, member(authoriser))
		}
	}
	return s
}

func member(user string) event.Tuple { return event.Tuple{Type: event.TypeMember, StateKey: user} }
