package room

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// relates makes a draft relate to an event.
func (d Draft) relates(relType string, to id.EventID) Draft {
	if d.Content == nil {
		d.Content = canonjson.Value("{}")
	}
	d.Content = d.Content.With("m.relates_to", canonjson.Value(fmt.Sprintf(`{"event_id":%q,"rel_type":%q}`, to, relType)))
	return d
}

// force sends what other servers may let pass, each draft made of what was sent
// before, and all of them in one append.
func (n *node) force(t *rapid.T, roomID id.RoomID, count int, draft func(sent []*event.Event) Draft) {
	r, err := n.room(ctx, roomID)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	before := r.row
	var made []entry
	var sent []*event.Event
	for range count {
		m, err := r.build(ctx, draft(sent))
		if err != nil {
			t.Fatal(err)
		}
		made, sent = append(made, m), append(sent, m.event)
	}
	a := r.finish(before, made)
	wait := n.journal.Submit(a.change)
	r.mu.Unlock()
	if _, err := r.settle(a, wait); err != nil {
		t.Fatal(err)
	}
}

// related is a room whose events relate to each other, to be gone through
// naively.
type related struct {
	*rapid.T
	items []Item
	index map[id.EventID]Item
}

func (n *node) drawRelated(t *rapid.T) (id.RoomID, related) {
	roomID := n.create(NewRoom{Preset: PublicChat})
	n.send(roomID, join(bob))
	parents := []id.EventID{n.send(roomID, message(alice, "root")).EventID, n.send(roomID, message(bob, "another")).EventID}
	for range 2 {
		n.force(t, roomID, rapid.IntRange(1, 12).Draw(t, "events"), func(sent []*event.Event) Draft {
			all := slices.Clone(parents)
			for _, e := range sent {
				all = append(all, e.ID())
			}
			parent := rapid.SampledFrom(all).Draw(t, "parent")
			sender := rapid.SampledFrom([]id.UserID{alice, bob}).Draw(t, "sender")
			if len(all) > 3 && rapid.IntRange(0, 5).Draw(t, "redacts") == 0 {
				return redaction(alice, parent)
			}
			d := message(sender, "x")
			switch relType := rapid.SampledFrom([]string{"m.thread", "m.thread", "m.reference", "m.replace", "m.other"}).Draw(t, "type"); relType {
			case "m.replace":
				d.Content, d.Time = d.Content.With("m.new_content", canonjson.Value("{}")), rapid.Int64Range(1, 3).Draw(t, "time")
				return d.relates(relType, parent)
			case "m.thread":
				return d.relates(relType, rapid.SampledFrom(append(parents, parent)).Draw(t, "root"))
			default:
				return d.relates(relType, parent)
			}
		})
		for _, it := range n.items(roomID) {
			parents = append(parents, it.Event.ID())
		}
	}
	m := related{T: t, items: n.items(roomID), index: make(map[id.EventID]Item)}
	for _, it := range m.items {
		m.index[it.Event.ID()] = it
	}
	return roomID, m
}

func sees(seen []Interval, place int64) bool {
	return slices.ContainsFunc(seen, func(in Interval) bool { return in.Contains(place) })
}

// TestWhatRelatesIsWhatANaiveSearchFinds compares with going through all events.
func TestWhatRelatesIsWhatANaiveSearchFinds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		rapid.Check(t, func(t *rapid.T) {
			roomID, m := n.drawRelated(t)
			last := int64(len(m.items))
			seen := [][]Interval{{{1, last}}, {{1, last / 2}, {last/2 + 3, last}}, {{last / 2, last}}, {}}[rapid.IntRange(0, 3).Draw(t, "seen")]
			for range 5 {
				m.checkChildren(n, roomID, seen)
			}
			a := Audience{User: rapid.SampledFrom([]id.UserID{alice, bob}).Draw(t, "user"), Seen: seen}
			if rapid.Bool().Draw(t, "ignores") {
				a.Ignored = map[id.UserID]bool{bob: true}
			}
			m.checkBundles(n, roomID, a)
			m.checkRoots(n, roomID)
		})
	})
}

func (m related) checkChildren(n *node, roomID id.RoomID, seen []Interval) {
	t, last := m.T, int64(len(m.items))
	q := ChildQuery{
		Parent: rapid.SampledFrom(m.items).Draw(t, "of").Event.ID(), RelType: rapid.SampledFrom([]string{"", "m.thread", "m.reference"}).Draw(t, "wanted"),
		Depth: rapid.IntRange(1, RelationDepth).Draw(t, "depth"), Back: rapid.Bool().Draw(t, "back"),
		First: rapid.Int64Range(1, last).Draw(t, "first"), Last: rapid.Int64Range(1, last+1).Draw(t, "last"),
		Seen: seen, Limit: rapid.IntRange(1, 30).Draw(t, "limit"),
	}
	var want []id.EventID
	for _, it := range m.items {
		if it.Place < q.First || it.Place > q.Last {
			continue
		}
		at := it
		for depth := 1; depth <= q.Depth; depth++ {
			relType, parent, ok := relation(at.Event)
			if !ok || !sees(seen, at.Place) || q.RelType != "" && relType != q.RelType {
				break
			}
			if parent == q.Parent {
				want = append(want, it.Event.ID())
			}
			at = m.index[parent]
		}
	}
	if q.Back {
		slices.Reverse(want)
	}
	want = want[:min(q.Limit, len(want))]
	found, err := n.Children(ctx, roomID, q)
	var got []id.EventID
	for _, it := range found {
		got = append(got, it.Event.ID())
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v: got %v, %v, want %v", q, got, err, want)
	}
}

// brief says what is in a bundle.
func (b Bundle) brief() string {
	s := fmt.Sprint(b.References)
	if b.Edit.Event != nil {
		s += fmt.Sprint(" edit ", b.Edit.Event.ID())
	}
	if b.Thread != nil {
		s += fmt.Sprint(" thread ", b.Thread.Count, b.Thread.Participated, b.Thread.Latest.Event.ID())
	}
	return s
}

func (m related) checkBundles(n *node, roomID id.RoomID, a Audience) {
	want := make(map[string]string)
	for _, parent := range m.items {
		var b Bundle
		root, _, isChild := relation(parent.Event)
		redacted := parent.Event.Unsigned().Get("redacted_because") != nil
		participated := parent.Event.Sender() == a.User
		var thread Thread
		for _, it := range m.items {
			relType, of, ok := relation(it.Event)
			if _, isState := parent.Event.StateKey(); !ok || of != parent.Event.ID() || isState {
				continue
			}
			participated = participated || relType == "m.thread" && it.Event.Sender() == a.User
			if !sees(a.Seen, it.Place) || a.Ignored[it.Event.Sender()] {
				continue
			}
			later := b.Edit.Event == nil || b.Edit.Event.OriginServerTS() < it.Event.OriginServerTS() ||
				b.Edit.Event.OriginServerTS() == it.Event.OriginServerTS() && b.Edit.Event.ID() < it.Event.ID()
			switch {
			case relType == "m.reference":
				b.References = append(b.References, it.Event.ID())
			case relType == "m.thread" && !isChild:
				thread.Count, thread.Latest = thread.Count+1, it
				b.Thread = &thread
			case relType == "m.replace" && !redacted && root != "m.replace" && it.Event.Sender() == parent.Event.Sender() &&
				it.Event.Type() == parent.Event.Type() && later:
				b.Edit = it
			}
		}
		thread.Participated = participated
		if brief := b.brief(); brief != "[]" {
			want[string(parent.Event.ID())] = brief
		}
	}
	bundles, err := n.Bundles(ctx, roomID, a, m.items)
	got := make(map[string]string)
	for _, it := range m.items {
		if b := bundles[it.Num]; b != nil && b.brief() != "[]" {
			got[string(it.Event.ID())] = b.brief()
		}
	}
	if err != nil || !maps.Equal(got, want) {
		m.Errorf("for %+v: got %v, %v, want %v", a, got, err, want)
	}
}

func (m related) checkRoots(n *node, roomID id.RoomID) {
	var want, got []id.EventID
	for _, it := range slices.Backward(m.items) {
		if relType, root, _ := relation(it.Event); relType == "m.thread" && !slices.Contains(want, root) {
			want = append(want, root)
		}
	}
	roots, err := n.ThreadRoots(ctx, roomID, Last, len(m.items))
	for _, root := range roots {
		got = append(got, root.Event.ID())
	}
	if err != nil || !slices.Equal(got, want) {
		m.Errorf("roots: got %v, %v, want %v", got, err, want)
	}
}
