package room

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/pushrule"
	"parley/matrix/stateres"
)

// readers is a room whose members read now and then.
type readers struct {
	*node
	roomID   id.RoomID
	users    []id.UserID
	receipts map[id.UserID]Reads
	// rules are what a user may have set, with the room in them.
	rules    []*pushrule.Personal
	proposed pushrule.Proposed
}

// wantedThreads are some that a user subscribes to.
type wantedThreads struct{ roots map[id.EventID]bool }

func (w *wantedThreads) Has(root id.EventID) bool { return w.roots[root] }

// subscribe has somebody subscribe to a thread, or unsubscribe.
func (r *readers) subscribe(user id.UserID, root id.EventID) {
	reads := r.receipts[user]
	roots := maps.Clone(reads.Wanted.(*wantedThreads).roots)
	if roots[root] = !roots[root]; !roots[root] {
		delete(roots, root)
	}
	reads.Wanted = &wantedThreads{roots}
	r.receipts[user] = reads
}

// num returns the number of a room.
func (n *node) num(roomID id.RoomID) Num {
	n.t.Helper()
	r, err := n.room(ctx, roomID)
	if err != nil {
		n.t.Fatal(err)
	}
	return r.num
}

// check holds what is unread for each member against the rules of each, applied
// to each event.
func (r *readers) check() {
	r.t.Helper()
	items, now := r.items(r.roomID), r.now(r.roomID)
	checkTotals(r.t, items)
	last := items[len(items)-1]
	moments := []Moment{momentOf(last)}
	if now, err := r.Now(ctx, r.roomID); err != nil || now.Place != last.Place || now.Total != last.Total || now.Threaded != last.Threaded {
		r.t.Fatalf("got %+v, %v, want %+v", now, err, last)
	}
	if earlier := items[len(items)/2+len(items)%7]; earlier.Place < last.Place {
		moments = append(moments, momentOf(earlier))
	}
	for _, user := range r.users {
		if e := now[event.Tuple{Type: event.TypeMember, StateKey: string(user)}].Event; e == nil || e.Membership() != "join" {
			continue
		}
		for _, at := range moments {
			want := r.naive(user, pushrule.Compile(r.proposed.Default(user), user), items, at.Place)
			var all Counts
			for _, c := range want {
				all = all.plus(c)
			}
			got, err := r.UnreadBy(ctx, nil, r.roomID, user, r.num(r.roomID), at, r.receipts[user], false)
			if err != nil || got.Counts != all {
				r.t.Fatalf("at %d %s has %+v, %v; want %+v", at.Place, user, got, err, all)
			}
			got, err = r.UnreadBy(ctx, nil, r.roomID, user, r.num(r.roomID), at, r.receipts[user], true)
			if got.Counts != (Counts{}) {
				got.Threads[""] = got.Counts
			}
			if err != nil || !maps.Equal(got.Threads, want) {
				r.t.Fatalf("at %d %s has by threads %+v, %v; want %+v", at.Place, user, got, err, want)
			}
			r.checkBy(user, items, at)
		}
	}
}

// momentOf returns the room as it was at an event, as far as counting cares.
func momentOf(it Item) Moment {
	return Moment{Place: it.Place, Root: it.Current, Total: it.Total, Threaded: it.Threaded}
}

// checkTotals adds up what each event of a room adds to the totals, in its thread
// and in all.
func checkTotals(t testing.TB, items []Item) {
	t.Helper()
	var before Item
	own := make(map[id.EventID]Total)
	for _, it := range items {
		added, threaded := it.Total.less(before.Total), it.Threaded.less(before.Threaded)
		var wantThreaded Total
		if it.Thread != "" {
			wantThreaded = added
			own[it.Thread] = own[it.Thread].plus(added)
		}
		if threaded != wantThreaded || it.Own != own[it.Thread] {
			t.Fatalf("in place %d, %+v was added, to threads %+v, and its thread %q has %+v, want %+v",
				it.Place, added, threaded, it.Thread, it.Own, own[it.Thread])
		}
		before = it
	}
}

// threadsOf finds out in which thread each event is, by following relations to the
// end.
func threadsOf(items []Item) map[id.EventID]id.EventID {
	threads := make(map[id.EventID]id.EventID)
	for _, it := range items {
		relation := it.Event.Content().Get("m.relates_to")
		kind, _ := relation.Get("rel_type").Text()
		parent, _ := relation.Get("event_id").Text()
		switch {
		case kind == "m.thread":
			threads[it.Event.ID()] = id.EventID(parent)
		case kind != "" && threads[id.EventID(parent)] != "":
			threads[it.Event.ID()] = threads[id.EventID(parent)]
		}
	}
	return threads
}

// naive counts for a user what is unread up to a place, by thread, from what each
// event is and what the user did by now.
func (r *readers) naive(user id.UserID, rules *pushrule.Evaluator, items []Item, upTo int64) map[id.EventID]Counts {
	threads, unread, reads := threadsOf(items), make(map[id.EventID]Counts), r.receipts[user]
	joined := false
	for _, it := range items {
		state := eventauth.MapState{}
		about := pushrule.Context{}
		for t, it := range r.stateAt(r.roomID, Moment{Root: it.Current}) {
			state[t] = it.Event
			if t.Type == event.TypeMember && it.Event.Membership() == "join" {
				about.MemberCount++
			}
		}
		levels := eventauth.LevelsIn(state)
		about.SenderLevel = int64(levels.User(it.Event.Sender()))
		about.NotificationLevel = func(key string) int64 { return int64(levels.Notification(key)) }
		was := joined
		joined = memberOf(state, user) == event.MembershipJoin
		thread := threads[it.Event.ID()]
		spoke := it.Event.Sender() == user && it.Event.Type() != event.TypeMember
		read := max(reads.All.Place, reads.Threads[thread].Place)
		if thread == "" {
			read = max(reads.All.Place, reads.Main.Place)
		}
		about.Thread = ThreadFor(reads.Wanted, thread)
		switch verdict := rules.Evaluate(it.Event.JSON(), about); {
		case joined && !was:
			clear(unread)
		case spoke:
			delete(unread, thread)
		case it.Place <= read || it.Place > upTo || !verdict.Notify:
		case verdict.Highlight:
			unread[thread] = unread[thread].plus(Counts{1, 1})
		default:
			unread[thread] = unread[thread].plus(Counts{1, 0})
		}
	}
	return unread
}

// read sends a receipt for an event, in one of the threads that it may be for.
func (r *readers) read(user id.UserID, it Item, threaded bool) {
	reads, mark := r.receipts[user], Mark{it.Place, it.Total, it.Threaded}
	switch {
	case !threaded:
		reads.All = further(reads.All, mark)
	case it.Thread == "":
		reads.Main = further(reads.Main, mark)
	default:
		threads := maps.Clone(reads.Threads)
		if threads == nil {
			threads = make(map[id.EventID]Mark)
		}
		threads[it.Thread] = further(threads[it.Thread], Mark{Place: it.Place, Total: it.Own})
		reads.Threads = threads
	}
	r.receipts[user] = reads
}

// relate makes a draft relate to an event of the room, or to one that it lacks.
func (r *readers) relate(d Draft, random *rand.Rand) Draft {
	items := r.items(r.roomID)
	target := id.EventID("$unknown")
	if random.IntN(5) > 0 {
		// Mostly one of the last, so that relations follow relations.
		target = items[len(items)-1-random.IntN(min(len(items), 6))].Event.ID()
	}
	kind := []string{"m.thread", "m.annotation", "m.reference", "m.replace", ""}[max(0, random.IntN(9)-4)]
	if kind == "m.thread" && random.IntN(3) > 0 {
		target = items[random.IntN(3)].Event.ID() // a thread that goes on
	}
	relation := fmt.Sprintf(`{"event_id":%q,"rel_type":%q}`, target, kind)
	if kind == "" {
		relation = fmt.Sprintf(`{"m.in_reply_to":{"event_id":%q}}`, target)
	}
	d.Content = d.Content.With("m.relates_to", canonjson.Value(relation))
	return d
}

// draft makes up what somebody says: anything that a rule may care about.
func (r *readers) draft(random *rand.Rand) Draft {
	sender := r.users[random.IntN(len(r.users))]
	d := message(sender, "hi")
	with := func(key, value string) { d.Content = d.Content.With(key, canonjson.Value(value)) }
	if random.IntN(2) == 0 {
		user := func() id.UserID {
			return append(r.users, "@remote:b.test", "@nobody:a.test")[random.IntN(len(r.users)+2)]
		}
		with("m.mentions", []string{
			fmt.Sprintf(`{"user_ids":[%q]}`, user()), fmt.Sprintf(`{"user_ids":[%q,%q,"nobody",7]}`, user(), user()),
			`{"room":true}`, fmt.Sprintf(`{"room":true,"user_ids":[%q]}`, user()), `{"room":"true"}`, `{"user_ids":"@bob:a.test"}`, `7`, `{}`,
		}[random.IntN(8)])
	}
	place := func(eventType, key string) { d.Type, d.StateKey = eventType, &key }
	switch random.IntN(14) {
	case 0:
		with("msgtype", `"m.notice"`)
	case 1:
		with("m.relates_to", `{"event_id":"$x","rel_type":"m.replace"}`)
	case 2:
		d.Type = "m.reaction"
	case 3:
		d.Type = "m.room.encrypted"
	case 4:
		d.Type = "org.example.custom"
	case 5:
		place("m.room.tombstone", "")
	case 6:
		place("m.room.topic", "")
	case 7:
		place(event.TypeMember, string(sender))
		with("membership", []string{`"join"`, `"leave"`}[random.IntN(2)])
	case 8:
		users := object(string(alice), level(100)).With(string(bob), level(50*random.IntN(2)))
		d = state(alice, event.TypePowerLevels, "", `{}`)
		with("users", string(users))
		with("notifications", fmt.Sprintf(`{"room":%d}`, 30*random.IntN(3)))
	case 9:
		d = member(alice, r.users[1+random.IntN(len(r.users)-1)], "ban")
		*d.StateKey = string(r.users[1+random.IntN(len(r.users)-1)])
		with("membership", []string{`"leave"`, `"invite"`}[random.IntN(2)])
	}
	return d
}

func TestUnread(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		seeds := uint64(8)
		if onPostgres(t) {
			seeds = 4
		}
		for seed := range seeds {
			t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
				proposed := pushrule.Proposed{Threads: seed%4 > 1}
				n := start(t, db, Options{Memory: []int{0, 1}[seed%2], Rules: proposed})
				random := rand.New(rand.NewPCG(seed, 5))
				r := &readers{node: n, users: []id.UserID{alice, bob, carol, "@dave:a.test"}, receipts: make(map[id.UserID]Reads)}
				r.roomID = n.create(NewRoom{Preset: PublicChat, Version: "11"})
				r.rules, r.proposed = someRules(t, r.roomID, proposed), proposed
				for _, user := range r.users {
					if proposed.Threads {
						r.receipts[user] = Reads{Wanted: &wantedThreads{make(map[id.EventID]bool)}}
					}
				}
				n.send(r.roomID, join(bob))
				for range 80 {
					d := r.draft(random)
					if random.IntN(3) > 0 && d.StateKey == nil {
						d = r.relate(d, random)
					}
					if _, err := n.Send(ctx, r.roomID, d); err != nil && !errors.Is(err, mxerr.Forbidden) && !errors.Is(err, mxerr.Unknown) {
						t.Fatal(err)
					}
					switch random.IntN(12) {
					case 0, 3:
						items := n.items(r.roomID)
						it := items[random.IntN(len(items))]
						r.read(r.users[random.IntN(len(r.users))], it, random.IntN(3) > 0)
					case 1:
						n.reads.Clear()
						n.notified.Clear()
					case 2:
						n.forgetAll()
					case 4, 5:
						if items := n.items(r.roomID); proposed.Threads {
							r.subscribe(r.users[random.IntN(len(r.users))], items[random.IntN(min(3, len(items)))].Event.ID())
						}
					}
					r.check()
				}
			})
		}
	})
}

// TestUnreadIsReadBetweenCommitAndPublication: what is read then has the new
// event already, and must not get it a second time.
func TestUnreadIsReadBetweenCommitAndPublication(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		r := &readers{node: n, users: []id.UserID{alice, bob, carol}, receipts: make(map[id.UserID]Reads)}
		r.roomID = n.create(NewRoom{Preset: PublicChat, Version: "11"})
		n.send(r.roomID, join(bob))
		n.send(r.roomID, join(carol))
		said := n.send(r.roomID, message(carol, "oops"))
		var nums []stateres.Num
		for _, it := range n.items(r.roomID) {
			nums = append(nums, it.Num)
		}
		num := n.num(r.roomID)
		reading := false
		db.FailAt(func(p store.Point) error {
			if p != store.AfterCommit || !reading {
				return nil
			}
			for _, user := range r.users {
				if _, err := n.Unread(ctx, user, num, Moment{}, Reads{}, true); err != nil {
					t.Error(err)
				}
			}
			if _, err := n.Items(ctx, r.roomID, nums); err != nil {
				t.Error(err)
			}
			return nil
		})
		mention := message(carol, "hi")
		mention.Content = mention.Content.With("m.mentions", canonjson.Value(`{"user_ids":["@bob:a.test"]}`))
		for _, d := range []Draft{mention, mention, redaction(alice, said.EventID), message(bob, "what?"), mention} {
			n.reads.Clear()
			n.Engine.items.Clear()
			reading = true
			n.send(r.roomID, d)
			reading = false
			r.check()
			cached, err := n.Items(ctx, r.roomID, nums)
			if err != nil {
				t.Fatal(err)
			}
			for i, it := range n.items(r.roomID)[:len(nums)] {
				if !sameItem(cached[i], it) {
					t.Errorf("got\n%+v, want\n%+v", cached[i], it)
				}
			}
		}
	})
}

// TestWhoComesIntoTheRoomHasReadEverything: where branches meet, with an event of
// somebody else.
func TestWhoComesIntoTheRoomHasReadEverything(t *testing.T) {
	n := local(t)
	roomID := n.create(NewRoom{Preset: PublicChat})
	said := n.eventByID(roomID, n.send(roomID, message(alice, "hello")).EventID)
	r, err := n.room(ctx, roomID)
	if err != nil {
		t.Fatal(err)
	}
	m := entry{event: said, members: []memberChange{
		{user: bob, before: event.MembershipLeave, membership: event.MembershipJoin},
		{user: carol, before: event.MembershipJoin, membership: event.MembershipJoin}, // another name
		{user: "@dave:b.test", membership: event.MembershipJoin},
	}}
	got := make(map[id.UserID]spoken)
	for user, what := range m.readers(r) {
		got[user] = what
	}
	if want := (map[id.UserID]spoken{alice: inMain, bob: everywhere}); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
