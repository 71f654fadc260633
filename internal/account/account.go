package account

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/cache"
	"parley/internal/errand"
	"parley/internal/store"
	"parley/matrix/id"
)

// Options of the accounts of a server.
type Options struct {
	// Server is the name of this server.
	Server id.ServerName
	// Argon2 is how passwords are hashed; the zero value stands for
	// DefaultArgon2.
	Argon2 Argon2
	// Passwords is what new passwords have to be like.
	Passwords PasswordPolicy
	// Created, if not nil, joins the transaction that makes an account. The name is how
	// the user is called, empty if nobody has said.
	Created func(tx *store.Tx, user id.UserID, name string) error
	// MaxDevices is how many devices a user may have; 0 means 1,000. Whoever
	// logs in with one more loses the one that was not seen for longest.
	MaxDevices int
	// TokenLife is how long an access token is good whose client can refresh it,
	// and LastingTokenLife one whose client cannot; 0: until the device is
	// removed.
	TokenLife, LastingTokenLife time.Duration
	// Removing, if not nil, is called when the tokens of devices have been
	// revoked and the devices are about to be removed, so that others can drop
	// what they know of them. It is called until it succeeds, by [Accounts.Run] if
	// need be, and the devices stay until then, without tokens; it may be called
	// again after it did.
	Removing func(ctx context.Context, user id.UserID, devices []id.DeviceID) error
	// Removed, if not nil, joins the transaction that removes devices.
	Removed func(tx *store.Tx, user id.UserID, devices []id.DeviceID) error
	// Change makes changes of which those are to learn who share a room with the
	// user: devices that are added, removed or renamed. Nil: nobody learns of them.
	Change Change
	// Departed, if not nil, does in the background what it means elsewhere that
	// an account was deactivated, and perhaps is to be forgotten: leaving rooms,
	// and removing what others keep for the user. It is called until it succeeds,
	// and may be called again after it did.
	Departed func(ctx context.Context, user id.UserID, erased bool) error
	// Messages is how people show that an address is theirs. Zero: they cannot.
	Messages Messages
	// Log gets what goes wrong in the background. Nil: nobody does.
	Log *slog.Logger
}

// Accounts is the accounts of a server as one node knows them. It is safe for
// concurrent use.
type Accounts struct {
	db         *store.DB
	server     id.ServerName
	passwords  *hasher
	policy     PasswordPolicy
	created    func(*store.Tx, id.UserID, string) error
	maxDevices int
	lives      lives
	removing   func(context.Context, id.UserID, []id.DeviceID) error
	removed    func(*store.Tx, id.UserID, []id.DeviceID) error
	change     Change
	removals   *errand.Queue[id.UserID] // those who have devices that are leaving
	log        *slog.Logger

	departed   func(context.Context, id.UserID, bool) error
	departures *errand.Queue[id.UserID]
	erased     *cache.Cache[id.UserID, erasure]

	messages Messages
	mailings *errand.Queue[string] // validations for which something is to be sent

	sessions  *sessions
	sightings *sightings
	// inhabited says that there is an account. There never cease to be any.
	inhabited atomic.Bool
}

// New returns the accounts in a database.
func New(db *store.DB, o Options) *Accounts {
	if o.MaxDevices == 0 {
		o.MaxDevices = 1000
	}
	if o.Created == nil {
		o.Created = func(*store.Tx, id.UserID, string) error { return nil }
	}
	if o.Removing == nil {
		o.Removing = func(context.Context, id.UserID, []id.DeviceID) error { return nil }
	}
	if o.Removed == nil {
		o.Removed = func(*store.Tx, id.UserID, []id.DeviceID) error { return nil }
	}
	if o.Change == nil {
		o.Change = changeAlone(db)
	}
	if o.Departed == nil {
		o.Departed = func(context.Context, id.UserID, bool) error { return nil }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Accounts{
		db: db, server: o.Server, passwords: newHasher(o.Argon2), policy: o.Passwords, created: o.Created, maxDevices: o.MaxDevices,
		lives: lives{o.TokenLife, o.LastingTokenLife}, removing: o.Removing, removed: o.Removed, change: o.Change, departed: o.Departed, log: o.Log,
		removals: errand.New[id.UserID](), departures: errand.New[id.UserID](), messages: o.Messages, mailings: errand.New[string](),
		erased:   cache.New[id.UserID](erasedMemory, func(erasure) int { return 200 }),
		sessions: newSessions(sessionsPerGeneration), sightings: newSightings(),
	}
}

// erasedMemory is how many bytes may be taken by what is remembered of who was
// erased.
const erasedMemory = 4 << 20

// flushEvery is how often it is written where devices were last seen.
const flushEvery = time.Minute

// Run does what is to be done now and then, until the context ends: it writes
// where devices were seen, and forgets tokens whose time is over and authentication
// that nobody went on with. It also does what is left of deactivated accounts and of
// devices that were removed, and sends what is due to addresses.
// What was seen before the end is written before Run returns.
func (a *Accounts) Run(ctx context.Context) {
	var others sync.WaitGroup
	others.Go(func() { a.depart(ctx) })
	others.Go(func() { a.finishRemovals(ctx) })
	others.Go(func() { a.notify(ctx) })
	defer others.Wait()
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			a.tidy(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			a.tidy(last)
			return
		}
	}
}

func (a *Accounts) tidy(ctx context.Context) {
	for _, do := range []func(context.Context) error{
		a.flushSightings, a.forgetInteractions, a.forgetTickets, a.forgetValidations, a.lookForDepartures, a.lookForRemovals,
	} {
		// What the end of the server interrupts is done once more, at last.
		if err := do(ctx); err != nil && ctx.Err() == nil {
			a.log.ErrorContext(ctx, "background work on accounts failed", "err", err)
		}
	}
}
