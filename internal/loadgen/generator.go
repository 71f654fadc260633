package loadgen

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a generator.
type Options struct {
	Target Target

	// SharedSecret registers accounts at /_synapse/admin/v1/register. Without it
	// they are registered as everybody may, with RegistrationToken where the
	// server asks for one.
	SharedSecret      string
	RegistrationToken string
	// NoPassword registers accounts without a password, as only some servers
	// permit. It spares the server hashing one for each account.
	NoPassword bool
	// AccountsFile keeps the accounts for the next run, with their access tokens;
	// "" keeps none.
	AccountsFile string

	// Parallel is how many requests make accounts and rooms at once; 0 means 8.
	Parallel int
	// SetupLimit is how long that may take for one scenario; 0 means 20 minutes.
	SetupLimit time.Duration

	// Processes are the server's, in /proc, to tell its processor time and
	// memory.
	Processes []int

	// Progress is told what is being done; nil for nobody.
	Progress func(format string, args ...any)
}

// Generator puts load on one server. Its methods are called one at a time.
type Generator struct {
	o   Options
	run string // tells the names of this run from those of others

	accounts []account // all that may be used again, in no order that matters
	named    int       // how many names of accounts were given out
	marks    int       // how many marks were given out

	mu     sync.Mutex // guards joined
	joined []membership
}

// New returns a generator, and reads the accounts of earlier runs.
func New(o Options) (*Generator, error) {
	if o.Parallel <= 0 {
		o.Parallel = 8
	}
	if o.SetupLimit <= 0 {
		o.SetupLimit = 20 * time.Minute
	}
	if o.Progress == nil {
		o.Progress = func(string, ...any) {}
	}
	var run [4]byte
	rand.Read(run[:])
	g := &Generator{o: o, run: hex.EncodeToString(run[:])}
	return g, g.loadAccounts()
}

// each calls do for 0 to n-1, each call with a client that no other has
// meanwhile. After an error it makes no more calls.
func (g *Generator) each(ctx context.Context, n int, do func(ctx context.Context, c *client, i int) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, g.o.SetupLimit, errors.New("making accounts and rooms took too long"))
	defer cancel()
	return parallel(ctx, min(n, g.o.Parallel), func(ctx context.Context, next func() int) error {
		c := newClient(g.o.Target)
		defer c.hangUp()
		for i := next(); i < n; i = next() {
			if err := do(ctx, c, i); err != nil {
				return err
			}
		}
		return nil
	})
}

// parallel runs workers until all have returned, and ends their context after
// the first error, which it returns. Next counts from 0.
func parallel(ctx context.Context, workers int, work func(ctx context.Context, next func() int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	var counter atomic.Int64
	next := func() int { return int(counter.Add(1) - 1) }
	for range workers {
		group.Go(func() {
			if err := work(ctx, next); err != nil {
				cancel(err)
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// pause waits for a time, or for the end of the context, whose cause it returns.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
