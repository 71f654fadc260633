//go:build unix

package feed_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"parley/internal/accountdata"
	"parley/internal/ephemeral"
	"parley/internal/feed"
	"parley/internal/filter"
	"parley/internal/journal"
	"parley/internal/receipt"
	"parley/internal/room"
	"parley/internal/schema"
	"parley/internal/store/storetest"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/signing"
)

// BenchmarkPresence has 1,000 users in one room, or in a hundred, each of whom
// changes the presence every second: an operation is one such second. It reports
// how much of one processor that takes, with the answers for some of the users who
// sync all the time, and how much they are told. Without a client it is what
// presence costs by itself. It takes -benchtime=20x or more to say anything.
func BenchmarkPresence(b *testing.B) {
	const users = 1000
	for _, rooms := range []int{1, 100} {
		for _, clients := range []int{0, 100, 1000} {
			b.Run(fmt.Sprintf("rooms=%d/clients=%d", rooms, clients), func(b *testing.B) { benchPresence(b, users, rooms, clients) })
		}
	}
}

func benchPresence(b *testing.B, users, rooms, clients int) {
	s := newSociety(b, users, rooms)
	defer s.stop()
	var events, answers atomic.Int64
	for i := range clients {
		s.running.Go(func() {
			q := feed.Request{User: userNumber(i), Device: "D", Filter: new(filter.Filter), Timeout: time.Hour}
			for s.ctx.Err() == nil {
				resp, err := s.feed.Sync(s.ctx, q)
				if err != nil {
					if s.ctx.Err() == nil {
						b.Errorf("syncing: %v", err)
					}
					return
				}
				events.Add(int64(len(resp.AppendJSON(nil))))
				answers.Add(1)
				q.Since = resp.Next.String()
			}
		})
	}
	change := func(n int) {
		begin := time.Now()
		for i := range users {
			state := ephemeral.Online
			if (n+i)%2 == 0 {
				state = ephemeral.Unavailable
			}
			s.presence.Set(userNumber(i), "D", state, fmt.Sprint(n))
			if wait := time.Duration(i)*time.Second/time.Duration(users) - time.Since(begin); wait > 10*time.Millisecond {
				time.Sleep(wait)
			}
		}
		time.Sleep(time.Second - time.Since(begin))
	}
	for n := range 5 {
		change(n)
	}
	events.Store(0)
	answers.Store(0)
	begin, used, n := time.Now(), processorTime(b), 0
	for b.Loop() {
		n++
		change(n)
	}
	seconds := time.Since(begin).Seconds()
	b.ReportMetric(100*(processorTime(b)-used).Seconds()/seconds, "%cpu")
	b.ReportMetric(float64(answers.Load())/seconds, "answers/s")
	b.ReportMetric(float64(events.Load())/seconds/1000, "kB/s")
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func userNumber(i int) id.UserID { return id.UserID(fmt.Sprintf("@u%d:a.test", i)) }

// society is users in rooms, and what they need to see each other.
type society struct {
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup
	presence *ephemeral.Presence
	feed     *feed.Feed
}

func newSociety(b *testing.B, users, rooms int) *society {
	migrations, err := schema.Migrations()
	if err != nil {
		b.Fatal(err)
	}
	s := &society{}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	db := storetest.Open(b, filepath.Join(b.TempDir(), "parley.db"))
	if err := db.Migrate(s.ctx, migrations); err != nil {
		b.Fatal(err)
	}
	j, err := journal.Open(s.ctx, db, func() string { return "epoch" }, journal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	seed := sha256.Sum256([]byte("a.test"))
	key, err := signing.NewKey("ed25519:test", seed[:])
	if err != nil {
		b.Fatal(err)
	}
	engine := room.New(db, j, room.Options{Server: "a.test", Key: key})
	board := ephemeral.NewBoard("epoch", j.Poke)
	s.presence = ephemeral.NewPresence(board, j, ephemeral.PresenceOptions{Load: func(ctx context.Context, user id.UserID) (about ephemeral.About, err error) {
		rooms, err := engine.Rooms(ctx, user)
		for _, m := range rooms {
			if m.Membership == event.MembershipJoin {
				about.Rooms = append(about.Rooms, m.Room.Scope())
			}
		}
		return about, err
	}})
	s.feed = feed.New(feed.Parts{
		Journal: j, Rooms: engine, AccountData: accountdata.New(db, j, accountdata.Options{}), Receipts: receipt.New(db, j, nil), Board: board, Presence: s.presence,
	})
	s.running.Go(func() { j.Run(s.ctx) })
	per := users / rooms
	for r := range rooms {
		roomID, _, err := engine.Create(s.ctx, room.NewRoom{Creator: userNumber(r * per), Preset: room.PublicChat})
		if err != nil {
			b.Fatal(err)
		}
		for i := 1; i < per; i++ {
			if _, err := engine.Join(s.ctx, roomID, room.Move{Sender: userNumber(r*per + i)}); err != nil {
				b.Fatal(err)
			}
		}
	}
	s.running.Go(func() { s.presence.Run(s.ctx) })
	return s
}

func (s *society) stop() {
	s.cancel()
	s.running.Wait()
}
