package loadgen

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"sync"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/signing"
)

// keyed is a client with keys, of which the public halves of Curve25519 are made up:
// nobody encrypts with them.
type keyed struct {
	account
	key signing.Key
}

func newKeyed(a account) (keyed, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return keyed{a, signing.Key{ID: id.KeyID("ed25519:" + a.Device), Private: private}}, err
}

// madeUp is a public key.
func madeUp() string {
	var key [32]byte
	rand.Read(key[:])
	return signing.EncodeBase64(key[:])
}

func (k keyed) sign(object any) (canonjson.Value, error) {
	v, err := canonjson.Marshal(object)
	return signing.Sign(v, k.User, k.key), err
}

// identity is the signed keys of the device, with algorithms of which one may be new.
// https://spec.matrix.org/v1.19/client-server-api/#device-keys
func (k keyed) identity(curve string, algorithms ...string) (canonjson.Value, error) {
	return k.sign(map[string]any{
		"user_id": k.User, "device_id": k.Device, "algorithms": append([]string{"m.olm.v1.curve25519-aes-sha2"}, algorithms...),
		"keys": map[string]string{
			"ed25519:" + k.Device: signing.EncodeBase64(k.key.Public()), "curve25519:" + k.Device: curve,
		},
	})
}

// oneTime is so many signed one-time keys with names of their own.
func (k keyed) oneTime(n int, names string) (map[string]canonjson.Value, error) {
	all := make(map[string]canonjson.Value, n)
	for i := range n {
		key, err := k.sign(map[string]string{"key": madeUp()})
		if err != nil {
			return nil, err
		}
		all[fmt.Sprintf("signed_curve25519:%s%d", names, i)] = key
	}
	return all, nil
}

const uploadPath = "/_matrix/client/v3/keys/upload"

// claims has clients upload one-time keys, and claim those of each other: one by one,
// and in requests for all of them.
func (e *encrypted) claims(ctx context.Context) error {
	for _, n := range e.o.Clients {
		if err := e.again(ctx); err != nil {
			return err
		}
		clients, err := e.keyed(ctx, n)
		if err != nil {
			return err
		}
		up := Row{Scenario: "encryption", Case: fmt.Sprintf("%s upload %d one-time keys each", count(n, "client"), e.o.Keys)}
		if err := e.upload(ctx, &up, clients, "first"); err != nil {
			return err
		}
		e.rows = append(e.rows, up)
		taken := newTaken()
		single := Row{Scenario: "encryption", Case: count(n, "client") + " claim keys of each other"}
		if err := e.claimSingly(ctx, &single, clients, taken); err != nil {
			return err
		}
		e.rows = append(e.rows, single)
		again := up
		if err := e.upload(ctx, &again, clients, "second"); err != nil {
			return err
		}
		whole := Row{Scenario: "encryption", Case: "keys are claimed of " + count(n, "device") + " at once"}
		if err := e.claimOfAll(ctx, &whole, clients, taken); err != nil {
			return err
		}
		e.rows = append(e.rows, whole)
	}
	return nil
}

// keyed registers clients that have keys.
func (e *encrypted) keyed(ctx context.Context, n int) ([]keyed, error) {
	users, err := e.g.newUsers(ctx, n)
	if err != nil {
		return nil, err
	}
	clients := make([]keyed, n)
	for i, a := range users {
		if clients[i], err = newKeyed(a); err != nil {
			return nil, err
		}
	}
	return clients, nil
}

// upload has all clients upload at once. Their keys are signed before.
func (e *encrypted) upload(ctx context.Context, row *Row, clients []keyed, names string) error {
	requests := make([][]byte, len(clients))
	err := parallel(ctx, e.g.o.Parallel, func(_ context.Context, next func() int) error {
		for i := next(); i < len(clients); i = next() {
			k := clients[i]
			device, err := k.identity(madeUp())
			if err != nil {
				return err
			}
			keys, err := k.oneTime(e.o.Keys, names)
			if err == nil {
				requests[i], err = call{
					method: "POST", path: uploadPath, token: k.Token, body: map[string]any{"device_keys": device, "one_time_keys": keys},
				}.request(e.target)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return e.together(ctx, row, len(clients), func(ctx context.Context, c *client, f *faults, latency *Histogram, i int) error {
		_, err := f.insist(ctx, c, requests[i], latency)
		return err
	})
}

// together has so many clients do something at once, each over a connection of its
// own, and tells in the row what that took.
func (e *encrypted) together(ctx context.Context, row *Row, n int, do func(ctx context.Context, c *client, f *faults, latency *Histogram, i int) error) error {
	e.progress("%s: %s", row.Scenario, row.Case)
	var latency Histogram
	var f faults
	meter, err := e.g.measure()
	if err != nil {
		return err
	}
	err = parallel(ctx, n, func(ctx context.Context, next func() int) error {
		c := newClient(e.target)
		defer c.hangUp()
		return do(ctx, c, &f, &latency, next())
	})
	if err != nil {
		return err
	}
	if err := meter.stop(row); err != nil {
		return err
	}
	row.count(&latency)
	f.tell(row)
	return nil
}

// wish is the request for a key of some devices.
func (e *encrypted) wish(as keyed, of ...keyed) ([]byte, error) {
	devices := make(map[string]map[string]string, len(of))
	for _, k := range of {
		devices[k.User] = map[string]string{k.Device: "signed_curve25519"}
	}
	return call{method: "POST", path: "/_matrix/client/v3/keys/claim", token: as.Token, body: map[string]any{"one_time_keys": devices}}.request(e.target)
}

func (e *encrypted) claimSingly(ctx context.Context, row *Row, clients []keyed, taken *taken) error {
	err := e.together(ctx, row, len(clients), func(ctx context.Context, c *client, f *faults, latency *Histogram, i int) error {
		for n := range e.o.Keys {
			other := 1 + n*7%(len(clients)-1) // all take a step as long, so that nobody is asked more often
			request, err := e.wish(clients[i], clients[(i+other)%len(clients)])
			if err != nil {
				return err
			}
			if err := taken.claim(ctx, c, f, request, latency); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	row.spent("claim")
	row.Missed = row.Count - taken.take(row)
	return nil
}

func (e *encrypted) claimOfAll(ctx context.Context, row *Row, clients []keyed, taken *taken) error {
	request, err := e.wish(clients[0], clients...)
	if err != nil {
		return err
	}
	err = e.together(ctx, row, 1, func(ctx context.Context, c *client, f *faults, latency *Histogram, _ int) error {
		for range e.o.Keys {
			if err := taken.claim(ctx, c, f, request, latency); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	row.Count, row.Rate = row.Count*int64(len(clients)), row.Rate*float64(len(clients))
	row.spent("key")
	row.note("the latencies are those of requests")
	row.Missed = row.Count - taken.take(row)
	return nil
}

// taken is the keys that were given to somebody.
type taken struct {
	mu    sync.Mutex // guards all below
	keys  map[string]bool
	fresh int64
	twice int64
}

func newTaken() *taken { return &taken{keys: make(map[string]bool)} }

// claim makes a request for keys, and notes which are given out.
func (t *taken) claim(ctx context.Context, c *client, f *faults, request []byte, latency *Histogram) error {
	r, err := f.insist(ctx, c, request, latency)
	if err != nil {
		return err
	}
	return t.note(r.body)
}

// note notes which keys are in an answer.
func (t *taken) note(body []byte) error {
	var answer struct {
		Keys map[string]map[string]map[string]struct{ Key string } `json:"one_time_keys"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("reading an answer to a claim: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, devices := range answer.Keys {
		for _, keys := range devices {
			for _, k := range keys {
				if t.keys[k.Key] {
					t.twice++
					continue
				}
				t.keys[k.Key] = true
				t.fresh++
			}
		}
	}
	return nil
}

// take returns how many keys were new since it was asked last, and tells in the row of
// those that were not.
func (t *taken) take(row *Row) (fresh int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fresh, row.Twice = t.fresh, t.twice
	t.fresh, t.twice = 0, 0
	return fresh
}
