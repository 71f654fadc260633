package difftest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/matrix-org/gomatrixserverlib"

	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/stateres"
)

// roomSizes are numbers of members.
var roomSizes = []int{1_000, 100_000}

func memberName(i int) id.UserID {
	return id.UserID("@user" + strconv.Itoa(i) + ":s" + strconv.Itoa(i%200) + ".test")
}

// largeRoom makes a public room with members of 200 servers, of whom the first
// ten may change power levels.
func largeRoom(tb testing.TB, version roomver.Version, members int) (*forkedRoom, *place) {
	tb.Helper()
	rules, other := versionOf(version)
	r := &forkedRoom{
		rng:    rand.New(rand.NewPCG(1, uint64(members))),
		rules:  rules,
		other:  other,
		id:     "!room:a.test",
		byID:   make(map[id.EventID]*event.Event),
		pdus:   make(map[id.EventID]gomatrixserverlib.PDU),
		honest: true,
	}
	p := &place{state: make(stateMap)}
	must := func(e *event.Event) {
		if e == nil {
			tb.Fatal("an event of the room is not allowed")
		}
	}
	content := `{"room_version":` + quote(string(version)) + `}`
	if rules.CreatorInContent {
		content = `{"creator":` + quote(string(users[0])) + `,"room_version":` + quote(string(version)) + `}`
	}
	r.create = r.send(p, users[0], event.TypeCreate, "", content)
	must(r.create)
	r.id = r.create.RoomID()
	must(r.join(p, users[0]))
	var levels object
	if !rules.PrivilegedCreators {
		levels.set(string(users[0]), "100")
	}
	for i := range 10 {
		levels.set(string(memberName(i)), "100")
	}
	must(r.send(p, users[0], event.TypePowerLevels, "", `{"users":`+levels.String()+`}`))
	must(r.send(p, users[0], event.TypeJoinRules, "", `{"join_rule":"public"}`))
	for i := range members {
		must(r.join(p, memberName(i)))
	}
	return r, p
}

// forkApart sends the same mix of events on both sides: joins, profile
// changes, leaves, bans, topics and changes of power levels.
func forkApart(tb testing.TB, r *forkedRoom, trunk *place, members int) {
	const each = 300
	for side := range 2 {
		p := trunk.fork()
		for i := range each {
			admin := memberName(i % 10)
			victim := memberName(10 + (i*37+side*11)%(members-10))
			var e *event.Event
			switch {
			case i%15 == 0:
				content := p.state[event.Tuple{Type: event.TypePowerLevels}].Content()
				level := mustCanonical(strconv.Itoa(i % 100))
				e = r.send(p, admin, event.TypePowerLevels, "", string(content.With("users", content.Get("users").With(string(victim), level))))
			case i%15 == 1:
				e = r.send(p, admin, event.TypeMember, string(victim), `{"membership":"ban"}`)
			case i%15 == 2:
				e = r.send(p, admin, "m.room.topic", "", `{"topic":"`+strconv.Itoa(i)+`"}`)
			case i%15 < 6:
				e = r.send(p, victim, event.TypeMember, string(victim), `{"membership":"leave"}`)
			case i%15 < 9:
				e = r.send(p, victim, event.TypeMember, string(victim), `{"displayname":"x","membership":"join"}`)
			default:
				e = r.join(p, memberName(members+side*each+i))
			}
			_ = e // somebody who has left, or was banned, sends nothing
		}
		r.states = append(r.states, p.state)
	}
	if len(r.states) != 2 {
		tb.Fatal("want two states")
	}
}

// BenchmarkResolveV10 resolves two forks of a room that differ by some hundred
// events each. All events are loaded and numbered before.
func BenchmarkResolveV10(b *testing.B) { benchmarkResolve(b, "10") }

// BenchmarkResolveV12 does so in a room of version 12. gomatrixserverlib has no
// row, since it panics.
func BenchmarkResolveV12(b *testing.B) { benchmarkResolve(b, "12") }

func benchmarkResolve(b *testing.B, version roomver.Version) {
	silence(b)
	for _, members := range roomSizes {
		room, trunk := largeRoom(b, version, members)
		forkApart(b, room, trunk, members)
		index, err := stateres.NewIndex(room.events, nil)
		if err != nil {
			b.Fatal(err)
		}
		states := make([]map[event.Tuple]stateres.Num, len(room.states))
		for i, state := range room.states {
			states[i] = make(map[event.Tuple]stateres.Num, len(state))
			for t, e := range state {
				states[i][t] = index.Num(e.ID())
			}
		}
		// From whole states, as gomatrixserverlib gets them.
		b.Run(fmt.Sprintf("parley/%d", members), func(b *testing.B) {
			for b.Loop() {
				if _, err := stateres.ResolveMaps(room.rules, states, index); err != nil {
					b.Fatal(err)
				}
			}
		})
		// From what the states differ in, which a server that keeps states as
		// tries knows.
		b.Run(fmt.Sprintf("parley-difference/%d", members), func(b *testing.B) {
			_, conflict := stateres.Split(states)
			for b.Loop() {
				if _, err := stateres.Resolve(room.rules, conflict, index); err != nil {
					b.Fatal(err)
				}
			}
		})
		if room.rules.StateRes == roomver.StateResV21 || members > 1_000 && os.Getenv("DIFFTEST_SLOW") == "" {
			continue
		}
		b.Run(fmt.Sprintf("gomatrixserverlib/%d", members), func(b *testing.B) {
			sets, auth := room.forOther()
			rejected := func(string) bool { return false }
			for b.Loop() {
				// It appends to what it is given.
				if _, err := gomatrixserverlib.ResolveConflictsNew(room.other.Version(), sets, slices.Clone(auth), userOf, rejected); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func (r *forkedRoom) forOther() (sets [][]gomatrixserverlib.PDU, auth []gomatrixserverlib.PDU) {
	sets = make([][]gomatrixserverlib.PDU, len(r.states))
	for i, state := range r.states {
		for _, e := range state {
			sets[i] = append(sets[i], r.pdus[e.ID()])
		}
	}
	for _, pdu := range r.pdus {
		auth = append(auth, pdu)
	}
	return sets, auth
}
