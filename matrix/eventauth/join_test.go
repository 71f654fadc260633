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

// memberships are the columns of the matrices below; the first is of a user who
// never was in the room.
var memberships = [...]string{"", event.MembershipJoin, event.MembershipInvite, event.MembershipLeave, event.MembershipBan, event.MembershipKnock}

// setMembership puts a user into the state as if somebody had been allowed to.
func setMembership(b *roomtest.Branch, user id.UserID, membership string) {
	if membership != "" {
		b.Send(roomtest.Member(user, user, membership))
	}
}

const admitsNobody = "FFFFBF"

func TestJoinRules(t *testing.T) {
	verdicts := map[byte]eventauth.Rule{
		'.': 0, 'B': eventauth.JoinBanned, 'F': eventauth.JoinRuleForbids, 'U': eventauth.JoinUnauthorised}
	always := func(*roomver.Rules) bool { return true }
	for _, row := range []struct {
		name   string
		rule   string // content of m.room.join_rules, "" for no such event
		exists func(*roomver.Rules) bool
		// want has a verdict per current membership: none, join, invite,
		// leave, ban, knock. Where the rule does not exist it admits nobody.
		want string
	}{
		{"public", `{"join_rule":"public"}`, always, "....B."},
		{"invite", `{"join_rule":"invite"}`, always, "F..FBF"},
		{"private", `{"join_rule":"private"}`, always, admitsNobody},
		{"knock", `{"join_rule":"knock"}`, func(r *roomver.Rules) bool { return r.Knock }, "F..FBF"},
		{"restricted", `{"join_rule":"restricted"}`, func(r *roomver.Rules) bool { return r.Restricted }, "U..UBU"},
		{"knock_restricted", `{"join_rule":"knock_restricted"}`, func(r *roomver.Rules) bool { return r.KnockRestricted }, "U..UBU"},
		{"unknown", `{"join_rule":"org.example.lottery"}`, always, admitsNobody},
		{"other case", `{"join_rule":"Public"}`, always, admitsNobody},
		{"no event is invite", ``, always, "F..FBF"},
		{"no property is invite", `{}`, always, "F..FBF"},
		{"not a string", `{"join_rule":["public"]}`, always, admitsNobody},
		{"null", `{"join_rule":null}`, always, admitsNobody},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
				main := ruled(t, rules, row.rule)
				want := row.want
				if !row.exists(rules) {
					want = admitsNobody
				}
				for i, membership := range memberships {
					t.Run("of "+membership, func(t *testing.T) {
						b := main.Fork()
						setMembership(b, carol, membership)
						wantVerdict(t, rules, judge(b, roomtest.Join(carol)), verdicts[want[i]])
					})
				}
			})
		})
	}
}

// ruled is a room of alice with a join rule and the scene's power levels.
func ruled(t *testing.T, rules *roomver.Rules, joinRules string) *roomtest.Branch {
	t.Helper()
	main := roomtest.New(t, rules.Version).Create(alice, nil)
	main.Send(roomtest.Join(alice), levels(main, `{}`))
	if joinRules != "" {
		main.Send(roomtest.State(alice, event.TypeJoinRules, "", joinRules))
	}
	return main
}

// TestVersionsWithJoinRules makes sure that the tests of this package, which
// leave out versions without a feature, leave out the right ones: those whose
// rules do not speak of it.
func TestVersionsWithJoinRules(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		if got, want := rules.Knock, specNumber(eventauth.KnockRule, rules) != ""; got != want {
			t.Errorf("knocking: got %v, want %v", got, want)
		}
		if got, want := rules.Restricted, specNumber(eventauth.JoinUnauthorised, rules) != ""; got != want {
			t.Errorf("restricted joins: got %v, want %v", got, want)
		}
		if got, want := rules.KnockRestricted, specNumber(eventauth.LevelsNotIntegers, rules) != ""; got != want {
			t.Errorf("knock_restricted: got %v, want %v", got, want)
		}
	})
}

func TestFirstJoin(t *testing.T) {
	const second = id.UserID("@second:s.test")
	create := `{"additional_creators":["@second:s.test"]}`
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		for _, row := range []struct {
			name  string
			judge func(main *roomtest.Branch) error
			want  eventauth.Rule
		}{
			{"the creator right after the create event", func(main *roomtest.Branch) error {
				return judge(main, roomtest.Join(alice))
			}, 0},
			{"the creator after the create event and a message", func(main *roomtest.Branch) error {
				main.Send(roomtest.Message(alice, "early"))
				return judge(main, roomtest.Join(alice))
			}, eventauth.JoinRuleForbids},
			{"the creator after the create event and another", func(main *roomtest.Branch) error {
				create := main.Heads()
				s := roomtest.Join(alice)
				s.Prev = append(create, main.Send(roomtest.Message(alice, "early")))
				return judge(main, s)
			}, eventauth.JoinRuleForbids},
			{"the creator after nothing", func(main *roomtest.Branch) error {
				s := roomtest.Join(alice)
				s.Prev = []*event.Event{}
				return judge(main, s)
			}, eventauth.JoinRuleForbids},
			{"another user", func(main *roomtest.Branch) error {
				return judge(main, roomtest.Join(bob))
			}, eventauth.JoinRuleForbids},
			{"another creator", func(main *roomtest.Branch) error {
				return judge(main, roomtest.Join(second))
			}, eventauth.JoinRuleForbids},
			{"the creator by another", func(main *roomtest.Branch) error {
				return judge(main, roomtest.Member(bob, alice, event.MembershipJoin))
			}, 0}, // the rule does not look at the sender
			{"another by the creator", func(main *roomtest.Branch) error {
				return judge(main, roomtest.Member(alice, bob, event.MembershipJoin))
			}, eventauth.JoinOther},
		} {
			t.Run(row.name, func(t *testing.T) {
				main := roomtest.New(t, rules.Version).Create(alice, create)
				wantVerdict(t, rules, row.judge(main), row.want)
			})
		}
	})
}

func TestFirstJoinWhenContentNamesAnotherCreator(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		main := roomtest.New(t, rules.Version).Create(alice, `{"creator":"@bob:b.test"}`)
		first, second := alice, bob
		if rules.CreatorInContent {
			first, second = bob, alice
		}
		wantVerdict(t, rules, judge(main, roomtest.Join(first)), 0)
		wantVerdict(t, rules, judge(main, roomtest.Join(second)), eventauth.JoinRuleForbids)
	})
}

// TestNobodyIsTheCreatorThatContentDoesNotName: a creator that is no string is
// not the empty one either.
func TestNobodyIsTheCreatorThatContentDoesNotName(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		if !rules.CreatorInContent {
			return
		}
		main := roomtest.New(t, rules.Version).Create(alice, `{"creator":7}`)
		join := roomtest.Member(bob, "", "join")
		wantVerdict(t, rules, judge(main, join), eventauth.JoinOther)
		for user := range eventauth.Creators(main.Room().CreateEvent()) {
			t.Errorf("%q is a creator", user)
		}
	})
}

func TestRestrictedJoin(t *testing.T) {
	via := func(authoriser string) roomtest.Spec {
		s := roomtest.Join(carol)
		s.Content = canonjson.Value(`{"membership":"join"}`).With("join_authorised_via_users_server", canonical(authoriser))
		if user, err := id.ParseUserID(canonical(authoriser).String()); err == nil {
			s.Signers = []id.ServerName{user.Server()}
		}
		return s
	}
	for _, row := range []struct {
		name   string
		before func(*roomtest.Branch)
		join   roomtest.Spec
		want   eventauth.Rule
	}{
		{"the authorising user may invite", nil, via(`"@bob:b.test"`), 0},
		{"a moderator authorises at the invite level", func(b *roomtest.Branch) { b.Send(levels(b, `{"invite":50}`)) }, via(`"@mod:m.test"`), 0},
		{"the creator authorises", func(b *roomtest.Branch) { b.Send(levels(b, `{"invite":100}`)) }, via(`"@alice:a.test"`), 0},
		{"the authorising user is below the invite level", func(b *roomtest.Branch) { b.Send(levels(b, `{"invite":51}`)) }, via(`"@mod:m.test"`), eventauth.JoinUnauthorised},
		{"the authorising user has left", func(b *roomtest.Branch) { b.Send(roomtest.Leave(bob)) }, via(`"@bob:b.test"`), eventauth.JoinUnauthorised},
		{"the authorising user is only invited", func(b *roomtest.Branch) { b.Send(roomtest.Invite(alice, dave)) }, via(`"@dave:d.test"`), eventauth.JoinUnauthorised},
		{"the authorising user never was there", nil, via(`"@dave:d.test"`), eventauth.JoinUnauthorised},
		{"the joining user names themself", nil, via(`"@carol:c.test"`), eventauth.JoinUnauthorised},
		{"no authorising user", nil, roomtest.Join(carol), eventauth.JoinUnauthorised},
		{"an invited user needs no authorisation", func(b *roomtest.Branch) { b.Send(roomtest.Invite(alice, carol)) }, roomtest.Join(carol), 0},
		{"a joined user needs no authorisation", func(b *roomtest.Branch) { b.Send(roomtest.JoinVia(carol, bob)) }, roomtest.Join(carol), 0},
		{"a banned user is not let in by authorisation", func(b *roomtest.Branch) { b.Send(roomtest.Ban(alice, carol)) }, via(`"@bob:b.test"`), eventauth.JoinBanned},
		{"a signature is needed even without need for authorisation", func(b *roomtest.Branch) { b.Send(roomtest.Invite(alice, carol)) },
			unsigned(via(`"@bob:b.test"`)), eventauth.MemberNotSignedByAuthoriser},
		{"the authorising user is not a user ID", nil, via(`"bob"`), eventauth.MemberNotSignedByAuthoriser},
		{"the authorising user is not a string", nil, via(`["@bob:b.test"]`), eventauth.MemberNotSignedByAuthoriser},
		{"the authorising user is null", nil, via(`null`), eventauth.MemberNotSignedByAuthoriser},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
				for _, rule := range []string{"restricted", "knock_restricted"} {
					if !rules.Restricted || rule == "knock_restricted" && !rules.KnockRestricted {
						continue
					}
					main := scene(t, rules)
					main.Send(roomtest.JoinRules(alice, rule))
					if row.before != nil {
						row.before(main)
					}
					wantVerdict(t, rules, judge(main, row.join), row.want)
				}
			})
		})
	}
}

// Check alone, as state resolution asks it, does not look at signatures, but
// refuses an authorising user who is none.
func TestRestrictedJoinWithMalformedAuthoriserInCheck(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		if !rules.Restricted {
			return
		}
		main := scene(t, rules)
		main.Send(roomtest.JoinRules(alice, "restricted"))
		for _, authoriser := range []string{`"bob"`, `""`, `7`, `null`} {
			s := roomtest.Join(carol)
			s.Content = `{"membership":"join","join_authorised_via_users_server":` + authoriser + `}`
			wantVerdict(t, rules, eventauth.Check(main.Build(s), main), eventauth.JoinUnauthorised)
		}
		wantVerdict(t, rules, eventauth.Check(main.Build(unsigned(roomtest.JoinVia(carol, bob))), main), 0)
	})
}

// The key means something in any membership where it exists, and nothing in
// rooms without restricted joins.
func TestAuthoriserOutsideOfJoins(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		main := scene(t, rules)
		s := roomtest.Leave(bob)
		s.Content = `{"membership":"leave","join_authorised_via_users_server":"@alice:a.test"}`
		want := eventauth.MemberNotSignedByAuthoriser
		if !rules.Restricted {
			want = 0
		}
		wantVerdict(t, rules, judge(main, s), want)
		s.Signers = []id.ServerName{"a.test"}
		wantVerdict(t, rules, judge(main, s), 0)
		s = roomtest.Message(bob, "hi")
		s.Content = `{"join_authorised_via_users_server":"@alice:a.test"}`
		wantVerdict(t, rules, judge(main, s), 0)
	})
}
