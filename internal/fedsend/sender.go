package fedsend

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/devicelist"
	"parley/internal/ephemeral"
	"parley/internal/errand"
	"parley/internal/journal"
	"parley/internal/receipt"
	"parley/internal/remote"
	"parley/internal/room"
	"parley/internal/store"
	"parley/internal/todevice"
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
	ToDevice *todevice.Store
	// DeviceLists are those of which others are told.
	DeviceLists *devicelist.Store
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

	talk   sync.Mutex // guards gossip, and is held over no other work
	gossip gossip

	mu      sync.Mutex // guards what follows
	ctx     context.Context
	cursor  *journal.Cursor // nil: not yet opened
	servers map[id.ServerName]*destination
	// settled are those that have got something, which is to be stored, and whether
	// something of it was apart.
	settled map[id.ServerName]bool
	// reached is up to where what happened is in the queues, or known to be behind.
	reached journal.Position
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
	errand.Persist(ctx, s.Log, "sending to other servers", s.follow)
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
	cursor, err := s.Journal.Cursor(ctx, "fedsend")
	if err != nil {
		return nil, err
	}
	if err := s.load(ctx, cursor.Position()); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursor = cursor
	return cursor, nil
}

// owed is an event that a server is to get, or an EDU that it is to get as surely.
type owed struct {
	pos  journal.Position
	json []byte
	edu  bool
	// apart says that the database has it by itself, see storeOwed.
	apart bool
}

// dispatch puts what happened into the queues of the servers that it concerns,
// once it is durable which of them are owed something.
func (s *Sender) dispatch(ctx context.Context, entries []journal.Entry) error {
	work := make(map[id.ServerName][]owed)
	var aside []apart
	for _, e := range entries {
		if e.Kind != journal.KindEvent {
			continue
		}
		num := room.Num(e.Scope.Number())
		item, ok, err := s.Rooms.SentHere(ctx, num, e.Ref)
		if err != nil {
			return err
		}
		s.came(item, num, e.Pos)
		if err := s.stick(ctx, item, e.Pos, work); err != nil {
			return err
		}
		if !ok {
			continue
		}
		servers, outside, err := s.recipients(ctx, num, e.Pos, item)
		if err != nil {
			return err
		}
		if outside != "" {
			servers, aside = append(servers, outside), append(aside, apart{outside, e.Pos, num, e.Ref})
		}
		pdu := pduOf(item)
		for _, server := range servers {
			work[server] = append(work[server], owed{pos: e.Pos, json: pdu})
		}
	}
	if err := s.dispatchKept(ctx, entries, work); err != nil {
		return err
	}
	if err := s.owe(ctx, work, aside); err != nil {
		return err
	}
	s.mu.Lock()
	for server, list := range work {
		s.add(server, list)
	}
	s.reached = entries[len(entries)-1].Pos
	s.mu.Unlock()
	s.tellReceipts(ctx, entries)
	return nil
}

// recipients returns the other servers that are to get an event of this one: those
// that were in the room when it was sent, and that of the user whose membership it
// changes, which is outside if it is not in the room now.
func (s *Sender) recipients(ctx context.Context, num room.Num, pos journal.Position, e *event.Event) (list []id.ServerName, outside id.ServerName, err error) {
	all, err := s.Rooms.ServersAt(ctx, num, pos)
	if err != nil {
		return nil, "", err
	}
	// An invite by one that was left for an address may be sent here in the name of
	// somebody of another server, which does not know of it.
	itself := func(server id.ServerName) bool {
		return server == s.Server || server == e.Sender().Server() && !e.IsThirdPartyInvite()
	}
	list = slices.DeleteFunc(all, itself)
	key, ok := e.StateKey()
	server := id.UserID(key).Server()
	if !ok || e.Type() != event.TypeMember || server == "" || itself(server) {
		return list, "", nil
	}
	now, err := s.Rooms.ServersIn(ctx, num)
	if err != nil || slices.Contains(now, server) && slices.Contains(list, server) {
		return list, "", err
	}
	return slices.DeleteFunc(list, func(other id.ServerName) bool { return other == server }), server, nil
}

var (
	insertOwed = &store.Insert{Table: "owed", Columns: owedColumns, Conflict: "ON CONFLICT (server) DO NOTHING"}
	moveOwed   = &store.Insert{Table: "owed", Columns: owedColumns, Conflict: "ON CONFLICT (server) DO UPDATE SET since = excluded.since"}
)

var owedColumns = []store.Column{{Name: "server", Type: store.Text}, {Name: "since", Type: store.Int}}

// owe makes durable from which position on servers are owed something that were
// owed nothing, and what they would not be found to be owed.
func (s *Sender) owe(ctx context.Context, work map[id.ServerName][]owed, aside []apart) error {
	var rows, asideRows [][]any
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
		d.apart = d.apart || slices.ContainsFunc(list, func(o owed) bool { return o.apart })
	}
	for _, a := range aside {
		s.servers[a.server].apart = true
		asideRows = append(asideRows, []any{a.server, a.pos, a.room, a.event})
	}
	s.mu.Unlock()
	if len(rows)+len(asideRows) == 0 {
		return nil
	}
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.QueueAll(insertOwed, rows), tx.QueueAll(insertApart, asideRows))
	})
	if err != nil {
		return fmt.Errorf("storing what %d servers are owed: %w", len(work), err)
	}
	return nil
}

// load finds the servers that are owed something from before, up to a position.
func (s *Sender) load(ctx context.Context, reached journal.Position) error {
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
	s.reached = reached
	for server, pos := range since {
		if s.servers[server] == nil {
			s.servers[server] = &destination{stored: true, behind: true, next: pos, apart: true}
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
	since := make(map[id.ServerName]journal.Position) // of those with something apart
	for server, apart := range s.settled {
		var from journal.Position
		switch d := s.servers[server]; {
		case d == nil || d.clear():
			from = s.reached + 1 // what came after that has yet to be put into the queue
			done = append(done, server)
		case len(d.queue) > 0:
			from = d.queue[0].pos
			moved = append(moved, []any{server, from})
		case d.behind:
			from = d.next
			moved = append(moved, []any{server, from})
		}
		if apart {
			since[server] = from
		}
	}
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		in, list := tx.In(1, done)
		if _, err := tx.Exec("DELETE FROM owed WHERE server "+in, list); err != nil {
			return err
		}
		for server, from := range since {
			if err := tx.Queue("DELETE FROM owed_apart WHERE server = $1 AND pos < $2", server, from); err != nil {
				return err
			}
			if err := s.ToDevice.Taken(tx, server, from); err != nil {
				return err
			}
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
