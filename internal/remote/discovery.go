package remote

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/singleflight"

	"parley/internal/cache"
	"parley/matrix/id"
)

// Discovery finds where servers are:
// https://spec.matrix.org/v1.19/server-server-api/#resolving-server-names
//
// It is safe for concurrent use.
type Discovery struct {
	resolver    Resolver
	delegations delegations
	asking      singleflight.Group
	known       *cache.Cache[id.ServerName, finding]
}

// finding is what was found out about a server.
type finding struct {
	list  []Destination
	err   error
	until time.Time
}

// For how long what was found is good: the resolver does not say for how long
// its records are.
const (
	recordsTTL = 5 * time.Minute
	failureTTL = 30 * time.Second
)

const (
	findingTime  = 30 * time.Second
	findingBytes = 4 << 20 // in memory, of all servers
)

// NewDiscovery returns one that asks the resolver, and uses the transport for
// /.well-known requests, which must refuse certificates that are not good and
// addresses that are not to be reached.
func NewDiscovery(resolver Resolver, transport http.RoundTripper) *Discovery {
	return &Discovery{
		resolver:    resolver,
		delegations: newDelegations(transport),
		known:       cache.New[id.ServerName](findingBytes, func(f finding) int { return 200 + 200*len(f.list) }),
	}
}

// Find returns where a server is, best first, and at least one place. Who looks
// for one that is being looked for already gets the same answer.
func (d *Discovery) Find(ctx context.Context, name id.ServerName) ([]Destination, error) {
	if dest, ok := direct(name); ok {
		return []Destination{dest}, nil
	}
	if f, ok := d.known.Get(name); ok && time.Now().Before(f.until) {
		return f.list, f.err
	}
	answer := d.asking.DoChan(string(name), func() (any, error) {
		// Who asked first may give up; the others go on.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), findingTime)
		defer cancel()
		f := d.find(ctx, name)
		d.known.Put(name, f)
		return f, nil
	})
	select {
	case a := <-answer:
		f := a.Val.(finding)
		return f.list, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (d *Discovery) find(ctx context.Context, name id.ServerName) finding {
	delegation := d.delegations.of(ctx, name)
	if dest, ok := direct(delegation.to); ok {
		return finding{list: []Destination{dest}, until: delegation.until}
	}
	list, err := bySRV(ctx, d.resolver, delegation.to)
	if err != nil {
		err = fmt.Errorf("finding the server %s: %w", name, err)
		return finding{err: err, until: time.Now().Add(failureTTL)}
	}
	until := time.Now().Add(recordsTTL)
	if delegation.until.Before(until) {
		until = delegation.until
	}
	return finding{list: list, until: until}
}

// Forget lets the next Find ask for the records of a server anew, because it was
// not where they said.
func (d *Discovery) Forget(name id.ServerName) { d.known.Put(name, finding{}) }
