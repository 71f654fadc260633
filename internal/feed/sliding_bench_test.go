//go:build unix

package feed_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"
	"time"

	"parley/internal/accountdata"
	"parley/internal/ephemeral"
	"parley/internal/feed"
	"parley/internal/journal"
	"parley/internal/receipt"
	"parley/internal/room"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/signing"
)

// roomList is about what a client on a phone asks for to show its list of rooms.
const roomList = `{"conn_id":"room-list","lists":{"all_rooms":{"ranges":[[0,19]],"timeline_limit":1,
	"filters":{"not_room_types":["m.space"]},"required_state":[["m.room.name",""],["m.room.encryption",""],["m.room.member","$LAZY"],["m.room.member","$ME"],
	["m.room.topic",""],["m.room.avatar",""],["m.room.canonical_alias",""],["m.room.power_levels",""],["org.matrix.msc3401.call.member","*"],
	["m.room.join_rules",""],["m.room.tombstone",""],["m.room.create",""],["m.room.history_visibility",""],["io.element.functional_members",""],
	["m.space.parent","*"],["m.space.child","*"],["m.room.pinned_events",""]]}},
	"extensions":{"account_data":{"enabled":true},"receipts":{"enabled":true},"typing":{"enabled":true}}}`

// A crowd is an account in many rooms.
type crowd struct {
	testing.TB
	db    *store.DB
	rooms []id.RoomID

	cancel  context.CancelFunc
	running sync.WaitGroup
	engine  *room.Engine
	feed    *feed.Feed
}

func newCrowd(t testing.TB, rooms int) *crowd {
	c := &crowd{TB: t, db: storetest.Open(t, t.TempDir()+"/parley.db")}
	c.start()
	t.Cleanup(func() { c.stop() })
	c.rooms = make([]id.RoomID, rooms)
	const many = 64
	var making sync.WaitGroup
	for w := range many {
		making.Go(func() {
			for i := w; i < rooms; i += many {
				roomID, _, err := c.engine.Create(context.Background(), room.NewRoom{Creator: userNumber(1), Preset: room.PublicChat, Name: fmt.Sprint("room ", i)})
				if err == nil {
					_, err = c.engine.Join(context.Background(), roomID, room.Move{Sender: userNumber(0)})
				}
				if err != nil {
					t.Error(err)
					return
				}
				c.rooms[i] = roomID
			}
		})
	}
	making.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return c
}

// start makes all parts anew: they have nothing in memory.
func (c *crowd) start() {
	ctx, cancel := context.WithCancel(context.Background())
	j, err := journal.Open(ctx, c.db, func() string { return "epoch" }, journal.Options{})
	if err != nil {
		c.Fatal(err)
	}
	seed := sha256.Sum256([]byte("a.test"))
	key, err := signing.NewKey("ed25519:test", seed[:])
	if err != nil {
		c.Fatal(err)
	}
	c.cancel = cancel
	c.engine = room.New(c.db, j, room.Options{Server: "a.test", Key: key})
	c.feed = feed.New(feed.Parts{
		Journal: j, Rooms: c.engine, AccountData: accountdata.New(c.db, j, accountdata.Options{}), Receipts: receipt.New(c.db, j, nil),
		Board: ephemeral.NewBoard("epoch", j.Poke), DB: c.db,
	})
	c.running.Go(func() { j.Run(ctx) })
}

func (c *crowd) stop() {
	c.cancel()
	c.running.Wait()
}

func (c *crowd) say(i int) {
	_, err := c.engine.Send(context.Background(), c.rooms[i], room.Draft{
		Type: "m.room.message", Sender: userNumber(1), Content: canonjson.Value(`{"body":"hello","msgtype":"m.text"}`),
	})
	if err != nil {
		c.Fatal(err)
	}
}

func (c *crowd) slide(body, pos string) *feed.SlidingResponse {
	v, err := canonjson.Canonical([]byte(body), canonjson.Strict)
	if err != nil {
		c.Fatal(err)
	}
	q, err := feed.ParseSliding(feed.SlidingUnstable, userNumber(0), v)
	if err != nil {
		c.Fatal(err)
	}
	q.Device, q.Pos = "D", pos
	a, err := c.feed.Sliding(context.Background(), q)
	if err != nil {
		c.Fatal(err)
	}
	return a
}

var crowdSizes = []int{500, 5000}

// BenchmarkSlidingFirstWindow is the first request of a client for the 20 rooms in
// which something happened last: cold when nothing of it is in memory yet, as after
// a restart of the server.
func BenchmarkSlidingFirstWindow(b *testing.B) {
	for _, rooms := range crowdSizes {
		b.Run(fmt.Sprintf("rooms=%d", rooms), func(b *testing.B) {
			c := newCrowd(b, rooms)
			for _, state := range []string{"cold", "warm"} {
				b.Run(state, func(b *testing.B) {
					var spent time.Duration
					for b.Loop() {
						if state == "cold" {
							b.StopTimer()
							c.stop()
							c.start()
							b.StartTimer()
						}
						begun := processorTime(b)
						if a := c.slide(roomList, "").AppendJSON(nil); len(a) < 20_000 {
							b.Fatalf("got %d bytes: %s", len(a), a)
						}
						spent += processorTime(b) - begun
					}
					b.ReportMetric(float64(spent/time.Microsecond)/1000/float64(b.N), "cpu-ms/op")
				})
			}
		})
	}
}

// BenchmarkSlidingIdle is a request when nothing is new, decoding included, of a
// client that has a window of 100 rooms.
func BenchmarkSlidingIdle(b *testing.B) {
	benchSliding(b, func(*crowd) {})
}

// BenchmarkSlidingMessage is one when there is a message in a room, with the sending
// of that.
func BenchmarkSlidingMessage(b *testing.B) {
	benchSliding(b, func(c *crowd) { c.say(0) })
}

func benchSliding(b *testing.B, happens func(*crowd)) {
	for _, rooms := range crowdSizes {
		b.Run(fmt.Sprintf("rooms=%d", rooms), func(b *testing.B) {
			c := newCrowd(b, rooms)
			pos := c.slide(roomList, "").Pos()
			pos = c.slide(roomList, pos).Pos()
			spent := processorTime(b)
			for b.Loop() {
				happens(c)
				pos = c.slide(roomList, pos).Pos()
			}
			b.ReportMetric(float64((processorTime(b)-spent)/time.Microsecond)/float64(b.N), "cpu-µs/op")
		})
	}
}

// TestSlidingWithoutNewsAsksNothingOfTheDatabase closes it.
func TestSlidingWithoutNewsAsksNothingOfTheDatabase(t *testing.T) {
	c := newCrowd(t, 30)
	pos := c.slide(roomList, "").Pos()
	pos = c.slide(roomList, pos).Pos()
	c.stop()
	if err := c.db.Close(); err != nil {
		t.Fatal(err)
	}
	c.slide(roomList, pos)
}
