package eventauth_test

import (
	"errors"
	"testing"

	"parley/internal/roomtest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// crowd is a scene with an event in every place that auth events may be taken
// from, for carol.
func crowd(t *testing.T, rules *roomver.Rules) *roomtest.Branch {
	t.Helper()
	main := scene(t, rules)
	main.Send(roomtest.ThirdPartyInvite(alice, "token", identityServer), roomtest.Invite(alice, carol))
	return main
}

func TestAuthEventsList(t *testing.T) {
	for _, row := range []struct {
		name string
		spec roomtest.Spec
		// auth makes the list from the selected events and any of the room.
		auth func(b *roomtest.Branch, selected []*event.Event) []*event.Event
		want eventauth.Rule
	}{
		{"as selected", roomtest.Join(carol), keep, 0},
		{"in another order", roomtest.Join(carol), func(_ *roomtest.Branch, s []*event.Event) []*event.Event {
			s[0], s[len(s)-1] = s[len(s)-1], s[0]
			return s
		}, 0},
		{"less than selected, but the create event", roomtest.Message(bob, "hi"), func(_ *roomtest.Branch, s []*event.Event) []*event.Event {
			return s[:1]
		}, 0},
		{"an event twice", roomtest.Message(bob, "hi"), func(_ *roomtest.Branch, s []*event.Event) []*event.Event {
			return append(s, s[len(s)-1])
		}, eventauth.AuthDuplicate},
		{"two events of one place", roomtest.Message(bob, "hi"), func(b *roomtest.Branch, s []*event.Event) []*event.Event {
			return append(s, b.Send(levels(b, `{}`)))
		}, eventauth.AuthDuplicate},
		{"power levels under another state key", roomtest.Message(bob, "hi"), func(b *roomtest.Branch, s []*event.Event) []*event.Event {
			return append(s, b.Send(roomtest.State(alice, event.TypePowerLevels, "x", nil)))
		}, eventauth.AuthUnselected},
		{"join rules for a message", roomtest.Message(bob, "hi"), func(b *roomtest.Branch, s []*event.Event) []*event.Event {
			return append(s, b.StateEvent(event.Tuple{Type: event.TypeJoinRules}))
		}, eventauth.AuthUnselected},
		{"join rules for a leave", roomtest.Leave(bob), func(b *roomtest.Branch, s []*event.Event) []*event.Event {
			return append(s, b.StateEvent(event.Tuple{Type: event.TypeJoinRules}))
		}, eventauth.AuthUnselected},
		{"membership of a bystander", roomtest.Message(bob, "hi"), func(b *roomtest.Branch, s []*event.Event) []*event.Event {
			return append(s, b.StateEvent(event.Tuple{Type: event.TypeMember, StateKey: string(mod)}))
		}, eventauth.AuthUnselected},
		{"an event that is no state", roomtest.Message(bob, "hi"), func(b *roomtest.Branch, s []*event.Event) []*event.Event {
			return append(s, b.Send(roomtest.Message(alice, "no authority")))
		}, eventauth.AuthUnselected},
		{"power levels that are no state", roomtest.Message(bob, "hi"), func(b *roomtest.Branch, s []*event.Event) []*event.Event {
			s[0] = b.Send(roomtest.Spec{Type: event.TypePowerLevels, Sender: alice})
			return s
		}, eventauth.AuthUnselected},
		{"a third-party invite of another token", goodInvite, func(b *roomtest.Branch, s []*event.Event) []*event.Event {
			return append(s, b.Send(roomtest.ThirdPartyInvite(alice, "other", identityServer)))
		}, eventauth.AuthUnselected},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
				main := crowd(t, rules)
				selected := main.Room().AuthEvents(main.Build(row.spec))
				s := withAuth(row.spec, row.auth(main, selected))
				wantVerdict(t, rules, checkListed(main, main.Build(s)), row.want)
			})
		})
	}
}

func keep(_ *roomtest.Branch, selected []*event.Event) []*event.Event { return selected }

func checkListed(b *roomtest.Branch, e *event.Event) error {
	room := b.Room()
	return eventauth.CheckAuthEvents(e, eventauth.AuthEvents{Events: room.AuthEvents(e), Create: room.CreateEvent()})
}

func TestCreateEventInAuthEvents(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		main := scene(t, rules)
		var others []*event.Event
		for _, e := range main.Room().AuthEvents(main.Build(roomtest.Message(bob, "hi"))) {
			if e.Type() != event.TypeCreate {
				others = append(others, e)
			}
		}
		with := main.Build(withAuth(roomtest.Message(bob, "hi"), append([]*event.Event{main.Room().CreateEvent()}, others...)))
		without := main.Build(withAuth(roomtest.Message(bob, "hi"), others))
		none := main.Build(withAuth(roomtest.Message(bob, "hi"), []*event.Event{}))
		if rules.RoomIDFromCreate {
			wantVerdict(t, rules, checkListed(main, with), eventauth.AuthUnselected)
			wantVerdict(t, rules, checkListed(main, without), 0)
			wantVerdict(t, rules, checkListed(main, none), 0)
		} else {
			wantVerdict(t, rules, checkListed(main, with), 0)
			wantVerdict(t, rules, checkListed(main, without), eventauth.AuthNoCreate)
			wantVerdict(t, rules, checkListed(main, none), eventauth.AuthNoCreate)
		}
	})
}

// Where the room ID comes from the create event, that of another room does not
// do; elsewhere it is not asked for.
func TestCreateEventOfAnotherRoom(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		main, other := scene(t, rules), roomtest.New(t, rules.Version).Create(bob, nil)
		e := main.Build(roomtest.Message(bob, "hi"))
		for _, create := range []*event.Event{nil, other.Room().CreateEvent()} {
			want := eventauth.Rule(0)
			if rules.RoomIDFromCreate {
				want = eventauth.RoomIDNotCreate
			}
			known := eventauth.AuthEvents{Events: main.Room().AuthEvents(e), Create: create}
			wantVerdict(t, rules, eventauth.CheckAuthEvents(e, known), want)
		}
	})
}

func TestRejectedAuthEvents(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		main := scene(t, rules)
		e := main.Build(roomtest.Message(bob, "hi"))
		for _, rejected := range e.AuthEvents() {
			known := eventauth.AuthEvents{Events: main.Room().AuthEvents(e), Create: main.Room().CreateEvent(),
				Rejected: func(eventID id.EventID) bool { return eventID == rejected }}
			wantVerdict(t, rules, eventauth.CheckAuthEvents(e, known), eventauth.AuthRejected)
		}
	})
}

func TestCheckAuthEventsWithOtherEvents(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		main := scene(t, rules)
		e := main.Build(roomtest.Message(bob, "hi"))
		listed := main.Room().AuthEvents(e)
		for _, given := range [][]*event.Event{nil, listed[1:], append(listed[:len(listed):len(listed)], main.Heads()...)} {
			err := eventauth.CheckAuthEvents(e, eventauth.AuthEvents{Events: given, Create: main.Room().CreateEvent()})
			var refusal *eventauth.Refusal
			if err == nil || errors.As(err, &refusal) {
				t.Errorf("given %d other events than the %d listed: got %v, want an error that is no refusal", len(given), len(listed), err)
			}
		}
	})
}

func TestCheckAuthEventsOfSignedJoins(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		if !rules.Restricted {
			return
		}
		main := scene(t, rules)
		main.Send(roomtest.JoinRules(alice, "restricted"))
		forged := roomtest.JoinVia(carol, alice)
		forged.Signers = nil
		forged.Edit = func(e canonjson.Value) canonjson.Value {
			return e.With("signatures", canonical(`{"a.test":{"ed25519:1":"AAAA"}}`))
		}
		for _, row := range []struct {
			name                string
			spec                roomtest.Spec
			checked, notChecked eventauth.Rule
		}{
			{"signed by the authorising user's server", roomtest.JoinVia(carol, alice), 0, 0},
			{"not signed by it", unsigned(roomtest.JoinVia(carol, alice)), eventauth.MemberNotSignedByAuthoriser, eventauth.MemberNotSignedByAuthoriser},
			{"badly signed by it", forged, eventauth.MemberNotSignedByAuthoriser, 0},
		} {
			e := main.Build(row.spec)
			known := eventauth.AuthEvents{Events: main.Room().AuthEvents(e), Create: main.Room().CreateEvent()}
			wantVerdict(t, rules, eventauth.CheckAuthEvents(e, known), row.notChecked)
			known.SignedBy = verifiedBy(e)
			wantVerdict(t, rules, eventauth.CheckAuthEvents(e, known), row.checked)
		}
	})
}

func TestAuthState(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		main := scene(t, rules)
		room := main.Room()
		e := main.Build(roomtest.Message(bob, "hi"))
		create := room.CreateEvent()
		if !rules.RoomIDFromCreate {
			create = nil
		}
		wantVerdict(t, rules, eventauth.Check(e, eventauth.AuthState(room.AuthEvents(e), create)), 0)
		if rules.RoomIDFromCreate {
			wantVerdict(t, rules, eventauth.Check(e, eventauth.AuthState(room.AuthEvents(e), nil)), eventauth.RoomIDNotCreate)
		} else {
			wantVerdict(t, rules, eventauth.Check(e, eventauth.AuthState(nil, nil)), eventauth.AuthNoCreate)
		}
		first, second := main.StateEvent(event.Tuple{Type: event.TypeJoinRules}), main.Send(roomtest.JoinRules(alice, "invite"))
		state := eventauth.AuthState([]*event.Event{first, second}, nil)
		if got := state.StateEvent(event.Tuple{Type: event.TypeJoinRules}); got != first {
			t.Errorf("two events of one place: got %v, want the first", got)
		}
		if got := state.StateEvent(event.Tuple{Type: event.TypeJoinRules, StateKey: "x"}); got != nil {
			t.Errorf("another state key: got %v", got)
		}
	})
}
