// Package inbound takes in what other servers send of rooms, in order and once:
// https://spec.matrix.org/v1.19/server-server-api/#transactions
//
// Most events refer to what is there, and are received while their server waits:
// when it is told that they have come, they are durable. Those that do not, and
// those of a room that takes too long, are staged: they are durable as they are,
// and a queue for each room goes on with them, however long it takes and across
// restarts. So a slow room delays no other. As long as a room has something
// staged, what comes for it is staged behind it.
package inbound

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
)

// Rooms are where events go.
type Rooms struct {
	// Rules returns the rules of a room's version, or [mxerr.NotFound].
	Rules func(ctx context.Context, roomID id.RoomID) (*roomver.Rules, error)
	// Check makes the checks on events that need nothing else.
	Check func(ctx context.Context, rules *roomver.Rules, pdus []canonjson.Value) ([]event.Result, error)
	// Receive takes in events that have passed them, in order, and not all of them if
	// that takes long; n is how many. Where the next one refers to what is not there,
	// ready is false.
	Receive func(ctx context.Context, events []*event.Event) (n int, ready bool, err error)
	// Fetch takes in an event after what it refers to was fetched, from its server or
	// from others in the room. If that could not be had the error comes with why.
	Fetch func(ctx context.Context, server id.ServerName, e *event.Event) (Lack, error)
	// Stray is an event of a room that this server is not in.
	Stray func(ctx context.Context, server id.ServerName, pdu canonjson.Value) error
	// Admits refuses a server that a room keeps out.
	Admits func(ctx context.Context, roomID id.RoomID, server id.ServerName) error
}

// A Lack is why an event could not be taken in that may be one day.
type Lack uint8

const (
	Nothing Lack = iota // it can, or cannot for another reason
	Missing             // who answers does not have, or tell, what it refers to
	Silent              // nobody answers who may have it
)

// An Inbox takes in events. It is safe for concurrent use.
type Inbox struct {
	db    *store.DB
	rooms Rooms
	log   *slog.Logger
	// loaded is closed once all queues from before are known.
	loaded chan struct{}

	// mu guards what follows. It is held over no work in the database, and may be
	// taken while the lock of a queue is held.
	mu     sync.Mutex
	queues map[id.RoomID]*queue
	due    []dueRoom             // to be worked on
	busy   map[id.ServerName]int // how many rooms are worked on with events of a server
	back   []id.ServerName       // that were heard of again
	// signal has an element if any is due, and heard if any is in back.
	signal, heard chan struct{}
}

// Bounds of the work that a transaction may cause.
const (
	// patience is for how long a room's events are received while their server
	// waits.
	patience = 2 * time.Second
	// atOnce is how many of them share a commit. Between commits it is seen whether
	// patience ends.
	atOnce = 25
	// mostStaged is how many events of a room wait, and mostOfOne how many of one
	// server. Those that do not fit are not lost: whatever follows them will miss them.
	mostStaged = 5000
	mostOfOne  = mostStaged / 5
	// mostRooms is how many rooms are worked on at once.
	mostRooms = 16
	// perOrigin is how many of them with events of one server, which may answer
	// slowly what it is asked for them.
	perOrigin = mostRooms / 4
)

// New returns an inbox. What was staged before waits for Run.
func New(db *store.DB, rooms Rooms, log *slog.Logger) *Inbox {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Inbox{
		db: db, rooms: rooms, log: log, loaded: make(chan struct{}),
		queues: make(map[id.RoomID]*queue), busy: make(map[id.ServerName]int),
		signal: make(chan struct{}, 1), heard: make(chan struct{}, 1),
	}
}

// A Verdict is what is said of an event to the server that sent it; nil that it has
// come.
type Verdict struct {
	ID  id.EventID
	Err error
}

// Take takes in the events of a transaction. What an event is refused for is a
// verdict, and concerns no other; the error is that of this server, and then the
// transaction is to be sent again.
func (x *Inbox) Take(ctx context.Context, server id.ServerName, pdus []canonjson.Value) ([]Verdict, error) {
	if err := x.ready(ctx); err != nil {
		return nil, err
	}
	byRoom := make(map[id.RoomID][]canonjson.Value)
	for _, pdu := range pdus {
		if roomID, ok := roomOf(pdu); ok {
			byRoom[roomID] = append(byRoom[roomID], pdu)
		}
	}
	var wg sync.WaitGroup
	var mu sync.Mutex // guards verdicts and failure
	var verdicts []Verdict
	var failure error
	for roomID, pdus := range byRoom {
		wg.Go(func() {
			list, err := x.takeRoom(ctx, server, roomID, pdus)
			mu.Lock()
			defer mu.Unlock()
			verdicts, failure = append(verdicts, list...), errors.Join(failure, err)
		})
	}
	wg.Wait()
	return verdicts, failure
}

// ready waits until it is known of which rooms something is staged, which nothing
// may overtake.
func (x *Inbox) ready(ctx context.Context) error {
	select {
	case <-x.loaded:
		return nil
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-x.loaded:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for what is staged: %w", ctx.Err())
	}
}

// roomOf returns the room that an event says it is of. A create event that gives
// the room its ID is never sent in a transaction.
func roomOf(pdu canonjson.Value) (id.RoomID, bool) {
	text, _ := pdu.Get("room_id").Text()
	roomID, err := id.ParseRoomID(text)
	return roomID, err == nil
}

// takeRoom takes in events of one room.
func (x *Inbox) takeRoom(ctx context.Context, server id.ServerName, roomID id.RoomID, pdus []canonjson.Value) ([]Verdict, error) {
	rules, err := x.rooms.Rules(ctx, roomID)
	if errors.Is(err, mxerr.NotFound) {
		for _, pdu := range pdus {
			if err := x.rooms.Stray(ctx, server, pdu); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	refusal := x.rooms.Admits(ctx, roomID, server)
	if refused := (*mxerr.Error)(nil); refusal != nil && !errors.As(refusal, &refused) {
		return nil, refusal
	}
	results, err := x.rooms.Check(ctx, rules, pdus)
	if err != nil {
		return nil, err
	}
	var verdicts []Verdict
	var good []*event.Event
	for i, r := range results {
		switch {
		case r.Err != nil:
			x.log.Debug("dropping an event", "origin", server, "room", roomID, "err", r.Err)
			if e, err := event.Parse(pdus[i], rules); err == nil {
				verdicts = append(verdicts, Verdict{e.ID(), r.Err})
			}
		case refusal != nil:
			verdicts = append(verdicts, Verdict{r.Event.ID(), refusal})
		default:
			good = append(good, r.Event)
			verdicts = append(verdicts, Verdict{ID: r.Event.ID()})
		}
	}
	return verdicts, x.receive(ctx, server, roomID, good)
}

// receive receives events as far as that is quick, and stages the rest.
func (x *Inbox) receive(ctx context.Context, server id.ServerName, roomID id.RoomID, events []*event.Event) error {
	start := time.Now()
	for len(events) > 0 {
		if x.waiting(roomID, server) || time.Since(start) > patience {
			return x.stage(ctx, server, roomID, events)
		}
		n, ready, err := x.rooms.Receive(ctx, events[:min(len(events), atOnce)])
		if err != nil {
			return err
		}
		if events = events[n:]; !ready {
			return x.stage(ctx, server, roomID, events)
		}
	}
	return nil
}

// waiting reports whether events of a server are staged in a room. What comes from it
// is staged behind them, as it follows them most likely.
func (x *Inbox) waiting(roomID id.RoomID, server id.ServerName) bool {
	x.mu.Lock()
	q := x.queues[roomID]
	x.mu.Unlock()
	if q == nil {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.origins[server] > 0
}
