package room

import (
	"container/list"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/cache"
	"parley/internal/errand"
	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/pushrule"
	"parley/matrix/roomver"
	"parley/matrix/signing"
	"parley/matrix/stateres"
)

// errConflict: the room has changed since an append was decided on.
var errConflict = errors.New("the room has changed meanwhile")

// verifiedSignatures is how many signatures are remembered that were good, since
// events arrive by several ways.
const verifiedSignatures = 20_000

// Options of an engine.
type Options struct {
	// Server is the name of this server, and Key signs for it.
	Server id.ServerName
	Key    signing.Key
	// Keys knows the keys of other servers, and Elsewhere asks them for what rooms
	// lack here. Without them nothing comes from outside.
	Keys      Keys
	Elsewhere Elsewhere
	// Spaces asks another server about a space, or any room. Nil: nobody is asked.
	Spaces func(ctx context.Context, server id.ServerName, roomID id.RoomID, suggestedOnly bool) (canonjson.Value, error)
	// Log gets what is of note and fails nobody's request. Nil: nobody does.
	Log *slog.Logger
	// Memory is how many bytes rooms, events and states in memory may take,
	// roughly; 0 means 64 MiB.
	Memory int
	// Unwelcome, if not nil, is called when this node has committed that guests
	// cannot be in a room any more. It must not block.
	Unwelcome func(id.RoomID)
	// Inherits, if not nil, is called when this node has committed that there is an
	// heir, who is among [Engine.Heirs]. It must not block.
	Inherits func(Heir)
	// Gone, if not nil, is called when somebody is not in a room, after a change
	// of what the user is to it and before that becomes visible. It must be
	// quick.
	Gone func(room Num, user id.UserID)
	// MayInvite, if not nil, refuses invites that a local user does not want, with
	// M_INVITE_BLOCKED. It must be quick.
	MayInvite func(ctx context.Context, sender, target id.UserID) error
	// Rules are what the server has of push rules beside those of the specification.
	Rules pushrule.Proposed
	// Retention says for how long messages are kept.
	Retention Retention
	// Purges is what the deletion of rooms needs of others.
	Purges PurgeHooks
	// MayDecline, unless nil, refuses a user who wants to decline an invite.
	MayDecline func(ctx context.Context, room id.RoomID, user id.UserID) error
	// Grace is how long rows stay that nobody is to see any more, so that those can
	// end who began to read before; 0 means ten seconds, and less that they do not
	// stay.
	Grace time.Duration
	// Now tells the time that events are given; nil: the clock of the machine. It is
	// for tests.
	Now func() time.Time
}

// Engine is the rooms of one node. It is safe for concurrent use.
type Engine struct {
	now     func() time.Time
	db      *store.DB
	journal *journal.Journal
	server  id.ServerName
	key     signing.Key
	gone    func(Num, id.UserID)
	invites func(ctx context.Context, sender, target id.UserID) error // nil: all are wanted
	numbers *numbers
	// These are Options.Unwelcome and Options.Inherits.
	unwelcome func(id.RoomID)
	inherits  func(Heir)
	purges    *purges
	// retention is that of the options, and so is what follows.
	retention Retention
	// mayDecline is that of the options.
	mayDecline func(context.Context, id.RoomID, id.UserID) error

	// copies is how many rooms were brought into memory.
	copies atomic.Int64
	// created is when the last room was created, see creationTime.
	created atomic.Int64

	// What was read of the database, shared by all rooms: nodes of their states,
	// events for what they say, events as they are shown, how events authorise
	// each other, what is unread, and what transactions have become.
	nodes  *cache.Cache[nodeKey, []byte]
	events *cache.Cache[stateres.Num, *event.Event]
	items  *cache.Cache[stateres.Num, Item]
	graph  *cache.Cache[graphKey, known]
	reads  *cache.Cache[readKey, readState]
	// notified is what notifies users whose rules say something else of each event.
	notified *cache.Cache[readKey, notes]
	sent     *cache.Cache[transactionKey, id.EventID]
	// servers are those that have members in a room.
	servers *cache.Cache[Num, servers]
	memory  int // of rooms

	// arriving is the rooms that are being handed over, filling those for which
	// missing events are being fetched, and backfilling those of which history is.
	arriving, filling, backfilling oneByOne
	entering                       entering
	// partials is the rooms of which members are to be fetched.
	partials *errand.Queue[id.RoomID]
	// owing is the new rooms into which some are still to be invited.
	owing *errand.Queue[id.RoomID]
	// stuck is the rooms of which sticky events are to be judged again.
	stuck *errand.Queue[id.RoomID]

	// orphans are events that wait for one which the room lacks, by that one.
	orphans *cache.Cache[id.EventID, []*event.Event]
	// crowds are the rooms that have many forward extremities.
	crowds *crowds

	keys      Keys
	elsewhere Elsewhere
	spaces    func(ctx context.Context, server id.ServerName, roomID id.RoomID, suggestedOnly bool) (canonjson.Value, error)
	far       *cache.Cache[farKey, farRoom]
	verifier  *event.Verifier
	log       *slog.Logger

	// everybody is the rules by which it is decided what notifies.
	everybody *pushrule.Evaluator

	// mu guards the rooms in memory. A room's own locks may be taken after it,
	// not before.
	mu    sync.Mutex
	rooms map[id.RoomID]*list.Element // of *live
	order *list.List                  // the one used last is in front
	loads map[id.RoomID]*load         // rooms that are being read
	names map[Num]id.RoomID           // of the rooms in memory
}

// New returns an engine over a database and its journal. It must be made before
// the journal runs.
func New(db *store.DB, j *journal.Journal, o Options) *Engine {
	if o.Memory == 0 {
		o.Memory = 64 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	g := &Engine{
		db: db, journal: j, server: o.Server, key: o.Key, memory: o.Memory / 4,
		gone: o.Gone, invites: o.MayInvite, unwelcome: o.Unwelcome, inherits: o.Inherits,
		purges: newPurges(o), mayDecline: o.MayDecline, retention: o.Retention,
		numbers:   &numbers{db: db, name: "event"},
		orphans:   cache.New[id.EventID](o.Memory/16, orphansWeight),
		crowds:    newCrowds(),
		keys:      o.Keys,
		elsewhere: o.Elsewhere,
		spaces:    o.Spaces,
		far:       cache.New[farKey](o.Memory/16, farRoom.weight),
		verifier:  event.NewVerifier(verifiedSignatures),
		log:       o.Log,
		now:       o.Now,
		nodes:     cache.New[nodeKey](o.Memory/4, func(b []byte) int { return len(b) + 100 }),
		events:    cache.New[stateres.Num](o.Memory/8, func(e *event.Event) int { return len(e.JSON()) + 700 }),
		graph:     cache.New[graphKey](o.Memory/32, func(k known) int { return 180 + 8*(len(k.auth)+len(k.follows)) }),
		items:     cache.New[stateres.Num](o.Memory/4, Item.weight),
		reads:     cache.New[readKey](o.Memory/32, readState.weight),
		servers:   cache.New[Num](o.Memory/16, servers.weight),
		partials:  errand.New[id.RoomID](),
		owing:     errand.New[id.RoomID](),
		stuck:     errand.New[id.RoomID](),
		notified:  cache.New[readKey](o.Memory/32, notes.weight),
		sent:      cache.New[transactionKey](o.Memory/16, func(id.EventID) int { return 300 }),
		everybody: pushrule.Compile(o.Rules.Default(nobody), nobody),
		rooms:     make(map[id.RoomID]*list.Element),
		order:     list.New(),
		loads:     make(map[id.RoomID]*load),
		names:     make(map[Num]id.RoomID),
	}
	j.OnForeign(g.foreign)
	return g
}

// creationTime returns the present in milliseconds, and each time another: where
// the room ID is the hash of the create event, two rooms that one user makes
// alike in one millisecond would be the same room.
func (g *Engine) creationTime() int64 {
	for {
		last := g.created.Load()
		now := max(g.now().UnixMilli(), last+1)
		if g.created.CompareAndSwap(last, now) {
			return now
		}
	}
}

// newEventID makes up an event ID where events carry one.
func (g *Engine) newEventID(rules *roomver.Rules) (id.EventID, error) {
	if rules.EventID != roomver.EventIDCarried {
		return "", nil
	}
	return id.NewEventID(rand.Text(), g.server)
}

// remember puts a room into memory, unless somebody else did meanwhile, and
// forgets those not used for longest, as far as their memory is needed. The
// caller holds mu.
func (g *Engine) remember(r *live) *live {
	if e := g.rooms[r.id]; e != nil {
		return e.Value.(*live)
	}
	g.names[r.num] = r.id
	g.rooms[r.id] = g.order.PushFront(r)
	total := 0
	for e := g.order.Front(); e != nil; {
		other, next := e.Value.(*live), e.Next()
		if total += other.weight(); total > g.memory && other != r {
			g.drop(e)
		}
		e = next
	}
	return r
}

// drop removes a room from memory. The caller holds mu.
func (g *Engine) drop(e *list.Element) {
	r := g.order.Remove(e).(*live)
	delete(g.rooms, r.id)
	delete(g.names, r.num)
}

// forget drops a room from memory, if it is still this copy of it.
func (g *Engine) forget(r *live) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.rooms[r.id]; e != nil && e.Value == r {
		g.drop(e)
	}
}

// appended tells that a copy of a room has a new event, before the event becomes
// visible. Another copy in memory, or one that is being read, would not have it.
// A room that is created is in memory from now on: later, another node might
// have appended to it.
func (g *Engine) appended(r *live, created bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.rooms[r.id]; e != nil && e.Value != r {
		g.drop(e)
	}
	g.late(r.id)
	if created {
		g.remember(r)
	}
}

func (g *Engine) late(roomID id.RoomID) {
	if l := g.loads[roomID]; l != nil {
		l.late = true
		delete(g.loads, roomID) // who comes now begins anew
	}
}

// foreign drops what is in memory of rooms in which another node has appended.
func (g *Engine) foreign(entries []journal.Entry) {
	g.mu.Lock()
	defer g.mu.Unlock()
	changed := false
	for _, e := range entries {
		if e.Kind != journal.KindEvent && e.Kind != journal.KindPurge && e.Kind != journal.KindWhole {
			continue
		}
		changed = true
		roomID, known := g.names[Num(e.Scope.Number())]
		if !known {
			// It is not in memory, but may be read just now.
			for _, l := range g.loads {
				l.late = true
			}
			clear(g.loads)
			continue
		}
		g.late(roomID)
		g.drop(g.rooms[roomID])
	}
	if changed {
		g.graph.Clear()
		g.reads.Clear()
		g.items.Clear()
		g.servers.Clear()
	}
}

// refused turns the verdict of the authorization rules into an error for the
// client. What nobody could ever send is a mistake of the client's.
func refused(err error) error {
	if refusal := (*eventauth.Refusal)(nil); errors.As(err, &refusal) {
		code := mxerr.Forbidden
		if refusal.Rule == eventauth.StateKeyOfNobody {
			code = mxerr.BadJSON
		}
		return mxerr.New(code, "This is not allowed in the room: %s", refusal.Rule).Wrap(err)
	}
	return err
}

// badEvent turns what keeps an event from being built into an error for the
// client.
func badEvent(err error) error {
	if format := (*event.FormatError)(nil); errors.As(err, &format) {
		if format.Field == "" {
			return mxerr.New(mxerr.TooLarge, "The event is too large").Wrap(err)
		}
		return mxerr.New(mxerr.BadJSON, "The event has a bad %s: %s", format.Field, format.Reason).Wrap(err)
	}
	return mxerr.New(mxerr.BadJSON, "The event is no canonical JSON").Wrap(err)
}
