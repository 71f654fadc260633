package room

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/stateres"
)

// TestReadersAreNeverStale has people send and redact while others read, on one
// node and on two, with so little memory that everything in it turns over. What
// was acknowledged before somebody begins to read is there.
func TestReadersAreNeverStale(t *testing.T) {
	for _, nodes := range []int{1, 2} {
		for _, memory := range []int{1, 0} {
			t.Run(fmt.Sprintf("%d nodes with %d bytes", nodes, memory), func(t *testing.T) {
				storetest.EachLocation(t, func(t *testing.T, location string) {
					b := &bustle{t: t}
					for range nodes {
						b.nodes = append(b.nodes, start(t, storetest.Open(t, location), Options{Memory: memory}))
					}
					b.run()
				})
			})
		}
	}
}

// bustle is a room in which much happens at once.
type bustle struct {
	t      *testing.T
	nodes  []*node
	roomID id.RoomID
	others []id.RoomID // push it out of memory, if that is short
	num    Num

	said     acknowledged
	redacted acknowledged
	mentions atomic.Int64 // of dave
	topics   atomic.Int64
	writing  atomic.Int32
}

// dave says nothing.
const dave id.UserID = "@dave:a.test"

// acknowledged is events of which it was told that they are durable.
type acknowledged struct {
	mu   sync.Mutex
	list []id.EventID
}

func (a *acknowledged) add(eventID id.EventID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, eventID)
}

// until returns the events so far.
func (a *acknowledged) until() []id.EventID {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.list[:len(a.list):len(a.list)]
}

func (b *bustle) run() {
	n := b.nodes[0]
	b.roomID = n.create(NewRoom{Preset: PublicChat, Version: "11"})
	n.send(b.roomID, join(bob))
	n.send(b.roomID, join(dave))
	b.num = n.num(b.roomID)
	for range 3 {
		b.others = append(b.others, n.create(NewRoom{}))
	}
	var wg sync.WaitGroup
	for i := range 4 {
		b.writing.Add(1)
		wg.Go(func() {
			defer b.writing.Add(-1)
			b.write(b.nodes[i%len(b.nodes)], []id.UserID{alice, bob}[i/2], rand.New(rand.NewPCG(uint64(i), 1)))
		})
	}
	for i := range 4 {
		wg.Go(func() {
			var last Moment
			for random := rand.New(rand.NewPCG(uint64(i), 2)); b.writing.Load() > 0; {
				last = b.read(b.nodes[i%len(b.nodes)], random, last)
			}
		})
	}
	wg.Wait()
	for _, n := range b.nodes {
		if err := n.journal.Refresh(ctx); err != nil {
			b.t.Fatal(err)
		}
		b.read(n, rand.New(rand.NewPCG(0, 0)), Moment{})
		r, err := n.room(ctx, b.roomID)
		if err != nil {
			b.t.Fatal(err)
		}
		bytes := 0
		for _, it := range r.recent.items {
			bytes += it.weight()
		}
		if r.recent.bytes != bytes {
			b.t.Errorf("%d bytes of events are counted in memory, there are %d", r.recent.bytes, bytes)
		}
	}
	n.forgetAll()
	n.check(b.roomID)
	checkTotals(b.t, n.items(b.roomID))
}

func (b *bustle) write(n *node, user id.UserID, random *rand.Rand) {
	for i := range 20 {
		d := message(user, fmt.Sprint(i))
		said, redacted, mentions := true, id.EventID(""), false
		if list := b.said.until(); random.IntN(3) == 0 && len(list) > 0 {
			relation := fmt.Sprintf(`{"event_id":%q,"rel_type":%q}`, list[random.IntN(min(len(list), 5))], []string{"m.thread", "m.reference"}[random.IntN(2)])
			d.Content = d.Content.With("m.relates_to", canonjson.Value(relation))
		}
		switch random.IntN(6) {
		case 0:
			if list := b.said.until(); len(list) > 0 {
				redacted = list[random.IntN(len(list))]
				d, said = redaction(alice, redacted), false
			}
		case 1:
			d, said = topic(alice, fmt.Sprint(b.topics.Add(1))), false
		case 2:
			mentions = true
			d.Content = d.Content.With("m.mentions", canonjson.Value(`{"user_ids":["`+dave+`"]}`))
		}
		sent, err := n.Send(ctx, b.roomID, d)
		if errors.Is(err, mxerr.Unknown) {
			continue // a thread does not begin from what relates to another event
		}
		if err != nil {
			b.t.Error(err)
			return
		}
		switch {
		case said:
			b.said.add(sent.EventID)
		case redacted != "":
			b.redacted.add(redacted)
		}
		if mentions {
			b.mentions.Add(1)
		}
	}
}

// read reads the room in several ways and returns what it was.
func (b *bustle) read(n *node, random *rand.Rand, last Moment) Moment {
	said, redacted, mentions := b.said.until(), b.redacted.until(), b.mentions.Load()
	if len(b.nodes) > 1 {
		if err := n.journal.Refresh(ctx); err != nil {
			b.t.Error(err)
		}
	}
	if _, err := n.Now(ctx, b.others[random.IntN(3)]); err != nil {
		b.t.Error(err)
	}
	now, err := n.Now(ctx, b.roomID)
	if err != nil {
		b.t.Error(err)
		return last
	}
	if now.Place < last.Place || now.Pos < last.Pos {
		b.t.Errorf("the room went from %+v back to %+v", last, now)
	}
	again, err := n.At(ctx, b.roomID, now.Pos)
	if again.Bumped == 0 {
		again.Bumped = now.Bumped // the room has gone on, and of the past it is not known
	}
	if err != nil || again != now {
		b.t.Errorf("at %d the room was %+v, is %+v, %v", now.Pos, now, again, err)
	}
	shown := b.readLine(n, random, now)
	for _, eventID := range said {
		if _, ok := shown[eventID]; !ok {
			b.t.Errorf("%s is not shown", eventID)
		}
	}
	b.readSingly(n, random, shown, redacted)
	b.readState(n, now)
	unread, err := n.Unread(ctx, dave, b.num, now, Reads{}, false)
	if err != nil || unread.Highlights < mentions || unread.Notifications < int64(len(said)) {
		b.t.Errorf("got %+v, %v; there were %d notifications and %d highlights before", unread, err, len(said), mentions)
	}
	apart, err := n.Unread(ctx, dave, b.num, now, Reads{}, true)
	for _, c := range apart.Threads {
		apart.Counts = apart.plus(c)
	}
	if err != nil || apart.Counts != unread.Counts {
		b.t.Errorf("threads and the main timeline have %+v, %v; together they have %+v", apart, err, unread)
	}
	return now
}

// readLine reads all events up to a moment, from the end and from the beginning.
func (b *bustle) readLine(n *node, random *rand.Rand, now Moment) map[id.EventID]Item {
	shown := make(map[id.EventID]Item)
	for place := now.Place; place > 0; {
		items, err := n.Back(ctx, b.roomID, place, 1+random.IntN(100))
		if err != nil || len(items) == 0 || items[0].Place != place || place == now.Place && items[0].Pos != now.Pos {
			b.t.Errorf("back from place %d: %d events, %v", place, len(items), err)
			return shown
		}
		for _, it := range items {
			if it.Place != place {
				b.t.Errorf("in place %d is %d", place, it.Place)
			}
			shown[it.Event.ID()] = it
			place--
		}
	}
	from := 1 + random.Int64N(now.Place)
	items, err := n.Forward(ctx, b.roomID, from, 1+random.IntN(100))
	if err != nil || len(items) == 0 {
		b.t.Errorf("forward from %d: %d events, %v", from, len(items), err)
	}
	for i, it := range items {
		if before, ok := shown[it.Event.ID()]; it.Place != from+int64(i) || it.Place <= now.Place && (!ok || before.Num != it.Num) {
			b.t.Errorf("in place %d is %d", from+int64(i), it.Place)
		}
	}
	return shown
}

// readSingly reads events by themselves, and asks whether those are redacted
// that are to be.
func (b *bustle) readSingly(n *node, random *rand.Rand, shown map[id.EventID]Item, redacted []id.EventID) {
	for _, eventID := range redacted {
		if it := shown[eventID]; it.Event.Unsigned() == nil {
			b.t.Errorf("in the line, %s is not redacted", eventID)
		}
		if random.IntN(4) > 0 {
			continue
		}
		items, err := n.Items(ctx, b.roomID, []stateres.Num{shown[eventID].Num})
		if err != nil || items[0].Event.Unsigned() == nil {
			b.t.Errorf("by itself, %s is not redacted, %v", eventID, err)
		}
	}
	for _, it := range shown {
		items, err := n.Items(ctx, b.roomID, []stateres.Num{it.Num})
		if err != nil || items[0].Place != it.Place || items[0].Current != it.Current {
			b.t.Errorf("got %+v, %v, want %+v", items, err, it)
		}
		break
	}
}

func (b *bustle) readState(n *node, now Moment) {
	items, err := n.FullState(ctx, b.roomID, now.Root)
	if err != nil {
		b.t.Error(err)
	}
	for _, it := range items {
		if it.Place > now.Place {
			b.t.Errorf("the state at place %d has an event of place %d", now.Place, it.Place)
		}
	}
	if s, err := n.SightAt(ctx, b.roomID, dave, now.Pos); err != nil || !s.Sees(now.Place) || s.Membership() != event.MembershipJoin {
		b.t.Errorf("dave sees %+v, %v", s, err)
	}
}

// TestAReadThatIsLateIsRepeated: of two that read a room at the same time, the
// first has appended to it, and it was dropped again, before the second is done.
func TestAReadThatIsLateIsRepeated(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		roomID := n.create(NewRoom{})
		n.forgetAll()
		l := &load{readers: 2}
		n.loads[roomID] = l
		read := func() *live {
			found, err := n.Engine.read(ctx, roomID)
			if err != nil {
				t.Fatal(err)
			}
			return found[roomID]
		}
		first, second := read(), read()
		if r, ok := n.loaded(roomID, l, first, nil); !ok || r != first {
			t.Errorf("the first reader got %v, %v", r, ok)
		}
		n.send(roomID, topic(alice, "news"))
		n.forget(first)
		if r, ok := n.loaded(roomID, l, second, nil); ok {
			t.Errorf("the second reader got %v, which is old", r)
		}
		if len(n.loads) > 0 {
			t.Errorf("loads are left: %v", n.loads)
		}
		if e := n.stateEvent(roomID, "m.room.topic", ""); e == nil {
			t.Error("the topic is not there")
		}
	})
}
