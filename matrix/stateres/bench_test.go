package stateres

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/roomver"
)

// crowd builds a room with many members, whose state splits in two. Events are
// neither hashed nor signed: resolution looks at neither.
type crowd struct {
	tb    testing.TB
	rules *roomver.Rules
	ts    int
	all   []*event.Event
}

type side struct {
	*crowd
	state eventauth.MapState
}

func (s side) fork() side { return side{s.crowd, maps.Clone(s.state)} }

func (s side) send(sender, eventType, stateKey, content string) {
	s.tb.Helper()
	s.ts++
	var prev, auth []string
	room := `"room_id":"!room:a.test",`
	if len(s.all) > 0 {
		prev = append(prev, fmt.Sprintf("%q", s.all[0].ID()))
		room = fmt.Sprintf(`"room_id":%q,`, s.all[0].RoomID())
	} else if s.rules.RoomIDFromCreate {
		room = ""
	}
	raw := func() []byte {
		return fmt.Appendf(nil, `{"auth_events":[%s],"content":%s,"depth":%d,"hashes":{},"origin_server_ts":%d,"prev_events":[%s],%s"sender":%q,"signatures":{},"state_key":%q,"type":%q}`,
			strings.Join(auth, ","), content, s.ts, s.ts, strings.Join(prev, ","), room, sender, stateKey, eventType)
	}
	draft, err := event.Parse(raw(), s.rules)
	if err != nil {
		s.tb.Fatal(err)
	}
	for _, t := range eventauth.Selection(draft) {
		if e := s.state[t]; e != nil {
			auth = append(auth, fmt.Sprintf("%q", e.ID()))
		}
	}
	e, err := event.Parse(raw(), s.rules)
	if err != nil {
		s.tb.Fatal(err)
	}
	if err := eventauth.Check(e, s.state); err != nil {
		s.tb.Fatal(err)
	}
	t, _ := e.Tuple()
	s.state[t] = e
	s.all = append(s.all, e)
}

func (s side) nums(x *Index) map[event.Tuple]Num {
	nums := make(map[event.Tuple]Num, len(s.state))
	for t, e := range s.state {
		nums[t] = x.Num(e.ID())
	}
	return nums
}

func user(i int) string { return fmt.Sprintf("@user%d:s%d.test", i, i%97) }

// newCrowd returns a room of the given number of members on both sides of a
// split. On the left the admin changes power levels, bans and kicks; on the
// right a moderator, who is one of those demoted, does the same to others, and
// members leave, come back, rename themselves and set topics.
func newCrowd(tb testing.TB, version roomver.Version, members, changes int) (x *Index, left, right side) {
	rules, _ := roomver.Lookup(version)
	const admin, mod = "@admin:a.test", "@mod:b.test"
	common := side{&crowd{tb: tb, rules: rules}, eventauth.MapState{}}
	common.send(admin, event.TypeCreate, "", fmt.Sprintf(`{"creator":%q,"room_version":%q}`, admin, version))
	common.send(admin, event.TypeMember, admin, `{"membership":"join"}`)
	levels := func(modLevel int) string {
		if rules.PrivilegedCreators {
			return fmt.Sprintf(`{"users":{%q:%d}}`, mod, modLevel)
		}
		return fmt.Sprintf(`{"users":{%q:100,%q:%d}}`, admin, mod, modLevel)
	}
	common.send(admin, event.TypePowerLevels, "", levels(50))
	common.send(admin, event.TypeJoinRules, "", `{"join_rule":"public"}`)
	common.send(mod, event.TypeMember, mod, `{"membership":"join"}`)
	for i := range members {
		common.send(user(i), event.TypeMember, user(i), `{"membership":"join"}`)
	}
	left, right = common.fork(), common.fork()
	for i := range changes {
		switch i % 4 {
		case 0:
			left.send(admin, event.TypePowerLevels, "", levels(50-i%40))
		case 1, 2:
			left.send(admin, event.TypeMember, user(i), `{"membership":"ban"}`)
		case 3:
			left.send(admin, event.TypeMember, user(i), `{"membership":"leave"}`)
		}
		j := members/2 + i
		switch i % 4 {
		case 0:
			right.send(mod, event.TypeMember, user(j), `{"membership":"ban"}`)
		case 1:
			right.send(user(j), event.TypeMember, user(j), `{"membership":"leave"}`)
			right.send(user(j), event.TypeMember, user(j), `{"membership":"join"}`)
		case 2:
			right.send(user(j), event.TypeMember, user(j), `{"displayname":"J","membership":"join"}`)
		case 3:
			right.send(mod, "m.room.topic", "", fmt.Sprintf(`{"topic":"%d"}`, i))
		}
	}
	x, err := NewIndex(common.all, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return x, left, right
}

// BenchmarkResolve resolves a split with 200 changes on each side, given as a
// conflict: what a server with a diff of two states at hand pays. Whole states
// are split first in the rows named maps.
func BenchmarkResolve(b *testing.B) {
	for _, version := range []roomver.Version{"10", "12"} {
		for _, members := range []int{1_000, 100_000} {
			x, left, right := newCrowd(b, version, members, 200)
			states := []map[event.Tuple]Num{left.nums(x), right.nums(x)}
			rules, _ := roomver.Lookup(version)
			_, conflict := Split(states)
			b.Run(fmt.Sprintf("v%s/members=%d", version, members), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Resolve(rules, conflict, x); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(fmt.Sprintf("v%s/members=%d/maps", version, members), func(b *testing.B) {
				for b.Loop() {
					if _, err := ResolveMaps(rules, states, x); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
