package fedtest

import (
	"fmt"
	"strings"
	"testing"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

// deeds are what can be done to the membership of bob, who is on another server
// than alice, and what he is afterwards.
var deeds = map[string]struct {
	do   func(c *couple)
	then string
}{
	"invited":  {func(c *couple) { c.byAlice("invite") }, "invite"},
	"joins":    {func(c *couple) { c.join(c.bob, c.room, "a.test") }, "join"},
	"knocks":   {func(c *couple) { c.bob.Must("POST", path("knock", c.room)+"?via=a.test", `{}`) }, "knock"},
	"leaves":   {func(c *couple) { c.bob.Must("POST", path("rooms", c.room, "leave"), `{}`) }, "leave"},
	"kicked":   {func(c *couple) { c.byAlice("kick") }, "leave"},
	"banned":   {func(c *couple) { c.byAlice("ban") }, "ban"},
	"unbanned": {func(c *couple) { c.byAlice("unban") }, "leave"},
	"renamed": {func(c *couple) {
		c.set(c.bob, c.room, "m.room.member", string(c.bob.ID), `{"membership":"join","displayname":"Bobby"}`)
	}, "join"},
	"refused join":  {func(c *couple) { c.refused("join") }, ""},
	"refused knock": {func(c *couple) { c.refused("knock") }, ""},
}

// couple is alice and bob, a room of alice's, and dave, who is on bob's server and in
// the room, unless that server is not.
type couple struct {
	*stage
	alice, bob, dave *hstest.User
	room             string
}

func (c *couple) byAlice(what string) {
	c.Helper()
	c.alice.Must("POST", path("rooms", c.room, what), map[string]string{"user_id": string(c.bob.ID)})
}

func (c *couple) refused(what string) {
	c.Helper()
	if status, answer := c.bob.Do("POST", path(what, c.room)+"?via=a.test", `{}`); status != 403 {
		c.Errorf("bob may %s: %d %s", what, status, answer)
	}
}

// member returns what somebody sees that bob is.
func (c *couple) member(as *hstest.User) string {
	c.Helper()
	status, body := as.Do("GET", path("rooms", c.room, "state", "m.room.member", string(c.bob.ID)), nil)
	if status != 200 {
		return ""
	}
	return text(canonjson.Value(body), "membership")
}

// check fails unless everybody agrees on what bob is.
func (c *couple) check(after, want string) {
	c.Helper()
	if got := c.member(c.alice); got != want {
		c.Errorf("after %s: for alice bob is %q, want %q", after, got, want)
	}
	if c.dave != nil {
		c.agree(c.room, c.alice, c.dave)
	}
	rooms := c.sync(c.bob).Get("rooms")
	for _, section := range []string{"join", "invite", "knock"} {
		if has := rooms.Get(section).Get(c.room) != nil; has != (section == want) {
			c.Errorf("after %s: bob's sync has the room in %q: %t, want him to be %q", after, section, has, want)
		}
	}
	if want == "join" {
		c.agree(c.room, c.alice, c.bob)
	}
}

func TestMembershipsBetweenServers(t *testing.T) {
	const public, private, knock = "public", "invite", "knock"
	for _, path := range []struct{ rule, deeds string }{
		{private, "refused join, invited, joins, renamed, leaves, invited, leaves, invited, kicked, refused join"},
		{private, "invited, banned, refused join, unbanned, invited, joins, kicked, invited, joins, banned, unbanned"},
		{public, "joins, leaves, joins, kicked, joins, banned, refused join, unbanned, joins, leaves, banned, unbanned"},
		{public, "banned, refused join, unbanned, invited, joins, leaves, banned"},
		{knock, "refused join, knocks, leaves, knocks, kicked, knocks, banned, refused knock, unbanned, knocks, invited, joins"},
		{knock, "knocks, invited, leaves, knocks, invited, kicked, invited, banned, unbanned, knocks"},
	} {
		for _, version := range []string{"1", "7", "10", "12"} {
			if path.rule == knock && version == "1" {
				continue
			}
			for _, inside := range []bool{false, true} {
				t.Run(fmt.Sprintf("version %s, %s, with others of the server there %t: %s", version, path.rule, inside, path.deeds), func(t *testing.T) {
					scene(t, func(s *stage) { playMemberships(s, version, path.rule, path.deeds, inside) })
				})
			}
		}
	}
}

func playMemberships(s *stage, version, rule, list string, inside bool) {
	b := s.Server("b.test")
	c := &couple{stage: s, alice: s.Server("a.test").Register("alice"), bob: b.Register("bob")}
	c.room = s.room(c.alice, fmt.Sprintf(
		`{"preset":"private_chat","room_version":%q,"initial_state":[{"type":"m.room.join_rules","content":{"join_rule":%q}}]}`, version, rule))
	if inside {
		c.dave = b.Register("dave")
		c.alice.Must("POST", path("rooms", c.room, "invite"), map[string]string{"user_id": string(c.dave.ID)})
		s.settle()
		s.join(c.dave, c.room)
		s.settle()
	}
	is := ""
	for _, name := range strings.Split(list, ", ") {
		d := deeds[name]
		d.do(c)
		s.settle()
		if d.then != "" {
			is = d.then
		}
		c.check(name, is)
	}
}

// A declined invite, a knock, and one that is taken back are told to the servers that
// did not help with it.
func TestThirdServersLearnOfWhoIsNotInTheRoom(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob, carol := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob"), s.Server("c.test").Register("carol")
		room := s.room(alice, `{"preset":"private_chat","initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"knock"}}]}`)
		alice.Must("POST", path("rooms", room, "invite"), map[string]string{"user_id": string(carol.ID)})
		s.settle()
		s.join(carol, room)
		s.settle()
		c := &couple{stage: s, alice: alice, bob: bob, dave: carol, room: room}
		for _, name := range []string{"knocks", "leaves", "invited", "leaves", "knocks", "invited", "joins"} {
			deeds[name].do(c)
			s.settle()
			if got := c.member(carol); got != deeds[name].then {
				t.Errorf("after %s: for carol bob is %q", name, got)
			}
			s.agree(room, alice, carol)
		}
	})
}

// restricted makes a room on a.test whose members may join another, which has
// carol of c.test in it, too.
func restricted(s *stage, version, rule string, alice, carol *hstest.User) (club, room string) {
	club = s.room(alice, `{"preset":"public_chat"}`)
	room = s.room(alice, fmt.Sprintf(
		`{"preset":"private_chat","room_version":%q,"initial_state":[{"type":"m.room.join_rules","content":{"join_rule":%q,"allow":[{"type":"m.room_membership","room_id":%q}]}}]}`,
		version, rule, club))
	if carol != nil {
		alice.Must("POST", path("rooms", room, "invite"), map[string]string{"user_id": string(carol.ID)})
		s.settle()
		s.join(carol, room)
		s.settle()
	}
	return club, room
}

func TestMembersOfAnotherRoomMayJoin(t *testing.T) {
	for _, v := range []struct{ version, rule string }{{"8", "restricted"}, {"9", "restricted"}, {"10", "knock_restricted"}, {"12", "restricted"}} {
		t.Run(v.version+" "+v.rule, func(t *testing.T) {
			scene(t, func(s *stage) {
				b := s.Server("b.test")
				alice, bob, dave := s.Server("a.test").Register("alice"), b.Register("bob"), b.Register("dave")
				club, room := restricted(s, v.version, v.rule, alice, nil)
				if status, answer := bob.Do("POST", path("join", room)+"?via=a.test", `{}`); status != 403 {
					t.Errorf("bob, who is not in the club, gets %d %s", status, answer)
				}
				s.join(bob, club, "a.test")
				s.settle()
				s.join(bob, room, "a.test")
				s.settle()
				s.agree(room, alice, bob)
				// Nobody of b.test may invite: a.test has to help though b.test is in the room.
				if status, answer := dave.Do("POST", path("join", room), `{}`); status != 403 {
					t.Errorf("dave, who is not in the club, gets %d %s", status, answer)
				}
				s.join(dave, club, "a.test")
				s.settle()
				s.join(dave, room)
				s.settle()
				s.agree(room, alice, bob, dave)
				hello := s.say(dave, room, "hello")
				s.settle()
				s.hears(alice, room, hello, "hello")
			})
		})
	}
}

func TestAServerThatCannotDecideSendsOneToTheNext(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob, carol := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob"), s.Server("c.test").Register("carol")
		club, room := restricted(s, "10", "restricted", alice, carol)
		s.join(bob, club, "a.test")
		s.settle()
		// c.test does not know the club.
		s.join(bob, room, "c.test", "a.test")
		s.settle()
		s.agree(room, alice, bob, carol)
	})
}

func TestWhereNobodyCanDecideTheJoinFails(t *testing.T) {
	scene(t, func(s *stage) {
		a, c := s.Server("a.test"), s.Server("c.test")
		alice, carol, erin := a.Register("alice"), c.Register("carol"), c.Register("erin")
		_, room := restricted(s, "10", "restricted", alice, carol)
		a.Stop()
		if status, answer := erin.Do("POST", path("join", room), `{}`); status == 200 || status >= 500 {
			t.Errorf("erin gets %d %s", status, answer)
		}
		a.Start()
	})
}
