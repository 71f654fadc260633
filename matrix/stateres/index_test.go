package stateres

import (
	"fmt"
	"strings"
	"testing"

	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// carried makes an event of room version 1, whose ID and references a sender
// chooses freely.
func carried(t testing.TB, eventID string, auth ...string) *event.Event {
	t.Helper()
	rules, _ := roomver.Lookup("1")
	var refs []string
	for _, a := range auth {
		refs = append(refs, fmt.Sprintf(`[%q,{"sha256":""}]`, a))
	}
	raw := fmt.Sprintf(`{"auth_events":[%s],"content":{},"depth":1,"event_id":%q,"hashes":{},"origin_server_ts":1,`+
		`"prev_events":[],"room_id":"!r:a.test","sender":"@a:a.test","signatures":{},"state_key":"","type":"t"}`,
		strings.Join(refs, ","), eventID)
	e, err := event.Parse([]byte(raw), rules)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestIndexNumbersAuthEventsFirst(t *testing.T) {
	events := []*event.Event{
		carried(t, "$d:a.test", "$b:a.test", "$c:a.test"),
		carried(t, "$c:a.test", "$a:a.test"),
		carried(t, "$b:a.test", "$a:a.test"),
		carried(t, "$a:a.test"),
		carried(t, "$c:a.test"), // again: the first counts
	}
	x, err := NewIndex(events, func(eventID id.EventID) bool { return eventID == "$b:a.test" })
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events[:4] {
		n := x.Num(e.ID())
		if got, err := x.Event(n); err != nil || got != e {
			t.Errorf("event %d is %v, %v; want %s", n, got, err, e.ID())
		}
		auth, err := x.AuthEvents(n)
		if err != nil || len(auth) != len(e.AuthEvents()) {
			t.Errorf("auth events of %s: %v, %v", e.ID(), auth, err)
		}
		for i, a := range auth {
			if a >= n || x.Num(e.AuthEvents()[i]) != a {
				t.Errorf("auth event %d of %s has number %d", i, e.ID(), a)
			}
		}
		if rejected, err := x.Rejected(n); err != nil || rejected != (e.ID() == "$b:a.test") {
			t.Errorf("rejected(%s) = %v, %v", e.ID(), rejected, err)
		}
	}
	if x.Num("$unknown:a.test") != 0 {
		t.Error("an unknown event has a number")
	}
	for _, n := range []Num{0, 5} {
		if _, err := x.Event(n); err == nil {
			t.Errorf("there is an event %d", n)
		}
		if _, err := x.AuthEvents(n); err == nil {
			t.Errorf("event %d has auth events", n)
		}
	}
}

func TestIndexRefusesCircles(t *testing.T) {
	rows := map[string][]*event.Event{
		"an event that authorises itself": {carried(t, "$a:a.test", "$a:a.test")},
		"two that authorise each other": {
			carried(t, "$a:a.test", "$b:a.test"), carried(t, "$b:a.test", "$a:a.test"),
		},
		"a circle behind a path": {
			carried(t, "$a:a.test", "$b:a.test"), carried(t, "$b:a.test", "$c:a.test"),
			carried(t, "$c:a.test", "$d:a.test"), carried(t, "$d:a.test", "$b:a.test"),
		},
	}
	for name, events := range rows {
		t.Run(name, func(t *testing.T) {
			if _, err := NewIndex(events, nil); err == nil || !strings.Contains(err.Error(), "leads back") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestIndexRefusesMissingEvents(t *testing.T) {
	_, err := NewIndex([]*event.Event{carried(t, "$a:a.test", "$gone:a.test")}, nil)
	if err == nil || !strings.Contains(err.Error(), "auth event $gone:a.test of $a:a.test is missing") {
		t.Errorf("got %v", err)
	}
}

// TestIndexTakesLongChains would overflow a stack that grew with the chain.
func TestIndexTakesLongChains(t *testing.T) {
	const length = 200_000
	events := []*event.Event{carried(t, "$0:a.test")}
	for i := 1; i < length; i++ {
		events = append(events, carried(t, fmt.Sprintf("$%d:a.test", i), fmt.Sprintf("$%d:a.test", i-1)))
	}
	last := events[length-1]
	events[0], events[length-1] = last, events[0]
	if x, err := NewIndex(events, nil); err != nil || x.Num(last.ID()) != length {
		t.Errorf("last event has number %d, %v", x.Num(last.ID()), err)
	}
}

// brokenGraph breaks what a Graph promises.
type brokenGraph struct {
	*Index
	auth map[Num][]Num
	gone Num
}

func (g brokenGraph) Event(n Num) (*event.Event, error) {
	if n == g.gone {
		return nil, fmt.Errorf("gone")
	}
	return g.Index.Event(n)
}

func (g brokenGraph) AuthEvents(n Num) ([]Num, error) {
	if auth, ok := g.auth[n]; ok {
		return auth, nil
	}
	return g.Index.AuthEvents(n)
}

// TestResolveEndsOnBrokenGraphs feeds each algorithm graphs that cannot be:
// each ends with an error that names an event.
func TestResolveEndsOnBrokenGraphs(t *testing.T) {
	events := []*event.Event{
		carried(t, "$a:a.test"), carried(t, "$b:a.test", "$a:a.test"), carried(t, "$c:a.test", "$b:a.test"),
		carried(t, "$d:a.test", "$b:a.test"),
	}
	index, err := NewIndex(events, nil)
	if err != nil {
		t.Fatal(err)
	}
	states := []map[event.Tuple]Num{
		{{Type: event.TypeCreate}: 1, {Type: "t"}: 3},
		{{Type: event.TypeCreate}: 1, {Type: "t"}: 4},
	}
	graphs := map[string]brokenGraph{
		"an event is its own auth event": {Index: index, auth: map[Num][]Num{3: {3}}},
		"an auth event comes later":      {Index: index, auth: map[Num][]Num{3: {4}, 4: {3}}},
		"an auth event has number 0":     {Index: index, auth: map[Num][]Num{4: {0}}},
		"a conflicted event is missing":  {Index: index, gone: 3},
		"an event of a chain is missing": {Index: index, gone: 2},
	}
	for name, g := range graphs {
		for _, version := range []roomver.Version{"2", "12"} {
			t.Run(name+"/"+string(version), func(t *testing.T) {
				rules, _ := roomver.Lookup(version)
				if _, err := ResolveMaps(rules, states, g); err == nil || !strings.Contains(err.Error(), "event") {
					t.Errorf("got %v", err)
				}
			})
		}
	}
	t.Run("version 1", func(t *testing.T) {
		rules, _ := roomver.Lookup("1")
		if _, err := ResolveMaps(rules, states, brokenGraph{Index: index, gone: 3}); err == nil {
			t.Error("no error")
		}
	})
}

func TestSplit(t *testing.T) {
	tuple := func(s string) event.Tuple { return event.Tuple{Type: s} }
	agreed, c := Split([]map[event.Tuple]Num{
		{tuple("same"): 1, tuple("differs"): 2, tuple("first"): 4},
		{tuple("same"): 1, tuple("differs"): 3, tuple("others"): 5},
		{tuple("same"): 1, tuple("differs"): 2, tuple("others"): 5},
	})
	if len(agreed) != 1 || agreed[tuple("same")] != 1 {
		t.Errorf("agreed: %v", agreed)
	}
	want := map[event.Tuple][]Num{
		tuple("differs"): {2, 3, 2}, tuple("first"): {4, 0, 0}, tuple("others"): {0, 5, 5},
	}
	if fmt.Sprint(c.Conflicted) != fmt.Sprint(want) || c.States != 3 {
		t.Errorf("conflict: %v", c)
	}
}

func TestNoConflictIsNoWork(t *testing.T) {
	rules, _ := roomver.Lookup("12")
	state := map[event.Tuple]Num{{Type: "t"}: 1}
	got, err := ResolveMaps(rules, []map[event.Tuple]Num{state, state, state}, nil)
	if err != nil || len(got) != 1 || got[event.Tuple{Type: "t"}] != 1 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestStateSets(t *testing.T) {
	const n = 200
	var s stateSet
	for i := range n {
		if s.size() != i {
			t.Fatalf("%d states count as %d", i, s.size())
		}
		before := s
		s = s.with(i).with(i)
		if before.size() != i {
			t.Fatal("a set changed")
		}
	}
	if fullSet(n).size() != n || fullSet(n).union(s).size() != n {
		t.Error("full set is not full")
	}
	if got := (stateSet{}).with(3).union(stateSet{}.with(130)).union(stateSet{}.with(70)).size(); got != 3 {
		t.Errorf("union has %d states", got)
	}
}

func TestQueueYieldsGreatestFirst(t *testing.T) {
	var q queue
	for i := range Num(1000) {
		q.push(1 + i*7919%1000)
	}
	for want := Num(1000); want > 0; want-- {
		if got := q.pop(); got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	}
	if q.len() != 0 {
		t.Error("not empty")
	}
}
