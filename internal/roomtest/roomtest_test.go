package roomtest

import (
	"math"
	"strings"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

func eachVersion(t *testing.T, f func(t *testing.T, version roomver.Version)) {
	for rules := range roomver.Known() {
		t.Run("version "+string(rules.Version), func(t *testing.T) { f(t, rules.Version) })
	}
}

// lively is a room with one event of every kind that this package can make.
func lively(tb testing.TB, version roomver.Version) *Branch {
	room := New(tb, version)
	main := room.Create(Alice, nil)
	levels := `{"users":{"@alice:a.test":100},"invite":0}`
	if room.Rules().PrivilegedCreators {
		levels = `{"users":{},"invite":0}`
	}
	main.Send(Join(Alice), PowerLevels(Alice, levels), JoinRules(Alice, "public"), Join(Bob))
	message := main.Send(Message(Bob, `quo"ted`))
	main.Send(
		Topic(Alice, "tea"), ServerACL(Alice, `{"allow":["*"]}`), Redaction(Bob, message),
		Kick(Alice, Bob), Ban(Alice, Bob), Kick(Alice, Bob), JoinRules(Alice, "invite"), Invite(Alice, Bob), Join(Bob), Leave(Bob),
		ThirdPartyInvite(Alice, "token", "identity.test"),
		InviteSigned(Alice, Carol, Signed(Carol, "token", "identity.test")), Join(Carol))
	if room.Rules().Knock {
		main.Send(JoinRules(Alice, "knock"), Knock(Bob), Leave(Bob))
	}
	if room.Rules().Restricted {
		main.Send(JoinRules(Alice, "restricted"), JoinVia(Bob, Carol))
	}
	return main
}

func TestEventsAreHashedSignedAndAuthorised(t *testing.T) {
	eachVersion(t, func(t *testing.T, version roomver.Version) {
		room := lively(t, version).Room()
		verifier := event.NewVerifier(0)
		for _, e := range room.Events() {
			if !e.HashMatches() {
				t.Errorf("%s: hash does not match", e.JSON())
			}
			if err := verifier.Verify(e, Keys); err != nil {
				t.Errorf("%s: %v", e.JSON(), err)
			}
			known := eventauth.AuthEvents{Events: room.AuthEvents(e), Create: room.CreateEvent(),
				SignedBy: func(server id.ServerName) bool { return verifier.VerifyServer(e, server, Keys) == nil }}
			if err := eventauth.CheckAuthEvents(e, known); err != nil {
				t.Error(err)
			}
			if err := eventauth.Check(e, room.StateBefore(e)); err != nil {
				t.Error(err)
			}
			if e.RoomID() != room.ID() {
				t.Errorf("%s: got room %s, want %s", e.ID(), e.RoomID(), room.ID())
			}
			if parsed, err := event.Parse(e.JSON(), room.Rules()); err != nil || parsed.ID() != e.ID() {
				t.Errorf("parsing %s: got %v, %v", e.ID(), parsed, err)
			}
		}
	})
}

func TestSameCallsMakeSameEvents(t *testing.T) {
	eachVersion(t, func(t *testing.T, version roomver.Version) {
		a, b := lively(t, version).Room().Events(), lively(t, version).Room().Events()
		for i := range a {
			if string(a[i].JSON()) != string(b[i].JSON()) {
				t.Fatalf("event %d:\n%s\n%s", i, a[i].JSON(), b[i].JSON())
			}
			if i > 0 && (a[i].OriginServerTS() != a[i-1].OriginServerTS()+1 || a[i].Depth() != a[i-1].Depth()+1) {
				t.Errorf("event %d: time %d and depth %d follow %d and %d", i,
					a[i].OriginServerTS(), a[i].Depth(), a[i-1].OriginServerTS(), a[i-1].Depth())
			}
		}
	})
}

func TestBranches(t *testing.T) {
	room := New(t, "10")
	main := room.Create(Alice, nil)
	main.Send(Join(Alice), JoinRules(Alice, "public"))
	fork := main.Fork()
	joined := main.Send(Join(Bob))
	topic := fork.Send(Topic(Alice, "fork"))
	refused := fork.Send(Spec{Type: "m.room.topic", StateKey: new(string), Sender: Carol, Rejected: true})

	place := event.Tuple{Type: "m.room.topic"}
	member := event.Tuple{Type: event.TypeMember, StateKey: string(Bob)}
	merged := room.Merge(func(_ *Room, states []eventauth.MapState) eventauth.MapState {
		if len(states) != 2 || states[0][member] != joined || states[1][place] != topic {
			t.Errorf("states of the branches: got %v", states)
		}
		states[0][place] = topic
		return states[0]
	}, main, fork)
	last := merged.Send(Topic(Bob, "merged"))

	for _, row := range []struct {
		name          string
		state         eventauth.State
		member, topic *event.Event
	}{
		{"main", main, joined, nil},
		{"fork", fork, nil, topic},
		{"merged", merged, joined, last},
		{"before the fork's last event", room.StateBefore(refused), nil, topic},
		{"after the fork's last event", room.StateAfter(refused), nil, topic},
		{"before the event after the merge", room.StateBefore(last), joined, topic},
		{"after the event after the merge", room.StateAfter(last), joined, last},
		{"going on after an old event", room.After(topic), nil, topic},
		{"before the first event", room.StateBefore(room.CreateEvent()), nil, nil},
	} {
		if got := row.state.StateEvent(member); got != row.member {
			t.Errorf("%s: got member %v, want %v", row.name, got, row.member)
		}
		if got := row.state.StateEvent(place); got != row.topic {
			t.Errorf("%s: got topic %v, want %v", row.name, got, row.topic)
		}
	}
	if prev := last.PrevEvents(); len(prev) != 2 || prev[0] != joined.ID() || prev[1] != refused.ID() {
		t.Errorf("after the merge: got prev_events %v", prev)
	}
	if last.Depth() != refused.Depth()+1 {
		t.Errorf("after the merge: got depth %d, want %d", last.Depth(), refused.Depth()+1)
	}
	if heads := merged.Heads(); len(heads) != 1 || heads[0] != last {
		t.Errorf("got heads %v", heads)
	}
	if room.Event(last.ID()) != last || room.Event("$unknown") != nil {
		t.Error("events are not found by their IDs")
	}
}

func TestSpecOverrides(t *testing.T) {
	main := New(t, "1").Create(Alice, `{"m.federate":false}`)
	create := main.Heads()[0]
	if !create.Content().Get("m.federate").False() || !create.Content().Get("creator").Is(string(Alice)) {
		t.Errorf("create event: got %s", create.JSON())
	}
	e := main.Build(Spec{
		Type: "m.custom", Sender: Bob, Content: map[string]any{"n": 1.5}, Prev: []*event.Event{}, Auth: []*event.Event{create},
		Depth: 99, TS: 77, ID: "$own:d.test", Signers: []id.ServerName{"d.test"},
		Edit: func(e canonjson.Value) canonjson.Value { return e.With("origin", canonjson.Text("b.test")) },
	})
	if e.ID() != "$own:d.test" || e.Depth() != 99 || e.OriginServerTS() != 77 || len(e.PrevEvents()) != 0 ||
		len(e.AuthEvents()) != 1 || !e.JSON().Get("origin").Is("b.test") || string(e.Content()) != `{"n":1.5}` {
		t.Errorf("got %s", e.JSON())
	}
	if err := event.NewVerifier(0).Verify(e, Keys); err != nil || !e.HashMatches() {
		t.Errorf("%v, hash matches: %v", err, e.HashMatches())
	}
	deepest := main.Send(Spec{Type: "m.custom", Sender: Alice, Depth: math.MaxInt64})
	if next := main.Send(Message(Alice, "deeper")); next.Depth() != deepest.Depth() {
		t.Errorf("after the greatest depth: got depth %d", next.Depth())
	}
	if _, ok := Keys("a.test", "ed25519:other"); ok {
		t.Error("a key of another ID is known")
	}
}

func TestTryBuildErrors(t *testing.T) {
	main := New(t, "12").Create(Alice, nil)
	for _, row := range []struct {
		name    string
		content any
		want    string
	}{
		{"not JSON", `{`, "content of m.custom"},
		{"not for encoding/json", func() {}, "content of m.custom"},
		{"not an object", `[]`, "not an object"},
		{"a float in a strict version", `{"n":1.5}`, "not an integer"},
		{"too large", `{"s":"` + strings.Repeat("x", event.MaxSize) + `"}`, "more than"},
	} {
		_, err := main.TryBuild(Spec{Type: "m.custom", Sender: Alice, Content: row.content})
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got error %v, want one with %q", row.name, err, row.want)
		}
	}
}

func BenchmarkSend(b *testing.B) {
	main := New(b, "12").Create(Alice, nil)
	main.Send(Join(Alice))
	for b.Loop() {
		main.Send(Message(Alice, "hello"))
	}
}
