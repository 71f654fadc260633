package room

import (
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// relatives are events that others relate to.
type relatives struct {
	*node
	roomID                    id.RoomID
	root, early, late, edited id.EventID
	edit, middle              id.EventID
}

// newRelatives says something, and something that relates to it, and calls between
// before it says the rest.
func newRelatives(n *node, between func()) *relatives {
	r := &relatives{node: n, roomID: n.create(NewRoom{Preset: PublicChat})}
	said := func(d Draft) id.EventID { return n.send(r.roomID, d).EventID }
	edit := func(body string) Draft {
		d := message(alice, body).relates("m.replace", r.edited)
		d.Content = d.Content.With("m.new_content", canonjson.Value(`{"body":"new"}`))
		return d
	}
	r.root, r.edited = said(message(alice, "root")), said(message(alice, "edited"))
	r.early = said(message(alice, "early").relates("m.thread", r.root))
	said(message(alice, "refers").relates("m.reference", r.edited))
	r.edit = said(edit("an edit"))
	between()
	r.middle = said(message(alice, "middle"))
	r.late = said(message(alice, "late").relates("m.reference", r.early))
	return r
}

func (r *relatives) children(of id.EventID, depth int) (found []id.EventID) {
	r.t.Helper()
	items, err := r.Children(ctx, r.roomID, ChildQuery{Parent: of, Depth: depth, Last: Last, Seen: []Interval{{1, Last}}, Limit: 10})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, it := range items {
		found = append(found, it.Event.ID())
	}
	return found
}

// check demands that nothing relates to root and edited any more.
func (r *relatives) check(items []Item) {
	r.t.Helper()
	if got := r.children(r.root, 1); got != nil {
		r.t.Errorf("children of the root: %v", got)
	}
	if got := r.children(r.root, RelationDepth); got != nil {
		r.t.Errorf("what relates indirectly: %v", got)
	}
	bundles, err := r.Bundles(ctx, r.roomID, Audience{User: alice, Seen: []Interval{{1, Last}}}, items)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, it := range items {
		if b := bundles[it.Num]; b != nil && b.brief() != "[]" {
			r.t.Errorf("%s has %s", it.Event.ID(), b.brief())
		}
	}
	related, err := r.Related(ctx, r.roomID, items, nil, nil, []Interval{{1, Last}})
	if err != nil || len(related) > 0 {
		r.t.Errorf("something relates to %v, %v", related, err)
	}
}

func TestWhatIsPurgedRelatesToNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, soon)
		r := newRelatives(n, func() {})
		old := slices.DeleteFunc(n.items(r.roomID), func(it Item) bool { return it.Event.ID() != r.root && it.Event.ID() != r.edited })
		middle, _, err := n.Item(ctx, r.roomID, r.middle)
		if err != nil {
			t.Fatal(err)
		}
		live, err := n.room(ctx, r.roomID)
		if err != nil {
			t.Fatal(err)
		}
		task := PurgeTask{Before: middle.Place, KeepLocal: true}
		h := historyPurge{Engine: n.Engine, Purge: &Purge{Room: r.roomID, PurgeTask: task}, num: live.num, rules: live.rules}
		if more, err := h.begin(ctx); err != nil || !more {
			t.Fatal(more, err)
		}
		check := func() {
			t.Helper()
			r.check(old)
			if roots, err := n.ThreadRoots(ctx, r.roomID, Last, 10); err != nil || len(roots) > 0 {
				t.Errorf("the threads are %v, %v", roots, err)
			}
		}
		check() // the rows are still there
		n.purge(n.schedule(ctx, r.roomID, PurgeHistory, task))
		if n.count("SELECT count(*) FROM events WHERE event_id = $1", string(r.edit)) != 1 {
			t.Error("what a local user has sent was to stay")
		}
		check()
		if got := r.children(r.early, 1); !slices.Equal(got, []id.EventID{r.late}) {
			t.Errorf("what is left relates to %v", got)
		}
	})
}

func TestWhatIsTooOldRelatesToNothing(t *testing.T) {
	location := filepath.Join(t.TempDir(), "parley.db")
	synctest.Test(t, func(t *testing.T) {
		o := soon
		o.Retention = Retention{Enabled: true, Default: 24 * time.Hour}
		n := start(t, storetest.Open(t, location), o)
		r := newRelatives(n, func() { time.Sleep(20 * time.Hour) })
		n.send(r.roomID, join(bob))
		n.send(r.roomID, message(alice, "later"))
		var old []Item
		for _, eventID := range []id.EventID{r.root, r.edited, r.early} {
			it, ok, err := n.Item(ctx, r.roomID, eventID)
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			old = append(old, it)
		}
		if got := r.children(r.root, RelationDepth); !slices.Equal(got, []id.EventID{r.early, r.late}) {
			t.Errorf("while it is shown, what relates to it is %v", got)
		}
		time.Sleep(10 * time.Hour)
		r.check(old[:2])
		if got := r.children(r.early, 1); !slices.Equal(got, []id.EventID{r.late}) {
			t.Errorf("what is left relates to %v", got)
		}
		unread := func(want int64) {
			t.Helper()
			at, err := n.Now(ctx, r.roomID)
			if err != nil {
				t.Fatal(err)
			}
			num, err := n.Num(ctx, r.roomID)
			if err != nil {
				t.Fatal(err)
			}
			u, err := n.Unread(ctx, bob, num, at, Reads{}, false)
			if err != nil || u.Notifications != want {
				t.Errorf("%d are unread, %v, want %d", u.Notifications, err, want)
			}
		}
		unread(1)
		left, err := n.Unexpired(ctx, r.roomID, slices.Clone(old))
		if err != nil || len(left) > 0 {
			t.Errorf("too old is not %v, %v", left, err)
		}
		time.Sleep(20 * time.Hour)
		unread(0) // not even the last of the room, which is never removed
		n.send(r.roomID, message(alice, "new"))
		unread(1)
	})
}
