package e2ee

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/signing"
)

const (
	alice id.UserID = "@alice:a.test"
	bob   id.UserID = "@bob:a.test"
	carol id.UserID = "@carol:b.test"
)

// A scene is keys over a database, with what they need of others made up.
type scene struct {
	*Keys
	t    testing.TB
	ctx  context.Context
	stop func()

	mu      sync.Mutex
	changed []id.UserID
	gone    map[id.DeviceID]bool // devices that are not alive
	missing map[id.DeviceID]bool // devices that there are not
	remote  remoteFuncs
}

type remoteFuncs struct {
	query func(context.Context, id.ServerName, map[id.UserID][]id.DeviceID) (canonjson.Value, error)
	claim func(context.Context, id.ServerName, map[id.UserID]map[id.DeviceID]string) (canonjson.Value, error)
}

func (s *scene) Changed(b *journal.Batch, user id.UserID) {
	b.Durable(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed = append(s.changed, user)
	})
}

func (s *scene) QueryKeys(ctx context.Context, server id.ServerName, users map[id.UserID][]id.DeviceID) (canonjson.Value, error) {
	return s.remote.query(ctx, server, users)
}

func (s *scene) ClaimKeys(ctx context.Context, server id.ServerName, wanted map[id.UserID]map[id.DeviceID]string) (canonjson.Value, error) {
	return s.remote.claim(ctx, server, wanted)
}

// play runs f with a scene on each database.
func play(t *testing.T, f func(s *scene)) {
	storetest.Each(t, func(t *testing.T, db *store.DB) { f(newScene(t, db)) })
}

func newScene(t testing.TB, db *store.DB) *scene {
	ctx, cancel := context.WithCancel(context.Background())
	j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, ctx: ctx, gone: make(map[id.DeviceID]bool), missing: make(map[id.DeviceID]bool)}
	s.Keys = New(db, j, Options{
		Server: "a.test", Lists: s, Remote: s,
		Alive: func(_ *store.Tx, _ id.UserID, device id.DeviceID, _ bool) (bool, error) { return !s.gone[device], nil },
		Devices: func(ctx context.Context, users []id.UserID) (map[id.UserID]map[id.DeviceID]string, error) {
			return s.devices(ctx, db, users)
		},
	})
	var running sync.WaitGroup
	running.Go(func() { j.Run(ctx) })
	s.stop = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(s.stop)
	return s
}

// devices has all that have keys; one is called as its ID in other words.
func (s *scene) devices(ctx context.Context, db *store.DB, users []id.UserID) (map[id.UserID]map[id.DeviceID]string, error) {
	found := make(map[id.UserID]map[id.DeviceID]string)
	err := db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query("SELECT user_id, device_id FROM keyed_devices") {
			var user id.UserID
			var device id.DeviceID
			if err == nil {
				err = row.Scan(&user, &device)
			}
			if err != nil {
				return err
			}
			if found[user] == nil {
				found[user] = make(map[id.DeviceID]string)
			}
			if !s.missing[device] && slices.Contains(users, user) {
				found[user][device] = "the " + string(device)
			}
		}
		return nil
	})
	return found, err
}

// A client makes and signs keys.
type client struct {
	user    id.UserID
	device  id.DeviceID
	private ed25519.PrivateKey
}

// newClient makes a client whose keys are always the same, unless the seed differs.
func newClient(user id.UserID, device id.DeviceID, seed ...string) *client {
	return &client{user, device, privateKey(fmt.Sprint(user, device, seed))}
}

func privateKey(seed string) ed25519.PrivateKey {
	sum := sha256.Sum256([]byte(seed))
	return ed25519.NewKeyFromSeed(sum[:])
}

func publicText(private ed25519.PrivateKey) string {
	return signing.EncodeBase64(private.Public().(ed25519.PublicKey))
}

func mustValue(x any) canonjson.Value {
	v, err := canonjson.Marshal(x)
	if err != nil {
		panic(err)
	}
	return v
}

// sign signs an object under the name of a key.
func sign(object canonjson.Value, user id.UserID, name string, private ed25519.PrivateKey) canonjson.Value {
	return signing.Sign(object, string(user), signing.Key{ID: id.KeyID("ed25519:" + name), Private: private})
}

func (c *client) sign(object canonjson.Value) canonjson.Value {
	return sign(object, c.user, string(c.device), c.private)
}

// curve makes up a Curve25519 key.
func curve(seed string) string {
	sum := sha256.Sum256([]byte(seed))
	return signing.EncodeBase64(sum[:])
}

func (c *client) unsignedKeys() canonjson.Value {
	return mustValue(map[string]any{
		"user_id": c.user, "device_id": c.device,
		"algorithms": []string{"m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"},
		"keys": map[string]string{
			"ed25519:" + string(c.device):    publicText(c.private),
			"curve25519:" + string(c.device): curve(publicText(c.private)),
		},
	})
}

func (c *client) keys() canonjson.Value { return c.sign(c.unsignedKeys()) }

// oneTime makes one-time keys of these names.
func (c *client) oneTime(names ...string) canonjson.Value {
	all := canonjson.Value("{}")
	for _, name := range names {
		all = all.With("signed_curve25519:"+name, c.sign(mustValue(map[string]string{"key": curve(string(c.device) + name)})))
	}
	return all
}

func (c *client) fallback(name string) canonjson.Value {
	key := c.sign(mustValue(map[string]any{"key": curve("fallback" + name), "fallback": true}))
	return canonjson.Value("{}").With("signed_curve25519:"+name, key)
}

func numbered(from, to int) (names []string) {
	for i := from; i <= to; i++ {
		names = append(names, fmt.Sprintf("K%03d", i))
	}
	return names
}

func (s *scene) upload(c *client, u Upload) {
	s.t.Helper()
	if err := s.Upload(s.ctx, c.user, c.device, u); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) refuses(what string, err error, code mxerr.Code) {
	s.t.Helper()
	if !errors.Is(err, code) {
		s.t.Errorf("%s: got %v, want %s", what, err, code)
	}
}

// claim returns the name of the key that is given for a device, empty if none is.
func (s *scene) claim(c *client) string {
	s.t.Helper()
	got, err := s.ClaimLocal(s.ctx, []Wish{c.wish()})
	if err != nil {
		s.t.Fatal(err)
	}
	if len(got) == 0 {
		return ""
	}
	if g := got[0]; len(got) > 1 || g.Wish != c.wish() || len(g.Key) == 0 {
		s.t.Errorf("got %+v for %+v", got, c.wish())
	}
	return got[0].Name[len("signed_curve25519:"):]
}

func (c *client) wish() Wish { return Wish{c.user, c.device, "signed_curve25519"} }

func (s *scene) counts(c *client) string {
	s.t.Helper()
	n, err := s.Counts(s.ctx, c.user, c.device)
	if err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprint(n.OneTime, n.Unused)
}

func (s *scene) has(what, got, want string) {
	s.t.Helper()
	if got != want {
		s.t.Errorf("%s: got %s, want %s", what, got, want)
	}
}

// told returns of whom it was said that their keys have changed, and forgets it.
func (s *scene) told() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.changed
	s.changed = nil
	return fmt.Sprint(list)
}

// local returns the keys of a user as another one sees them.
func (s *scene) local(viewer Viewer, user id.UserID) UserKeys {
	s.t.Helper()
	found, err := s.Local(s.ctx, viewer, []id.UserID{user})
	if err != nil {
		s.t.Fatal(err)
	}
	return found[user]
}
