package room

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

func TestForHowLongMessagesAreKept(t *testing.T) {
	const day = 24 * time.Hour
	some := Retention{Enabled: true, Default: 30 * day, Least: 2 * day, Most: 100 * day}
	for _, tt := range []struct {
		name    string
		policy  Retention
		content string
		want    time.Duration
	}{
		{"nobody says anything", Retention{Enabled: true}, ``, 0},
		{"the server says it", some, ``, 30 * day},
		{"the room says it", some, `{"max_lifetime":864000000}`, 10 * day},
		{"the room alone says it", Retention{Enabled: true}, `{"max_lifetime":1000}`, time.Second},
		{"the room wants less than is allowed", some, `{"max_lifetime":1}`, 2 * day},
		{"the room wants more than is allowed", some, `{"max_lifetime":9007199254740991}`, 100 * day},
		{"not less than at least", Retention{Enabled: true}, `{"max_lifetime":1000,"min_lifetime":2000}`, 2 * time.Second},
		{"at least alone says nothing", Retention{Enabled: true}, `{"min_lifetime":2000}`, 0},
		{"nonsense says nothing", some, `{"max_lifetime":"long"}`, 30 * day},
		{"nor does what is negative", some, `{"max_lifetime":-5}`, 30 * day},
		{"the default is bounded, too", Retention{Enabled: true, Default: day, Least: 2 * day}, ``, 2 * day},
	} {
		var content canonjson.Value
		if tt.content != "" {
			content = canonjson.Value(tt.content)
		}
		if got := tt.policy.lifetime(content); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// bodies returns what is said in a room, as it is shown.
func (n *node) bodies(history []*event.Event) (list []string) {
	for _, e := range history {
		if body, ok := e.Content().Get("body").Text(); ok {
			list = append(list, body)
		}
	}
	return list
}

func TestOldMessagesAreHiddenAndThenRemoved(t *testing.T) {
	location := filepath.Join(t.TempDir(), "parley.db")
	synctest.Test(t, func(t *testing.T) {
		o := soon
		o.Retention.Enabled = true
		n := start(t, storetest.Open(t, location), o)
		roomID, forever := n.create(NewRoom{Preset: PublicChat}), n.create(NewRoom{Preset: PublicChat})
		n.send(forever, message(alice, "for ever"))
		first := n.send(roomID, message(alice, "one")).EventID
		n.send(roomID, state(alice, "m.room.topic", "", `{"topic":"old"}`))
		time.Sleep(time.Hour)
		n.send(roomID, message(alice, "two"))
		n.send(roomID, state(alice, TypeRetention, "", `{"max_lifetime":7200000}`)) // two hours
		check := func(want ...string) {
			t.Helper()
			if got := n.bodies(n.history(roomID)); !slices.Equal(got, want) {
				t.Errorf("backwards: got %q, want %q", got, want)
			}
			items, err := n.Forward(ctx, roomID, 1, 3)
			var forward []*event.Event
			for len(items) > 0 && err == nil {
				for _, it := range items {
					forward = append(forward, it.Event)
				}
				items, err = n.Forward(ctx, roomID, items[len(items)-1].Place+1, 3)
			}
			if got := n.bodies(forward); err != nil || !slices.Equal(got, want) {
				t.Errorf("forwards: got %q, %v, want %q", got, err, want)
			}
			_, ok, err := n.Item(ctx, roomID, first)
			if err != nil || ok != slices.Contains(want, "one") {
				t.Errorf("the first message: %v, %v", ok, err)
			}
		}
		check("one", "two")
		time.Sleep(90 * time.Minute) // two and a half hours
		check("two")
		n.forgetAll()
		check("two")
		if err := n.Prune(ctx); err != nil {
			t.Fatal(err)
		}
		purge := func(want int) {
			t.Helper()
			list, err := n.selectPurges(ctx, "ended = 0")
			if err != nil || len(list) != want {
				t.Fatalf("got %v, %v", list, err)
			}
			for _, p := range list {
				n.runPurge(ctx, p)
			}
		}
		purge(1)
		check("two")
		if got := n.count("SELECT count(*) FROM events WHERE event_id = $1", string(first)); got != 0 {
			t.Error("the first message is still stored")
		}
		now, err := n.Now(ctx, roomID)
		if err != nil {
			t.Fatal(err)
		}
		if e, err := n.State(ctx, roomID, now.Root, event.Tuple{Type: "m.room.topic"}); err != nil || e == nil {
			t.Errorf("the topic: %v, %v", e, err)
		}
		// Again only when a day is over.
		n.send(roomID, message(alice, "three"))
		time.Sleep(time.Hour)
		check("three")
		if err := n.Prune(ctx); err != nil {
			t.Fatal(err)
		}
		purge(0)
		time.Sleep(25 * time.Hour)
		check()
		if err := n.ForgetPurges(ctx); err != nil {
			t.Fatal(err)
		}
		if err := n.Prune(ctx); err != nil {
			t.Fatal(err)
		}
		purge(1)
		check()
		n.send(roomID, message(alice, "four"))
		check("four")
		// The room thinks otherwise. The third message was the last when all were too
		// old, and so was never removed.
		time.Sleep(3 * time.Hour)
		check()
		n.send(roomID, state(alice, TypeRetention, "", `{}`))
		check("three", "four")
		if got := n.bodies(n.history(forever)); !slices.Equal(got, []string{"for ever"}) {
			t.Errorf("in the other room: %q", got)
		}
		n.stop()
		n.db.Close()
	})
}

func TestARoomThatIsBrokenKeepsNoOtherFromBeingPruned(t *testing.T) {
	location := filepath.Join(t.TempDir(), "parley.db")
	synctest.Test(t, func(t *testing.T) {
		o := soon
		o.Retention.Enabled = true
		n := start(t, storetest.Open(t, location), o)
		broken, whole := n.create(NewRoom{Preset: PublicChat}), n.create(NewRoom{Preset: PublicChat})
		for _, roomID := range []id.RoomID{broken, whole} {
			n.send(roomID, message(alice, "old"))
			n.send(roomID, state(alice, TypeRetention, "", `{"max_lifetime":7200000}`))
		}
		err := n.db.Update(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec("UPDATE rooms SET root = $1 WHERE room_id = $2", statetrie.Root{1}, broken)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		n.forgetAll()
		time.Sleep(3 * time.Hour)
		n.send(whole, message(alice, "new"))
		if err := n.Prune(ctx); err == nil || !strings.Contains(err.Error(), string(broken)) {
			t.Errorf("got %v", err)
		}
		if list, err := n.selectPurges(ctx, "ended = 0"); err != nil || len(list) != 1 || list[0].Room != whole {
			t.Errorf("to be purged are %v, %v", list, err)
		}
		n.stop()
		n.db.Close()
	})
}
