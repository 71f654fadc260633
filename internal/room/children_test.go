package room

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// relates makes a draft relate to an event.
func (d Draft) relates(relType string, to id.EventID) Draft {
	d.Content = d.Content.With("m.relates_to", canonjson.Value(fmt.Sprintf(`{"event_id":%q,"rel_type":%q}`, to, relType)))
	return d
}

// TestChildrenAreThoseOfANaiveSearch compares with going through all events.
func TestChildrenAreThoseOfANaiveSearch(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		relTypes := []string{"m.thread", "m.reference"}
		rapid.Check(t, func(t *rapid.T) {
			roomID := n.create(NewRoom{})
			parents := []id.EventID{n.send(roomID, message(alice, "root")).EventID}
			parentOf, typeOf := make(map[id.EventID]id.EventID), make(map[id.EventID]string)
			for i := range rapid.IntRange(1, 25).Draw(t, "events") {
				parent := rapid.SampledFrom(parents).Draw(t, "parent")
				relType := rapid.SampledFrom(relTypes).Draw(t, "type")
				if relType == "m.thread" {
					parent = parents[0]
				}
				eventID := n.send(roomID, message(alice, fmt.Sprint(i)).relates(relType, parent)).EventID
				parents = append(parents, eventID)
				parentOf[eventID], typeOf[eventID] = parent, relType
				if rapid.IntRange(0, 9).Draw(t, "redacted") == 0 {
					n.send(roomID, redaction(alice, eventID))
					delete(parentOf, eventID)
				}
			}
			items := n.items(roomID)
			last := int64(len(items))
			q := ChildQuery{
				Parent: rapid.SampledFrom(parents).Draw(t, "of"), RelType: rapid.SampledFrom(append(relTypes, "")).Draw(t, "wanted"),
				Depth: rapid.IntRange(1, RelationDepth).Draw(t, "depth"), Back: rapid.Bool().Draw(t, "back"),
				First: rapid.Int64Range(1, last).Draw(t, "first"), Last: rapid.Int64Range(1, last+1).Draw(t, "last"),
				Seen: []Interval{{1, last / 2}, {last/2 + 3, last}}, Limit: rapid.IntRange(1, 30).Draw(t, "limit"),
			}
			sees := func(place int64) bool {
				return slices.ContainsFunc(q.Seen, func(in Interval) bool { return in.Contains(place) })
			}
			places := make(map[id.EventID]int64)
			for _, it := range items {
				places[it.Event.ID()] = it.Place
			}
			var want []id.EventID
			for _, it := range items {
				eventID := it.Event.ID()
				if !sees(it.Place) || it.Place < q.First || it.Place > q.Last {
					continue
				}
				for depth, at := 1, eventID; depth <= q.Depth; depth++ {
					parent, ok := parentOf[at]
					if !ok || !sees(places[at]) || q.RelType != "" && typeOf[at] != q.RelType {
						break
					}
					if parent == q.Parent {
						want = append(want, eventID)
					}
					at = parent
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
		})
	})
}
