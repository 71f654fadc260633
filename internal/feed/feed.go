package feed

import (
	"context"
	"runtime"
	"time"

	"parley/internal/accountdata"
	"parley/internal/devicelist"
	"parley/internal/e2ee"
	"parley/internal/ephemeral"
	"parley/internal/filter"
	"parley/internal/journal"
	"parley/internal/profile"
	"parley/internal/receipt"
	"parley/internal/room"
	"parley/internal/store"
	"parley/internal/subscription"
	"parley/internal/todevice"
	"parley/matrix/id"
)

// Parts are what a feed reads.
type Parts struct {
	Journal     *journal.Journal
	Rooms       *room.Engine
	AccountData *accountdata.Store
	Receipts    *receipt.Book
	Board       *ephemeral.Board
	// Erased tells which of some users have had themselves erased. Nil: nobody.
	Erased func(context.Context, []id.UserID) (map[id.UserID]bool, error)
	// Presence is nil if nobody is to know of it.
	Presence *ephemeral.Presence
	// Keys is nil if devices have none.
	Keys *e2ee.Keys
	// ToDevice is nil if nobody sends to devices.
	ToDevice *todevice.Store
	// DeviceLists is nil if nobody is to know of changes of devices.
	DeviceLists *devicelist.Store
	// Profiles is nil if nobody is to be told of fields of profiles.
	Profiles *profile.Keeper
	// Subscriptions is nil if nobody subscribes to threads. ThreadRules says that there
	// are push rules about that.
	Subscriptions *subscription.Store
	ThreadRules   bool
	// DB keeps what clients were told by sliding sync, which is not for who has none.
	DB *store.DB
}

// Feed answers /sync. It is safe for concurrent use.
type Feed struct {
	Parts
	watches *watches
	lazy    *lazyMembers
	// Initial answers take longest, and have a line of their own.
	turns, longTurns *turns

	connections *connections
	open        *filter.Filter // lets everything pass
}

// New returns a feed over its parts, all of which must be there.
func New(p Parts) *Feed {
	cores := runtime.GOMAXPROCS(0)
	// A processor on which one turn follows another does not look at the network
	// in between, and the runtime does so at last after ten milliseconds. So half
	// of them are left for that: who sends comes through the network.
	return &Feed{
		Parts: p, watches: newWatches(p.Journal, p.Rooms), lazy: newLazyMembers(),
		connections: newConnections(p.DB), open: new(filter.Filter),
		turns: newTurns(max(1, cores/2), newPace(p.Journal.Lag)), longTurns: newTurns(cores, newPace(p.Journal.Lag)),
	}
}

// A Request is one /sync of a device.
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync
type Request struct {
	User   id.UserID
	Device id.DeviceID
	// Since is the token of an answer before, or empty.
	Since  string
	Filter *filter.Filter
	// FullState asks for the whole state of all rooms.
	FullState bool
	// StateAfter, unless empty, asks for the state after the timeline, in the
	// member of that name, not before it.
	StateAfter string
	// Timeout is how long to wait for something to tell.
	Timeout time.Duration

	stream bool // what is wanted is a stream of events, see Events
	// told is up to where the device was told what is sent to it.
	told journal.Position
}

// Sync answers a request. It waits until there is something to tell, the timeout
// is over or the context ends; in the last two cases the answer is empty.
func (f *Feed) Sync(ctx context.Context, q Request) (*Response, error) {
	since, knowing, err := f.since(&q)
	if err != nil {
		return nil, err
	}
	if err := f.acknowledge(ctx, q); err != nil {
		return nil, err
	}
	a, err := f.sync(ctx, q, since, knowing)
	if err != nil {
		return nil, err
	}
	return &a.Response, nil
}

func (f *Feed) sync(ctx context.Context, q Request, since Token, knowing journal.Position) (*answer, error) {
	w, err := f.watches.acquire(ctx, q.User, false)
	if err != nil {
		return nil, err
	}
	defer f.watches.release(w)
	wait, cancel := context.WithTimeout(ctx, q.Timeout)
	defer cancel()
	lazy, key := q.Filter.Room.State.LazyLoadMembers, lazyKey{q.User, q.Device, q.Filter}
	if lazy {
		f.lazy.came(key, since.Pos)
	}
	line := f.turns
	if since == (Token{}) || q.FullState {
		line = f.longTurns
	}
	turn := line.new()
	turn.queue()
	for {
		pokes, a, err := f.look(ctx, turn, q, w, since, knowing)
		if err != nil {
			return nil, err
		}
		if a.empty() && since != (Token{}) && !q.FullState && q.Timeout > 0 {
			turn = f.turns.new()
			if f.news(wait, turn, w, a.now.Pos, pokes, q.deaf()...) {
				since, knowing = a.now, a.now.Pos // there was nothing before it
				continue
			}
		}
		if lazy {
			f.lazy.answered(key, a.now.Pos, a.told, a.since == (Token{}) && a.knowing == 0)
		}
		if len(a.Response.presence) > 0 && a.since != (Token{}) {
			f.Presence.Told(len(a.Response.presence))
		}
		return a, nil
	}
}

// look answers for the present, when the turn of the request has come, and ends
// the turn. What happens after that, news is told of that is given the pokes and
// the position of the answer.
func (f *Feed) look(ctx context.Context, turn *turn, q Request, w *watch, since Token, knowing journal.Position) (pokes uint64, a *answer, err error) {
	defer turn.end()
	if err := turn.wait(ctx); err != nil {
		return 0, nil, err
	}
	pokes = w.sub.Pokes()
	now := f.Now()
	if q.stream {
		if now.Pos, err = w.step(ctx, f.Journal, since.Pos, now.Pos); err != nil {
			return 0, nil, err
		}
	}
	a, err = f.answer(ctx, q, w, since, now, knowing)
	return pokes, a, err
}

// Now returns the token of the present.
func (f *Feed) Now() Token {
	return Token{Epoch: f.Journal.Epoch(), Board: f.Board.Epoch(), Seq: f.Board.Seq(), Pos: f.Journal.Head()}
}

// deaf returns of what the request is not woken.
func (q *Request) deaf() []journal.Kind {
	if len(q.Filter.ProfileFields) == 0 {
		return []journal.Kind{journal.KindProfile}
	}
	return nil
}

// news waits until there is something new, of another kind than the deaf ones, and it is
// the turn of the request, or reports false when nobody waits any longer.
func (f *Feed) news(wait context.Context, turn *turn, w *watch, after journal.Position, pokes uint64, deaf ...journal.Kind) bool {
	cancel, already := w.sub.Notify(after, pokes, turn.queue, deaf...)
	if already {
		turn.queue()
	}
	if turn.wait(wait) == nil {
		return true
	}
	cancel()
	turn.end()
	return false
}

// since returns from where on to answer. A token of another epoch, as after a
// restore, says nothing about the present one: the client gets everything. So it
// does when the journal does not reach back to its token any more, but what it
// knows is the position of that.
func (f *Feed) since(q *Request) (since Token, knowing journal.Position, err error) {
	if q.Since == "" {
		return Token{}, 0, nil
	}
	t, err := ParseToken(q.Since)
	if err != nil {
		return Token{}, 0, err
	}
	if !f.issued(t) {
		return Token{}, 0, nil
	}
	q.told = t.queue()
	if t.Pos < f.Journal.Floor() {
		return Token{}, max(t.Pos, 1), nil
	}
	return t, t.Pos, nil
}

// issued reports whether a token may be one that was given out.
func (f *Feed) issued(t Token) bool { return t.Epoch == f.Journal.Epoch() && t.Pos <= f.Journal.Head() }

// leads reports whether what is behind a token can be told.
func (f *Feed) leads(t Token) bool { return f.issued(t) && t.Pos >= f.Journal.Floor() }
