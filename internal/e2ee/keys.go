package e2ee

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"parley/internal/cache"
	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// Lists are the device lists, which tell others that keys have changed.
type Lists interface {
	// Changed says that what others see of the keys of a local user changes with
	// the batch. It is called in the transaction.
	Changed(b *journal.Batch, user id.UserID)
}

// Remote asks other servers for the keys of their users. Both return the answer as
// it came, of which nothing was checked.
type Remote interface {
	// QueryKeys asks for the keys of users: of some devices, or of all if there
	// are none.
	QueryKeys(ctx context.Context, server id.ServerName, users map[id.UserID][]id.DeviceID) (canonjson.Value, error)
	// ClaimKeys claims a key of an algorithm for each device.
	ClaimKeys(ctx context.Context, server id.ServerName, wanted map[id.UserID]map[id.DeviceID]string) (canonjson.Value, error)
}

// Options are what keys need of others.
type Options struct {
	// Server is the name of this server.
	Server id.ServerName
	Lists  Lists
	// Alive reports whether a device may still upload keys: one that is just being
	// removed may not. It is asked in the transaction of the upload. Tokenless
	// devices, of application services, are alive if they are there.
	Alive func(tx *store.Tx, user id.UserID, device id.DeviceID, tokenless bool) (bool, error)
	// Devices returns all devices of local users with their names.
	Devices func(ctx context.Context, users []id.UserID) (map[id.UserID]map[id.DeviceID]string, error)
	Remote  Remote
	// Cached returns the keys of those of some users of other servers that are known
	// and up to date. Nil: none are.
	Cached func(ctx context.Context, users []id.UserID) (map[id.UserID]UserKeys, error)
}

// Keys are the keys of the users of a server. It is safe for concurrent use.
type Keys struct {
	Options
	db      *store.DB
	journal *journal.Journal
	claims  claims
	// counts is nil for devices whose counts have changed.
	counts *cache.Cache[countKey, *Counts]
}

// New returns the keys in a database. It must be called before the journal runs.
func New(db *store.DB, j *journal.Journal, o Options) *Keys {
	if o.Cached == nil {
		o.Cached = func(context.Context, []id.UserID) (map[id.UserID]UserKeys, error) { return nil, nil }
	}
	k := &Keys{Options: o, db: db, journal: j, counts: cache.New[countKey](countsMemory, (*Counts).weight)}
	k.claims.keys = k
	j.OnForeign(k.foreign)
	return k
}

// UserKeys are the keys of one user as somebody may see them.
type UserKeys struct {
	// Devices have the identity keys of devices, with their names in unsigned.
	Devices map[id.DeviceID]canonjson.Value
	// Nil for those that there are not, or that are not for the one who asks.
	Master, SelfSigning, UserSigning canonjson.Value
}

// Ref is the reference of a device in the journal. Two may have the same: a reader
// then looks once too often.
func Ref(device id.DeviceID) int64 {
	sum := sha256.Sum256([]byte(device))
	return int64(binary.BigEndian.Uint64(sum[:]) >> 8)
}

// errAgain: what a change was decided on has changed meanwhile.
var errAgain = errors.New("keys have changed meanwhile")

// touched is remembered by a change of a batch for later ones: what they read in
// the database of a user's keys is out of date. The device is empty for the
// cross-signing keys and signatures.
type touched struct {
	user   id.UserID
	device id.DeviceID
}

// touch has a change be tried again later if another one of its batch has changed
// the same already.
func touch(b *journal.Batch, t touched) error {
	if _, ok := b.Memo(t); ok {
		return errAgain
	}
	b.Remember(t, true)
	return nil
}

// append makes a change, and makes it anew as long as others were faster. Prepare
// returns what is decided outside of the transaction.
func (k *Keys) append(ctx context.Context, prepare func() (journal.Change, error)) error {
	for {
		change, err := prepare()
		if err != nil || change == nil {
			return err
		}
		if _, err = k.journal.Append(ctx, change); !errors.Is(err, errAgain) {
			return err
		}
	}
}

// The times in which other servers have to answer.
const (
	usualTime   = 10 * time.Second
	longestTime = 30 * time.Second
)

// waitFor is for how long to wait for other servers if a client wants it so many
// milliseconds; 0: as it is usual.
func waitFor(ms uint64) time.Duration {
	if ms == 0 {
		return usualTime
	}
	return time.Duration(min(ms, uint64(longestTime.Milliseconds()))) * time.Millisecond
}
