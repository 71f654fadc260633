package room

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/stateres"
)

// soon is without grace: nobody reads in these tests who has begun before.
var soon = Options{Grace: -1}

// purge runs what is scheduled, and returns what became of one of them.
func (n *node) purge(name string, err error) Purge {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
	list, err := n.selectPurges(ctx, "ended = 0")
	if err != nil {
		n.t.Fatal(err)
	}
	n.purges.pause = 0 // what fails without a reason of the moment fails soon
	for _, p := range list {
		n.runPurge(ctx, p)
	}
	list, err = n.selectPurges(ctx, "purge = $1", name)
	if err != nil || len(list) != 1 || list[0].Ended.IsZero() {
		n.t.Fatalf("got %+v, %v", list, err)
	}
	return list[0]
}

// count returns what a query counts.
func (n *node) count(query string, args ...any) (count int64) {
	n.t.Helper()
	if err := n.db.View(ctx, func(tx *store.Tx) error { return tx.Row(query, args...).Scan(&count) }); err != nil {
		n.t.Fatal(err)
	}
	return count
}

// A talk is a room in which all kinds of things are said.
type talk struct {
	*node
	roomID id.RoomID
	rng    *rand.Rand
	said   []id.EventID
	thread id.EventID
}

func newTalk(n *node, seed uint64) *talk {
	t := &talk{node: n, rng: rand.New(rand.NewPCG(seed, 0))}
	t.roomID = n.create(NewRoom{Preset: PublicChat, Levels: canonjson.Value(`{"events_default":0,"state_default":0}`)})
	for _, user := range []id.UserID{bob, carol} {
		n.send(t.roomID, join(user))
	}
	return t
}

func (t *talk) draft() Draft {
	user := []id.UserID{alice, bob}[t.rng.IntN(2)]
	switch t.rng.IntN(10) {
	case 0:
		return state(user, "m.room.topic", "", fmt.Sprintf(`{"topic":"%d"}`, t.rng.IntN(3)))
	case 1:
		return state(user, "org.test", string(rune('a'+t.rng.IntN(20))), fmt.Sprintf(`{"x":%d}`, t.rng.IntN(3)))
	case 2:
		return state(bob, event.TypeMember, string(bob), fmt.Sprintf(`{"displayname":"%d","membership":"join"}`, t.rng.IntN(9)))
	case 3:
		if len(t.said) > 0 {
			return Draft{Type: event.TypeRedaction, Sender: alice, Redacts: t.said[t.rng.IntN(len(t.said))]}
		}
	case 4, 5:
		if t.thread != "" {
			d := message(user, "in a thread")
			d.Content = d.Content.With("m.relates_to", canonjson.Value(`{"event_id":"`+string(t.thread)+`","rel_type":"m.thread"}`))
			return d
		}
	case 6:
		d := message(user, "carol!")
		d.Content = d.Content.With("m.mentions", canonjson.Value(`{"user_ids":["`+string(carol)+`"]}`))
		return d
	}
	return message(user, "hello")
}

func (t *talk) goOn(count int) {
	t.t.Helper()
	for range count {
		d := t.draft()
		sent := t.send(t.roomID, d)
		t.said = append(t.said, sent.EventID)
		if d.Type == "m.room.message" && d.Content.Get("m.relates_to") == nil && t.rng.IntN(8) == 0 {
			t.thread = sent.EventID
		}
	}
}

// wholeState returns the IDs of a state.
func (n *node) wholeState(roomID id.RoomID, root statetrie.Root) map[event.Tuple]string {
	n.t.Helper()
	items, err := n.FullState(ctx, roomID, root)
	if err != nil {
		n.t.Fatalf("a state that is needed cannot be read: %v", err)
	}
	m := make(map[event.Tuple]string)
	for _, it := range items {
		tuple, _ := it.Event.Tuple()
		m[tuple] = string(it.Event.JSON())
	}
	return m
}

// checkLeft holds what is left of the room against what it was: items and states
// are those of before, from a place on.
func (t *talk) checkLeft(before []Item, states []map[event.Tuple]string, first int64) {
	t.t.Helper()
	left := t.items(t.roomID)
	before, states = before[first-1:], states[first-1:]
	if len(left) != len(before) {
		t.t.Fatalf("%d events are left, want %d", len(left), len(before))
	}
	for i, it := range left {
		if !sameItem(it, before[i]) {
			t.t.Errorf("got %+v\nwant %+v", it, before[i])
		}
		if !maps.Equal(t.wholeState(t.roomID, it.Current), states[i]) {
			t.t.Errorf("the state at place %d is not what it was", it.Place)
		}
		t.wholeState(t.roomID, it.Before)
		if it.Replaces != 0 {
			if _, err := t.Items(ctx, t.roomID, []stateres.Num{it.Replaces}); err != nil {
				t.t.Errorf("what place %d replaced: %v", it.Place, err)
			}
		}
	}
	forward, err := t.Forward(ctx, t.roomID, 1, 1000)
	if err != nil || len(forward) != len(left) || forward[0].Place != first {
		t.t.Errorf("forward there are %d events, %v, want %d from %d on", len(forward), err, len(left), first)
	}
	t.checkAuth(left)
	t.checkNodes(left)
}

// checkAuth demands that what authorises events is there, all the way down.
func (t *talk) checkAuth(left []Item) {
	t.t.Helper()
	r, err := t.room(ctx, t.roomID)
	if err != nil {
		t.t.Fatal(err)
	}
	seen := make(map[stateres.Num]bool)
	var follow func(n stateres.Num)
	follow = func(n stateres.Num) {
		if seen[n] {
			return
		}
		seen[n] = true
		k, err := r.known(ctx, n)
		if err != nil {
			t.t.Fatalf("what authorises an event is gone: %v", err)
		}
		for _, a := range k.auth {
			follow(a)
		}
	}
	for _, it := range left {
		follow(it.Num)
	}
}

// checkNodes demands that the nodes which are stored are those that are needed.
func (t *talk) checkNodes(left []Item) {
	t.t.Helper()
	seen := make(map[statetrie.Address]struct{})
	num := t.num(t.roomID)
	for _, it := range left {
		for _, root := range []statetrie.Root{it.Before, it.Current} {
			if err := statetrie.Mark(ctx, storedNodes{t.db, num}, root, seen, func(uint64) {}); err != nil {
				t.t.Fatal(err)
			}
		}
	}
	if stored := t.count("SELECT count(*) FROM state_nodes WHERE room = $1", num); stored != int64(len(seen)) {
		t.t.Errorf("%d nodes are stored, %d are needed", stored, len(seen))
	}
}

func (t *talk) now() (items []Item, states []map[event.Tuple]string) {
	items = t.items(t.roomID)
	for _, it := range items {
		states = append(states, t.wholeState(t.roomID, it.Current))
	}
	return items, states
}

func TestWhatIsPurgedIsLikeWhatNeverWas(t *testing.T) {
	for seed := range uint64(3) {
		storetest.Each(t, func(t *testing.T, db *store.DB) {
			talk := newTalk(start(t, db, soon), seed)
			talk.goOn(150)
			items, states := talk.now()
			const first = 100
			p := talk.purge(talk.PurgeHistory(ctx, talk.roomID, first, false))
			if p.Status != PurgeComplete || p.Events == 0 || p.Nodes == 0 {
				t.Fatalf("got %+v", p)
			}
			talk.checkLeft(items, states, first)
			if got := talk.count("SELECT count(*) FROM events WHERE room = $1", talk.num(talk.roomID)); got != int64(len(items))-p.Events {
				t.Errorf("%d events are stored, of %d %d were deleted", got, len(items), p.Events)
			}
			present := states[len(states)-1]
			for _, it := range items[:first-1] {
				got, ok, err := talk.Item(ctx, talk.roomID, it.Event.ID())
				tuple, isState := it.Event.Tuple()
				if _, needed := present[tuple]; err != nil || ok && !isState || !ok && isState && needed && present[tuple] == string(it.Event.JSON()) {
					t.Errorf("an event that was purged: %v, %v: %s", ok, err, it.Event.JSON())
				}
				if ok && (got.Current != statetrie.Root{}) {
					t.Errorf("the state at an event that was purged is known: %+v", got)
				}
			}
			// The room goes on, is purged again, and is the same after a restart.
			talk.goOn(60)
			items, states = append(items[:first-1:first-1], talk.items(talk.roomID)...), states[:first-1]
			for _, it := range items[first-1:] {
				states = append(states, talk.wholeState(talk.roomID, it.Current))
			}
			talk.purge(talk.PurgeHistory(ctx, talk.roomID, 190, false))
			talk.checkLeft(items, states, 190)
			talk.stop()
			talk.node = start(t, db, soon)
			talk.checkLeft(items, states, 190)
			talk.goOn(10)
		})
	}
}

func TestTheLastEventIsNeverPurged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		talk := newTalk(start(t, db, soon), 1)
		talk.goOn(30)
		items, states := talk.now()
		last := items[len(items)-1].Place
		p := talk.purge(talk.PurgeHistory(ctx, talk.roomID, Last, false))
		if p.Status != PurgeComplete {
			t.Fatalf("got %+v", p)
		}
		talk.checkLeft(items, states, last)
		talk.goOn(5)
		if again := talk.purge(talk.PurgeHistory(ctx, talk.roomID, 3, false)); again.Status != PurgeComplete || again.Events != 0 {
			t.Errorf("what was purged before: got %+v", again)
		}
		if got := len(talk.items(talk.roomID)); got != 6 {
			t.Errorf("%d events are left", got)
		}
	})
}

func TestWhatLocalUsersSentMayStayInTheDatabase(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		talk := newTalk(start(t, db, soon), 1)
		talk.goOn(50)
		items := talk.items(talk.roomID)
		p := talk.purge(talk.PurgeHistory(ctx, talk.roomID, 40, true))
		if got := talk.count("SELECT count(*) FROM events"); p.Events != 0 || got != int64(len(items)) {
			t.Errorf("%d of %d events are stored, %d were deleted", got, len(items), p.Events)
		}
		if left := talk.items(talk.roomID); left[0].Place != 40 {
			t.Errorf("the history begins at %d", left[0].Place)
		}
	})
}

func TestWhatIsPurgedIsNotUnread(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, soon)
		roomID := n.create(NewRoom{Preset: PublicChat})
		for _, user := range []id.UserID{bob, carol} {
			n.send(roomID, join(user))
		}
		root := n.send(roomID, message(alice, "root")).EventID
		say := func(thread, mention bool) {
			d := message(alice, "hello")
			if thread {
				d.Content = d.Content.With("m.relates_to", canonjson.Value(`{"event_id":"`+string(root)+`","rel_type":"m.thread"}`))
			}
			if mention {
				d.Content = d.Content.With("m.mentions", canonjson.Value(`{"user_ids":["`+string(carol)+`"]}`))
			}
			n.send(roomID, d)
		}
		for range 3 {
			say(false, true)
			say(true, true)
			say(true, false)
		}
		items := n.items(roomID)
		// Of the last round everything is left: a message, and two in the thread.
		first := items[len(items)-3].Place
		n.purge(n.PurgeHistory(ctx, roomID, first, false))
		check := func(user id.UserID, main, thread Counts) {
			t.Helper()
			now, err := n.Now(ctx, roomID)
			if err != nil {
				t.Fatal(err)
			}
			u, err := n.Unread(ctx, user, n.num(roomID), now, Reads{}, true)
			if err != nil || u.Counts != main || u.Threads[root] != thread {
				t.Errorf("%s has %+v, %v, want %+v and %+v", user, u, err, main, thread)
			}
			all, err := n.Unread(ctx, user, n.num(roomID), now, Reads{}, false)
			if err != nil || all.Counts != main.plus(thread) {
				t.Errorf("%s has in all %+v, %v, want %+v and %+v", user, all, err, main, thread)
			}
		}
		check(bob, Counts{1, 0}, Counts{2, 0})
		check(carol, Counts{1, 1}, Counts{2, 1})
		// A thread of which all was purged goes on counting from there.
		n.purge(n.PurgeHistory(ctx, roomID, Last, false))
		say(true, true)
		n.forgetAll()
		say(false, false)
		check(bob, Counts{1, 0}, Counts{2, 0})
		n.purge(n.PurgeHistory(ctx, roomID, Last, false))
		n.forgetAll()
		say(true, false)
		check(bob, Counts{1, 0}, Counts{1, 0})
		check(carol, Counts{1, 0}, Counts{1, 0})
	})
}

func TestTheRoomIsNotRememberedFromBeforeWhatIsLeft(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		talk := newTalk(start(t, db, soon), 2)
		talk.goOn(30)
		items := talk.items(talk.roomID)
		talk.purge(talk.PurgeHistory(ctx, talk.roomID, 20, false))
		for _, it := range items {
			remembers, err := talk.Remembers(ctx, talk.roomID, it.Pos)
			if err != nil || remembers != (it.Place >= 20) {
				t.Errorf("place %d: %v, %v", it.Place, remembers, err)
			}
			m, err := talk.Before(ctx, talk.roomID, it.Pos)
			if want := max(it.Place, 19); err != nil || m.Place != want {
				t.Errorf("at place %d the last was %d, %v", it.Place, m.Place, err)
			}
		}
	})
}

// TestPurgingIsGoneOnWith fails a purge at each of its commits, as a crash would,
// and has another server go on.
func TestPurgingIsGoneOnWith(t *testing.T) {
	for _, kind := range []PurgeKind{PurgeHistory, PurgeRoom} {
		for point := store.BeforeBegin; point <= store.AfterCommit; point++ {
			for crashAt := 0; ; crashAt += 3 {
				db := storetest.Open(t, t.TempDir()+"/parley.db")
				talk := newTalk(start(t, db, soon), 7)
				talk.goOn(40)
				items, states := talk.now()
				num := talk.num(talk.roomID)
				name, err := talk.PurgeHistory(ctx, talk.roomID, 30, false)
				if kind == PurgeRoom {
					talk.purge(name, err)
					name, err = talk.Delete(ctx, talk.roomID, Deletion{Purge: true})
				}
				if err != nil {
					t.Fatal(err)
				}
				list, err := talk.selectPurges(ctx, "ended = 0")
				if err != nil || len(list) != 1 {
					t.Fatal(list, err)
				}
				seen, crash := 0, errors.New("crash")
				running, cancel := context.WithCancel(ctx)
				db.FailAt(func(p store.Point) error {
					if p != point {
						return nil
					}
					if seen++; seen > crashAt {
						cancel() // nothing is done any more
						return crash
					}
					return nil
				})
				talk.runPurge(running, list[0])
				db.FailAt(nil)
				talk.stop()
				talk.node = start(t, db, soon)
				p := talk.purge(name, nil)
				if p.Status != PurgeComplete {
					t.Fatalf("%d, point %d, crash %d: got %+v", kind, point, crashAt, p)
				}
				if kind == PurgeHistory {
					talk.checkLeft(items, states, 30)
					talk.goOn(3)
				} else {
					talk.checkDeleted(num)
				}
				cancel()
				db.Close()
				if seen <= crashAt {
					break
				}
			}
		}
	}
}

// checkDeleted demands that nothing is left of a room but what tells local users
// that they are not in it.
func (t *talk) checkDeleted(num Num) {
	t.t.Helper()
	for _, table := range []string{"events", "state_nodes", "sights", "relations", "early_redactions", "threads", "spoken", "highlights"} {
		if n := t.count("SELECT count(*) FROM "+table+" WHERE room = $1", num); n != 0 {
			t.t.Errorf("%d %s are left", n, table)
		}
	}
	users, err := t.localMembers(ctx, num)
	if err != nil {
		t.t.Fatal(err)
	}
	for _, m := range users {
		if m.inside() || !m.forgotten {
			t.t.Errorf("got %+v", m)
		}
	}
	if n := t.count("SELECT count(*) FROM memberships WHERE room = $1", num); n != int64(len(users)) {
		t.t.Errorf("%d memberships are left, %d of local users", n, len(users))
	}
	if _, err := t.Now(ctx, t.roomID); !errors.Is(err, mxerr.NotFound) {
		t.t.Errorf("the room is there: %v", err)
	}
	if _, err := t.Send(ctx, t.roomID, join(bob)); !errors.Is(err, mxerr.NotFound) {
		t.t.Errorf("somebody can enter: %v", err)
	}
}

func TestARoomIsDeleted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		closed := []id.RoomID{}
		o := soon
		o.Purges.Closing = func(_ context.Context, roomID, instead id.RoomID) ([]id.RoomAlias, error) {
			closed = append(closed, roomID, instead)
			return []id.RoomAlias{"#room:a.test"}, nil
		}
		o.Purges.Profile = func(_ context.Context, user id.UserID) (canonjson.Value, error) {
			return canonjson.Value(`{"displayname":"` + user.Localpart() + `"}`), nil
		}
		talk := newTalk(start(t, db, o), 3)
		talk.goOn(60)
		num := talk.num(talk.roomID)
		const dave, admin id.UserID = "@dave:a.test", "@admin:a.test"
		talk.send(talk.roomID, member(alice, dave, "invite"))
		talk.send(talk.roomID, member(bob, bob, "leave"))
		p := talk.purge(talk.Delete(ctx, talk.roomID, Deletion{Purge: true, Creator: admin, Message: "It is closed"}))
		if p.Status != PurgeComplete || len(p.Aliases) == 0 || p.NewRoom == "" {
			t.Fatalf("got %+v", p)
		}
		if slices.Sort(p.Members); !slices.Equal(p.Members, []id.UserID{alice, carol, dave}) {
			t.Errorf("who left: %v", p.Members)
		}
		if !slices.Equal(closed, []id.RoomID{talk.roomID, p.NewRoom}) {
			t.Errorf("closed: %v", closed)
		}
		talk.checkDeleted(num)
		for user, want := range map[id.UserID]string{alice: "invite", carol: "invite", dave: "", bob: "", admin: "join"} {
			if got, err := talk.Membership(ctx, p.NewRoom, user); err != nil || got != want {
				t.Errorf("in the new room %s is %q, %v, want %q", user, got, err, want)
			}
		}
		history := talk.history(p.NewRoom)
		if !slices.ContainsFunc(history, func(e *event.Event) bool { s, _ := e.Content().Get("body").Text(); return s == "It is closed" }) {
			t.Error("nothing is said in the new room")
		}
		if _, err := talk.Delete(ctx, talk.roomID, Deletion{}); !errors.Is(err, mxerr.NotFound) {
			t.Errorf("deleted again: %v", err)
		}
	})
}

// TestARoomThatIsHalfDeletedIsDeletedInTheEnd however long that fails: to everybody the
// room is gone.
func TestARoomThatIsHalfDeletedIsDeletedInTheEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		o, faults := soon, 0
		o.Purges.Deleted = func(context.Context, id.RoomID, Num) error {
			if faults++; faults <= 3*purgeAttempts {
				return errors.New("the disk is full")
			}
			return nil
		}
		talk := newTalk(start(t, db, o), 3)
		num := talk.num(talk.roomID)
		name, err := talk.Delete(ctx, talk.roomID, Deletion{Purge: true})
		if err != nil {
			t.Fatal(err)
		}
		talk.purges.pause = 0
		for range 4 {
			waiting, err := talk.selectPurges(ctx, "ended = 0")
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range waiting {
				talk.runPurge(ctx, p)
			}
		}
		if p, err := talk.PurgeByID(ctx, name, PurgeRoom); err != nil || p.Status != PurgeComplete || p.Error != "" {
			t.Errorf("got %+v, %v", p, err)
		}
		if n := talk.count("SELECT count(*) FROM room_remains WHERE room = $1 AND busy", num); n != 0 {
			t.Error("it goes on")
		}
	})
}

func TestARoomThatIsNotPurgedIsThereStill(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		talk := newTalk(start(t, db, soon), 3)
		if p := talk.purge(talk.Delete(ctx, talk.roomID, Deletion{})); p.Status != PurgeComplete {
			t.Fatalf("got %+v", p)
		}
		if now, err := talk.Now(ctx, talk.roomID); err != nil || now.Joined != 0 {
			t.Errorf("got %+v, %v", now, err)
		}
		rooms, err := talk.Rooms(ctx, carol)
		if err != nil || len(rooms) != 1 || !rooms[0].Forgotten || rooms[0].Membership != "leave" {
			t.Errorf("got %+v, %v", rooms, err)
		}
		talk.send(talk.roomID, join(carol)) // it is not blocked
	})
}

func TestNobodyEntersABlockedRoom(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, soon)
		roomID := n.create(NewRoom{Preset: PublicChat})
		if err := n.Block(ctx, roomID, alice, true); err != nil {
			t.Fatal(err)
		}
		if by, err := n.Blocked(ctx, roomID); err != nil || by != alice {
			t.Errorf("blocked by %q, %v", by, err)
		}
		for _, d := range []Draft{join(bob), member(alice, bob, "invite"), member(bob, bob, "knock")} {
			if _, err := n.Send(ctx, roomID, d); !errors.Is(err, mxerr.Forbidden) {
				t.Errorf("%s: %v", d.Content, err)
			}
		}
		n.send(roomID, message(alice, "who is in there may speak"))
		n.send(roomID, member(alice, carol, "ban"))
		n.send(roomID, member(alice, alice, "leave"))
		if err := n.Block(ctx, "!unknown:a.test", alice, true); err != nil {
			t.Error(err)
		}
		if err := n.Block(ctx, roomID, alice, false); err != nil {
			t.Fatal(err)
		}
		n.send(roomID, join(bob))
		if by, err := n.Blocked(ctx, roomID); err != nil || by != "" {
			t.Errorf("blocked by %q, %v", by, err)
		}
	})
}
