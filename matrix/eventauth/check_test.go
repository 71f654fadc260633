package eventauth_test

import (
	"strings"
	"testing"

	"parley/internal/roomtest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/roomver"
)

func TestCreateEvents(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*roomtest.Spec)
		want   eventauth.Rule // where the rule exists, otherwise it is allowed
	}{
		{"no room_version", func(s *roomtest.Spec) { s.Content = s.Content.(canonjson.Value).Without("room_version") }, 0},
		{"another known room_version", setContent("room_version", canonjson.Value(`"6"`)), 0},
		{"empty room_version", setContent("room_version", canonjson.Value(`""`)), eventauth.CreateUnknownVersion},
		{"room_version null", setContent("room_version", canonjson.Value(`null`)), eventauth.CreateUnknownVersion},
		{"creator that is no user ID", setContent("creator", canonjson.Value(`7`)), 0},
		{"no additional creators", setContent("additional_creators", canonjson.Value(`[]`)), 0},
		{"additional creators of any kind of name", setContent("additional_creators", canonjson.Value(`["@:b.test","@B ob:b.test:8448"]`)), 0},
		{"additional_creators is an object", setContent("additional_creators", canonjson.Value(`{}`)), eventauth.CreateAdditionalCreators},
		{"additional_creators is null", setContent("additional_creators", canonjson.Value(`null`)), eventauth.CreateAdditionalCreators},
		{"an additional creator is no string", setContent("additional_creators", canonjson.Value(`["@bob:b.test",1]`)), eventauth.CreateAdditionalCreators},
		{"an additional creator is too long", setContent("additional_creators", canonjson.Value(`["@`+strings.Repeat("b", 255)+`:b.test"]`)), eventauth.CreateAdditionalCreators},
		{"auth_events are not looked at", func(s *roomtest.Spec) { s.Auth = []*event.Event{roomtest.New(t, "1").Create(bob, nil).Heads()[0]} }, 0},
		{"it is no state", func(s *roomtest.Spec) { s.StateKey = nil }, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
				want := row.want
				if specNumber(want, rules) == "" {
					want = 0
				}
				wantVerdict(t, rules, judgeCreate(t, rules, row.change), want)
			})
		})
	}
}

// The domain includes the port.
func TestCreateEventOfAnotherPort(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		if rules.RoomIDFromCreate {
			return
		}
		wantVerdict(t, rules, judgeCreate(t, rules, set("room_id", canonjson.Text("!room:a.test:8448"))), eventauth.CreateRoomDomain)
		wantVerdict(t, rules, judgeCreate(t, rules, set("room_id", canonjson.Text("!room"))), eventauth.CreateRoomDomain)
	})
}

func TestFederation(t *testing.T) {
	for _, row := range []struct {
		name, create string
		other        eventauth.Rule // for users of other servers
	}{
		{"false", `{"m.federate":false}`, eventauth.NotFederated},
		{"true", `{"m.federate":true}`, 0},
		{"absent", `{}`, 0},
		{"a string", `{"m.federate":"false"}`, 0},
		{"null", `{"m.federate":null}`, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
				main := sceneOf(t, rules, row.create)
				main.Send(roomtest.Join("@neighbour:a.test"), roomtest.Join("@port:a.test:8448"))
				wantVerdict(t, rules, judge(main, roomtest.Message(alice, "hi")), 0)
				wantVerdict(t, rules, judge(main, roomtest.Message("@neighbour:a.test", "hi")), 0)
				wantVerdict(t, rules, judge(main, roomtest.Message("@port:a.test:8448", "hi")), row.other)
				wantVerdict(t, rules, judge(main, roomtest.Message(bob, "hi")), row.other)
				wantVerdict(t, rules, judge(main, roomtest.Join(carol)), row.other)
				wantVerdict(t, rules, judge(main, roomtest.Invite(alice, carol)), 0)
			})
		})
	}
}

// The rule for aliases, where there is one, asks neither for membership nor for
// a level; elsewhere they are state like any other.
func TestAliases(t *testing.T) {
	for _, row := range []struct {
		name         string
		spec         roomtest.Spec
		upTo5, from6 eventauth.Rule
		banned       bool // bob is
	}{
		{"of the own domain", roomtest.State(bob, event.TypeAliases, "b.test", nil), 0, eventauth.RequiredLevel, false},
		{"by a stranger of the own domain", roomtest.State(carol, event.TypeAliases, "c.test", nil), 0, eventauth.SenderNotJoined, false},
		{"by a banned user of the own domain", roomtest.State(bob, event.TypeAliases, "b.test", nil), 0, eventauth.SenderNotJoined, true},
		{"by the creator of another domain", roomtest.State(alice, event.TypeAliases, "b.test", nil), eventauth.AliasesOtherDomain, 0, false},
		{"of the domain without its port", roomtest.State("@bob:b.test:8448", event.TypeAliases, "b.test", nil), eventauth.AliasesOtherDomain, eventauth.SenderNotJoined, false},
		{"without state key", roomtest.Spec{Type: event.TypeAliases, Sender: alice}, eventauth.AliasesNoStateKey, 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
				main := scene(t, rules)
				if row.banned {
					main.Send(roomtest.Ban(alice, bob))
				}
				want := row.from6
				if specNumber(eventauth.AliasesNoStateKey, rules) != "" {
					want = row.upTo5
				}
				wantVerdict(t, rules, judge(main, row.spec), want)
			})
		})
	}
}

func TestMemberEventsOfStrangeForm(t *testing.T) {
	for _, row := range []struct {
		name    string
		content string
		want    eventauth.Rule
	}{
		{"no membership", `{"displayname":"Bob"}`, eventauth.MemberMalformed},
		{"membership null", `{"membership":null}`, eventauth.MembershipUnknown},
		{"membership a number", `{"membership":1}`, eventauth.MembershipUnknown},
		{"membership empty", `{"membership":""}`, eventauth.MembershipUnknown},
		{"membership in capitals", `{"membership":"JOIN"}`, eventauth.MembershipUnknown},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
				main := scene(t, rules)
				wantVerdict(t, rules, judge(main, roomtest.State(bob, event.TypeMember, string(bob), row.content)), row.want)
			})
		})
	}
}

func TestSenderMustBeJoined(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		main := scene(t, rules)
		for _, membership := range memberships {
			b := main.Fork()
			setMembership(b, carol, membership)
			want := eventauth.SenderNotJoined
			if membership == event.MembershipJoin {
				want = 0
			}
			wantVerdict(t, rules, judge(b, roomtest.Message(carol, "hi")), want)
			wantVerdict(t, rules, judge(b, roomtest.ThirdPartyInvite(carol, "token", identityServer)), want)
		}
	})
}

func TestRequiredLevels(t *testing.T) {
	for _, row := range []struct {
		name   string
		levels string
		spec   roomtest.Spec
		want   eventauth.Rule
	}{
		{"state at state_default", `{"state_default":50}`, roomtest.Topic(mod, "tea"), 0},
		{"state below state_default", `{"state_default":51}`, roomtest.Topic(mod, "tea"), eventauth.RequiredLevel},
		{"state with a level of its own", `{"state_default":51,"events":{"m.room.topic":0}}`, roomtest.Topic(bob, "tea"), 0},
		{"a message at events_default", `{"events_default":0}`, roomtest.Message(bob, "hi"), 0},
		{"a message below events_default", `{"events_default":1}`, roomtest.Message(bob, "hi"), eventauth.RequiredLevel},
		{"a message with a level of its own", `{"events":{"m.room.message":1}}`, roomtest.Message(bob, "hi"), eventauth.RequiredLevel},
		{"a user at users_default", `{"events_default":1,"users_default":1}`, roomtest.Message(bob, "hi"), 0},
		{"a negative level", `{"users":{"@bob:b.test":-1}}`, roomtest.Message(bob, "hi"), eventauth.RequiredLevel},
		{"a third-party invite goes by the invite level alone", `{"state_default":100,"events":{"m.room.third_party_invite":100}}`, roomtest.ThirdPartyInvite(bob, "token", identityServer), 0},
		{"membership has levels of its own", `{"state_default":100,"events":{"m.room.member":100}}`, roomtest.Leave(bob), 0},
		{"state that names the sender", `{"state_default":0}`, roomtest.State(bob, "m.custom", string(bob), nil), 0},
		{"state that names another user", `{"state_default":0}`, roomtest.State(bob, "m.custom", string(mod), nil), eventauth.StateKeyOfOther},
		{"state that begins like a user ID", `{"state_default":0}`, roomtest.State(bob, "m.custom", "@", nil), eventauth.StateKeyOfOther},
		{"state that names a user later on", `{"state_default":0}`, roomtest.State(bob, "m.custom", " @mod:m.test", nil), 0},
		{"state of another user by the creator", `{}`, roomtest.State(alice, "m.custom", string(bob), nil), eventauth.StateKeyOfOther},
		{"level comes before state key", `{}`, roomtest.State(bob, "m.custom", string(mod), nil), eventauth.RequiredLevel},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
				main := scene(t, rules)
				main.Send(levels(main, row.levels))
				wantVerdict(t, rules, judge(main, row.spec), row.want)
			})
		})
	}
}

func TestRefusalWithoutDetail(t *testing.T) {
	r := &eventauth.Refusal{Rule: eventauth.JoinBanned, Event: "$e", Version: "11", Number: "4.3.3"}
	const want = "event $e refused by rule 4.3.3 of room version 11: a join is by a banned user"
	if got := r.Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	r.Detail = "@bob:b.test"
	if got := r.Error(); got != want+" (@bob:b.test)" {
		t.Errorf("with a detail: got %q", got)
	}
}
