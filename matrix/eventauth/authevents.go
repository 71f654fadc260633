package eventauth

import (
	"fmt"
	"slices"

	"parley/matrix/event"
	"parley/matrix/id"
)

// AuthEvents is what a receiver knows about the events that authorise another.
type AuthEvents struct {
	// Events are those that the event lists, in its order.
	Events []*event.Event
	// Create is the accepted create event of the room, nil when there is none.
	// It is needed only where room IDs come from the create event.
	Create *event.Event
	// Rejected reports which of Events were rejected when they were received;
	// nil means none.
	Rejected func(id.EventID) bool
	// SignedBy reports whether the event bears a good signature of a server.
	// Nil is for events whose signatures were checked before: then any
	// signature will do.
	SignedBy func(id.ServerName) bool
}

// CheckAuthEvents holds the list of auth events against what it should be, and
// the signatures against the authorising user that a restricted join names:
// rules 2, 3 and 5.2 of room version 12. It returns nil or a *Refusal; or
// another error when known does not hold the events that e lists.
func CheckAuthEvents(e *event.Event, known AuthEvents) error {
	if e.Type() == event.TypeCreate {
		return nil
	}
	listed := func(a *event.Event, want id.EventID) bool { return a.ID() == want }
	if !slices.EqualFunc(known.Events, e.AuthEvents(), listed) {
		return fmt.Errorf("checking auth events of %s: not given the events it lists", e.ID())
	}
	// 2. If the event's room_id is not an event ID for an accepted (not
	// rejected) m.room.create event, with the sigil ! instead of $, reject.
	if e.Rules().RoomIDFromCreate && (known.Create == nil || known.Create.RoomID() != e.RoomID()) {
		return refuse(e, RoomIDNotCreate, "room %s", e.RoomID())
	}
	// 3. Considering the event's auth_events:
	if err := checkAuthList(e, known); err != nil {
		return err
	}
	// 5.2. If content has a join_authorised_via_users_server key: If the event
	// is not validly signed by the homeserver of the user ID denoted by the
	// key, reject.
	if user, present := e.AuthorisingUser(); present {
		signedBy := known.SignedBy
		if signedBy == nil {
			signedBy = e.HasSignature
		}
		if user == "" || !signedBy(user.Server()) {
			return refuse(e, MemberNotSignedByAuthoriser, "authorising user %q", user)
		}
	}
	return nil
}

func checkAuthList(e *event.Event, known AuthEvents) error {
	allowed := Selection(e)
	seen := make([]event.Tuple, 0, len(known.Events))
	for _, a := range known.Events {
		t, isState := a.Tuple()
		// 1. If there are duplicate entries for a given type and state_key
		// pair, reject.
		if isState && slices.Contains(seen, t) {
			return refuse(e, AuthDuplicate, "%s %.255q", t.Type, t.StateKey)
		}
		seen = append(seen, t)
		// 2. If there are entries whose type and state_key don't match those
		// specified by the auth events selection algorithm described in the
		// server specification, reject.
		if !isState || !slices.Contains(allowed, t) {
			return refuse(e, AuthUnselected, "%s is %s %.255q", a.ID(), t.Type, t.StateKey)
		}
		// 3. If there are entries which were themselves rejected under the
		// checks performed on receipt of a PDU, reject.
		if known.Rejected != nil && known.Rejected(a.ID()) {
			return refuse(e, AuthRejected, "%s", a.ID())
		}
		// 4. If any event in auth_events has a room_id which does not match
		// that of the event being authorised, reject.
		if a.RoomID() != e.RoomID() {
			return refuse(e, AuthOtherRoom, "%s is of %s", a.ID(), a.RoomID())
		}
	}
	// 4 in version 11. If there is no m.room.create event among the entries,
	// reject.
	if !e.Rules().RoomIDFromCreate && !slices.Contains(seen, event.Tuple{Type: event.TypeCreate}) {
		return refuse(e, AuthNoCreate, "")
	}
	return nil
}
