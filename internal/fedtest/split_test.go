package fedtest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/internal/hstest"
)

// split is a room with people on two servers that cannot reach each other: alice and
// dave of one, bob, carol and erin of the other, all but erin in the room. Alice and
// bob may do everything.
type split struct {
	*stage
	alice, bob, carol, dave, erin *hstest.User
	room, hello                   string // the last message before the cut, which is bob's
	version                       string
}

// creator is the levels of some users, and of alice where a creator needs one.
func (c *split) creator(others ...string) string {
	if c.version != "12" {
		others = append(others, `"@alice:a.test":100`)
	}
	return strings.Join(others, ",")
}

func (c *split) levels(u *hstest.User, users string) {
	c.Helper()
	c.set(u, c.room, "m.room.power_levels", "", `{"ban":50,"kick":50,"redact":50,"state_default":50,"users":{`+users+`}}`)
}

func (c *split) about(u *hstest.User, what string, target *hstest.User) {
	c.Helper()
	u.Must("POST", path("rooms", c.room, what), map[string]string{"user_id": string(target.ID)})
}

// apart are what both sides do while they do not hear each other, and what has to be so
// when they do again.
var apart = map[string]struct {
	by    func(c *split) // alice's side
	other func(c *split) // bob's side, a second later
	check func(c *split)
}{
	"both name the room": {
		func(c *split) { c.set(c.alice, c.room, "m.room.name", "", `{"name":"of alice"}`) },
		func(c *split) { c.set(c.bob, c.room, "m.room.name", "", `{"name":"of bob"}`) },
		func(c *split) {
			if got := c.alice.Must("GET", path("rooms", c.room, "state", "m.room.name", ""), nil); text(got, "name") != "of bob" {
				c.Errorf("the room is called %s, want what was set last", got)
			}
		},
	},
	"one sets the topic, the other the name": {
		func(c *split) { c.set(c.alice, c.room, "m.room.topic", "", `{"topic":"a topic"}`) },
		func(c *split) { c.set(c.bob, c.room, "m.room.name", "", `{"name":"a name"}`) },
		func(c *split) {
			topic := c.bob.Must("GET", path("rooms", c.room, "state", "m.room.topic", ""), nil)
			name := c.alice.Must("GET", path("rooms", c.room, "state", "m.room.name", ""), nil)
			if text(topic, "topic") != "a topic" || text(name, "name") != "a name" {
				c.Errorf("the room has %s and %s", topic, name)
			}
		},
	},
	"one takes the power of the other, who uses it": {
		func(c *split) { c.levels(c.alice, c.creator()) },
		func(c *split) { c.set(c.bob, c.room, "m.room.topic", "", `{"topic":"of bob, who has no power"}`) },
		func(c *split) {
			if status, got := c.alice.Do("GET", path("rooms", c.room, "state", "m.room.topic", ""), nil); status != 404 {
				c.Errorf("the topic is %s", got)
			}
		},
	},
	"both give power to others": {
		func(c *split) { c.levels(c.alice, c.creator(`"@bob:b.test":90`, `"@dave:a.test":50`)) },
		func(c *split) { c.levels(c.bob, c.creator(`"@bob:b.test":90`, `"@carol:b.test":50`)) },
		func(c *split) {},
	},
	"one bans who comes back on the other side": {
		func(c *split) { c.about(c.alice, "ban", c.erin) },
		func(c *split) { c.join(c.erin, c.room) },
		func(c *split) {
			got := c.bob.Must("GET", path("rooms", c.room, "state", "m.room.member", string(c.erin.ID)), nil)
			if text(got, "membership") != "ban" {
				c.Errorf("erin is %s", got)
			}
			if section(c.stage, c.erin, "join", c.room) {
				c.Error("erin is still in the room")
			}
		},
	},
	"one closes the room into which somebody comes": {
		func(c *split) { c.set(c.alice, c.room, "m.room.join_rules", "", `{"join_rule":"invite"}`) },
		func(c *split) { c.join(c.erin, c.room) },
		func(c *split) {
			if section(c.stage, c.erin, "join", c.room) {
				c.Error("erin is in the room")
			}
		},
	},
	"one is kicked by both": {
		func(c *split) { c.about(c.alice, "kick", c.carol) },
		func(c *split) { c.about(c.bob, "kick", c.carol) },
		func(c *split) {
			if section(c.stage, c.carol, "join", c.room) {
				c.Error("carol is in the room")
			}
		},
	},
	"one is kicked who leaves": {
		func(c *split) { c.about(c.alice, "kick", c.carol) },
		func(c *split) { c.carol.Must("POST", path("rooms", c.room, "leave"), `{}`) },
		func(c *split) {
			if section(c.stage, c.carol, "join", c.room) {
				c.Error("carol is in the room")
			}
		},
	},
	"each bans a friend of the other": {
		func(c *split) { c.about(c.alice, "ban", c.carol) },
		func(c *split) { c.about(c.bob, "ban", c.dave) },
		func(c *split) {
			for _, u := range []*hstest.User{c.carol, c.dave} {
				if section(c.stage, u, "join", c.room) {
					c.Errorf("%s is in the room", u.ID)
				}
			}
		},
	},
	"both redact the same": {
		func(c *split) { c.redact(c.alice) },
		func(c *split) { c.redact(c.bob) },
		func(c *split) { c.redacted() },
	},
	"one redacts what the other reacts to": {
		func(c *split) { c.redact(c.alice) },
		func(c *split) {
			c.bob.Must("PUT", path("rooms", c.room, "send", "m.reaction", "r"), fmt.Sprintf(`{"m.relates_to":{"rel_type":"m.annotation","event_id":%q,"key":"x"}}`, c.hello))
		},
		func(c *split) { c.redacted() },
	},
	"one leaves, and the other takes the power of all": {
		func(c *split) { c.dave.Must("POST", path("rooms", c.room, "leave"), `{}`) },
		func(c *split) { c.levels(c.bob, c.creator(`"@bob:b.test":90`)) },
		func(c *split) {},
	},
	// Their times alone could not tell in what order all that happened.
	"one has people leave and come back within a moment": {
		func(c *split) {
			c.alice.Must("PUT", path("profile", string(c.alice.ID), "displayname"), `{"displayname":"Alice"}`)
		},
		func(c *split) {
			for _, pair := range [][2]*hstest.User{{c.carol, c.bob}, {c.bob, c.carol}} {
				pair[0].Must("POST", path("rooms", c.room, "leave"), `{}`)
				c.about(pair[1], "invite", pair[0])
				c.join(pair[0], c.room)
			}
			c.levels(c.bob, c.creator(`"@bob:b.test":90`))
		},
		func(c *split) {
			for _, u := range []*hstest.User{c.bob, c.carol} {
				for _, says := range []*hstest.User{c.alice, c.bob} {
					if got := says.Must("GET", path("rooms", c.room, "state", "m.room.member", string(u.ID)), nil); text(got, "membership") != "join" {
						c.Errorf("to the server of %s, %s is %s", says.ID, u.ID, got)
					}
				}
			}
		},
	},
	"both keep servers out": {
		func(c *split) { c.set(c.alice, c.room, "m.room.server_acl", "", `{"allow":["*"],"deny":["x.test"]}`) },
		func(c *split) { c.set(c.bob, c.room, "m.room.server_acl", "", `{"allow":["*"],"deny":["y.test"]}`) },
		func(c *split) {},
	},
}

func (c *split) redact(by *hstest.User) {
	c.Helper()
	by.Must("PUT", path("rooms", c.room, "redact", c.hello, "redaction"), `{}`)
}

func (c *split) redacted() {
	c.Helper()
	for _, u := range []*hstest.User{c.alice, c.bob} {
		if got := u.Must("GET", path("rooms", c.room, "event", c.hello), nil); got.Get("content").Get("body") != nil {
			c.Errorf("%s still sees %s", u.ID, got)
		}
	}
}

func TestBothSidesOfACutAgreeAfterwards(t *testing.T) {
	for name, deed := range apart {
		for version, long := range map[string]time.Duration{"1": time.Minute, "6": 24 * time.Hour, "12": time.Minute} {
			t.Run(fmt.Sprintf("%s, version %s, for %s", name, version, long), func(t *testing.T) {
				scene(t, func(s *stage) {
					a, b := s.Server("a.test"), s.Server("b.test")
					c := &split{stage: s, alice: a.Register("alice"), dave: a.Register("dave"), bob: b.Register("bob"), carol: b.Register("carol"), erin: b.Register("erin"), version: version}
					c.room = s.room(c.alice, fmt.Sprintf(`{"preset":"public_chat","room_version":%q}`, version))
					for _, u := range []*hstest.User{c.bob, c.carol, c.dave} {
						s.join(u, c.room, "a.test")
					}
					s.settle()
					c.levels(c.alice, c.creator(`"@bob:b.test":90`, `"@carol:b.test":50`, `"@dave:a.test":50`))
					s.settle()
					c.hello = s.say(c.bob, c.room, "hello")
					s.settle()
					c.play(deed.by, deed.other, long)
					if version != "1" { // where the first and the deepest win, whatever they say
						deed.check(c)
					}
				})
			})
		}
	}
}

// play lets both sides do something while they do not hear each other for some time.
func (c *split) play(by, other func(c *split), long time.Duration) {
	c.Helper()
	for _, name := range []string{"a.test:8448", "b.test:8448"} {
		c.Net.Cut(name)
	}
	by(c)
	one := c.say(c.alice, c.room, "nobody hears me")
	time.Sleep(time.Second)
	other(c)
	two := c.say(c.bob, c.room, "me neither")
	time.Sleep(long)
	for _, name := range []string{"a.test:8448", "b.test:8448"} {
		c.Net.Mend(name)
	}
	time.Sleep(3 * time.Hour)
	c.agree(c.room, c.alice, c.bob)
	c.hears(c.bob, c.room, one, "nobody hears me")
	// Who has lost the right to speak meanwhile is not heard, by nobody of the others.
	if status, got := c.alice.Do("GET", path("rooms", c.room, "event", two), nil); status != 200 || text(got, "content", "body") != "me neither" {
		c.Errorf("alice hears %s", got)
	}
	c.say(c.alice, c.room, "together again")
	c.settle()
	c.agree(c.room, c.alice, c.bob)
}
