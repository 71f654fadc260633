package fedsend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/ephemeral"
	"parley/internal/journal"
	"parley/internal/receipt"
	"parley/internal/remote"
	"parley/internal/room"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/signing"
)

// graveyard is a room with servers in it none of which answers.
type graveyard struct {
	*Sender
	t       *testing.T
	room    id.RoomID
	dials   atomic.Int64
	commits atomic.Int64
}

// LookupSRV is that of a domain name system without such records.
func (g *graveyard) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", nil, &net.DNSError{Err: "no such host", IsNotFound: true}
}

func (g *graveyard) dial(_ context.Context, _, addr string) (net.Conn, error) {
	if strings.HasSuffix(addr, ":8448") {
		g.dials.Add(1)
	}
	return nil, errors.New("nobody answers")
}

// bury plays with a room with so many servers, in virtual time.
func bury(t *testing.T, servers int, play func(g *graveyard)) {
	location := filepath.Join(t.TempDir(), "parley.db")
	synctest.Test(t, func(t *testing.T) {
		g := &graveyard{t: t}
		db, ctx := storetest.Open(t, location), t.Context()
		db.FailAt(func(p store.Point) error {
			if p == store.BeforeCommit {
				g.commits.Add(1)
			}
			return nil
		})
		j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
		g.must(err)
		key, err := signing.NewKey("ed25519:test", []byte(strings.Repeat("k", 32)))
		g.must(err)
		health, err := remote.OpenHealth(ctx, db, nil)
		g.must(err)
		others := remote.NewServers(health, remote.ServersOptions{Server: "a.test", Key: key, Dial: g.dial, Resolver: g})
		rooms := room.New(db, j, room.Options{Server: "a.test", Key: key})
		locate := func(context.Context, id.RoomID, id.EventID) (receipt.At, error) {
			return receipt.At{}, errors.New("there are no receipts")
		}
		g.Sender = New(Parts{
			Server: "a.test", DB: db, Journal: j, Rooms: rooms, Remote: others, Receipts: receipt.New(db, j, locate),
			Status: func(id.UserID) ephemeral.Status { return ephemeral.Status{} },
		})
		running, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { j.Run(running) })
		wg.Go(func() { health.Run(running) })
		g.room, _, err = rooms.Create(ctx, room.NewRoom{Creator: "@alice:a.test", Preset: room.PublicChat})
		g.must(err)
		num, err := rooms.Num(ctx, g.room)
		g.must(err)
		g.must(db.Update(ctx, func(tx *store.Tx) error {
			for i := range servers {
				if err := tx.Queue("INSERT INTO room_servers (room, server, joined, pos) VALUES ($1, $2, 1, 1)", num, fmt.Sprintf("dead%d.test", i)); err != nil {
					return err
				}
			}
			return nil
		}))
		wg.Go(func() { g.Run(running) })
		play(g)
		cancel()
		wg.Wait()
		others.Close()
	})
}

func (g *graveyard) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *graveyard) say() {
	g.t.Helper()
	_, err := g.Rooms.Send(g.t.Context(), g.room, room.Draft{
		Type: "m.room.message", Sender: "@alice:a.test", Content: canonjson.Value(`{"body":"is anybody there?","msgtype":"m.text"}`),
	})
	g.must(err)
}

// cost is what something costs: connections, commits.
func (g *graveyard) cost(f func()) (dials, commits int64) {
	dials, commits = g.dials.Load(), g.commits.Load()
	f()
	synctest.Wait()
	return g.dials.Load() - dials, g.commits.Load() - commits
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestDeadServersCostNextToNothing(t *testing.T) {
	const servers = 200
	bury(t, servers, func(g *graveyard) {
		synctest.Wait()
		before := heap()
		dials, commits := g.cost(func() {
			g.say()
			time.Sleep(time.Second)
		})
		t.Logf("the first message: %d connections, %d commits", dials, commits)
		if dials > 2*servers || commits > 10 {
			t.Errorf("the first message costs %d connections and %d commits", dials, commits)
		}
		time.Sleep(3 * time.Hour)
		const messages = 60
		dials, commits = g.cost(func() {
			for range messages {
				g.say()
				time.Sleep(time.Second)
			}
		})
		t.Logf("%d messages within a minute: %d connections, %d commits", messages, dials, commits)
		// Each is a commit by itself, and where the journal was followed is another. Of
		// the servers few are just to be tried again.
		if dials > servers/10 || commits > 2*messages+10 {
			t.Errorf("%d messages cost %d connections and %d commits", messages, dials, commits)
		}
		dials, commits = g.cost(func() { time.Sleep(6 * time.Hour) })
		t.Logf("six hours: %d connections, %d commits", dials, commits)
		if dials > 8*servers || commits > 6*60+10 {
			t.Errorf("six hours cost %d connections and %d commits", dials, commits)
		}
		after := heap()
		t.Logf("a server: %d bytes", (int64(after)-int64(before))/servers)
		g.mu.Lock()
		defer g.mu.Unlock()
		for server, d := range g.servers {
			if len(d.queue) > 0 {
				t.Fatalf("%d events are in memory for %s", len(d.queue), server)
			}
		}
		if len(g.servers) != servers {
			t.Errorf("%d servers are owed something", len(g.servers))
		}
	})
}
