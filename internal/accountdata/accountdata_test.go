package accountdata

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

const (
	alice id.UserID = "@alice:a.test"
	bob   id.UserID = "@bob:a.test"
	room  id.RoomID = "!room:a.test"
)

var ctx = context.Background()

// node is a store with a journal that runs.
type node struct {
	*Store
	t *testing.T
}

func each(t *testing.T, f func(t *testing.T, n *node)) {
	storetest.Each(t, func(t *testing.T, db *store.DB) { f(t, start(t, db)) })
}

func start(t *testing.T, db *store.DB) *node {
	t.Helper()
	j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	running, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { j.Run(running) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return &node{New(db, j, Options{}), t}
}

func (n *node) put(user id.UserID, room id.RoomID, dataType, content string) journal.Position {
	n.t.Helper()
	if err := n.Put(ctx, user, room, dataType, canonjson.Value(content)); err != nil {
		n.t.Fatal(err)
	}
	return n.journal.Head()
}

// show writes data as lines, less the push rules that nobody has set.
func show(list []Data, err error) string {
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, d := range list {
		if d.Type == PushRules {
			if d.Content.Get("global").Get("override") == nil {
				return "push rules without rules"
			}
			d.Content = canonjson.Value("rules")
		}
		fmt.Fprintf(&b, "%s %s %s\n", d.Room, d.Type, d.Content)
	}
	return b.String()
}

func (n *node) want(what, got, want string) {
	n.t.Helper()
	if got != want {
		n.t.Errorf("%s: got\n%s\nwant\n%s", what, got, want)
	}
}

func TestWhatIsPutIsThere(t *testing.T) {
	each(t, func(t *testing.T, n *node) {
		n.put(alice, "", "m.direct", `{"a":1}`)
		n.put(alice, room, "m.direct", `{"a":2,"b":"\u0000","c":0.5}`)
		n.put(alice, "", "m.direct", `{"a":3}`)
		n.put(bob, "", "m.direct", `{"a":4}`)
		for _, r := range []struct {
			user id.UserID
			room id.RoomID
			want string
		}{{alice, "", `{"a":3}`}, {alice, room, `{"a":2,"b":"\u0000","c":0.5}`}, {bob, "", `{"a":4}`}} {
			if got, err := n.Get(ctx, r.user, r.room, "m.direct"); err != nil || string(got) != r.want {
				t.Errorf("of %s in %q: got %s, %v, want %s", r.user, r.room, got, err, r.want)
			}
		}
		for _, r := range []struct {
			user     id.UserID
			room     id.RoomID
			dataType string
		}{{bob, room, "m.direct"}, {alice, "", "m.other"}, {alice, room, PushRules}, {alice, "!other:a.test", "m.direct"}} {
			if got, err := n.Get(ctx, r.user, r.room, r.dataType); !errors.Is(err, mxerr.NotFound) {
				t.Errorf("%s of %s in %q: got %s, %v", r.dataType, r.user, r.room, got, err)
			}
		}
	})
}

func TestWhatIsNotForClients(t *testing.T) {
	each(t, func(t *testing.T, n *node) {
		for _, r := range []struct {
			dataType, content string
			code              mxerr.Code
			status            int
		}{
			{PushRules, `{}`, mxerr.BadJSON, 405},
			{FullyRead, `{}`, mxerr.BadJSON, 405},
			{"m.direct", `[]`, mxerr.BadJSON, 400},
			{"m.direct", ``, mxerr.BadJSON, 400},
			{"", `{}`, mxerr.InvalidParam, 400},
			{"a\x00", `{}`, mxerr.InvalidParam, 400},
			{strings.Repeat("a", 256), `{}`, mxerr.InvalidParam, 400},
		} {
			for _, in := range []id.RoomID{"", room} {
				err := n.Put(ctx, alice, in, r.dataType, canonjson.Value(r.content))
				var refusal *mxerr.Error
				if !errors.As(err, &refusal) || refusal.Code != r.code || refusal.Status != r.status {
					t.Errorf("%.10q with %s: got %v", r.dataType, r.content, err)
				}
			}
		}
		if head := n.journal.Head(); head != 0 {
			t.Errorf("the journal has %d entries", head)
		}
	})
}

func TestFullyRead(t *testing.T) {
	each(t, func(t *testing.T, n *node) {
		for range 2 {
			if err := n.SetFullyRead(ctx, alice, room, "$a"); err != nil {
				t.Fatal(err)
			}
		}
		if head := n.journal.Head(); head != 1 {
			t.Errorf("the same marker makes %d entries", head)
		}
		list, err := n.Since(ctx, alice, 0, 1)
		n.want("marker", show(list, err), "!room:a.test m.fully_read {\"event_id\":\"$a\"}\n")
	})
}

func TestReadersSeeWhatIsAtTheirPosition(t *testing.T) {
	each(t, func(t *testing.T, n *node) {
		p1 := n.put(alice, "", "m.one", `{"v":1}`)
		p2 := n.put(alice, room, "m.two", `{"v":1}`)
		n.put(bob, room, "m.two", `{"bob":true}`)
		p3 := n.put(alice, "", "m.one", `{"v":2}`)
		p4 := n.put(alice, room, "m.three", `{"v":1}`)
		rows := []struct {
			after, upTo journal.Position
			want        string
		}{
			{0, p1, ""}, // changed again later
			{0, p2, "!room:a.test m.two {\"v\":1}\n"},
			{0, p3, "!room:a.test m.two {\"v\":1}\n m.one {\"v\":2}\n"},
			{p1, p2, "!room:a.test m.two {\"v\":1}\n"},
			{p2, p3, " m.one {\"v\":2}\n"},
			{p3, p4, "!room:a.test m.three {\"v\":1}\n"},
			{p4, p4, ""},
		}
		for _, r := range rows {
			since, err := n.Since(ctx, alice, r.after, r.upTo)
			n.want(fmt.Sprintf("from %d to %d", r.after, r.upTo), show(since, err), r.want)
			if r.after == 0 {
				all, err := n.All(ctx, alice, r.upTo)
				n.want(fmt.Sprintf("all at %d", r.upTo), show(all, err), r.want+" m.push_rules rules\n")
			}
		}
	})
}

func TestEntriesAreOfTheUser(t *testing.T) {
	each(t, func(t *testing.T, n *node) {
		n.put(alice, room, "m.one", `{}`)
		n.enable(alice, ".m.rule.master")
		entries, err := n.journal.ReadScopes(ctx, []journal.Scope{journal.UserScope(alice)}, 0, n.journal.Head())
		if err != nil || len(entries) != 2 || entries[0].Kind != journal.KindAccountData ||
			entries[0].Ref != 0 || entries[1].Kind != journal.KindAccountData || entries[1].Ref != RefPushRules {
			t.Errorf("got %v, %v", entries, err)
		}
	})
}

func TestManyRoomsAtOnce(t *testing.T) {
	each(t, func(t *testing.T, n *node) {
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() { n.put(alice, id.RoomID(fmt.Sprintf("!%d:a.test", i)), FullyRead+".of.mine", `{"a":1}`) })
		}
		wg.Wait()
		for name, read := range map[string]func() ([]Data, error){
			"since": func() ([]Data, error) { return n.Since(ctx, alice, 0, n.journal.Head()) },
			"all":   func() ([]Data, error) { return n.All(ctx, alice, n.journal.Head()) },
		} {
			list, err := read()
			rooms := make(map[id.RoomID]bool)
			for _, d := range list {
				rooms[d.Room] = true
			}
			delete(rooms, "")
			if err != nil || len(rooms) != 1000 {
				t.Errorf("%s: %d rooms, %v", name, len(rooms), err)
			}
		}
	})
}
