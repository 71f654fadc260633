package todevice

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"parley/internal/cache"
	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// Options of a store.
type Options struct {
	// Server is the name of this server.
	Server id.ServerName
	// Devices returns the devices of local users. Users without one need not be
	// there.
	Devices func(tx *store.Tx, users []id.UserID) (map[id.UserID][]id.DeviceID, error)
	// Log is told what is dropped. Nil: nobody is.
	Log *slog.Logger
	// MostMessages and MostBytes are how much may wait for a device, or for a
	// server; 0 means 20,000 and 64 MiB.
	MostMessages, MostBytes int64
}

// Store is the messages of a server as one node knows them. It is safe for
// concurrent use.
type Store struct {
	Options
	db      *store.DB
	journal *journal.Journal
	queues  *cache.Cache[queue, held]
	dropped atomic.Int64
}

// queueMemory is how many bytes may be taken by what is remembered of what waits
// for which device.
const queueMemory = 8 << 20

// New returns the messages in a database. It must be called before the journal
// runs.
func New(db *store.DB, j *journal.Journal, o Options) *Store {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MostMessages == 0 {
		o.MostMessages = 20_000
	}
	if o.MostBytes == 0 {
		o.MostBytes = 64 << 20
	}
	s := &Store{Options: o, db: db, journal: j, queues: cache.New[queue](queueMemory, func(held) int { return 200 })}
	j.OnForeign(s.foreign)
	return s
}

// foreign forgets what is known of queues when another node has put something into
// one.
func (s *Store) foreign(entries []journal.Entry) {
	for _, e := range entries {
		if e.Kind == journal.KindToDevice || e.Kind == journal.KindAbroad {
			s.queues.Clear()
			return
		}
	}
}

// Dropped returns how many messages this node has dropped because too many waited.
func (s *Store) Dropped() int64 { return s.dropped.Load() }

// A Message is what somebody says to devices.
type Message struct {
	Sender id.UserID
	Type   string
	To     map[id.UserID]map[id.DeviceID]canonjson.Value
}

// AllDevices stands for all devices of a user.
const AllDevices id.DeviceID = "*"

// A Transaction is the request by which a device sends a message: a device's
// requests of one type with one ID are one request. The zero Transaction is none.
type Transaction struct {
	Device id.DeviceID
	ID     string
}

// Bounds of a message.
const (
	// mostContent is how many bytes are said to one device.
	mostContent = 64 << 10
	// mostRecipients is how many devices are spoken to, all devices of a user
	// counting once.
	mostRecipients = 5000
	mostType       = 255
)

// Send sends a message of a local user, and returns when it is durable. The
// refusals are [mxerr.InvalidParam] and [mxerr.TooLarge].
func (s *Store) Send(ctx context.Context, m Message, txn Transaction) error {
	if len(m.Type) > mostType {
		return mxerr.New(mxerr.InvalidParam, "The type of a message has at most %d bytes", mostType)
	}
	recipients := 0
	for _, devices := range m.To {
		for _, content := range devices {
			if recipients++; len(content) > mostContent {
				return mxerr.New(mxerr.TooLarge, "What is said to one device has at most %d bytes", mostContent)
			}
		}
	}
	if recipients > mostRecipients {
		return mxerr.New(mxerr.TooLarge, "A message goes to at most %d devices at once", mostRecipients)
	}
	local, abroad := s.divide(m)
	_, err := s.journal.Append(ctx, func(b *journal.Batch) error {
		if repeated, err := s.repeated(b, m, txn); repeated || err != nil {
			return err
		}
		if len(abroad) > 0 {
			if err := s.putAbroad(b, abroad); err != nil {
				return err
			}
		}
		return s.deliver(b, m, local)
	})
	if err != nil {
		return fmt.Errorf("sending to devices for %s: %w", m.Sender, err)
	}
	return nil
}

var insertTransactions = &store.Insert{Table: "to_device_transactions", Columns: []store.Column{
	{Name: "user_id", Type: store.Text}, {Name: "device_id", Type: store.Text}, {Name: "type", Type: store.Text},
	{Name: "txn_id", Type: store.Text}, {Name: "sent", Type: store.Int},
}}

// request is the key of a request in the memo of a group.
type request struct {
	user id.UserID
	kind string
	Transaction
}

// repeated reports whether a request was made before, and remembers that it was.
func (s *Store) repeated(b *journal.Batch, m Message, txn Transaction) (bool, error) {
	if txn == (Transaction{}) {
		return false, nil
	}
	key := request{m.Sender, m.Type, txn}
	if _, ok := b.Memo(key); ok {
		return true, nil
	}
	var n int64
	// An empty device is stored as that: as an ID it would be NULL.
	err := b.Row(`
		SELECT count(*) FROM to_device_transactions WHERE user_id = $1 AND device_id = $2 AND type = $3 AND txn_id = $4`,
		m.Sender, string(txn.Device), m.Type, txn.ID).Scan(&n)
	if n > 0 || err != nil {
		return n > 0, err
	}
	b.Remember(key, true)
	b.Insert(insertTransactions, m.Sender, string(txn.Device), m.Type, txn.ID, time.Now().UnixMilli())
	return false, nil
}

// How long it is remembered what was sent and what has come. A client gives up
// repeating long before; a server may be away for weeks, and not know whether
// what it sent last has arrived.
const (
	transactionAge = 24 * time.Hour
	receivedAge    = 31 * 24 * time.Hour
)

// Tidy forgets requests and messages that nobody will repeat any more.
func (s *Store) Tidy(ctx context.Context) error {
	now := time.Now()
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec("DELETE FROM to_device_transactions WHERE sent < $1", now.Add(-transactionAge).UnixMilli()); err != nil {
			return err
		}
		_, err := tx.Exec("DELETE FROM to_device_received WHERE received < $1", now.Add(-receivedAge).UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting what was sent to devices: %w", err)
	}
	return nil
}

// messageID makes up the ID of an EDU, of at most 32 characters.
func messageID() string { return rand.Text() }
