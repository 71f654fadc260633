package eventauth_test

import (
	"fmt"
	"testing"

	"parley/internal/roomtest"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

const (
	actor  = id.UserID("@actor:s.test")
	target = id.UserID("@target:t.test")
)

// between is a room in which the actor and the target have the levels given and
// the actor the membership. Kicking takes 50, banning 60 and inviting 30.
func between(t *testing.T, rules *roomver.Rules, actorLevel int, actorIs string, targetLevel int) *roomtest.Branch {
	t.Helper()
	main := roomtest.New(t, rules.Version).Create(alice, nil)
	main.Send(roomtest.Join(alice), levels(main, fmt.Sprintf(`{"kick":50,"ban":60,"invite":30,"users":{%q:%d,%q:%d}}`,
		actor, actorLevel, target, targetLevel)))
	setMembership(main, actor, actorIs)
	return main
}

// wantAll tries a change of membership in a room of each version with each
// membership of the target; want has a letter for each of memberships.
func wantAll(t *testing.T, room func(rules *roomver.Rules) *roomtest.Branch, spec roomtest.Spec,
	verdicts map[byte]eventauth.Rule, want func(*roomver.Rules) string) {
	t.Helper()
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		main := room(rules)
		for i, targetIs := range memberships {
			t.Run("of "+targetIs, func(t *testing.T) {
				b := main.Fork()
				setMembership(b, target, targetIs)
				wantVerdict(t, rules, judge(b, spec), verdicts[want(rules)[i]])
			})
		}
	})
}

func TestOwnLeave(t *testing.T) {
	verdicts := map[byte]eventauth.Rule{'.': 0, 'N': eventauth.LeaveNotIn}
	room := func(rules *roomver.Rules) *roomtest.Branch { return between(t, rules, 0, "", 0) }
	wantAll(t, room, roomtest.Leave(target), verdicts, func(rules *roomver.Rules) string {
		if rules.Knock {
			return "N..NN."
		}
		return "N..NNN"
	})
}

func TestKickBanInvite(t *testing.T) {
	verdicts := map[byte]eventauth.Rule{
		'.': 0,
		'J': eventauth.KickerNotJoined, 'U': eventauth.UnbanLevel, 'K': eventauth.KickLevel,
		'j': eventauth.BannerNotJoined, 'b': eventauth.BanLevel,
		'i': eventauth.InviterNotJoined, 'X': eventauth.InviteeJoinedOrBanned, 'L': eventauth.InviteLevel,
	}
	for _, row := range []struct {
		name        string
		spec        roomtest.Spec
		actorLevel  int
		actorIs     string
		targetLevel int
		// want has a verdict per membership of the target: none, join,
		// invite, leave, ban, knock.
		want string
	}{
		{"kick with ban level", roomtest.Kick(actor, target), 60, event.MembershipJoin, 0, "......"},
		{"kick with kick level does not unban", roomtest.Kick(actor, target), 50, event.MembershipJoin, 0, "....U."},
		{"kick just below ban level does not unban", roomtest.Kick(actor, target), 59, event.MembershipJoin, 0, "....U."},
		{"kick just below kick level", roomtest.Kick(actor, target), 49, event.MembershipJoin, 0, "KKKKUK"},
		{"kick of an equal", roomtest.Kick(actor, target), 60, event.MembershipJoin, 60, "KKKKKK"},
		{"kick of a superior", roomtest.Kick(actor, target), 60, event.MembershipJoin, 61, "KKKKKK"},
		{"kick of one just below", roomtest.Kick(actor, target), 60, event.MembershipJoin, 59, "......"},
		{"kick by an invited user", roomtest.Kick(actor, target), 100, event.MembershipInvite, 0, "JJJJJJ"},
		{"kick by a user who left", roomtest.Kick(actor, target), 100, event.MembershipLeave, 0, "JJJJJJ"},
		{"kick by a banned user", roomtest.Kick(actor, target), 100, event.MembershipBan, 0, "JJJJJJ"},
		{"kick by a knocking user", roomtest.Kick(actor, target), 100, event.MembershipKnock, 0, "JJJJJJ"},
		{"kick by a stranger", roomtest.Kick(actor, target), 100, "", 0, "JJJJJJ"},

		{"ban with ban level", roomtest.Ban(actor, target), 60, event.MembershipJoin, 0, "......"},
		{"ban just below ban level", roomtest.Ban(actor, target), 59, event.MembershipJoin, 0, "bbbbbb"},
		{"ban of an equal", roomtest.Ban(actor, target), 60, event.MembershipJoin, 60, "bbbbbb"},
		{"ban of a superior", roomtest.Ban(actor, target), 60, event.MembershipJoin, 61, "bbbbbb"},
		{"ban of one just below", roomtest.Ban(actor, target), 60, event.MembershipJoin, 59, "......"},
		{"ban by a user who left", roomtest.Ban(actor, target), 100, event.MembershipLeave, 0, "jjjjjj"},
		{"ban by a stranger", roomtest.Ban(actor, target), 100, "", 0, "jjjjjj"},

		{"invite with invite level", roomtest.Invite(actor, target), 30, event.MembershipJoin, 0, ".X..X."},
		{"invite of a superior", roomtest.Invite(actor, target), 30, event.MembershipJoin, 100, ".X..X."},
		{"invite just below invite level", roomtest.Invite(actor, target), 29, event.MembershipJoin, 0, "LXLLXL"},
		{"invite by an invited user", roomtest.Invite(actor, target), 100, event.MembershipInvite, 0, "iiiiii"},
		{"invite by a user who left", roomtest.Invite(actor, target), 100, event.MembershipLeave, 0, "iiiiii"},
		{"invite by a stranger", roomtest.Invite(actor, target), 100, "", 0, "iiiiii"},
	} {
		t.Run(row.name, func(t *testing.T) {
			room := func(rules *roomver.Rules) *roomtest.Branch {
				return between(t, rules, row.actorLevel, row.actorIs, row.targetLevel)
			}
			wantAll(t, room, row.spec, verdicts, func(*roomver.Rules) string { return row.want })
		})
	}
}

func TestOnOneself(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		main := between(t, rules, 90, event.MembershipJoin, 0)
		wantVerdict(t, rules, judge(main, roomtest.Ban(actor, actor)), eventauth.BanLevel)
		wantVerdict(t, rules, judge(main, roomtest.Invite(actor, actor)), eventauth.InviteeJoinedOrBanned)
	})
}

// Without power levels the creator has level 100 or stands above all, all
// others have 0, kicks and bans take 50 and invites 0.
func TestMembershipWithoutPowerLevels(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		main := roomtest.New(t, rules.Version).Create(alice, nil)
		main.Send(roomtest.Join(alice), roomtest.JoinRules(alice, "public"), roomtest.Join(bob), roomtest.Join(carol))
		wantVerdict(t, rules, judge(main, roomtest.Kick(alice, bob)), 0)
		wantVerdict(t, rules, judge(main, roomtest.Ban(alice, bob)), 0)
		wantVerdict(t, rules, judge(main, roomtest.Invite(bob, dave)), 0)
		wantVerdict(t, rules, judge(main, roomtest.Kick(bob, carol)), eventauth.KickLevel)
		wantVerdict(t, rules, judge(main, roomtest.Ban(bob, carol)), eventauth.BanLevel)
		wantVerdict(t, rules, judge(main, roomtest.Ban(bob, alice)), eventauth.BanLevel)
	})
}

func TestKnock(t *testing.T) {
	verdicts := map[byte]eventauth.Rule{
		'.': 0, 'A': eventauth.KnockAlreadyIn, 'R': eventauth.KnockRule, 'M': eventauth.MembershipUnknown}
	for _, row := range []struct {
		name, rule string
		want       string // from version 10 on; per membership: none, join, invite, leave, ban, knock
		before10   string
	}{
		{"knock", `{"join_rule":"knock"}`, ".AA.A.", ".AA.A."},
		{"knock_restricted", `{"join_rule":"knock_restricted"}`, ".AA.A.", "RRRRRR"},
		{"restricted", `{"join_rule":"restricted"}`, "RRRRRR", "RRRRRR"},
		{"public", `{"join_rule":"public"}`, "RRRRRR", "RRRRRR"},
		{"invite", `{"join_rule":"invite"}`, "RRRRRR", "RRRRRR"},
		{"unknown", `{"join_rule":"doorbell"}`, "RRRRRR", "RRRRRR"},
		{"not a string", `{"join_rule":["knock"]}`, "RRRRRR", "RRRRRR"},
		{"none", ``, "RRRRRR", "RRRRRR"},
	} {
		t.Run(row.name, func(t *testing.T) {
			room := func(rules *roomver.Rules) *roomtest.Branch { return ruled(t, rules, row.rule) }
			wantAll(t, room, roomtest.Knock(target), verdicts, func(rules *roomver.Rules) string {
				switch {
				case specNumber(eventauth.KnockRule, rules) == "":
					return "MMMMMM"
				case specNumber(eventauth.LevelsNotIntegers, rules) == "":
					return row.before10
				}
				return row.want
			})
		})
	}
}

func TestCreatorsAboveAllLevels(t *testing.T) {
	const second = id.UserID("@second:s.test")
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		if !rules.PrivilegedCreators {
			return
		}
		main := sceneOf(t, rules, `{"additional_creators":["@second:s.test"]}`)
		main.Send(roomtest.Join(second),
			levels(main, `{"users":{"@bob:b.test":9007199254740991},"ban":9007199254740991,"events":{"m.room.topic":9007199254740991}}`))
		for _, row := range []struct {
			name string
			spec roomtest.Spec
			want eventauth.Rule
		}{
			{"the sender of the create event bans the highest level", roomtest.Ban(alice, bob), 0},
			{"an additional creator bans the highest level", roomtest.Ban(second, bob), 0},
			{"the highest level does not ban a creator", roomtest.Ban(bob, alice), eventauth.BanLevel},
			{"the highest level does not kick an additional creator", roomtest.Kick(bob, second), eventauth.KickLevel},
			{"a creator does not ban another", roomtest.Ban(alice, second), eventauth.BanLevel},
			{"a creator does not kick another", roomtest.Kick(second, alice), eventauth.KickLevel},
			{"a creator does not ban themself", roomtest.Ban(alice, alice), eventauth.BanLevel},
			{"a creator meets the highest requirement", roomtest.Topic(second, "tea"), 0},
			{"a creator takes the highest level away", levelsBy(main, second, `{}`), 0},
			{"the highest level steps down", levelsBy(main, bob, `{"users":{"@bob:b.test":0}}`), 0},
		} {
			t.Run(row.name, func(t *testing.T) { wantVerdict(t, rules, judge(main, row.spec), row.want) })
		}
	})
}

// Before creators had privileges, additional_creators meant nothing and the
// creator's level was whatever the power levels said.
func TestCreatorsWithoutPrivileges(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		if rules.PrivilegedCreators {
			return
		}
		main := sceneOf(t, rules, `{"additional_creators":["@bob:b.test"]}`)
		wantVerdict(t, rules, judge(main, roomtest.Topic(bob, "tea")), eventauth.RequiredLevel)
		main.Send(roomtest.PowerLevels(alice, `{"users":{"@mod:m.test":1}}`))
		wantVerdict(t, rules, judge(main, roomtest.Topic(alice, "tea")), eventauth.RequiredLevel)
		main.Send(roomtest.PowerLevels(alice, `{"kick":1,"users":{"@mod:m.test":1}}`))
		wantVerdict(t, rules, judge(main, roomtest.Kick(mod, alice)), 0)
	})
}
