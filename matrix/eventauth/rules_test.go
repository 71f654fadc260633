package eventauth_test

import (
	"testing"

	"parley/internal/roomtest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// A ruleRow has an event that a rule refuses and its nearest neighbour that all
// rules let pass. Of each list of events the last is judged and the others are
// sent before it, into a scene.
type ruleRow struct {
	rule             eventauth.Rule
	refused, allowed func(b *roomtest.Branch) []roomtest.Spec
}

func specs(s ...roomtest.Spec) func(*roomtest.Branch) []roomtest.Spec {
	return func(*roomtest.Branch) []roomtest.Spec { return s }
}

// afterLevels puts changed power levels before the others.
func afterLevels(changes string, s ...roomtest.Spec) func(*roomtest.Branch) []roomtest.Spec {
	return func(b *roomtest.Branch) []roomtest.Spec { return append([]roomtest.Spec{levels(b, changes)}, s...) }
}

// changeLevels replaces the power levels before by those after, the latter sent
// by a moderator.
func changeLevels(before, after string) func(*roomtest.Branch) []roomtest.Spec {
	return func(b *roomtest.Branch) []roomtest.Spec {
		return []roomtest.Spec{levels(b, before), levelsBy(b, mod, after)}
	}
}

func setLevels(changes string) func(*roomtest.Branch) []roomtest.Spec {
	return changeLevels(`{}`, changes)
}

func thirdParty(then ...roomtest.Spec) func(*roomtest.Branch) []roomtest.Spec {
	return specs(append([]roomtest.Spec{roomtest.ThirdPartyInvite(alice, "token", identityServer)}, then...)...)
}

// inviteWith is an invite of carol with any third_party_invite.
func inviteWith(thirdPartyInvite string) roomtest.Spec {
	s := roomtest.Invite(alice, carol)
	s.Content = `{"membership":"invite","third_party_invite":` + thirdPartyInvite + `}`
	return s
}

func unsigned(s roomtest.Spec) roomtest.Spec {
	s.Signers = nil
	return s
}

var goodInvite = roomtest.InviteSigned(alice, carol, roomtest.Signed(carol, "token", identityServer))

var ruleRows = []ruleRow{
	{eventauth.AliasesNoStateKey,
		specs(roomtest.Spec{Type: event.TypeAliases, Sender: bob}),
		specs(roomtest.State(bob, event.TypeAliases, "b.test", nil))},
	{eventauth.AliasesOtherDomain,
		specs(roomtest.State(bob, event.TypeAliases, "a.test", nil)),
		specs(roomtest.State(bob, event.TypeAliases, "b.test", nil))},

	{eventauth.MemberMalformed,
		specs(roomtest.State(bob, event.TypeMember, string(bob), `{}`)),
		specs(roomtest.Join(bob))},
	{eventauth.MemberMalformed,
		specs(roomtest.Spec{Type: event.TypeMember, Sender: bob, Content: `{"membership":"join"}`}),
		specs(roomtest.Join(bob))},
	{eventauth.MemberNotSignedByAuthoriser,
		specs(roomtest.JoinRules(alice, "restricted"), unsigned(roomtest.JoinVia(carol, alice))),
		specs(roomtest.JoinRules(alice, "restricted"), roomtest.JoinVia(carol, alice))},

	{eventauth.JoinOther,
		specs(roomtest.Member(bob, carol, event.MembershipJoin)),
		specs(roomtest.Join(carol))},
	{eventauth.JoinBanned,
		specs(roomtest.Ban(alice, carol), roomtest.Join(carol)),
		specs(roomtest.Ban(alice, carol), roomtest.Kick(alice, carol), roomtest.Join(carol))},
	{eventauth.JoinUnauthorised,
		specs(roomtest.JoinRules(alice, "restricted"), roomtest.JoinVia(carol, dave)),
		specs(roomtest.JoinRules(alice, "restricted"), roomtest.JoinVia(carol, bob))},
	{eventauth.JoinRuleForbids,
		specs(roomtest.JoinRules(alice, "invite"), roomtest.Join(carol)),
		specs(roomtest.JoinRules(alice, "invite"), roomtest.Invite(alice, carol), roomtest.Join(carol))},

	{eventauth.ThirdPartyBanned, thirdParty(roomtest.Ban(alice, carol), goodInvite), thirdParty(goodInvite)},
	{eventauth.ThirdPartyUnsigned, thirdParty(inviteWith(`{}`)), thirdParty(goodInvite)},
	{eventauth.ThirdPartyIncomplete, thirdParty(inviteWith(`{"signed":{"mxid":"@carol:c.test"}}`)), thirdParty(goodInvite)},
	{eventauth.ThirdPartyIncomplete, thirdParty(inviteWith(`{"signed":{"token":"token"}}`)), thirdParty(goodInvite)},
	{eventauth.ThirdPartyOtherUser,
		thirdParty(roomtest.InviteSigned(alice, carol, roomtest.Signed(dave, "token", identityServer))),
		thirdParty(goodInvite)},
	{eventauth.ThirdPartyUnknown,
		thirdParty(roomtest.InviteSigned(alice, carol, roomtest.Signed(carol, "another", identityServer))),
		thirdParty(goodInvite)},
	{eventauth.ThirdPartyOtherSender,
		thirdParty(roomtest.InviteSigned(mod, carol, roomtest.Signed(carol, "token", identityServer))),
		thirdParty(goodInvite)},
	{eventauth.ThirdPartyBadSignature,
		thirdParty(roomtest.InviteSigned(alice, carol, roomtest.Signed(carol, "token", "imposter.test"))),
		thirdParty(goodInvite)},

	{eventauth.InviterNotJoined, specs(roomtest.Invite(carol, dave)), specs(roomtest.Invite(bob, dave))},
	{eventauth.InviteeJoinedOrBanned, specs(roomtest.Invite(alice, bob)), specs(roomtest.Leave(bob), roomtest.Invite(alice, bob))},
	{eventauth.InviteLevel,
		afterLevels(`{"invite":50}`, roomtest.Invite(bob, dave)),
		afterLevels(`{"invite":50}`, roomtest.Invite(mod, dave))},

	{eventauth.LeaveNotIn, specs(roomtest.Leave(carol)), specs(roomtest.Leave(bob))},
	{eventauth.KickerNotJoined, specs(roomtest.Kick(carol, bob)), specs(roomtest.Kick(mod, bob))},
	{eventauth.UnbanLevel,
		afterLevels(`{"ban":51}`, roomtest.Ban(alice, carol), roomtest.Kick(mod, carol)),
		afterLevels(`{"ban":50}`, roomtest.Ban(alice, carol), roomtest.Kick(mod, carol))},
	{eventauth.KickLevel, specs(roomtest.Kick(mod, peer)), specs(roomtest.Kick(mod, bob))},
	{eventauth.BannerNotJoined, specs(roomtest.Ban(carol, bob)), specs(roomtest.Ban(mod, bob))},
	{eventauth.BanLevel, specs(roomtest.Ban(mod, peer)), specs(roomtest.Ban(mod, bob))},

	{eventauth.KnockRule,
		specs(roomtest.JoinRules(alice, "invite"), roomtest.Knock(carol)),
		specs(roomtest.JoinRules(alice, "knock"), roomtest.Knock(carol))},
	{eventauth.KnockOther,
		specs(roomtest.JoinRules(alice, "knock"), roomtest.Member(bob, carol, event.MembershipKnock)),
		specs(roomtest.JoinRules(alice, "knock"), roomtest.Knock(carol))},
	{eventauth.KnockAlreadyIn,
		specs(roomtest.JoinRules(alice, "knock"), roomtest.Knock(bob)),
		specs(roomtest.JoinRules(alice, "knock"), roomtest.Leave(bob), roomtest.Knock(bob))},
	{eventauth.MembershipUnknown, specs(roomtest.Member(bob, bob, "lurk")), specs(roomtest.Join(bob))},

	{eventauth.SenderNotJoined, specs(roomtest.Message(carol, "hi")), specs(roomtest.Message(bob, "hi"))},
	{eventauth.ThirdPartyInviteLevel,
		afterLevels(`{"invite":50}`, roomtest.ThirdPartyInvite(bob, "token", identityServer)),
		afterLevels(`{"invite":50}`, roomtest.ThirdPartyInvite(mod, "token", identityServer))},
	{eventauth.RequiredLevel, specs(roomtest.Topic(bob, "tea")), specs(roomtest.Topic(mod, "tea"))},
	{eventauth.StateKeyOfOther,
		specs(roomtest.State(mod, "m.custom", string(bob), nil)),
		specs(roomtest.State(mod, "m.custom", string(mod), nil))},
	{eventauth.StateKeyOfNobody,
		specs(roomtest.State(mod, "m.custom", "@mod_m.test", nil)),
		specs(roomtest.State(mod, "m.custom", "@mod:m.test_", nil))},
	{eventauth.StateKeyOwned,
		specs(roomtest.State(mod, "m.custom", "@peer:p.test_x", nil)),
		specs(roomtest.State(mod, "m.custom", "@bob:b.test_x", nil))},

	{eventauth.LevelsNotIntegers, setLevels(`{"ban":"50"}`), setLevels(`{"ban":50}`)},
	{eventauth.LevelsNotObjects, setLevels(`{"events":{"m.custom":"50"}}`), setLevels(`{"events":{"m.custom":50}}`)},
	{eventauth.LevelsUsers, setLevels(`{"users":{"bob":0}}`), setLevels(`{"users":{"@bob:b.test":0}}`)},
	{eventauth.LevelsNameCreator,
		specs(roomtest.PowerLevels(alice, `{"users":{"@alice:a.test":100}}`)),
		specs(roomtest.PowerLevels(alice, `{"users":{"@bob:b.test":100}}`))},
	{eventauth.LevelsOldAboveSender, changeLevels(`{"ban":51}`, `{"ban":50}`), changeLevels(`{"ban":50}`, `{"ban":49}`)},
	{eventauth.LevelsNewAboveSender, setLevels(`{"ban":51}`), setLevels(`{"ban":50}`)},
	{eventauth.LevelsEventOldAboveSender,
		changeLevels(`{"events":{"m.custom":51}}`, `{"events":{"m.custom":50}}`),
		changeLevels(`{"events":{"m.custom":50}}`, `{"events":{"m.custom":49}}`)},
	{eventauth.LevelsEventNewAboveSender, setLevels(`{"events":{"m.custom":51}}`), setLevels(`{"events":{"m.custom":50}}`)},
	{eventauth.LevelsUserNotBelowSender,
		setLevels(`{"users":{"@peer:p.test":49}}`),
		changeLevels(`{"users":{"@bob:b.test":49}}`, `{"users":{"@bob:b.test":0}}`)},
	{eventauth.LevelsUserNewAboveSender,
		setLevels(`{"users":{"@bob:b.test":51}}`),
		setLevels(`{"users":{"@bob:b.test":50}}`)},

	{eventauth.RedactionForbidden,
		func(b *roomtest.Branch) []roomtest.Spec {
			return []roomtest.Spec{roomtest.Redaction(bob, b.Send(roomtest.Message(alice, "hi")))}
		},
		func(b *roomtest.Branch) []roomtest.Spec {
			return []roomtest.Spec{roomtest.Redaction(bob, b.Send(roomtest.Message(bob, "hi")))}
		}},
}

func TestEachRuleRefusesAndItsNeighbourPasses(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		for _, row := range ruleRows {
			if specNumber(row.rule, rules) == "" {
				continue
			}
			t.Run(row.rule.String(), func(t *testing.T) {
				main := scene(t, rules)
				wantVerdict(t, rules, judgeLast(main.Fork(), row.refused), row.rule)
				wantVerdict(t, rules, judgeLast(main, row.allowed), 0)
			})
		}
	})
}

func judgeLast(b *roomtest.Branch, make func(*roomtest.Branch) []roomtest.Spec) error {
	all := make(b)
	b.Send(all[:len(all)-1]...)
	return judge(b, all[len(all)-1])
}

// Rules about the create event, the list of auth events and federation need
// rooms or knowledge of their own. They are told apart from their neighbour by
// the argument.
var apartRows = []struct {
	rule  eventauth.Rule
	judge func(t *testing.T, rules *roomver.Rules, broken bool) error
}{
	{eventauth.CreateHasPrevEvents, func(t *testing.T, rules *roomver.Rules, broken bool) error {
		return judgeCreate(t, rules, func(s *roomtest.Spec) {
			if broken {
				s.Prev = scene(t, rules).Heads()
			}
		})
	}},
	{eventauth.CreateRoomDomain, func(t *testing.T, rules *roomver.Rules, broken bool) error {
		room := map[bool]string{true: "!room:b.test", false: "!room:a.test"}[broken]
		return judgeCreate(t, rules, set("room_id", canonjson.Text(room)))
	}},
	{eventauth.CreateHasRoomID, func(t *testing.T, rules *roomver.Rules, broken bool) error {
		field := map[bool]string{true: "room_id", false: "room"}[broken]
		return judgeCreate(t, rules, set(field, canonjson.Text("!room:a.test")))
	}},
	{eventauth.CreateUnknownVersion, func(t *testing.T, rules *roomver.Rules, broken bool) error {
		version := map[bool]string{true: "13", false: string(rules.Version)}[broken]
		return judgeCreate(t, rules, setContent("room_version", canonjson.Text(version)))
	}},
	{eventauth.CreateUnknownVersion, func(t *testing.T, rules *roomver.Rules, broken bool) error {
		version := map[bool]canonjson.Value{true: canonjson.Value("1"), false: canonjson.Value(`"1"`)}[broken]
		return judgeCreate(t, rules, setContent("room_version", version))
	}},
	{eventauth.CreateNoCreator, func(t *testing.T, rules *roomver.Rules, broken bool) error {
		field := map[bool]string{true: "creator", false: "other"}[broken]
		return judgeCreate(t, rules, func(s *roomtest.Spec) { s.Content = s.Content.(canonjson.Value).Without(field) })
	}},
	{eventauth.CreateAdditionalCreators, func(t *testing.T, rules *roomver.Rules, broken bool) error {
		creators := map[bool]string{true: `["bob"]`, false: `["@bob:b.test"]`}[broken]
		return judgeCreate(t, rules, setContent("additional_creators", canonjson.Value(creators)))
	}},
	{eventauth.NotFederated, func(t *testing.T, rules *roomver.Rules, broken bool) error {
		federate := map[bool]string{true: `{"m.federate":false}`, false: `{"m.federate":true}`}[broken]
		return judge(sceneOf(t, rules, federate), roomtest.Message(bob, "hi"))
	}},
	{eventauth.RoomIDNotCreate, func(t *testing.T, rules *roomver.Rules, broken bool) error {
		main, other := scene(t, rules), roomtest.New(t, rules.Version).Create(bob, nil)
		e := main.Build(roomtest.Message(alice, "hi"))
		if broken {
			return eventauth.Check(e, other)
		}
		return eventauth.Check(e, main)
	}},
	{eventauth.RoomIDNotCreate, func(t *testing.T, rules *roomver.Rules, broken bool) error {
		main := scene(t, rules)
		e := main.Build(roomtest.Message(alice, "hi"))
		known := eventauth.AuthEvents{Events: main.Room().AuthEvents(e), Create: main.Room().CreateEvent()}
		if broken {
			known.Create = nil
		}
		return eventauth.CheckAuthEvents(e, known)
	}},
	{eventauth.AuthDuplicate, func(t *testing.T, rules *roomver.Rules, broken bool) error {
		main := scene(t, rules)
		auth := main.Room().AuthEvents(main.Build(roomtest.Message(bob, "hi")))
		if broken {
			auth = append(auth, main.Send(roomtest.Join(bob)))
		}
		return judge(main, withAuth(roomtest.Message(bob, "hi"), auth))
	}},
	{eventauth.AuthUnselected, func(t *testing.T, rules *roomver.Rules, broken bool) error {
		main := scene(t, rules)
		spec := map[bool]roomtest.Spec{true: roomtest.Message(bob, "hi"), false: roomtest.Join(bob)}[broken]
		auth := main.Room().AuthEvents(main.Build(roomtest.Join(bob)))
		return judge(main, withAuth(spec, auth))
	}},
	{eventauth.AuthRejected, func(t *testing.T, rules *roomver.Rules, broken bool) error {
		main := scene(t, rules)
		e := main.Build(roomtest.Message(bob, "hi"))
		known := eventauth.AuthEvents{Events: main.Room().AuthEvents(e), Create: main.Room().CreateEvent()}
		rejected := map[bool]id.EventID{true: e.AuthEvents()[1], false: e.ID()}[broken]
		known.Rejected = func(eventID id.EventID) bool { return eventID == rejected }
		return eventauth.CheckAuthEvents(e, known)
	}},
	{eventauth.AuthNoCreate, func(t *testing.T, rules *roomver.Rules, broken bool) error {
		main := scene(t, rules)
		auth := main.Room().AuthEvents(main.Build(roomtest.Message(bob, "hi")))
		if broken {
			auth = auth[1:]
		}
		return judge(main, withAuth(roomtest.Message(bob, "hi"), auth))
	}},
	{eventauth.AuthNoCreate, func(t *testing.T, rules *roomver.Rules, broken bool) error {
		main := scene(t, rules)
		e, state := main.Build(roomtest.Message(bob, "hi")), main.State()
		if broken {
			delete(state, event.Tuple{Type: event.TypeCreate})
		}
		return eventauth.Check(e, state)
	}},
	{eventauth.AuthOtherRoom, func(t *testing.T, rules *roomver.Rules, broken bool) error {
		main, other := scene(t, rules), roomtest.New(t, rules.Version).Create(bob, nil)
		from := map[bool]*roomtest.Branch{true: other, false: main}[broken]
		auth := main.Room().AuthEvents(main.Build(roomtest.Message(bob, "hi")))
		auth[len(auth)-1] = from.Send(roomtest.Join(bob))
		e := main.Build(withAuth(roomtest.Message(bob, "hi"), auth))
		return eventauth.CheckAuthEvents(e, eventauth.AuthEvents{Events: auth, Create: main.Room().CreateEvent()})
	}},
}

func TestRulesThatNeedARoomOfTheirOwn(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		for _, row := range apartRows {
			if specNumber(row.rule, rules) == "" {
				continue
			}
			t.Run(row.rule.String(), func(t *testing.T) {
				wantVerdict(t, rules, row.judge(t, rules, true), row.rule)
				wantVerdict(t, rules, row.judge(t, rules, false), 0)
			})
		}
	})
}

func judgeCreate(t *testing.T, rules *roomver.Rules, change func(*roomtest.Spec)) error {
	t.Helper()
	room := roomtest.New(t, rules.Version)
	spec := room.CreateSpec(alice, nil)
	change(&spec)
	e := room.Root().Send(spec)
	if err := eventauth.CheckAuthEvents(e, eventauth.AuthEvents{}); err != nil {
		t.Errorf("CheckAuthEvents says of a create event %v, want nothing", err)
	}
	return eventauth.Check(e, eventauth.MapState{})
}

func set(field string, value canonjson.Value) func(*roomtest.Spec) {
	return func(s *roomtest.Spec) {
		s.Edit = func(e canonjson.Value) canonjson.Value { return e.With(field, value) }
	}
}

func setContent(field string, value canonjson.Value) func(*roomtest.Spec) {
	return func(s *roomtest.Spec) { s.Content = s.Content.(canonjson.Value).With(field, value) }
}

func withAuth(s roomtest.Spec, auth []*event.Event) roomtest.Spec {
	s.Auth = auth
	return s
}

func TestEveryRuleIsTriedAndNumbered(t *testing.T) {
	tried := map[eventauth.Rule]bool{}
	for _, row := range ruleRows {
		tried[row.rule] = true
	}
	for _, row := range apartRows {
		tried[row.rule] = true
	}
	for rule := eventauth.CreateHasPrevEvents; rule <= eventauth.RedactionForbidden; rule++ {
		if !tried[rule] {
			t.Errorf("no test for %q", rule)
		}
		if numbers[rule] == "" {
			t.Errorf("no number in any version for %q", rule)
		}
		for rules := range roomver.Known() {
			if got, want := rule.Number(rules), specNumber(rule, rules); got != want {
				t.Errorf("%q in version %s: got number %q, want %q", rule, rules.Version, got, want)
			}
		}
	}
}
