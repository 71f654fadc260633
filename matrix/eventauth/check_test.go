package eventauth_test

import (
	"fmt"
	"strings"
	"testing"

	"parley/internal/roomtest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
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
		{"state that names a user later on", `{"state_default":0}`, roomtest.State(bob, "m.custom", " @mod:m.test", nil), 0},
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

const (
	elise = id.UserID("@el_is:e.test.org:8448") // joined with level 0
	el    = id.UserID("@el_is:e.test")          // with whose ID that of elise begins; never was in the room
)

// TestWhoseStateKeyItIs: the row has the rule in most versions, and in those with
// owned state.
func TestWhoseStateKeyItIs(t *testing.T) {
	const (
		other  = eventauth.StateKeyOfOther
		nobody = eventauth.StateKeyOfNobody
		owned  = eventauth.StateKeyOwned
	)
	long := strings.Repeat("x", 255-len(string(elise)+"_"))
	for _, row := range []struct {
		sender       id.UserID
		key          string
		others, want eventauth.Rule
	}{
		// A user's own.
		{elise, string(elise), 0, 0},
		{elise, string(elise) + "_", other, 0},
		{elise, string(elise) + "_DEVICE_m.call", other, 0},
		{elise, string(elise) + "__", other, 0},
		{elise, string(elise) + "_@bob:b.test", other, 0},
		{elise, string(elise) + "_ \U0001F408\n", other, 0},
		{elise, string(elise) + "_" + long, other, 0},

		// What only looks like it.
		{elise, string(el), other, owned},
		{elise, string(el) + "_x", other, owned},
		{elise, string(elise) + "0_x", other, owned}, // port 84480
		{elise, "@el_is:e.test.org_x", other, owned}, // no port
		{elise, "@el_is:e.test.org:8448.x", other, nobody},
		{elise, string(elise) + ":x", other, nobody},
		{elise, string(elise) + " _x", other, nobody},
		{elise, string(elise) + "@x", other, nobody},
		{elise, "@EL_IS:e.test.org:8448_x", other, owned},
		{elise, "@el_is", other, nobody},
		{elise, "@el", other, nobody},
		{elise, "@", other, nobody},
		{elise, "@_", other, nobody},
		{elise, "@el_is:", other, nobody},
		{elise, "@el_is:_e.test.org:8448", other, nobody},
		{elise, "@:e.test.org_x", other, owned}, // a historical user ID
		{elise, "@@el_is:e.test.org:8448_x", other, owned},
		{elise, "@e:l_is", other, owned}, // that is @e:l

		// Free ones.
		{elise, "", 0, 0},
		{elise, "_" + string(bob) + "_x", 0, 0},
		{elise, " " + string(mod), 0, 0},
		{elise, "bob:b.test_x", 0, 0},

		// Others'.
		{mod, string(bob), other, 0},
		{mod, string(bob) + "_x", other, 0},
		{mod, string(carol) + "_x", other, 0}, // who never was in the room
		{mod, string(mod) + "_x", other, 0},
		{mod, string(peer), other, owned},
		{mod, string(peer) + "_x", other, owned},
		{mod, string(alice), other, owned},
		{mod, string(alice) + "_x", other, owned},
		{mod, "@bob", other, nobody},
		{alice, string(peer) + "_x", other, 0},
		{alice, string(bob), other, 0},
		{alice, "@bob:b_test", other, 0},          // that is @bob:b
		{bob, string(elise) + "_x", other, owned}, // neither is above
	} {
		t.Run(fmt.Sprintf("%s sets %q", row.sender, row.key), func(t *testing.T) {
			eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
				main := scene(t, rules)
				main.Send(roomtest.Join(elise), levels(main, `{"state_default":0}`))
				want := row.others
				if rules.OwnedState {
					want = row.want
				}
				wantVerdict(t, rules, judge(main, roomtest.State(row.sender, "m.custom", row.key, nil)), want)
			})
		})
	}
}

// TestOwnedStateAmongTheOtherRules: what they refuse or allow is not asked of it.
func TestOwnedStateAmongTheOtherRules(t *testing.T) {
	for rules := range roomver.Known() {
		if !rules.OwnedState {
			continue
		}
		t.Run("version "+string(rules.Version), func(t *testing.T) {
			main := scene(t, rules)
			// The level that the type takes is asked for first.
			wantVerdict(t, rules, judge(main, roomtest.State(bob, "m.custom", string(bob)+"_x", nil)), eventauth.RequiredLevel)
			wantVerdict(t, rules, judge(main, roomtest.State(bob, "m.custom", "@", nil)), eventauth.RequiredLevel)
			wantVerdict(t, rules, judge(main, roomtest.State(carol, "m.custom", string(carol)+"_x", nil)), eventauth.SenderNotJoined)
			// Membership and third-party invites have rules of their own.
			wantVerdict(t, rules, judge(main, roomtest.Member(mod, bob, event.MembershipJoin)), eventauth.JoinOther)
			wantVerdict(t, rules, judge(main, roomtest.Member(bob, bob+"_x", event.MembershipJoin)), eventauth.JoinOther)
			wantVerdict(t, rules, judge(main, roomtest.ThirdPartyInvite(bob, "@", identityServer)), 0)
			// Of power levels with such a key the rules look at the content too.
			main.Send(levels(main, `{"events":{"m.room.power_levels":0,"m.custom":0}}`))
			wantVerdict(t, rules, judge(main, roomtest.State(bob, event.TypePowerLevels, string(bob)+"_x", `{"users":7}`)), eventauth.LevelsUsers)
			// Who is above whom is a matter of the state.
			theirs := roomtest.State(mod, "m.custom", string(bob)+"_x", nil)
			wantVerdict(t, rules, judge(main, theirs), 0)
			raised := main.Fork()
			raised.Send(levels(main, `{"users_default":50}`))
			wantVerdict(t, rules, judge(raised, theirs), eventauth.StateKeyOwned)
			lowered := main.Fork()
			lowered.Send(levels(main, `{"users":{"@mod:m.test":-1},"events":{"m.custom":-1}}`))
			wantVerdict(t, rules, judge(lowered, theirs), eventauth.StateKeyOwned)
			wantVerdict(t, rules, judge(lowered, roomtest.State(bob, "m.custom", string(mod)+"_x", nil)), 0)
		})
	}
	t.Run("where nobody has set levels", func(t *testing.T) {
		rules, _ := roomver.Lookup("org.matrix.msc3757.11")
		main := roomtest.New(t, rules.Version).Create(alice, nil)
		main.Send(roomtest.Join(alice), roomtest.JoinRules(alice, "public"), roomtest.Join(bob))
		wantVerdict(t, rules, judge(main, roomtest.State(alice, "m.custom", string(bob)+"_x", nil)), 0)
	})
}
