package devicelist

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

var ctx = context.Background()

const (
	alice id.UserID = "@alice:a.test"
	bob   id.UserID = "@bob:a.test"
	carol id.UserID = "@carol:b.test"
)

// house is a store with its journal, running, and what it stands on.
type house struct {
	*Store
	t    testing.TB
	stop func()

	mu sync.Mutex // guards what follows
	// rooms has, by number, since when users are in them.
	rooms   map[int64]map[id.UserID]journal.Position
	names   map[id.UserID]map[id.DeviceID]string // what stands for the keys of devices
	keys    map[id.UserID]Keys
	answers map[id.UserID]func() (canonjson.Value, error)
	fetched map[id.UserID]int
	retry   time.Time
}

func scopeOf(room int64) journal.Scope { return journal.NewScope(journal.ScopeRoom, room) }

func build(t testing.TB, db *store.DB) *house {
	t.Helper()
	j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{
		t: t, rooms: make(map[int64]map[id.UserID]journal.Position), names: make(map[id.UserID]map[id.DeviceID]string),
		keys: make(map[id.UserID]Keys), answers: make(map[id.UserID]func() (canonjson.Value, error)), fetched: make(map[id.UserID]int),
	}
	h.Store = New(Parts{
		Server: "a.test", DB: db, Journal: j,
		Rooms: Rooms{Scopes: h.scopes, KnownSince: h.knownSince, Sharers: h.sharers, Servers: h.servers},
		Devices: func(_ context.Context, user id.UserID) ([]id.DeviceID, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			return slices.Collect(maps.Keys(h.names[user])), nil
		},
		Keys: func(_ context.Context, user id.UserID) (Keys, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			keys := h.keys[user]
			keys.Devices = make(map[id.DeviceID]Device)
			for device, key := range h.names[user] {
				keys.Devices[device] = Device{Keys: canonjson.Value(deviceKeys(user, device, key))}
			}
			return keys, nil
		},
		Fetch: func(_ context.Context, user id.UserID) (canonjson.Value, error) {
			h.mu.Lock()
			h.fetched[user]++
			answer := h.answers[user]
			h.mu.Unlock()
			if answer == nil {
				return nil, errors.New("nobody answers")
			}
			return answer()
		},
		Retry: func(id.ServerName) time.Time {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.retry
		},
	})
	running, cancel := context.WithCancel(ctx)
	working, stopWork := context.WithCancel(ctx)
	var wg, work sync.WaitGroup
	wg.Go(func() { j.Run(running) })
	work.Go(func() { h.Run(working) })
	h.stop = sync.OnceFunc(func() {
		stopWork()
		work.Wait()
		cancel()
		wg.Wait()
	})
	t.Cleanup(h.stop)
	return h
}

func (h *house) scopes(_ *store.Tx, user id.UserID) (scopes []journal.Scope, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for num, members := range h.rooms {
		if _, in := members[user]; in {
			scopes = append(scopes, scopeOf(num))
		}
	}
	return scopes, nil
}

func (h *house) knownSince(_ *store.Tx, users []id.UserID) (map[id.UserID]journal.Position, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	since := make(map[id.UserID]journal.Position)
	for _, members := range h.rooms {
		local := slices.ContainsFunc(slices.Collect(maps.Keys(members)), func(u id.UserID) bool { return u.Server() == "a.test" })
		for _, user := range users {
			if pos, in := members[user]; in && local {
				if earlier, ok := since[user]; !ok || pos < earlier {
					since[user] = pos
				}
			}
		}
	}
	return since, nil
}

func (h *house) sharers(_ context.Context, user id.UserID, among []id.UserID) (sharers []id.UserID, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, other := range among {
		for _, members := range h.rooms {
			_, one := members[user]
			if _, both := members[other]; one && both {
				sharers = append(sharers, other)
				break
			}
		}
	}
	return sharers, nil
}

func (h *house) servers(_ context.Context, user id.UserID) ([]id.ServerName, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	servers := make(map[id.ServerName]bool)
	for _, members := range h.rooms {
		if _, in := members[user]; in {
			for other := range members {
				servers[other.Server()] = other.Server() != "a.test"
			}
		}
	}
	maps.DeleteFunc(servers, func(_ id.ServerName, other bool) bool { return !other })
	return slices.Sorted(maps.Keys(servers)), nil
}

// join has users come into a room.
func (h *house) join(room int64, users ...id.UserID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rooms[room] == nil {
		h.rooms[room] = make(map[id.UserID]journal.Position)
	}
	for _, user := range users {
		h.rooms[room][user] = h.Journal.Head()
	}
}

func (h *house) leave(room int64, user id.UserID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.rooms[room], user)
}

// changes has the devices of a user change, and returns the position of that.
func (h *house) changes(user id.UserID) journal.Position {
	h.t.Helper()
	pos, err := h.Journal.Append(ctx, func(b *journal.Batch) error {
		h.Changed(b, user)
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return pos
}

// since returns of whose changes a user learns who is in some rooms.
func (h *house) since(user id.UserID, after, upTo journal.Position, rooms ...int64) string {
	h.t.Helper()
	in := func(s journal.Scope) bool { return slices.Contains(rooms, s.Number()) }
	users, err := h.Since(ctx, user, in, after, upTo)
	if err != nil {
		h.t.Fatal(err)
	}
	var names []string
	for _, u := range users {
		names = append(names, u.Localpart())
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " ")
}

func (h *house) receive(origin id.ServerName, kind, content string) {
	h.t.Helper()
	v, err := canonjson.Canonical([]byte(content), canonjson.Lenient)
	if err != nil {
		h.t.Fatalf("%s: %v", content, err)
	}
	if err := h.Receive(origin, kind, v)(); err != nil {
		h.t.Fatal(err)
	}
}

// deviceKeys are some of a device.
func deviceKeys(user id.UserID, device id.DeviceID, key string) string {
	return fmt.Sprintf(`{"algorithms":[],"device_id":%q,"keys":{"ed25519:%s":%q},"signatures":{},"user_id":%q}`, device, device, key, user)
}

func update(user id.UserID, device id.DeviceID, key string, stream int64, prev string) string {
	return fmt.Sprintf(`{"user_id":%q,"device_id":%q,"keys":%s,"stream_id":%d,"prev_id":%s}`, user, device, deviceKeys(user, device, key), stream, prev)
}

// answers has the server of a user answer with a list.
func (h *house) answersWith(user id.UserID, stream int64, devices ...string) {
	list := make([]string, len(devices))
	for i, d := range devices {
		device, key, _ := strings.Cut(d, " ")
		list[i] = fmt.Sprintf(`{"device_id":%q,"keys":%s}`, device, deviceKeys(user, id.DeviceID(device), key))
	}
	answer := fmt.Sprintf(`{"user_id":%q,"stream_id":%d,"devices":[%s]}`, user, stream, strings.Join(list, ","))
	v, err := canonjson.Canonical([]byte(answer), canonjson.Lenient)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers[user] = func() (canonjson.Value, error) { return v, err }
}

// remote returns what is known of the devices of a user of another server, fetched if
// need be.
func (h *house) remote(user id.UserID) string {
	h.t.Helper()
	found, err := h.Remote(ctx, []id.UserID{user, alice})
	if err != nil {
		h.t.Fatal(err)
	}
	keys, ok := found[user]
	if !ok {
		return "unknown"
	}
	var list []string
	for device, d := range keys.Devices {
		key := d.Keys.Get("keys").Get("ed25519:" + string(device)).String()
		list = append(list, string(device)+" "+key)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func (h *house) times(user id.UserID) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fetched[user]
}

func (h *house) wants(what string, got, want any) {
	h.t.Helper()
	if got != want {
		h.t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestAChangeIsOneEntryAndConcernsWhoSharesARoom(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := build(t, db)
		h.join(1, alice, bob)
		h.join(2, alice, carol)
		h.join(3, bob)
		sub, apart := h.Journal.Subscribe(scopeOf(2)), h.Journal.Subscribe(scopeOf(3))
		before := h.Journal.Head()
		pos := h.changes(alice)
		h.wants("entries", pos-before, journal.Position(1))
		if _, err := sub.Wait(ctx, before, 0); err != nil { // which ends when who is in a room with alice is told
			t.Fatal(err)
		}
		if _, news := apart.Notify(before, 0, func() {}); news {
			t.Error("who is in another room is told")
		}
		h.wants("bob in room 1", h.since(bob, before, pos, 1, 3), "alice")
		h.wants("bob in room 3", h.since(bob, before, pos, 3), "")
		h.wants("alice", h.since(alice, before, pos), "alice")
		h.wants("after it", h.since(bob, pos, pos, 1), "")

		h.stop()
		h2 := build(t, db)
		h2.rooms = h.rooms
		h2.wants("bob, after a restart", h2.since(bob, before, pos, 1), "alice")
		h2.wants("alice, after a restart", h2.since(alice, before, pos), "alice")
		h2.leave(1, bob)
		h2.wants("bob, when he has left", h2.since(bob, before, pos), "")
	})
}

// publishes returns what servers get of what has changed up to now.
func (h *house) publishes(from journal.Position) (said []string) {
	h.t.Helper()
	entries, err := h.Journal.Read(ctx, from-1, 1000)
	if err != nil {
		h.t.Fatal(err)
	}
	list, err := h.Publish(ctx, entries)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, o := range list {
		said = append(said, string(o.Server)+" "+describe(o.EDU))
	}
	return said
}

func describe(edu canonjson.Value) string {
	c := edu.Get("content")
	if edu.Get("edu_type").Is(SigningKeyEDU) {
		return "keys"
	}
	text := c.Get("device_id").String()
	if c.Get("deleted").True() {
		return text + " deleted"
	}
	return text + " " + c.Get("keys").Get("keys").Get("ed25519:"+text).String()
}

func TestOtherServersAreToldWhatIsNew(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := build(t, db)
		h.names[alice] = map[id.DeviceID]string{"A": "phone", "B": "desk"}
		h.changes(alice)
		h.wants("as long as she is alone", len(h.publishes(1)), 0)
		h.join(1, alice, carol, "@dan:c.test")
		at := h.changes(alice)
		h.wants("at first", fmt.Sprint(h.publishes(at)), "[b.test A phone c.test A phone b.test B desk c.test B desk]")
		h.wants("again", len(h.publishes(at)), 4)

		at = h.changes(alice)
		h.wants("nothing is new", len(h.publishes(at)), 0)
		h.mu.Lock()
		h.names[alice] = map[id.DeviceID]string{"A": "phone", "C": "pad"}
		h.keys[alice] = Keys{Master: canonjson.Value(`{"user_id":"@alice:a.test"}`)}
		h.mu.Unlock()
		h.leave(1, "@dan:c.test")
		at = h.changes(alice)
		h.wants("then", fmt.Sprint(h.publishes(at)), "[b.test keys b.test B deleted b.test C pad]")
		owed, _, err := h.OwedTo(ctx, "b.test", 1, h.Journal.Head(), 100)
		h.wants("in all", fmt.Sprint(len(owed), err), "4 <nil>")
		owed, _, err = h.OwedTo(ctx, "c.test", 1, h.Journal.Head(), 100)
		h.wants("to who is gone", fmt.Sprint(len(owed), err), "0 <nil>")
	})
}

func TestChangesFollowEachOther(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := build(t, db)
		h.join(1, alice, carol)
		last := int64(0)
		for i := range 5 {
			h.mu.Lock()
			h.names[alice] = map[id.DeviceID]string{"A": fmt.Sprint(i), "B": fmt.Sprint(i / 2)}
			h.mu.Unlock()
			entries, err := h.Journal.Read(ctx, h.changes(alice)-1, 10)
			if err != nil {
				t.Fatal(err)
			}
			list, err := h.Publish(ctx, entries)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range list {
				u, ok := ParseUpdate("a.test", o.EDU.Get("content"))
				if !ok || u.Stream <= last || last != 0 && !slices.Equal(u.Prev, []int64{last}) || last == 0 && len(u.Prev) != 0 {
					t.Errorf("behind %d comes %s", last, o.EDU)
				}
				last = u.Stream
			}
		}
		devices, err := h.UserDevices(ctx, alice)
		if n, _ := devices.Get("stream_id").Int(); err != nil || n != last {
			t.Errorf("the list is %s, %v, want number %d", devices, err, last)
		}
	})
}

func TestOfManyChangesOtherServersFindAGap(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := build(t, db)
		h.join(1, alice, carol)
		h.names[alice] = make(map[id.DeviceID]string)
		for i := range 50 {
			h.names[alice][id.DeviceID(fmt.Sprintf("D%02d", i))] = "phone"
		}
		said := h.publishes(h.changes(alice))
		h.wants("how much is said", len(said), mostAtOnce)
		h.wants("what is said last", said[mostAtOnce-1], "b.test D49 phone")
	})
}

func TestTheListOfAUserIsFetchedOnceAndKeptUpToDate(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := build(t, db)
		h.answersWith(carol, 5, "A one")
		h.wants("a stranger", h.remote(carol), "unknown")
		h.join(1, alice, carol)
		h.wants("at first", h.remote(carol), "A one")
		h.wants("again", h.remote(carol), "A one")
		before := h.Journal.Head()
		h.receive("b.test", UpdateEDU, update(carol, "B", "two", 6, "[5]"))
		h.wants("one more", h.remote(carol), "A one, B two")
		h.wants("alice learns of it", h.since(alice, before, h.Journal.Head(), 1), "carol")
		head := h.Journal.Head()
		h.receive("b.test", UpdateEDU, update(carol, "B", "two", 6, "[5]"))
		h.receive("b.test", UpdateEDU, update(carol, "A", "three", 7, "[6]"))
		h.receive("b.test", UpdateEDU, update(carol, "B", "two", 6, "[5]"))
		h.receive("b.test", UpdateEDU, `{"user_id":"@carol:b.test","device_id":"B","deleted":true,"stream_id":8,"prev_id":[7]}`)
		h.wants("one has changed, one is gone", h.remote(carol), "A three")
		h.wants("entries", h.Journal.Head()-head, journal.Position(2))
		h.wants("fetched", h.times(carol), 1)

		h.stop()
		rooms, answers := h.rooms, h.answers
		h = build(t, db)
		h.rooms, h.answers = rooms, answers
		h.wants("after a restart", h.remote(carol), "A three")
		h.wants("fetched after a restart", h.times(carol), 0)
	})
}

func TestWhoHasLeftIsAskedForAnew(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := build(t, db)
		h.join(1, alice, carol)
		h.answersWith(carol, 5, "A one")
		h.wants("at first", h.remote(carol), "A one")
		h.leave(1, carol)
		h.wants("when she is gone", h.remote(carol), "unknown")
		h.receive("b.test", UpdateEDU, update(carol, "B", "two", 6, "[5]")) // is nothing to us
		h.answersWith(carol, 6, "B two")
		h.changes(bob)
		h.join(1, carol)
		h.wants("when she is back", h.remote(carol), "B two")
		h.leave(1, carol)
		if err := h.Tidy(ctx); err != nil {
			t.Fatal(err)
		}
		var rows int
		err := db.View(ctx, func(tx *store.Tx) error {
			return tx.Row("SELECT (SELECT count(*) FROM remote_lists) + (SELECT count(*) FROM remote_devices)").Scan(&rows)
		})
		h.wants("rows that are left", fmt.Sprint(rows, err), "0 <nil>")
	})
}

func TestChangesThatAreNoneOfTheServersAreDropped(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := build(t, db)
		h.join(1, alice, carol)
		h.answersWith(carol, 5, "A one")
		h.remote(carol)
		head := h.Journal.Head()
		for _, content := range []string{
			update(alice, "A", "x", 6, "[5]"),
			update("@dan:c.test", "A", "x", 6, "[5]"),
			update("@eve:b.test", "A", "x", 6, "[5]"), // is in no room
			`{"user_id":"@carol:b.test","device_id":"A","stream_id":"6","prev_id":[5],"keys":{}}`,
			`{"user_id":"@carol:b.test","device_id":"A","stream_id":6,"prev_id":[5],"keys":{}}`,
			`{"user_id":"@carol:b.test","device_id":"","stream_id":6,"prev_id":[5],"deleted":true}`,
			`{"user_id":"@carol:b.test","device_id":"A\u0000","stream_id":6,"prev_id":[5],"deleted":true}`,
			`{"user_id":"@carol:b.test","device_id":"A","stream_id":-6,"prev_id":[5],"deleted":true}`,
			strings.Replace(update(carol, "A", "x", 6, "[5]"), `"device_id":"A"`, `"device_id":"B"`, 1),
			update(carol, "A", strings.Repeat("x", mostObject), 6, "[5]"),
			`{}`,
		} {
			h.receive("b.test", UpdateEDU, content)
		}
		h.receive("c.test", UpdateEDU, update(carol, "A", "x", 6, "[5]"))
		h.receive("b.test", SigningKeyEDU, `{"user_id":"@alice:a.test","master_key":{"user_id":"@alice:a.test","usage":["master"],"keys":{}}}`)
		h.receive("b.test", SigningKeyEDU, `{"user_id":"@carol:b.test","master_key":{"user_id":"@alice:a.test","usage":["master"],"keys":{}}}`)
		h.receive("b.test", SigningKeyEDU, `{"user_id":"@carol:b.test","master_key":{"user_id":"@carol:b.test","usage":["self_signing"],"keys":{}}}`)
		h.wants("entries", h.Journal.Head()-head, journal.Position(0))
		h.wants("the list", h.remote(carol), "A one")
	})
}

func TestKeysForCrossSigningAreKept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := build(t, db)
		h.join(1, alice, carol)
		h.answersWith(carol, 5, "A one")
		h.remote(carol)
		head := h.Journal.Head()
		const master = `{"keys":{"ed25519:m":"m"},"usage":["master"],"user_id":"@carol:b.test"}`
		h.receive("b.test", SigningKeyEDU, `{"user_id":"@carol:b.test","master_key":`+master+`}`)
		h.receive("b.test", SigningKeyEDU, `{"user_id":"@carol:b.test","master_key":`+master+`}`)
		h.wants("entries", h.Journal.Head()-head, journal.Position(1))
		found, err := h.Remote(ctx, []id.UserID{carol})
		h.wants("the key", fmt.Sprint(string(found[carol].Master), found[carol].SelfSigning, err), master+" <nil>")
	})
}

func FuzzParse(f *testing.F) {
	f.Add(update(carol, "A", "x", 6, "[5]"))
	f.Add(`{"user_id":"@carol:b.test","device_id":"A","stream_id":6,"prev_id":[5,"x",1e999],"deleted":true}`)
	f.Add(`{"user_id":"@carol:b.test","master_key":{"user_id":"@carol:b.test","usage":["master"],"keys":{}},"devices":[{"device_id":"A"}],"stream_id":1}`)
	f.Fuzz(func(t *testing.T, text string) {
		content, err := canonjson.Canonical([]byte(text), canonjson.Lenient)
		if err != nil || content.Kind() != canonjson.Object {
			return
		}
		if u, ok := ParseUpdate("b.test", content); ok {
			if u.User.Server() != "b.test" || u.DeviceID == "" || u.Stream < 0 || len(u.Device) > mostObject {
				t.Errorf("taken in: %s", content)
			}
			if u.Device != nil && !u.Device.Get("keys").Get("user_id").Is(string(u.User)) {
				t.Errorf("the keys of somebody else: %s", content)
			}
		}
		if user, keys, ok := ParseSigningKeys("b.test", content); ok && keys.Master != nil && !keys.Master.Get("user_id").Is(string(user)) {
			t.Errorf("the key of somebody else: %s", content)
		}
		if _, devices, _, err := parseList(carol, content); err == nil {
			for device, d := range devices {
				if !d.Get("keys").Get("device_id").Is(string(device)) {
					t.Errorf("the keys of another device: %s", content)
				}
			}
		}
	})
}
