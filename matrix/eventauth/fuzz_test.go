package eventauth_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"parley/internal/roomtest"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// countingState counts how often it is asked.
type countingState struct {
	eventauth.State
	asked int
}

func (s *countingState) StateEvent(t event.Tuple) *event.Event {
	s.asked++
	return s.State.StateEvent(t)
}

// maxLookups bounds what a check may ask of the state, whatever the event says:
// a state may lie in a database.
const maxLookups = 16

var fuzzTypes = []string{
	"m.room.message", event.TypeMember, event.TypePowerLevels, event.TypeThirdPartyInvite, event.TypeAliases,
	event.TypeRedaction, event.TypeJoinRules, event.TypeCreate, event.TypeServerACL,
}

// FuzzCheck judges events with any content in states with any contents.
func FuzzCheck(f *testing.F) {
	for i := range fuzzTypes {
		f.Add(uint8(i), uint8(i), string(bob), `{"membership":"join"}`, `{}`, `{"users":{"@bob:b.test":"50"},"ban":50.5}`,
			`{"join_rule":"restricted"}`, `{"membership":"join"}`, `{"public_key":"AAAA"}`)
	}
	f.Add(uint8(11), uint8(2), "", `{"users":{"@alice:a.test":1},"events":[]}`, `{"additional_creators":["@bob:b.test",1]}`,
		`{"users":{"@bob:b.test":9007199254740991}}`, `{}`, `{"membership":"join"}`, `{}`)
	f.Add(uint8(0), uint8(2), "", `{"users":{"@a:b":" +1 "},"notifications":7,"events":{"\"":1e9}}`, `{"creator":7,"m.federate":0}`,
		`{"users":{"@bob:b.test":99999999999999999999},"users_default":"-0"}`, `{"join_rule":null}`, `{"membership":"join"}`, `{}`)
	f.Add(uint8(9), uint8(1), string(carol), `{"membership":"invite","third_party_invite":{"signed":{"mxid":"@carol:c.test","token":"token","signatures":{"a":{"ed25519:1":"AA"}}}}}`,
		`{}`, `{"invite":1}`, `{"join_rule":"knock"}`, `{"membership":"leave"}`, `{"public_keys":[{},7,{"public_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}`)
	for _, key := range []string{"@bob:b.test_x", "@carol:c.test_", "@alice:a.test_x", "@:_", "@bob:b.test.x_@bob:b.test"} {
		f.Add(uint8(12), uint8(0), key, `{}`, `{}`, `{"state_default":0,"users":{"@bob:b.test":5}}`, `{}`, `{"membership":"join"}`, `{}`)
	}
	f.Fuzz(func(t *testing.T, version, kind uint8, stateKey, content, create, levels, joinRules, member, invite string) {
		var known []*roomver.Rules
		for rules := range roomver.Known() {
			known = append(known, rules)
		}
		rules := known[int(version)%len(known)]
		room := roomtest.New(t, rules.Version)
		main := room.Root()
		creation := roomtest.State(alice, event.TypeCreate, "", create)
		if _, err := main.TryBuild(creation); err != nil {
			return
		}
		main.Send(creation)
		main.Send(roomtest.Join(alice), roomtest.Join(bob))
		for _, spec := range []roomtest.Spec{
			roomtest.PowerLevels(alice, levels),
			roomtest.State(alice, event.TypeJoinRules, "", joinRules),
			roomtest.State(carol, event.TypeMember, string(carol), member),
			roomtest.State(bob, event.TypeThirdPartyInvite, "token", invite),
		} {
			if _, err := main.TryBuild(spec); err == nil {
				main.Send(spec)
			}
		}
		// Half of the kinds are state.
		spec := roomtest.Spec{Type: fuzzTypes[int(kind)%len(fuzzTypes)], Sender: bob, Content: content, Redacts: "$x:a.test"}
		if kind < 128 {
			spec.StateKey = &stateKey
		}
		e, err := main.TryBuild(spec)
		if err != nil {
			return
		}
		state := &countingState{State: main}
		first := eventauth.Check(e, state)
		if state.asked > maxLookups {
			t.Errorf("Check asked the state %d times for %s", state.asked, e.JSON())
		}
		wantSame(t, first, eventauth.Check(e, main))
		wantRealRule(t, rules, first)
		authEvents := eventauth.AuthEvents{Events: room.AuthEvents(e), Create: room.CreateEvent()}
		wantRealRule(t, rules, eventauth.CheckAuthEvents(e, authEvents))
		// What was selected from a state says the same as the state.
		wantSame(t, first, eventauth.Check(e, eventauth.AuthState(authEvents.Events, createApart(room))))
		l := eventauth.LevelsIn(main)
		for _, user := range []id.UserID{alice, bob, carol} {
			if level := l.User(user); level == eventauth.Creator && !rules.PrivilegedCreators {
				t.Errorf("%s has the level of a creator in version %s", user, rules.Version)
			}
		}
		eventauth.RedactionApplies(e, room.CreateEvent(), l)
		if first == nil && e.Type() != event.TypeMember && e.Type() != event.TypeThirdPartyInvite && e.Type() != event.TypeAliases {
			wantOwner(t, rules, e, l)
		}
	})
}

// leadingUser matches a state key that begins with something like a user ID.
var leadingUser = regexp.MustCompile(`(?s)^(@[^:]*:[^_]*)(_.*)?$`)

// wantOwner fails if an event that is allowed has a state key that is not its
// sender's to set.
func wantOwner(t *testing.T, rules *roomver.Rules, e *event.Event, l eventauth.Levels) {
	t.Helper()
	key, _ := e.StateKey()
	if !strings.HasPrefix(key, "@") || key == string(e.Sender()) {
		return
	}
	match := leadingUser.FindStringSubmatch(key)
	if !rules.OwnedState || match == nil {
		t.Errorf("%s may set the state key %q in version %s", e.Sender(), key, rules.Version)
	} else if owner := id.UserID(match[1]); owner != e.Sender() && l.User(owner) >= l.User(e.Sender()) {
		t.Errorf("%s may set the state key %q of %s, who is not below", e.Sender(), key, owner)
	}
}

// createApart is the create event where auth events do not hold it.
func createApart(room *roomtest.Room) *event.Event {
	if room.Rules().RoomIDFromCreate {
		return room.CreateEvent()
	}
	return nil
}

func wantSame(t *testing.T, first, second error) {
	t.Helper()
	if fmt.Sprint(first) != fmt.Sprint(second) {
		t.Errorf("got %v, then %v", first, second)
	}
}

// wantRealRule fails unless err is nil or a refusal by a rule that the room
// version has.
func wantRealRule(t *testing.T, rules *roomver.Rules, err error) {
	t.Helper()
	var refusal *eventauth.Refusal
	if err == nil {
		return
	}
	if !errors.As(err, &refusal) || refusal.Number == "" || refusal.Number != specNumber(refusal.Rule, rules) {
		t.Errorf("got %v, want a rule of version %s", err, rules.Version)
	}
}
