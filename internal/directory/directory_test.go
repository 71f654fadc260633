package directory

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

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

// A scene is users with names, and a room of alice that some are in.
type scene struct {
	*testing.T
	ctx       context.Context
	db        *store.DB
	faults    *storetest.Faults
	rooms     *room.Engine
	parts     Parts
	directory *Directory
	room      id.RoomID

	mu    sync.Mutex // guards names
	names map[id.UserID]string
}

func play(t *testing.T, f func(s *scene)) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx, cancel := context.WithCancel(context.Background())
		s := &scene{T: t, ctx: ctx, db: db, faults: storetest.NewFaults(db), names: make(map[id.UserID]string)}
		j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
		s.do(err)
		seed := sha256.Sum256([]byte("a.test"))
		key, err := signing.NewKey("ed25519:test", seed[:])
		s.do(err)
		s.rooms = room.New(db, j, room.Options{Server: "a.test", Key: key})
		s.parts = Parts{
			Server: "a.test", DB: db, Journal: j, Rooms: s.rooms, Locals: s.locals, Listed: s.listed, Profile: s.profile,
		}
		s.renew()
		running, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { j.Run(running) })
		t.Cleanup(func() {
			stop()
			wg.Wait()
			cancel()
		})
		s.names[alice] = "Alice"
		s.room, _, err = s.rooms.Create(ctx, room.NewRoom{Creator: alice, Preset: room.PublicChat})
		s.do(err)
		f(s)
	})
}

func (s *scene) do(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *scene) locals(_ context.Context, after id.UserID, limit int) (users []id.UserID, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for user := range s.names {
		if user > after {
			users = append(users, user)
		}
	}
	slices.Sort(users)
	return users[:min(limit, len(users))], nil
}

func (s *scene) listed(_ context.Context, users []id.UserID) (map[id.UserID]bool, error) {
	listed := make(map[id.UserID]bool)
	for _, user := range users {
		listed[user] = true
	}
	return listed, nil
}

func (s *scene) profile(_ context.Context, user id.UserID) (canonjson.Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return canonjson.Value("{}").With("displayname", canonjson.Text(s.names[user])), nil
}

// renew makes the directory as a server that starts does, with small blocks.
func (s *scene) renew() {
	s.directory = New(s.parts)
	s.directory.names = textindex.New(s.db, textindex.Users, 64)
}

func (s *scene) follow() (stop func()) {
	s.renew()
	ctx, cancel := context.WithCancel(s.ctx)
	var wg sync.WaitGroup
	wg.Go(func() { s.directory.Run(ctx) })
	return func() {
		cancel()
		wg.Wait()
	}
}

// call gives a user a name, who is in the room from then on.
func (s *scene) call(user id.UserID, name string) {
	s.Helper()
	s.mu.Lock()
	_, known := s.names[user]
	s.names[user] = name
	s.mu.Unlock()
	s.do(s.db.Update(s.ctx, func(tx *store.Tx) error { return s.directory.Note(tx, user) }))
	if !known {
		_, err := s.rooms.Join(s.ctx, s.room, room.Move{Sender: user})
		s.do(err)
	}
}

func (s *scene) settle() {
	s.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		s.directory.journal.CatchUp(s.ctx)
		s.directory.mu.Lock()
		done := s.directory.fill != nil && s.directory.fill.done
		s.directory.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			s.Fatal("the directory does not come to an end")
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *scene) want(term string, want ...id.UserID) {
	s.Helper()
	s.settle()
	found, _, err := s.directory.Search(s.ctx, alice, term, 10)
	s.do(err)
	var got []id.UserID
	for _, u := range found {
		got = append(got, u.UserID)
	}
	if !slices.Equal(got, want) {
		s.Errorf("%q finds %q, want %q", term, got, want)
	}
}

func TestUsersWhoWereThereBeforeTheDirectory(t *testing.T) {
	play(t, func(s *scene) {
		for i := range chunk + 5 {
			s.names[id.UserID(fmt.Sprintf("@user%d:a.test", i))] = fmt.Sprint("Number ", i)
		}
		s.call(bob, "Robert")
		s.parts.All = true
		defer s.follow()()
		s.want("robert", bob)
		s.want("user502", "@user502:a.test")
		_, limited, err := s.directory.Search(s.ctx, alice, "number", 10)
		if err != nil || !limited {
			t.Errorf("of %d users all are found at once, %v", chunk, err)
		}
	})
}

func TestWhoSharesARoomIsFoundAmongManyStrangers(t *testing.T) {
	play(t, func(s *scene) {
		for i := range mostLooked + 100 {
			s.names[id.UserID(fmt.Sprintf("@user%d:a.test", i))] = fmt.Sprint("Number ", i)
		}
		s.call(bob, "A number of people")
		defer s.follow()()
		s.want("number", bob)
	})
}

func TestNamesThatChange(t *testing.T) {
	play(t, func(s *scene) {
		stop := s.follow()
		s.call(bob, "Robert")
		s.want("robert", bob)
		s.call(bob, "Bobby")
		s.want("robert")
		s.want("bobby", bob)
		stop()
		s.call(bob, "Roberto") // while nobody follows
		defer s.follow()()
		s.want("roberto", bob)
		for i := range 100 { // through a block and more
			s.call(bob, fmt.Sprint("Name ", i))
			s.want(fmt.Sprintf("name %d", i), bob)
		}
		s.do(s.directory.tidy(s.ctx))
		s.want("roberto")
		s.want("name 99", bob)
	})
}

func TestFailuresLoseNobody(t *testing.T) {
	for _, point := range []store.Point{store.BeforeBegin, store.BeforeCommit, store.AfterCommit} {
		play(t, func(s *scene) {
			for i := range 80 {
				s.call(id.UserID(fmt.Sprintf("@user%d:a.test", i)), fmt.Sprint("Number ", i))
			}
			s.faults.Begin(point)
			defer s.follow()()
			s.settle()
			s.faults.End()
			s.want("user79", "@user79:a.test")
			s.want("number 0", "@user0:a.test")
			var count int64
			s.do(s.db.View(s.ctx, func(tx *store.Tx) error { return tx.Row("SELECT count(*) FROM directory_users").Scan(&count) }))
			if count != 81 {
				t.Errorf("%d users are in the directory, want 81", count)
			}
		})
	}
}

func FuzzWanted(f *testing.F) {
	f.Add("@bob:a.test", "Bob\nrobert")
	f.Add(`"a b" :`, "")
	f.Fuzz(func(t *testing.T, term, name string) {
		w := parseWanted(term)
		words := wordsOf("@bob:a.test", name)
		s := w.score("@bob:a.test", words)
		if (s.exact || s.begin) && len(w.terms) > 0 && w.text != "" && s.match == 0 && w.server == "" {
			t.Errorf("%q begins one of %q, and is not in it", w.text, words)
		}
	})
}
