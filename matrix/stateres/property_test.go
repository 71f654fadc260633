package stateres_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"parley/internal/roomtest"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/stateres"
)

// TestTheOrderOfInputsDoesNotMatter splits random rooms and resolves the states
// of their sides with the sides and the events in any order, so that the events
// have other numbers each time.
func TestTheOrderOfInputsDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		version := rapid.SampledFrom([]roomver.Version{"1", "2", "6", "10", "12"}).Draw(rt, "version")
		room, sides := randomSplit(t, rt, version)
		var first map[event.Tuple]id.EventID
		for range 4 {
			resolved := resolveShuffled(t, rt, room, sides)
			if first == nil {
				first = resolved
			}
			if !maps.Equal(first, resolved) {
				rt.Fatalf("in one order the state is %v, in another %v", first, resolved)
			}
		}
	})
}

// randomSplit makes a room and lets some people do some things on each side of
// a split. What the rules forbid on a side is not sent.
func randomSplit(t *testing.T, rt *rapid.T, version roomver.Version) (*roomtest.Room, []*roomtest.Branch) {
	users := []id.UserID{roomtest.Alice, roomtest.Bob, roomtest.Carol}
	room := roomtest.New(t, version)
	main := room.Create(roomtest.Alice, nil)
	main.Send(
		roomtest.Join(roomtest.Alice),
		roomtest.PowerLevels(roomtest.Alice, levels(room, 50)),
		roomtest.JoinRules(roomtest.Alice, "public"),
		roomtest.Join(roomtest.Bob), roomtest.Join(roomtest.Carol))
	var sides []*roomtest.Branch
	for range rapid.IntRange(2, 4).Draw(rt, "sides") {
		side := main.Fork()
		for range rapid.IntRange(0, 6).Draw(rt, "events") {
			sender := rapid.SampledFrom(users).Draw(rt, "sender")
			target := rapid.SampledFrom(users).Draw(rt, "target")
			spec := map[string]func() roomtest.Spec{
				"join":   func() roomtest.Spec { return roomtest.Join(sender) },
				"leave":  func() roomtest.Spec { return roomtest.Leave(sender) },
				"kick":   func() roomtest.Spec { return roomtest.Kick(sender, target) },
				"ban":    func() roomtest.Spec { return roomtest.Ban(sender, target) },
				"invite": func() roomtest.Spec { return roomtest.Invite(sender, target) },
				"topic":  func() roomtest.Spec { return roomtest.Topic(sender, "topic") },
				"rules":  func() roomtest.Spec { return roomtest.JoinRules(sender, "invite") },
				"levels": func() roomtest.Spec {
					return roomtest.PowerLevels(sender, levels(room, rapid.IntRange(0, 100).Draw(rt, "level")))
				},
			}[rapid.SampledFrom([]string{"join", "leave", "kick", "ban", "invite", "topic", "rules", "levels"}).Draw(rt, "what")]()
			spec.TS = 1_000_000 + rapid.Int64Range(0, 5).Draw(rt, "time")
			if e := side.Build(spec); eventauth.Check(e, side) == nil {
				side.Send(spec)
			}
		}
		sides = append(sides, side)
	}
	return room, sides
}

// levels gives Bob a level, and Alice one where she needs it.
func levels(room *roomtest.Room, bob int) string {
	if room.Rules().PrivilegedCreators {
		return fmt.Sprintf(`{"users":{%q:%d}}`, roomtest.Bob, bob)
	}
	return fmt.Sprintf(`{"users":{%q:100,%q:%d}}`, roomtest.Alice, roomtest.Bob, bob)
}

func resolveShuffled(t *testing.T, rt *rapid.T, room *roomtest.Room, sides []*roomtest.Branch) map[event.Tuple]id.EventID {
	shuffle := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "order"), 0))
	events := append([]*event.Event(nil), room.Events()...)
	shuffle.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	index, err := stateres.NewIndex(events, nil)
	if err != nil {
		t.Fatal(err)
	}
	states := make([]map[event.Tuple]stateres.Num, len(sides))
	for i, to := range shuffle.Perm(len(sides)) {
		states[to] = make(map[event.Tuple]stateres.Num)
		for tuple, e := range sides[i].State() {
			states[to][tuple] = index.Num(e.ID())
		}
	}
	nums, err := stateres.ResolveMaps(room.Rules(), states, index)
	if err != nil {
		t.Fatal(err)
	}
	resolved := make(map[event.Tuple]id.EventID, len(nums))
	for tuple, n := range nums {
		e, err := index.Event(n)
		if err != nil {
			t.Fatal(err)
		}
		resolved[tuple] = e.ID()
	}
	return resolved
}
