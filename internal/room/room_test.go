package room

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
	"parley/matrix/signing"
)

var ctx = context.Background()

const (
	alice id.UserID = "@alice:a.test"
	bob   id.UserID = "@bob:a.test"
	carol id.UserID = "@carol:a.test"
)

func testKey(t testing.TB) signing.Key { return keyOf(t, "a.test") }

func keyOf(t testing.TB, server id.ServerName) signing.Key {
	seed := sha256.Sum256([]byte(server))
	key, err := signing.NewKey("ed25519:test", seed[:])
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// node is an engine with its journal, running.
type node struct {
	*Engine
	t    testing.TB
	db   *store.DB
	stop func()
}

func start(t testing.TB, db *store.DB, o Options) *node {
	t.Helper()
	j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	running, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { j.Run(running) })
	stop := func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(stop)
	if o.Server == "" {
		o.Server = "a.test"
	}
	o.Key = keyOf(t, o.Server)
	return &node{Engine: New(db, j, o), t: t, db: db, stop: stop}
}

func rulesOf(t testing.TB, v roomver.Version) *roomver.Rules {
	rules, ok := roomver.Lookup(v)
	if !ok {
		t.Fatalf("room version %s is unknown", v)
	}
	return rules
}

func (n *node) create(room NewRoom) id.RoomID {
	n.t.Helper()
	if room.Creator == "" {
		room.Creator = alice
	}
	roomID, _, err := n.Create(ctx, room)
	if err != nil {
		n.t.Fatal(err)
	}
	return roomID
}

// eventByID returns an event of a room, nil when there is none.
func (n *node) eventByID(roomID id.RoomID, eventID id.EventID) *event.Event {
	n.t.Helper()
	it, _, err := n.Item(ctx, roomID, eventID)
	if err != nil {
		n.t.Fatal(err)
	}
	return it.Event
}

func (n *node) send(roomID id.RoomID, d Draft) Sent {
	n.t.Helper()
	sent, err := n.Send(ctx, roomID, d)
	if err != nil {
		n.t.Fatal(err)
	}
	return sent
}

func state(sender id.UserID, eventType, key, content string) Draft {
	return Draft{Type: eventType, StateKey: &key, Sender: sender, Content: canonjson.Value(content)}
}

func member(sender, target id.UserID, membership string) Draft {
	return state(sender, event.TypeMember, string(target), `{"membership":"`+membership+`"}`)
}

func join(user id.UserID) Draft { return member(user, user, event.MembershipJoin) }

func message(sender id.UserID, body string) Draft {
	content := object("body", canonjson.Text(body)).With("msgtype", canonjson.Text("m.text"))
	return Draft{Type: "m.room.message", Sender: sender, Content: content}
}

// history returns all events of a room, oldest first.
func (n *node) history(roomID id.RoomID) []*event.Event {
	n.t.Helper()
	var all []*event.Event
	for place := Last; ; {
		items, err := n.Back(ctx, roomID, place, 7)
		if err != nil {
			n.t.Fatal(err)
		}
		if len(items) == 0 {
			slices.Reverse(all)
			return all
		}
		for _, it := range items {
			all = append(all, it.Event)
			place = it.Place - 1
		}
	}
}

// check replays a room from its events: each has its hash and signature, cites
// the events that it should, follows the one before, and is allowed by the
// state before it; and the state they make is the one that the engine has.
func (n *node) check(roomID id.RoomID) []*event.Event {
	n.t.Helper()
	events := n.history(roomID)
	keys := func(id.ServerName, id.KeyID) (event.VerifyKey, bool) {
		return event.VerifyKey{Public: n.key.Public(), ValidUntil: canonjson.MaxInt}, true
	}
	replayed := eventauth.MapState{}
	byID := make(map[id.EventID]*event.Event)
	for i, e := range events {
		redacted := e.Unsigned().Get("redacted_because") != nil
		if received, err := event.NewVerifier(0).Receive(e, keys); err != nil || received != e && !redacted {
			n.t.Fatalf("%s is not whole: %v", e.JSON(), err)
		}
		if i > 0 && !slices.Equal(e.PrevEvents(), []id.EventID{events[i-1].ID()}) {
			n.t.Fatalf("event %d of %s follows %v", i, roomID, e.PrevEvents())
		}
		var auth []*event.Event
		for _, a := range e.AuthEvents() {
			auth = append(auth, byID[a])
		}
		create := byID[events[0].ID()]
		if err := eventauth.CheckAuthEvents(e, eventauth.AuthEvents{Events: auth, Create: create}); err != nil {
			n.t.Fatal(err)
		}
		if err := eventauth.Check(e, replayed); err != nil {
			n.t.Fatal(err)
		}
		byID[e.ID()] = e
		if t, ok := e.Tuple(); ok {
			replayed[t] = e
		}
	}
	if err := n.journal.Refresh(ctx); err != nil { // other nodes may have appended
		n.t.Fatal(err)
	}
	now, err := n.Now(ctx, roomID)
	if err != nil {
		n.t.Fatal(err)
	}
	full, err := n.FullState(ctx, roomID, now.Root)
	if err != nil {
		n.t.Fatal(err)
	}
	if len(full) != len(replayed) {
		n.t.Errorf("the state has %d events, %d are replayed", len(full), len(replayed))
	}
	for _, it := range full {
		e := it.Event
		t, _ := e.Tuple()
		if want := replayed[t]; want == nil || want.ID() != e.ID() {
			n.t.Errorf("%v is %s in the state", t, e.ID())
		}
	}
	return events
}

func eachVersion(t *testing.T, f func(t *testing.T, rules *roomver.Rules)) {
	for rules := range roomver.Known() {
		t.Run("version "+string(rules.Version), func(t *testing.T) { f(t, rules) })
	}
}

func TestANewRoom(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
			roomID := n.create(NewRoom{
				Version: rules.Version, Preset: PublicChat, Name: "Pub", Topic: "Beer", Alias: "#pub:a.test",
				State:   []Draft{state("", "m.room.encryption", "", `{"algorithm":"m.megolm.v1.aes-sha2"}`)},
				Invites: []id.UserID{bob}, Direct: true,
			})
			var got []string
			for _, e := range n.check(roomID) {
				key, _ := e.StateKey()
				got = append(got, strings.TrimSpace(e.Type()+" "+key))
			}
			want := []string{
				"m.room.create", "m.room.member @alice:a.test", "m.room.power_levels", "m.room.canonical_alias",
				"m.room.join_rules", "m.room.history_visibility", "m.room.guest_access", "m.room.encryption",
				"m.room.name", "m.room.topic", "m.room.member @bob:a.test",
			}
			if !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if _, hasDomain := roomID.Server(); hasDomain == rules.RoomIDFromCreate {
				t.Errorf("room ID is %s", roomID)
			}
		})
	})
}

// TestRoomsMadeAlikeAreDifferent: on one node and on two, in one millisecond.
func TestRoomsMadeAlikeAreDifferent(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		nodes := []*node{start(t, storetest.Open(t, location), Options{}), start(t, storetest.Open(t, location), Options{})}
		var mu sync.Mutex
		seen := make(map[id.RoomID]bool)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				roomID, _, err := nodes[i%2].Create(ctx, NewRoom{Creator: alice})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				seen[roomID] = true
			})
		}
		wg.Wait()
		if len(seen) != 20 {
			t.Errorf("20 rooms have %d IDs", len(seen))
		}
		for roomID := range seen {
			nodes[0].check(roomID)
		}
	})
}

func TestPeopleTalk(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		n := start(t, storetest.Open(t, location), Options{})
		roomID := n.create(NewRoom{Preset: PublicChat})
		n.send(roomID, join(bob))
		first := n.send(roomID, message(bob, "hello"))
		last := n.send(roomID, message(alice, "welcome"))
		if last.Pos <= first.Pos {
			t.Errorf("positions are %d, then %d", first.Pos, last.Pos)
		}
		if e := n.eventByID(roomID, first.EventID); e == nil || !e.Content().Get("body").Is("hello") {
			t.Errorf("the first message is %v", e)
		}
		if e := n.eventByID(roomID, "$unknown"); e != nil {
			t.Errorf("an unknown event is %v", e)
		}
		before := n.check(roomID)
		n.stop()
		n.db.Close()

		n = start(t, storetest.Open(t, location), Options{})
		n.send(roomID, message(bob, "back again"))
		if after := n.check(roomID); len(after) != len(before)+1 {
			t.Errorf("%d events became %d by a restart and a message", len(before), len(after))
		}
	})
}

func TestRefusals(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		roomID := n.create(NewRoom{Preset: PrivateChat})
		long := strings.Repeat("x", 300)
		rows := []struct {
			name  string
			room  id.RoomID
			draft Draft
			code  mxerr.Code
		}{
			{"a room that is not there", "!nowhere:a.test", message(alice, "hi"), mxerr.NotFound},
			{"somebody who is not in the room", roomID, message(bob, "hi"), mxerr.Forbidden},
			{"a join without invite", roomID, join(bob), mxerr.Forbidden},
			{"a type that is too long", roomID, Draft{Type: long, Sender: alice}, mxerr.BadJSON},
			{"an event that is too large", roomID, message(alice, strings.Repeat("x", 70000)), mxerr.TooLarge},
			{"an invite of nobody", roomID, state(alice, event.TypeMember, "nobody", `{"membership":"invite"}`), mxerr.BadJSON},
			{"an invite of a user with NUL", roomID, state(alice, event.TypeMember, "@\x00:a.test", `{"membership":"invite"}`), mxerr.BadJSON},
			{"content that is no object", roomID, Draft{Type: "t", Sender: alice, Content: canonjson.Value("[]")}, mxerr.BadJSON},
			{"content that is not canonical JSON", roomID, Draft{Type: "t", Sender: alice, Content: canonjson.Value(`{"a":1.5}`)}, mxerr.BadJSON},
		}
		for _, r := range rows {
			t.Run(r.name, func(t *testing.T) {
				if _, err := n.Send(ctx, r.room, r.draft); !errors.Is(err, r.code) {
					t.Errorf("got %v, want %s", err, r.code)
				}
			})
		}
		for name, room := range map[string]NewRoom{
			"an unknown version": {Version: "none"},
			"state that the creator may not set": {Levels: canonjson.Value(`{"users":{}}`), Version: "11",
				Name: "unnameable"},
			"a second create event": {State: []Draft{state("", event.TypeCreate, "", `{}`)}},
		} {
			t.Run(name, func(t *testing.T) {
				room.Creator = alice
				if _, _, err := n.Create(ctx, room); !errors.Is(err, mxerr.InvalidRoomState) && !errors.Is(err, mxerr.UnsupportedRoomVersion) {
					t.Errorf("got %v", err)
				}
			})
		}
		n.check(roomID)
	})
}

// TestManySendersMakeOneLine has two nodes on one database: within a node sends
// chain, between them they conflict and are built again.
func TestManySendersMakeOneLine(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		nodes := []*node{
			start(t, storetest.Open(t, location), Options{}),
			start(t, storetest.Open(t, location), Options{Memory: 1}),
		}
		roomID := nodes[0].create(NewRoom{Preset: PublicChat})
		const senders, each = 8, 12
		var wg sync.WaitGroup
		for i := range senders {
			wg.Go(func() {
				n, user := nodes[i%2], id.UserID(fmt.Sprintf("@user%d:a.test", i))
				if _, err := n.Send(ctx, roomID, join(user)); err != nil {
					t.Error(err)
					return
				}
				for m := range each {
					d := message(user, fmt.Sprint(m))
					if m%4 == 0 {
						d = state(user, event.TypeMember, string(user), fmt.Sprintf(`{"displayname":"%d","membership":"join"}`, m))
					}
					if _, err := n.Send(ctx, roomID, d); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		nodes[0].forgetAll()
		if events := nodes[0].check(roomID); len(events) != 6+senders*(each+1) {
			t.Errorf("%d events", len(events))
		}
	})
}

func (g *Engine) forgetAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.rooms)
	clear(g.names)
	g.order.Init()
}

// TestCrashPoints fails a send at each point of its commit. What was
// acknowledged is there, the room goes on, and it is one line.
func TestCrashPoints(t *testing.T) {
	for point := store.BeforeBegin; point <= store.AfterCommit; point++ {
		storetest.EachLocation(t, func(t *testing.T, location string) {
			db := storetest.Open(t, location)
			n := start(t, db, Options{})
			roomID := n.create(NewRoom{Preset: PublicChat})
			n.send(roomID, message(alice, "before"))
			crash := errors.New("crash")
			failing := true
			db.FailAt(func(p store.Point) error {
				if failing && p == point {
					return crash
				}
				return nil
			})
			for _, d := range []Draft{message(alice, "meanwhile"), state(alice, "m.room.topic", "", `{"topic":"meanwhile"}`)} {
				if _, err := n.Send(ctx, roomID, d); !errors.Is(err, crash) {
					t.Fatalf("point %d: %v", point, err)
				}
			}
			failing = false
			n.send(roomID, message(alice, "after"))
			want := 8
			if point == store.AfterCommit {
				want = 10
			}
			if got := len(n.check(roomID)); got != want {
				t.Errorf("point %d: %d events, want %d", point, got, want)
			}
			n.stop()
			db.Close()
			n = start(t, storetest.Open(t, location), Options{})
			n.send(roomID, message(alice, "after the restart"))
			n.check(roomID)
		})
	}
}

func TestRoomsAreForgottenWhenMemoryIsShort(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		const memory = 80 << 10
		n := start(t, db, Options{Memory: memory})
		var rooms []id.RoomID
		for range 10 {
			rooms = append(rooms, n.create(NewRoom{Preset: PublicChat}))
		}
		for _, roomID := range rooms {
			n.send(roomID, message(alice, "hi"))
		}
		if got := len(n.rooms); got > 3 {
			t.Errorf("%d rooms are in memory", got)
		}
		for _, roomID := range rooms {
			n.check(roomID)
		}
	})
}
