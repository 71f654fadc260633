package csapi

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"parley/internal/accountdata"
	"parley/internal/endpoint"
	"parley/internal/ephemeral"
	"parley/internal/feed"
	"parley/internal/filter"
	"parley/internal/journal"
	"parley/internal/receipt"
	"parley/internal/room"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/signing"
)

// reading is the routes that read rooms, over an engine and a database.
type reading struct {
	*Server
	testing.TB
	db     *store.DB
	table  *endpoint.Table
	erased map[id.UserID]bool
}

func newReading(t testing.TB) *reading {
	db := storetest.Open(t, t.TempDir()+"/parley.db")
	r := &reading{TB: t, db: db}
	r.start()
	return r
}

// start makes the parts anew: they have nothing in memory.
func (r *reading) start() {
	ctx, cancel := context.WithCancel(r.Context())
	j, err := journal.Open(ctx, r.db, func() string { return "epoch" }, journal.Options{})
	if err != nil {
		r.Fatal(err)
	}
	seed := sha256.Sum256([]byte("a.test"))
	key, err := signing.NewKey("ed25519:test", seed[:])
	if err != nil {
		r.Fatal(err)
	}
	p := Parts{Name: "a.test", Rooms: room.New(r.db, j, room.Options{Server: "a.test", Key: key}), Filters: filter.NewStore(r.db), AccountData: accountdata.New(r.db, j, accountdata.Options{})}
	p.Feed = feed.New(feed.Parts{
		Journal: j, Rooms: p.Rooms, AccountData: p.AccountData, Receipts: receipt.New(r.db, j, locateIn(p.Rooms)),
		Board:  ephemeral.NewBoard("epoch", j.Poke),
		Erased: func(context.Context, []id.UserID) (map[id.UserID]bool, error) { return r.erased, nil },
	})
	r.Server = New(p)
	r.table = endpoint.New(endpoint.Config{Users: someCallers()}, slices.Concat(r.syncRoutes(), r.contextRoutes(), r.roomRoutes(), r.messageRoutes(), r.relationRoutes(), r.threadRoutes()))
	var wg sync.WaitGroup
	wg.Go(func() { j.Run(ctx) })
	r.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

// each calls f for the numbers below count, many at once, so that what they append
// is committed together.
func (r *reading) each(count int, f func(i int) error) {
	const many = 256
	var wg sync.WaitGroup
	for w := range many {
		wg.Go(func() {
			for i := w; i < count; i += many {
				if err := f(i); err != nil {
					r.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if r.Failed() {
		r.FailNow()
	}
}

func (r *reading) create() id.RoomID {
	roomID, _, err := r.Rooms.Create(r.Context(), room.NewRoom{Creator: userAlice, Preset: room.PublicChat})
	if err != nil {
		r.Fatal(err)
	}
	return roomID
}

// get answers a request of alice, as often as the benchmark wants.
func (r *reading) get(b *testing.B, path string, least int) {
	request := httptest.NewRequest("GET", path, nil)
	request.Header.Set("Authorization", "Bearer alice")
	b.ReportAllocs()
	spent := cpuTime()
	defer func() { b.ReportMetric(float64((cpuTime()-spent).Microseconds())/1000/float64(b.N), "cpu-ms/op") }()
	for b.Loop() {
		w := &discard{header: make(http.Header)}
		r.table.ServeHTTP(w, request)
		if w.status != 200 || w.bytes < least {
			b.Fatalf("got status %d and %d bytes", w.status, w.bytes)
		}
	}
}

// cpuTime is how long processors have worked for this process: on a machine that
// is busy otherwise it tells more than the clock.
func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// discard takes a response and keeps nothing of it.
type discard struct {
	header        http.Header
	status, bytes int
}

func (d *discard) Header() http.Header    { return d.header }
func (d *discard) WriteHeader(status int) { d.status = status }
func (d *discard) Write(p []byte) (int, error) {
	d.bytes += len(p)
	return len(p), nil
}

// BenchmarkMembers reads all members of a room.
func BenchmarkMembers(b *testing.B) {
	for _, count := range []int{10_000, 100_000} {
		r := newReading(b)
		roomID := r.create()
		r.each(count, func(i int) error {
			_, err := r.Rooms.Join(r.Context(), roomID, room.Move{
				Sender: id.UserID(fmt.Sprintf("@user%d:a.test", i)), Content: canonjson.Value(fmt.Sprintf(`{"displayname":"User number %d"}`, i)),
			})
			return err
		})
		path := "/_matrix/client/v3/rooms/" + url.PathEscape(string(roomID))
		for _, what := range []string{"members", "members?membership=join", "members?membership=leave", "joined_members", "state"} {
			b.Run(fmt.Sprintf("%s/%d", what, count), func(b *testing.B) {
				r.get(b, path+"/"+what, 10)
			})
		}
	}
}

// BenchmarkMessages reads a hundred events from the middle of a room, among which
// there is a bit of everything.
func BenchmarkMessages(b *testing.B) {
	for _, count := range []int{10_000, 1_000_000} {
		r := newReading(b)
		roomID := r.create()
		var mu sync.Mutex
		var last id.EventID
		r.each(10_000, func(i int) error {
			d := room.Draft{Type: "m.room.message", Sender: userAlice, Content: canonjson.Value(fmt.Sprintf(`{"body":"message number %d","msgtype":"m.text"}`, i))}
			mu.Lock()
			parent := last
			mu.Unlock()
			if relType := map[int]string{3: "m.annotation", 4: "m.replace", 5: "m.reference", 6: "m.annotation"}[i%20]; relType != "" && parent != "" {
				d.Content = d.Content.With("m.new_content", canonjson.Value("{}")).
					With("m.relates_to", canonjson.Value(fmt.Sprintf(`{"event_id":%q,"rel_type":%q}`, parent, relType)))
			} else if i%20 == 7 && parent != "" {
				d.Content = d.Content.With("m.relates_to", canonjson.Value(fmt.Sprintf(`{"event_id":%q,"rel_type":"m.thread"}`, parent)))
			}
			sent, err := r.Rooms.Send(b.Context(), roomID, d)
			if err == nil && i%20 == 0 {
				mu.Lock()
				last = sent.EventID
				mu.Unlock()
			}
			return err
		})
		r.grow(roomID, count)
		r.start()
		for _, limit := range []int{10, 100} {
			b.Run(fmt.Sprintf("limit=%d/%d", limit, count), func(b *testing.B) {
				r.get(b, fmt.Sprintf("/_matrix/client/v3/rooms/%s/messages?dir=b&limit=%d&from=t1_5000", url.PathEscape(string(roomID)), limit), 10)
			})
		}
	}
}

// BenchmarkThread reads the end of a thread, with what relates to what is in it,
// and the list of threads.
func BenchmarkThread(b *testing.B) {
	for _, count := range []int{100, 10_000} {
		r := newReading(b)
		roomID := r.create()
		related := func(relType string, to id.EventID) room.Draft {
			return room.Draft{Type: "m.room.message", Sender: userAlice, Content: canonjson.Value(fmt.Sprintf(
				`{"body":"hello","m.relates_to":{"event_id":%q,"rel_type":%q},"msgtype":"m.text"}`, to, relType))}
		}
		root := r.send(roomID, room.Draft{Type: "m.room.message", Sender: userAlice, Content: canonjson.Value(`{"body":"root"}`)})
		r.each(count, func(i int) error {
			sent, err := r.Rooms.Send(b.Context(), roomID, related("m.thread", root))
			if err == nil && i%4 == 0 {
				_, err = r.Rooms.Send(b.Context(), roomID, related("m.reference", sent.EventID))
			}
			return err
		})
		path := fmt.Sprintf("/_matrix/client/v1/rooms/%s/relations/%s", url.PathEscape(string(roomID)), url.PathEscape(string(root)))
		for _, query := range []string{"?limit=50&recurse=true", "/m.thread?limit=50"} {
			b.Run(fmt.Sprintf("relations%s/%d", query, count), func(b *testing.B) { r.get(b, path+query, 10) })
		}
		path = fmt.Sprintf("/_matrix/client/v1/rooms/%s/threads", url.PathEscape(string(roomID)))
		b.Run(fmt.Sprintf("threads/%d", count), func(b *testing.B) { r.get(b, path, 10) })
	}
}

// BenchmarkSync answers a sync after one new message.
func BenchmarkSync(b *testing.B) {
	for _, count := range []int{10, 1000} {
		r := newReading(b)
		roomID := r.create()
		draft := room.Draft{Type: "m.room.message", Sender: userAlice, Content: canonjson.Value(`{"body":"hello","msgtype":"m.text"}`)}
		send := func(int) error {
			_, err := r.Rooms.Send(b.Context(), roomID, draft)
			return err
		}
		r.each(count, send)
		since := r.Feed.Journal.Head()
		r.each(1, send)
		token := feed.Token{Epoch: "epoch", Pos: since, Board: "epoch"}
		b.Run(fmt.Sprint(count), func(b *testing.B) { r.get(b, "/_matrix/client/v3/sync?timeout=0&since="+token.String(), 10) })
	}
}

// grow copies the events of a room behind themselves.
func (r *reading) grow(roomID id.RoomID, count int) {
	err := r.db.Update(r.Context(), func(tx *store.Tx) error {
		var last, place int64
		if err := tx.Row("SELECT max(event), max(place) FROM events").Scan(&last, &place); err != nil {
			return err
		}
		for copies := int64(1); place*copies < int64(count); copies++ {
			_, err := tx.Exec(`
				INSERT INTO events (event, room, event_id, place, pos, status, before, current, merges, replaces, unread, loud,
					threaded_unread, threaded_loud, thread, thread_unread, thread_loud, auth, json)
				SELECT event + $1, room, event_id || $2, place + $3, pos, status, before, current, merges, replaces, unread, loud,
					threaded_unread, threaded_loud, thread, thread_unread, thread_loud, auth, json FROM events WHERE event <= $4`,
				last*copies, fmt.Sprint(copies), place*copies, last)
			if err != nil {
				return err
			}
			if _, err := tx.Exec("UPDATE rooms SET place = place + $1", place); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
}
