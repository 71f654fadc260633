package ephemeral

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/journal"
	"parley/internal/schema"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

const carol id.UserID = "@carol:a.test"

// company is presence, with users who share rooms.
type company struct {
	*Presence
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	abouts map[id.UserID]About
	fail   error
	loads  int
	pokes  map[journal.Scope]int
}

// meet has alice and bob in room 1, and carol in room 2.
func meet(t *testing.T, recalled []id.UserID, f func(c *company)) {
	location := filepath.Join(t.TempDir(), "parley.db")
	migrations, err := schema.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		db := storetest.Open(t, location)
		if err := db.Migrate(ctx, migrations); err != nil {
			t.Fatal(err)
		}
		j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		c := &company{t: t, ctx: ctx, pokes: make(map[journal.Scope]int), abouts: map[id.UserID]About{
			alice: {Rooms: []journal.Scope{inRoom(1)}, Displayname: canonjson.Text("Alice")},
			bob:   {Rooms: []journal.Scope{inRoom(1)}, AvatarURL: canonjson.Text("mxc://a.test/bob")},
			carol: {Rooms: []journal.Scope{inRoom(2)}},
		}}
		board := NewBoard("epoch", func(s journal.Scope) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.pokes[s]++
		})
		c.Presence = NewPresence(board, j, PresenceOptions{
			Load:   c.load,
			Recall: func(context.Context) ([]id.UserID, error) { return recalled, nil },
		})
		var wg sync.WaitGroup
		wg.Go(func() { j.Run(ctx) })
		wg.Go(func() { c.Run(ctx) })
		synctest.Wait()
		f(c)
		cancel()
		wg.Wait()
		db.Close()
	})
}

func (c *company) load(_ context.Context, user id.UserID) (About, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loads++
	return c.abouts[user], c.fail
}

// move has a user be in other rooms.
func (c *company) move(user id.UserID, rooms ...int64) {
	c.t.Helper()
	c.mu.Lock()
	about := c.abouts[user]
	about.Rooms = nil
	for _, n := range rooms {
		about.Rooms = append(about.Rooms, inRoom(n))
	}
	c.abouts[user] = about
	c.mu.Unlock()
	_, err := c.journal.Append(c.ctx, func(b *journal.Batch) error {
		b.Append(journal.UserScope(user), journal.KindMembership, 1)
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// poked is how often a scope was poked.
func (c *company) poked(s journal.Scope) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pokes[s]
}

// breaks lets finding out about users fail, or not any more.
func (c *company) breaks(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = err
}

// after lets time pass.
func (c *company) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// An onlooker is somebody who looks again and again.
type onlooker struct {
	*company
	user  id.UserID
	rooms []journal.Scope
	since uint64
	knows map[id.UserID]string
}

func (c *company) onlooker(user id.UserID, rooms ...int64) *onlooker {
	o := &onlooker{company: c, user: user, knows: make(map[id.UserID]string)}
	for _, n := range rooms {
		o.rooms = append(o.rooms, inRoom(n))
	}
	return o
}

// sees looks, and says what must be new.
func (o *onlooker) sees(want ...string) {
	o.t.Helper()
	now := o.board.Seq()
	var got []string
	for _, s := range o.See(Look{User: o.user, Rooms: o.rooms, Since: o.since}) {
		got = append(got, brief(s))
		o.knows[s.User] = s.status.State.String()
	}
	o.since = now
	if slices.Sort(got); !slices.Equal(got, want) {
		o.t.Errorf("%s sees %q, want %q", o.user, got, want)
	}
}

// brief is a presence in few words.
func brief(s *Shown) string {
	words := []string{s.User.Localpart(), s.status.State.String()}
	if s.status.Currently {
		words = append(words, "now")
	}
	if s.status.Message != "" {
		words = append(words, "("+s.status.Message+")")
	}
	return strings.Join(words, " ")
}

func TestWhoSyncsIsOnlineIdleAndOffline(t *testing.T) {
	meet(t, nil, func(c *company) {
		b, other := c.onlooker(bob, 1), c.onlooker(carol, 2)
		ended := c.Sync(alice, "PHONE", Online)
		c.after(time.Second)
		b.sees("alice online now")
		b.sees()
		c.after(time.Minute)
		b.sees("alice online")
		c.after(4 * time.Minute)
		b.sees("alice unavailable")
		c.after(time.Hour)
		b.sees()
		ended()
		again := c.Sync(alice, "PHONE", Online)
		c.after(time.Minute)
		b.sees() // to sync is not to do something
		c.Active(alice, "PHONE")
		c.after(time.Second)
		b.sees("alice online now")
		again()
		c.after(29 * time.Second)
		b.sees()
		c.after(5 * time.Second)
		b.sees("alice offline")
		c.after(time.Hour)
		b.sees()
		c.Active(alice, "PHONE")
		c.after(time.Minute)
		b.sees()
		other.sees()
	})
}

func TestTheGreatestStateOfDevicesCounts(t *testing.T) {
	meet(t, nil, func(c *company) {
		b := c.onlooker(bob, 1)
		step := func(want ...string) {
			t.Helper()
			c.after(5 * time.Second)
			b.sees(want...)
		}
		phone := c.Sync(alice, "PHONE", Unavailable)
		step("alice unavailable")
		laptop := c.Sync(alice, "LAPTOP", Online)
		step("alice online now")
		c.Set(alice, "LAPTOP", Busy, "")
		step("alice org.matrix.msc3026.busy")
		laptop()
		laptop = c.Sync(alice, "LAPTOP", Online)
		step() // busy it is until it says otherwise
		c.Set(alice, "LAPTOP", Online, "")
		step("alice online now")
		laptop()
		c.after(40 * time.Second)
		b.sees("alice unavailable")
		c.Set(alice, "PHONE", Offline, "")
		step("alice offline") // though it syncs
		phone()
		c.Set(alice, "LAPTOP", Busy, "")
		step("alice org.matrix.msc3026.busy")
		c.after(59 * time.Minute)
		b.sees()
		c.after(2 * time.Minute)
		b.sees("alice offline")
	})
}

func TestWhatUsersSayOfThemselves(t *testing.T) {
	meet(t, nil, func(c *company) {
		b := c.onlooker(bob, 1)
		c.Set(alice, "PHONE", Online, "cake")
		if s := c.Status(alice); s.State != Online || s.Message != "cake" || !s.Currently || !s.Active.Equal(time.Now().Truncate(time.Millisecond)) {
			t.Errorf("at once it is %+v", s)
		}
		c.after(time.Second)
		b.sees("alice online now (cake)")
		ended := c.Sync(alice, "PHONE", Online)
		c.Set(alice, "PHONE", Unavailable, "tea")
		c.after(5 * time.Second)
		b.sees("alice unavailable (tea)")
		c.Set(alice, "PHONE", Unavailable, "")
		c.after(5 * time.Second)
		b.sees("alice unavailable")
		c.Active(alice, "PHONE")
		c.after(5 * time.Second)
		b.sees("alice online now")
		if s := c.Status(bob); s != (Status{}) {
			t.Errorf("somebody unknown is %+v", s)
		}
		ended()
	})
}

func TestTheEventOfPresence(t *testing.T) {
	meet(t, nil, func(c *company) {
		c.Set(alice, "PHONE", Online, `a "b"`)
		c.Set(bob, "PHONE", Unavailable, "")
		c.after(time.Second)
		looks := c.See(Look{User: bob, Rooms: []journal.Scope{inRoom(1)}, Everything: true})
		slices.SortFunc(looks, func(a, b *Shown) int { return strings.Compare(string(a.User), string(b.User)) })
		want := []string{
			`{"content":{"currently_active":true,"displayname":"Alice","last_active_ago":1000,"presence":"online","status_msg":"a \"b\""},"sender":"@alice:a.test","type":"m.presence"}`,
			`{"content":{"avatar_url":"mxc://a.test/bob","last_active_ago":1000,"presence":"unavailable"},"sender":"@bob:a.test","type":"m.presence"}`,
		}
		for i, s := range looks {
			if got := string(s.Append(nil, time.Now())); got != want[i] || !canonjson.IsCanonical([]byte(got), canonjson.Strict) {
				t.Errorf("got %s, want %s", got, want[i])
			}
			if got, most := len(s.Append(nil, time.Now())), s.Size(); got > most {
				t.Errorf("%d bytes, said to be %d", got, most)
			}
		}
		c.mu.Lock()
		c.abouts[alice] = About{Rooms: c.abouts[alice].Rooms, Displayname: canonjson.Text("Ally")}
		c.mu.Unlock()
		b := c.onlooker(bob, 1)
		b.since = c.board.Seq()
		c.move(alice, 1) // as a room is told of the name
		c.after(5 * time.Second)
		b.sees(`alice online now (a "b")`)
	})
}

func TestChangesAreToldInTicks(t *testing.T) {
	meet(t, nil, func(c *company) {
		for i := range 600 {
			c.Set(alice, "PHONE", Online, fmt.Sprint(i))
			c.after(100 * time.Millisecond)
		}
		if n := c.poked(inRoom(1)); n < 15 || n > 21 {
			t.Errorf("600 changes in a minute are told in %d ticks, want one every three seconds", n)
		}
		if n := c.poked(inRoom(2)); n != 0 {
			t.Errorf("another room was poked %d times", n)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.loads != 1 {
			t.Errorf("%d times was looked who alice is", c.loads)
		}
	})
}

func TestCostlyTicksAreRare(t *testing.T) {
	meet(t, nil, func(c *company) {
		begin := time.Now()
		for i := 0; time.Since(begin) < 10*time.Minute; i++ {
			c.Set(alice, "PHONE", Online, strings.Repeat("x", i%2))
			before := c.poked(inRoom(1))
			if c.after(time.Second); c.poked(inRoom(1)) > before {
				for range 1000 { // clients, of each of which a thousand others are seen
					c.Told(1000)
				}
			}
		}
		if n := c.poked(inRoom(1)); n < 20 || n > 30 {
			t.Errorf("%d ticks in ten minutes, want one every 20 seconds", n)
		}
	})
}

func TestRoomsAreFollowed(t *testing.T) {
	meet(t, nil, func(c *company) {
		in1, in2 := c.onlooker("@x:a.test", 1), c.onlooker("@y:a.test", 2)
		ended := c.Sync(carol, "PHONE", Online)
		c.after(5 * time.Second)
		in1.sees()
		in2.sees("carol online now")
		c.move(carol, 1, 2)
		c.after(5 * time.Second)
		in1.sees("carol online now")
		in2.sees("carol online now")
		c.move(carol, 1)
		c.Set(carol, "PHONE", Unavailable, "")
		c.after(5 * time.Second)
		in1.sees("carol unavailable")
		in2.sees()
		// Who comes into a room is told of everybody in it.
		seen := c.See(Look{User: "@y:a.test", Rooms: []journal.Scope{inRoom(2)}, Entered: []journal.Scope{inRoom(1)}, Since: c.board.Seq()})
		if len(seen) != 1 || brief(seen[0]) != "carol unavailable" {
			t.Errorf("who comes in is told of %d", len(seen))
		}
		ended()
	})
}

func TestWhoCannotBeFoundOutAboutIsToldOfLater(t *testing.T) {
	meet(t, nil, func(c *company) {
		b := c.onlooker(bob, 1)
		c.breaks(errors.New("the database is away"))
		defer c.Sync(alice, "PHONE", Online)()
		c.after(5 * time.Second)
		b.sees()
		c.breaks(nil)
		c.after(retryTime)
		b.sees("alice online now")
	})
}
