package fedsend

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/ephemeral"
	"parley/internal/journal"
	"parley/internal/receipt"
	"parley/internal/remote"
	"parley/internal/room"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
)

// Parts are what a sender stands on.
type Parts struct {
	// Server is the name of this server.
	Server  id.ServerName
	DB      *store.DB
	Journal *journal.Journal
	Rooms   *room.Engine
	Remote  *remote.Servers
	// Receipts are those that others are told of.
	Receipts *receipt.Book
	// Status returns what a local user is at this moment.
	Status func(id.UserID) ephemeral.Status
	Log    *slog.Logger
}

// A Sender sends to other servers.
type Sender struct {
	Parts
	run  string // tells the transactions of one run of the server from others
	last atomic.Int64
	said chan struct{} // has room for one signal that there is gossip

	mu      sync.Mutex // guards what follows
	ctx     context.Context
	cursor  *journal.Cursor // nil: not yet opened
	servers map[id.ServerName]*destination
	settled map[id.ServerName]bool // those that have got something, which is to be stored
	gossip  gossip
	sending sync.WaitGroup
}

// chunk is how many entries of the journal are looked at at once.
const chunk = 500

// settleEvery is how often it is stored what has been sent, and how far the journal
// was followed: a commit for each message would cost more than sending it again.
const settleEvery = time.Second

// New returns a sender. Nothing is sent before Run.
func New(p Parts) *Sender {
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	s := &Sender{
		Parts: p, run: rand.Text()[:8], servers: make(map[id.ServerName]*destination), settled: make(map[id.ServerName]bool),
		said: make(chan struct{}, 1),
	}
	p.Remote.Health().OnBack(s.back)
	return s
}

// Run sends until the context ends.
func (s *Sender) Run(ctx context.Context) {
	s.mu.Lock()
	s.ctx = ctx
	s.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { s.settle(ctx) })
	wg.Go(func() { s.spread(ctx) })
	for ctx.Err() == nil {
		if err := s.follow(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("sending to other servers", "err", err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}
	wg.Wait()
	s.sending.Wait()
}

// follow reads the journal and hands on what is to be sent.
func (s *Sender) follow(ctx context.Context) error {
	cursor, err := s.open(ctx)
	if err != nil {
		return err
	}
	for {
		entries, err := cursor.Next(ctx, chunk)
		if err != nil || len(entries) == 0 {
			return err
		}
		if err := s.dispatch(ctx, entries); err != nil {
			return err
		}
		cursor.Pass(entries[len(entries)-1].Pos)
	}
}

// open loads what is owed and opens the cursor, unless that was done: the cursor is
// further on than the database knows.
func (s *Sender) open(ctx context.Context) (*journal.Cursor, error) {
	if s.cursor != nil {
		return s.cursor, nil
	}
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	cursor, err := s.Journal.Cursor(ctx, "fedsend")
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursor = cursor
	return cursor, nil
}

// owed is an event that a server is to get.
type owed struct {
	pos journal.Position
	pdu []byte
}

// dispatch puts what happened into the queues of the servers that it concerns,
// once it is durable which of them are owed something.
func (s *Sender) dispatch(ctx context.Context, entries []journal.Entry) error {
	work := make(map[id.ServerName][]owed)
	for _, e := range entries {
		if e.Kind != journal.KindEvent {
			continue
		}
		item, ok, err := s.Rooms.SentHere(ctx, room.Num(e.Scope.Number()), e.Ref)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		servers, err := s.recipients(ctx, room.Num(e.Scope.Number()), e.Pos, item)
		if err != nil {
			return err
		}
		pdu := item.JSON().Without("unsigned")
		for _, server := range servers {
			work[server] = append(work[server], owed{e.Pos, pdu})
		}
	}
	if err := s.owe(ctx, work); err != nil {
		return err
	}
	s.mu.Lock()
	for server, list := range work {
		s.add(server, list)
	}
	s.mu.Unlock()
	return s.tellReceipts(ctx, entries)
}

// recipients returns the other servers that are to get an event of this one: those
// that are in the room, those that were when it was sent, and that of the user whose
// membership it changes.
func (s *Sender) recipients(ctx context.Context, num room.Num, pos journal.Position, e *event.Event) ([]id.ServerName, error) {
	all, err := s.Rooms.ServersSince(ctx, num, pos)
	if err != nil {
		return nil, err
	}
	if key, ok := e.StateKey(); ok && e.Type() == event.TypeMember {
		all = append(all, id.UserID(key).Server())
	}
	seen := map[id.ServerName]bool{s.Server: true, e.Sender().Server(): true, "": true}
	var list []id.ServerName
	for _, server := range all {
		if !seen[server] {
			seen[server] = true
			list = append(list, server)
		}
	}
	return list, nil
}

var (
	insertOwed = &store.Insert{Table: "owed", Columns: owedColumns, Conflict: "ON CONFLICT (server) DO NOTHING"}
	moveOwed   = &store.Insert{Table: "owed", Columns: owedColumns, Conflict: "ON CONFLICT (server) DO UPDATE SET since = excluded.since"}
)

var owedColumns = []store.Column{{Name: "server", Type: store.Text}, {Name: "since", Type: store.Int}}

// owe makes durable from which position on servers are owed something that were
// owed nothing.
func (s *Sender) owe(ctx context.Context, work map[id.ServerName][]owed) error {
	var rows [][]any
	s.mu.Lock()
	for server, list := range work {
		d := s.servers[server]
		if d == nil {
			d = new(destination)
			s.servers[server] = d
		}
		if !d.stored {
			rows = append(rows, []any{server, list[0].pos})
		}
		d.expecting = true
	}
	s.mu.Unlock()
	if len(rows) == 0 {
		return nil
	}
	if err := s.DB.Update(ctx, func(tx *store.Tx) error { return tx.QueueAll(insertOwed, rows) }); err != nil {
		return fmt.Errorf("storing what %d servers are owed: %w", len(rows), err)
	}
	return nil
}

// load finds the servers that are owed something from before.
func (s *Sender) load(ctx context.Context) error {
	since := make(map[id.ServerName]journal.Position)
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query("SELECT server, since FROM owed") {
			if err != nil {
				return err
			}
			var server id.ServerName
			var pos journal.Position
			if err := row.Scan(&server, &pos); err != nil {
				return err
			}
			since[server] = pos
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading what other servers are owed: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for server, pos := range since {
		if s.servers[server] == nil {
			s.servers[server] = &destination{stored: true, behind: true, next: pos}
			s.wake(server)
		}
	}
	return nil
}

// settle stores from time to time up to where servers have got everything.
func (s *Sender) settle(ctx context.Context) {
	ticker := time.NewTicker(settleEvery)
	defer ticker.Stop()
	var stored journal.Position
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if err := errors.Join(s.storeSettled(ctx), s.storeCursor(ctx, &stored)); err != nil && ctx.Err() == nil {
			s.Log.Error("storing what was sent to other servers", "err", err)
		}
	}
}

// storeCursor stores up to where the journal was followed, unless that was stored.
// Which servers are owed something of it is durable.
func (s *Sender) storeCursor(ctx context.Context, stored *journal.Position) error {
	s.mu.Lock()
	cursor := s.cursor
	s.mu.Unlock()
	if cursor == nil || cursor.Position() == *stored {
		return nil
	}
	pos := cursor.Position()
	if err := cursor.Done(ctx, pos); err != nil {
		return err
	}
	*stored = pos
	return nil
}

// storeSettled removes the servers that are owed nothing any more, and moves those
// on that have got a part.
func (s *Sender) storeSettled(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.settled) == 0 {
		return nil
	}
	var done []id.ServerName
	var moved [][]any
	for server := range s.settled {
		switch d := s.servers[server]; {
		case d == nil || d.clear():
			done = append(done, server)
		case len(d.queue) > 0:
			moved = append(moved, []any{server, d.queue[0].pos})
		case d.behind:
			moved = append(moved, []any{server, d.next})
		}
	}
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		in, list := tx.In(1, done)
		if _, err := tx.Exec("DELETE FROM owed WHERE server "+in, list); err != nil {
			return err
		}
		return tx.QueueAll(moveOwed, moved)
	})
	if err != nil {
		return err
	}
	for server := range s.settled {
		if d := s.servers[server]; d != nil {
			s.dismiss(server, d)
		}
	}
	clear(s.settled)
	return nil
}

// txnID names a transaction.
func (s *Sender) txnID() string { return s.run + strconv.FormatInt(s.last.Add(1), 36) }
