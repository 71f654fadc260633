package search

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"testing"
	"time"

	"parley/internal/accountdata"
	"parley/internal/filter"
	"parley/internal/journal"
	"parley/internal/room"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/internal/textindex"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/signing"
)

const (
	alice id.UserID = "@alice:a.test"
	bob   id.UserID = "@bob:a.test"
)

// A scene is rooms of alice that bob is in, and their index.
type scene struct {
	testing.TB
	ctx    context.Context
	db     *store.DB
	faults *storetest.Faults
	rooms  *room.Engine
	index  *Index
	parts  Parts
	names  map[id.EventID]string
	// largest is the room in which most was said, in benchmarks.
	largest id.RoomID
}

// play runs a scene on each database.
func play(t *testing.T, options room.Options, f func(s *scene)) {
	storetest.Each(t, func(t *testing.T, db *store.DB) { f(newScene(t, db, options)) })
}

func newScene(t testing.TB, db *store.DB, options room.Options) *scene {
	ctx, cancel := context.WithCancel(context.Background())
	s := &scene{TB: t, ctx: ctx, db: db, faults: storetest.NewFaults(db), names: make(map[id.EventID]string)}
	j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	seed := sha256.Sum256([]byte("a.test"))
	options.Server, options.Grace = "a.test", -1
	if options.Key, err = signing.NewKey("ed25519:test", seed[:]); err != nil {
		t.Fatal(err)
	}
	s.rooms = room.New(db, j, options)
	s.parts = Parts{DB: db, Journal: j, Rooms: s.rooms, Ignored: accountdata.New(db, j, accountdata.Options{}).Ignored}
	s.renew()
	running, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { j.Run(running) })
	wg.Go(func() { s.rooms.RunPurges(running) })
	t.Cleanup(func() {
		stop()
		wg.Wait()
		cancel()
	})
	return s
}

// renew makes the index as a server that starts does, with small blocks where there are
// few messages.
func (s *scene) renew() {
	s.index = New(s.parts)
	if _, isBench := s.TB.(*testing.B); isBench {
		return
	}
	s.index.texts = textindex.New(s.db, textindex.Messages, 64)
}

// follow runs the index until what it returns is called.
func (s *scene) follow() (stop func()) {
	s.renew()
	ctx, cancel := context.WithCancel(s.ctx)
	var wg sync.WaitGroup
	wg.Go(func() { s.index.Run(ctx) })
	return func() {
		cancel()
		wg.Wait()
	}
}

func (s *scene) do(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *scene) create() id.RoomID {
	s.Helper()
	roomID, _, err := s.rooms.Create(s.ctx, room.NewRoom{Creator: alice, Preset: room.PublicChat})
	s.do(err)
	_, err = s.rooms.Join(s.ctx, roomID, room.Move{Sender: bob})
	s.do(err)
	return roomID
}

func (s *scene) say(roomID id.RoomID, text string) id.EventID {
	s.Helper()
	return s.sayAt(roomID, text, 0)
}

func (s *scene) sayAt(roomID id.RoomID, text string, ts int64) id.EventID {
	s.Helper()
	content := canonjson.Value(`{"msgtype":"m.text"}`).With("body", canonjson.Text(text))
	return s.send(roomID, room.Draft{Type: "m.room.message", Sender: alice, Content: content, Time: ts}, text)
}

func (s *scene) send(roomID id.RoomID, d room.Draft, name string) id.EventID {
	s.Helper()
	sent, err := s.rooms.Send(s.ctx, roomID, d)
	s.do(err)
	s.names[sent.EventID] = name
	return sent.EventID
}

func (s *scene) edit(roomID id.RoomID, original id.EventID, text string) id.EventID {
	s.Helper()
	content := canonjson.Value(`{"body":"*","msgtype":"m.text"}`).With("m.new_content", canonjson.Value(`{"msgtype":"m.text"}`).With("body", canonjson.Text(text))).
		With("m.relates_to", canonjson.Value(`{"rel_type":"m.replace"}`).With("event_id", canonjson.Text(string(original))))
	return s.send(roomID, room.Draft{Type: "m.room.message", Sender: alice, Content: content}, "edit")
}

func (s *scene) redact(roomID id.RoomID, target id.EventID) {
	s.Helper()
	s.send(roomID, room.Draft{Type: "m.room.redaction", Sender: alice, Redacts: target, Content: canonjson.Value(`{}`)}, "redaction")
}

// query is what bob wants to find.
func (s *scene) query(term string) Query {
	f, err := filter.ParseRoomEvents(canonjson.Value(`{}`))
	s.do(err)
	return Query{User: bob, Term: term, Filter: f, Recent: true, Limit: 10}
}

// found returns what is found once the index is up to date.
func (s *scene) found(term string) []string {
	s.Helper()
	s.settle()
	page, err := s.index.Find(s.ctx, s.query(term))
	s.do(err)
	return s.said(page)
}

func (s *scene) said(page Page) (names []string) {
	s.Helper()
	for _, h := range page.Hits {
		ids, err := s.rooms.EventIDs(s.ctx, []numbered{h.Num})
		s.do(err)
		names = append(names, s.names[ids[0]])
	}
	return names
}

// settle waits until the index has everything.
func (s *scene) settle() {
	s.Helper()
	s.settleWithin(time.Minute)
}

func (s *scene) settleWithin(limit time.Duration) {
	s.Helper()
	deadline := time.Now().Add(limit)
	for {
		s.index.journal.CatchUp(s.ctx)
		s.index.mu.Lock()
		begun := s.index.fill != nil
		s.index.mu.Unlock()
		if p := s.index.Progress(); begun && p.Done >= p.Total && p.Behind == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("the index does not come to an end: %+v", s.index.Progress())
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *scene) want(term string, want ...string) {
	s.Helper()
	if got := s.found(term); !slices.Equal(got, want) {
		s.Errorf("%q finds %q, want %q", term, got, want)
	}
}

func (s *scene) rows(table string) (n int64) {
	s.Helper()
	s.do(s.db.View(s.ctx, func(tx *store.Tx) error { return tx.Row("SELECT count(*) FROM " + table).Scan(&n) }))
	return n
}
