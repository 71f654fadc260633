package delay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"parley/internal/errand"
	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// An Event is one that is, or was, to be sent later.
type Event struct {
	ID       string // of the delay
	User     id.UserID
	Room     id.RoomID
	Type     string
	StateKey *string // nil for one that is not state
	Content  canonjson.Value
	Sticky   int64 // for how many milliseconds it is to be sticky, 0 if it is not
	Time     int64 // when it is said to have been sent, in milliseconds since 1970, 0 for when it is
	Delay    time.Duration
	// Begun is when it was scheduled or last restarted, in milliseconds since 1970,
	// and Due when it is to be sent.
	Begun, Due int64

	// Finalised is when it was sent or cancelled, 0 while it is scheduled.
	Finalised int64
	// EventID is that of the event if it was sent, and Error why it could not be,
	// as an error response, if that has cancelled it.
	EventID id.EventID
	Error   canonjson.Value
}

// A Transaction names the request that schedules an event. Without an ID it names
// none.
type Transaction struct {
	Device id.DeviceID
	ID     string
}

// Options of a store.
type Options struct {
	// MaxDelay is the longest delay.
	MaxDelay time.Duration
	// MaxScheduled is how many a user may have scheduled at once; 0: there are no
	// delayed events.
	MaxScheduled int
	// Send sends an event as its user. Whatever it commits, it commits together with
	// what along adds to the batch, and if that fails, with nothing. An event that
	// changes nothing may be left out; then the answer is the one that it repeats. A
	// *mxerr.Error says that the user may not send it.
	Send func(ctx context.Context, e Event, along func(*journal.Batch, id.EventID) error) (id.EventID, error)
	// Log gets what keeps events from being sent; nil: nobody does.
	Log *slog.Logger
}

// Store is the delayed events in a database. It is safe for concurrent use.
type Store struct {
	Options
	db      *store.DB
	journal *journal.Journal
	queue   *errand.Queue[id.RoomID]
	alarm   alarm
}

// New returns the delayed events in a database. Run sends them.
func New(db *store.DB, j *journal.Journal, o Options) *Store {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Store{Options: o, db: db, journal: j, queue: errand.New[id.RoomID](), alarm: newAlarm()}
}

// ErrTooLong and ErrTooMany are in the errors of what is not scheduled because of a
// limit.
var (
	ErrTooLong = errors.New("the delay is too long")
	ErrTooMany = errors.New("too many delayed events are scheduled")
)

// largestContent is how many bytes a content may have: no event can be larger.
const largestContent = 64 << 10

// check refuses what cannot be scheduled.
func (s *Store) check(e Event) error {
	switch {
	case s.MaxScheduled == 0:
		return mxerr.New(mxerr.Forbidden, "This server has no delayed events")
	case e.Delay < time.Millisecond:
		return mxerr.New(mxerr.InvalidParam, "A delay has at least a millisecond")
	case e.Delay > s.MaxDelay:
		return mxerr.New(mxerr.Forbidden, "A delay has at most %d milliseconds", s.MaxDelay.Milliseconds()).Wrap(ErrTooLong)
	case e.Content.Kind() != canonjson.Object:
		return mxerr.New(mxerr.BadJSON, "The content of an event is an object")
	case len(e.Content) > largestContent:
		return mxerr.New(mxerr.TooLarge, "The content has more than %d bytes", largestContent)
	case e.StateKey != nil && (strings.ContainsRune(*e.StateKey, 0) || len(*e.StateKey) > 255):
		return mxerr.New(mxerr.InvalidParam, "state_key is longer than 255 bytes or has a character that it cannot have")
	}
	return nil
}

type (
	requestKey struct {
		user id.UserID
		room id.RoomID
		kind string
		txn  Transaction
	}
	countKey struct{ user id.UserID }
)

var insertEvents = &store.Insert{Table: "delayed_events", Columns: []store.Column{
	{Name: "delay_id", Type: store.Text}, {Name: "user_id", Type: store.Text}, {Name: "device_id", Type: store.Text},
	{Name: "txn_id", Type: store.Text}, {Name: "room_id", Type: store.Text}, {Name: "type", Type: store.Text},
	{Name: "is_state", Type: store.Bool}, {Name: "state_key", Type: store.Text}, {Name: "content", Type: store.Blob}, {Name: "sticky", Type: store.Int}, {Name: "ts", Type: store.Int}, {Name: "delay", Type: store.Int},
	{Name: "begun", Type: store.Int}, {Name: "due", Type: store.Int},
}}

// Schedule has an event sent after its delay, and returns the ID of the delay when
// that is durable. Only User, Room, Type, StateKey, Content, Sticky, Time and
// Delay are read. A request that is repeated is answered with the ID of then. What is
// refused for a limit is a *mxerr.Error with ErrTooLong or ErrTooMany.
func (s *Store) Schedule(ctx context.Context, e Event, txn Transaction) (delayID string, err error) {
	if err := s.check(e); err != nil {
		return "", err
	}
	e.ID = rand.Text()
	e.begin(time.Now())
	_, err = s.journal.Append(ctx, func(b *journal.Batch) error {
		delayID = e.ID
		key := requestKey{e.User, e.Room, e.Type, txn}
		earlier, err := findRequest(b, key)
		if err != nil || earlier != "" {
			delayID = earlier
			return err
		}
		scheduled, err := s.mayHaveMore(b, e.User, e.Begun)
		if err != nil {
			return err
		}
		b.Remember(countKey{e.User}, scheduled+1)
		b.Remember(key, e.ID)
		b.Insert(insertEvents, e.ID, e.User, string(txn.Device), optional(txn.ID), e.Room, e.Type,
			e.StateKey != nil, text(e.StateKey), []byte(e.Content), e.Sticky, e.Time, e.Delay.Milliseconds(), e.Begun, e.Due)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("scheduling an event of %s: %w", e.User, err)
	}
	s.alarm.set(e.Due)
	return delayID, nil
}

// begin starts the time of an event.
func (e *Event) begin(now time.Time) {
	e.Begun = now.UnixMilli()
	e.Due = e.Begun + e.Delay.Milliseconds()
}

// findRequest returns the delay that a request was answered with before.
func findRequest(b *journal.Batch, key requestKey) (delayID string, err error) {
	if key.txn.ID == "" {
		return "", nil
	}
	if earlier, ok := b.Memo(key); ok {
		return earlier.(string), nil
	}
	err = b.Row("SELECT delay_id FROM delayed_events WHERE user_id = $1 AND device_id = $2 AND room_id = $3 AND type = $4 AND txn_id = $5",
		key.user, string(key.txn.Device), key.room, key.kind, key.txn.ID).Scan(&delayID)
	if errors.Is(err, store.ErrNoRows) {
		err = nil
	}
	return delayID, err
}

// mayHaveMore refuses a user who has scheduled as many as may be, and returns how many
// there are.
func (s *Store) mayHaveMore(b *journal.Batch, user id.UserID, now int64) (int, error) {
	var scheduled int
	var next int64
	err := b.Row("SELECT count(*), min(due) FROM delayed_events WHERE user_id = $1 AND finalised IS NULL", user).Scan(&scheduled, &next)
	if err != nil {
		return 0, err
	}
	if n, ok := b.Memo(countKey{user}); ok {
		scheduled = n.(int)
	}
	if scheduled < s.MaxScheduled {
		return scheduled, nil
	}
	wait := max(1000, next-now)
	return 0, mxerr.New(mxerr.LimitExceeded, "You have %d delayed events scheduled already", scheduled).
		With("retry_after_ms", wait).Wrap(ErrTooMany)
}

func optional(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

const columns = "delay_id, user_id, room_id, type, is_state, state_key, content, sticky, ts, delay, begun, due, finalised, event_id, error"

// scan reads columns.
func scan(from func(...any) error) (e Event, err error) {
	var delay int64
	var isState bool
	var stateKey string
	err = from(&e.ID, &e.User, &e.Room, &e.Type, &isState, &stateKey, (*[]byte)(&e.Content), &e.Sticky, &e.Time, &delay, &e.Begun, &e.Due,
		&e.Finalised, &e.EventID, (*[]byte)(&e.Error))
	e.Delay = time.Duration(delay) * time.Millisecond
	if isState {
		e.StateKey = &stateKey
	}
	return e, err
}

// Scheduled returns what a user has scheduled, in the order in which it is to be
// sent, never nil.
func (s *Store) Scheduled(ctx context.Context, user id.UserID) (list []Event, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		list, err = store.Collect(tx.Query("SELECT "+columns+" FROM delayed_events WHERE user_id = $1 AND finalised IS NULL ORDER BY due, delay_id", user), scan)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing delayed events of %s: %w", user, err)
	}
	return append([]Event{}, list...), nil
}

// Get returns an event of a user, or a M_NOT_FOUND.
func (s *Store) Get(ctx context.Context, user id.UserID, delayID string) (e Event, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		e, err = scan(tx.Row("SELECT "+columns+" FROM delayed_events WHERE delay_id = $1", delayID).Scan)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNoRows), err == nil && e.User != user:
		return Event{}, notFound()
	case err != nil:
		return Event{}, fmt.Errorf("reading delayed event %s: %w", delayID, err)
	}
	return e, nil
}

func notFound() *mxerr.Error { return mxerr.New(mxerr.NotFound, "You have no such delayed event") }
