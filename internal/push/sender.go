package push

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"parley/internal/cache"
	"parley/internal/errand"
	"parley/internal/gateway"
	"parley/internal/journal"
	"parley/internal/receipt"
	"parley/internal/remote"
	"parley/internal/room"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/pushrule"
)

// Parts are what a sender stands on.
type Parts struct {
	DB       *store.DB
	Journal  *journal.Journal
	Rooms    *room.Engine
	Pushers  *Pushers
	Receipts *receipt.Book
	History  *History
	// Settings is what users have set of the push rules.
	Settings func(context.Context, []id.UserID) (map[id.UserID]pushrule.Settings, error)
	// Defaults are the push rules of the server. Wanted, nil if there are no rules about
	// threads, says to which of a room a user subscribes.
	Defaults func(id.UserID) pushrule.Ruleset
	Wanted   func(context.Context, id.UserID, id.RoomID) (room.Wanted, error)
	// Ignored are those of whom a user wants to hear nothing.
	Ignored func(context.Context, id.UserID) (map[id.UserID]bool, error)
	// HidesInvite reports whether a user is not told of an invite by another.
	HidesInvite func(ctx context.Context, user, by id.UserID) (bool, error)
	// Quiet reports whether a user is to be told nothing: who is locked, suspended or
	// gone.
	Quiet func(context.Context, id.UserID) (bool, error)
	// Post is how mail is sent, nil if not at all.
	Post *Post
	// WebPush sends something to a subscription to Web Push, see
	// [gateway.Gateway.WebPush]; nil if there is none.
	WebPush func(ctx context.Context, s gateway.Subscription, message []byte, urgent bool, topic string) error
	// Web is how gateways are reached, and Local this server's own, nil if it is none.
	Web   *remote.Client
	Local Local
	Log   *slog.Logger
}

// Local is a gateway that needs not be reached over the web.
type Local interface {
	// Is reports whether a URL is that of the gateway.
	Is(gatewayURL string) bool
	// Host is whom a device is reached through.
	Host(appID, pushkey string, data canonjson.Value) string
	// Notify tells devices something, as a gateway does that is asked to, and returns
	// the pushkeys that are rejected. An error that is no *gateway.Refused says that they
	// could not be reached.
	Notify(ctx context.Context, notification canonjson.Value) (rejected []string, err error)
}

// A Sender tells push gateways what notifies users. It is made once; all its methods
// are safe for concurrent use.
type Sender struct {
	Parts
	counters counters
	moved    chan struct{} // has room for one signal that there is something to store

	// What follows belongs to the goroutine that follows the journal. It holds mu when it
	// changes users.
	cursor    *journal.Cursor // nil: not yet opened
	began     journal.Position
	users     map[id.UserID]*recipient
	scopes    map[journal.Scope][]*recipient // by that of the user
	handles   map[int64][]*target
	audiences *cache.Cache[room.Num, *audience]
	rules     *cache.Cache[string, prepared]

	mu      sync.Mutex // guards what follows, and all queues
	ctx     context.Context
	outlets map[string]*outlet
	starved map[*outlet]bool // that have something to send, and all of the connections are in use
	active  int              // how many requests are under way
	// doubtful is how many of these are to gateways of which it is not known that they
	// answer.
	doubtful int
	pending  map[*target]bool // that have not got everything
	reached  journal.Position // up to where what happened is in the queues
	sending  sync.WaitGroup
}

const (
	// entriesAtOnce is how many entries of the journal are looked at at once.
	entriesAtOnce = 500
	// settleEvery is how often it is stored how far the journal was followed. A crash
	// in between has gateways told again what they know, by its event.
	settleEvery = time.Second
	// mostAge is how old what is pushed may be.
	mostAge = time.Hour
	// audienceMemory is how many bytes may be taken by what is known of who is to be
	// told of which rooms, and rulesMemory by their rules.
	audienceMemory = 32 << 20
	rulesMemory    = 32 << 20
)

// NewSender returns a sender. Nothing is sent before Run.
func NewSender(p Parts) *Sender {
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	return &Sender{
		Parts: p, moved: make(chan struct{}, 1),
		users: make(map[id.UserID]*recipient), scopes: make(map[journal.Scope][]*recipient), handles: make(map[int64][]*target),
		audiences: cache.New[room.Num](audienceMemory, (*audience).weight),
		rules:     cache.New[string](rulesMemory, prepared.weight),
		outlets:   make(map[string]*outlet), starved: make(map[*outlet]bool), pending: make(map[*target]bool),
	}
}

// Run pushes until the context ends.
func (s *Sender) Run(ctx context.Context) {
	s.mu.Lock()
	s.ctx = ctx
	s.mu.Unlock()
	if !errand.Insist(ctx, s.Log, "pushing", s.open) {
		return
	}
	stored := s.cursor.Position() // before it is moved on without being stored
	var settling sync.WaitGroup
	settling.Go(func() { s.settle(ctx, &stored) })
	errand.Persist(ctx, s.Log, "pushing", s.follow)
	settling.Wait()
	s.stopWaiting()
	s.sending.Wait()
	if err := s.store(context.WithoutCancel(ctx), &stored); err != nil {
		s.Log.Error("storing what was pushed", "err", err)
	}
}

// open loads the pushers, and has those go on that have not got everything.
func (s *Sender) open(ctx context.Context) error {
	cursor, err := s.Journal.Cursor(ctx, "push")
	if err != nil {
		return err
	}
	var list []Pusher
	err = s.DB.View(ctx, func(tx *store.Tx) (err error) {
		list, err = pushersOf(tx.Query("SELECT " + pusherColumns + " FROM pushers"))
		return err
	})
	if err != nil {
		return fmt.Errorf("reading all pushers: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursor, s.began, s.reached = cursor, s.Journal.Head(), cursor.Position()
	for _, p := range list {
		s.add(p)
	}
	s.signal()
	return nil
}

// follow reads the journal and hands on what is to be pushed.
func (s *Sender) follow(ctx context.Context) error {
	for {
		entries, err := s.cursor.Next(ctx, entriesAtOnce)
		if err != nil || len(entries) == 0 {
			return err
		}
		if err := s.dispatch(ctx, entries); err != nil {
			return err
		}
		last := entries[len(entries)-1].Pos
		s.mu.Lock()
		s.reached = last
		s.mu.Unlock()
		s.cursor.Pass(last)
		s.signal()
	}
}

// settle stores how far the journal was followed, and which pushers lag behind that,
// every second in which there is something to store.
func (s *Sender) settle(ctx context.Context, stored *journal.Position) {
	for {
		select {
		case <-s.moved:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(settleEvery):
		case <-ctx.Done():
			return
		}
		err := s.store(ctx, stored)
		if err != nil && ctx.Err() == nil {
			s.Log.Error("storing what was pushed", "err", err)
		}
		s.mu.Lock()
		if err != nil || len(s.pending) > 0 {
			s.signal()
		}
		s.mu.Unlock()
	}
}

// signal says that there is something to store.
func (s *Sender) signal() {
	select {
	case s.moved <- struct{}{}:
	default:
	}
}
