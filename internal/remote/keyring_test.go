package remote_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/remote"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/signing"
)

// origin is a server that publishes keys.
type origin struct {
	name   id.ServerName
	keys   []signing.Key
	old    map[id.KeyID]int64 // when it ceased to use which of the keys
	valid  time.Duration      // from now
	change func(canonjson.Value) canonjson.Value
	asked  int
}

func newKey(keyID id.KeyID, seed byte) signing.Key {
	key, err := signing.NewKey(keyID, []byte(strings.Repeat(string('a'+seed), 32)))
	if err != nil {
		panic(err)
	}
	return key
}

// object is what it publishes.
func (o *origin) object() canonjson.Value {
	now, past := canonjson.Value("{}"), canonjson.Value("{}")
	for _, key := range o.keys {
		about := canonjson.Value("{}").With("key", canonjson.Text(signing.EncodeBase64(key.Public())))
		if expired, ok := o.old[key.ID]; ok {
			past = past.With(string(key.ID), about.With("expired_ts", canonjson.Value(fmt.Sprint(expired))))
		} else {
			now = now.With(string(key.ID), about)
		}
	}
	object := canonjson.Value("{}").With("server_name", canonjson.Text(string(o.name))).
		With("valid_until_ts", canonjson.Value(fmt.Sprint(time.Now().Add(o.valid).UnixMilli()))).
		With("verify_keys", now).With("old_verify_keys", past)
	if o.change != nil {
		object = o.change(object)
	}
	for _, key := range o.keys {
		if _, old := o.old[key.ID]; !old {
			object = signing.Sign(object, string(o.name), key)
		}
	}
	return object
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/_matrix/key/v2/server" {
		http.NotFound(w, r)
		return
	}
	o.asked++
	w.Write(o.object())
}

func (in *internet) origin(o *origin) *origin {
	in.serve(string(o.name)+":8448", string(o.name), o.ServeHTTP)
	return o
}

// ring returns the key ring of our side over a database.
func (in *internet) ring(db *store.DB, notaries ...id.ServerName) *remote.KeyRing {
	k, _ := in.ringOver(db, in.net.Dial, notaries...)
	return k
}

// ringOver returns a key ring over a database, and the servers that it asks, to
// which connections are made by a function.
func (in *internet) ringOver(db *store.DB, dial func(ctx context.Context, addr string) (net.Conn, error), notaries ...id.ServerName) (*remote.KeyRing, *remote.Servers) {
	s := remote.NewServers(health(in.T, db), remote.ServersOptions{
		Server: "here.test", Key: in.key(), Resolver: in.records, Roots: in.authority.Pool(), Agent: "test",
		Dial: func(ctx context.Context, _, addr string) (net.Conn, error) { return dial(ctx, addr) },
	})
	in.Cleanup(s.Close)
	own, err := remote.OpenOwnKeys(in.Context(), db, "here.test", in.key())
	if err != nil {
		in.Fatal(err)
	}
	return remote.NewKeyRing(db, s, notaries, own), s
}

func (in *internet) lookup(k *remote.KeyRing, want remote.Want) (event.VerifyKey, bool) {
	in.Helper()
	keys, err := k.Lookup(in.Context(), []remote.Want{want})
	if err != nil {
		in.Fatal(err)
	}
	return keys(want.Server, want.Key)
}

func database(t *testing.T) *store.DB { return storetest.Open(t, t.TempDir()+"/parley.db") }

func TestAServerTellsItsKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInternet(t)
		present, past := newKey("ed25519:new", 1), newKey("ed25519:old", 2)
		o := in.origin(&origin{name: "a.test", keys: []signing.Key{present, past}, old: map[id.KeyID]int64{past.ID: 5}, valid: time.Hour})
		db := database(t)
		for range 2 { // the second time after a restart
			k := in.ring(db)
			got, ok := in.lookup(k, remote.Want{Server: "a.test", Key: present.ID})
			if !ok || !got.Public.Equal(present.Public()) || got.Expired != 0 || got.ValidUntil > time.Now().Add(time.Hour).UnixMilli() {
				t.Errorf("present: %+v, %t", got, ok)
			}
			if got, ok := in.lookup(k, remote.Want{Server: "a.test", Key: past.ID, At: time.Now().UnixMilli()}); !ok || got.Expired != 5 {
				t.Errorf("past: %+v, %t", got, ok)
			}
		}
		if o.asked != 1 {
			t.Errorf("it was asked %d times", o.asked)
		}
		k := in.ring(db)
		if got, ok := in.lookup(k, remote.Want{Server: "here.test", Key: in.key().ID}); !ok || !got.Public.Equal(in.key().Public()) {
			t.Errorf("our own: %+v, %t", got, ok)
		}
		if _, ok := in.lookup(k, remote.Want{Server: "here.test", Key: "ed25519:other"}); ok {
			t.Error("we have a key that we do not have")
		}
	})
}

func TestAKeyIsFetchedAgainWhenItIsNotValidLongEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInternet(t)
		key := newKey("ed25519:k", 1)
		o := in.origin(&origin{name: "a.test", keys: []signing.Key{key}, valid: 100 * 24 * time.Hour})
		k := in.ring(database(t))
		at := func(d time.Duration) event.VerifyKey {
			got, _ := in.lookup(k, remote.Want{Server: "a.test", Key: key.ID, At: time.Now().Add(d).UnixMilli()})
			return got
		}
		if got := at(0); got.ValidUntil != time.Now().Add(7*24*time.Hour).UnixMilli() {
			t.Errorf("it counts until %s", time.UnixMilli(got.ValidUntil))
		}
		time.Sleep(6 * 24 * time.Hour)
		at(0)
		if o.asked != 1 {
			t.Errorf("it was asked %d times", o.asked)
		}
		time.Sleep(2 * 24 * time.Hour)
		if got := at(0); o.asked != 2 || got.ValidUntil < time.Now().UnixMilli() {
			t.Errorf("it was asked %d times, the key counts until %s", o.asked, time.UnixMilli(got.ValidUntil))
		}
	})
}

func TestWhoInventsKeysDoesNotMakeUsAskAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInternet(t)
		o := in.origin(&origin{name: "a.test", keys: []signing.Key{newKey("ed25519:k", 1)}, valid: time.Hour})
		k := in.ring(database(t))
		for i := range 100 {
			if _, ok := in.lookup(k, remote.Want{Server: "a.test", Key: id.KeyID(fmt.Sprintf("ed25519:%d", i))}); ok {
				t.Error("a key that was made up is known")
			}
		}
		if o.asked != 1 {
			t.Errorf("it was asked %d times", o.asked)
		}
		time.Sleep(2 * time.Minute)
		o.keys = append(o.keys, newKey("ed25519:7", 2))
		if _, ok := in.lookup(k, remote.Want{Server: "a.test", Key: "ed25519:7"}); !ok {
			t.Error("a new key is not known")
		}
	})
}

func TestKeysAreKnownWhileOthersAreLookedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInternet(t)
		a := in.origin(&origin{name: "a.test", keys: []signing.Key{newKey("ed25519:a", 1)}, valid: time.Hour})
		b := in.origin(&origin{name: "b.test", keys: []signing.Key{newKey("ed25519:b", 2)}, valid: time.Hour})
		k := in.ring(database(t))
		want := remote.Want{Server: "a.test", Key: "ed25519:a", At: 1}
		if _, ok := in.lookup(k, want); !ok {
			t.Fatal("the key of a.test is not found")
		}
		keys, err := k.Lookup(t.Context(), []remote.Want{want, {Server: "b.test", Key: "ed25519:b", At: 1}})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []*origin{a, b} {
			if _, ok := keys(o.name, o.keys[0].ID); !ok || o.asked != 1 {
				t.Errorf("the key of %s is found %t after it was asked %d times", o.name, ok, o.asked)
			}
		}
	})
}

func TestManyWhoWantAKeyAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInternet(t)
		o := in.origin(&origin{name: "a.test", keys: []signing.Key{newKey("ed25519:k", 1)}, valid: time.Hour})
		k := in.ring(database(t))
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, ok := in.lookup(k, remote.Want{Server: "a.test", Key: "ed25519:k"}); !ok {
					t.Error("the key is not known")
				}
			})
		}
		wg.Wait()
		if o.asked != 1 {
			t.Errorf("it was asked %d times", o.asked)
		}
	})
}

func TestWrongKeyObjectsAreNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInternet(t)
		key, foreign := newKey("ed25519:k", 1), newKey("ed25519:k", 2)
		of := func(k signing.Key) canonjson.Value {
			return canonjson.Value("{}").With(string(k.ID), canonjson.Value("{}").With("key", canonjson.Text(signing.EncodeBase64(k.Public()))))
		}
		for i, change := range []func(canonjson.Value) canonjson.Value{
			func(o canonjson.Value) canonjson.Value { return o.With("server_name", canonjson.Text("b.test")) },
			func(o canonjson.Value) canonjson.Value { return o.Without("valid_until_ts") },
			func(o canonjson.Value) canonjson.Value { return o.With("valid_until_ts", canonjson.Text("1")) },
			func(o canonjson.Value) canonjson.Value { return o.With("verify_keys", canonjson.Value("{}")) },
			func(o canonjson.Value) canonjson.Value { return o.With("verify_keys", canonjson.Value("[]")) },
			func(o canonjson.Value) canonjson.Value { return o.With("verify_keys", of(foreign)) },
			func(o canonjson.Value) canonjson.Value {
				return o.With("verify_keys", canonjson.Value("{}")).With("old_verify_keys", of(key))
			},
		} {
			name := id.ServerName(fmt.Sprintf("a%d.test", i))
			in.origin(&origin{name: name, keys: []signing.Key{key}, valid: time.Hour, change: change})
			if got, ok := in.lookup(in.ring(database(t)), remote.Want{Server: name, Key: key.ID}); ok {
				t.Errorf("%d: got %+v", i, got)
			}
		}
	})
}

// notary is a server that knows the keys of others.
type notary struct {
	origin
	of    []*origin
	sign  bool
	query canonjson.Value // the last
}

func (n *notary) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/_matrix/key/v2/query" {
		n.origin.ServeHTTP(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	n.query = body
	var list []canonjson.Value
	for _, o := range n.of {
		object := o.object()
		if n.sign {
			object = signing.Sign(object, string(n.name), n.keys[0])
		}
		list = append(list, object)
	}
	json.NewEncoder(w).Encode(map[string]any{"server_keys": list})
}

func TestANotaryTellsTheKeysOfDeadServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, sign := range []bool{true, false} {
			in := newInternet(t)
			n := &notary{origin: origin{name: "n.test", keys: []signing.Key{newKey("ed25519:n", 3)}, valid: time.Hour}, sign: sign}
			in.serve("n.test:8448", "n.test", n.ServeHTTP)
			for i := range 3 {
				n.of = append(n.of, &origin{name: id.ServerName(fmt.Sprintf("dead%d.test", i)), keys: []signing.Key{newKey("ed25519:k", byte(i))}, valid: time.Hour})
			}
			unasked := &origin{name: "unasked.test", keys: []signing.Key{newKey("ed25519:k", 9)}, valid: time.Hour}
			n.of = append(n.of, unasked)
			k := in.ring(database(t), "silent.test", "n.test")
			keys, err := k.Lookup(t.Context(), []remote.Want{
				{Server: "dead0.test", Key: "ed25519:k", At: 77}, {Server: "dead1.test", Key: "ed25519:k"}, {Server: "dead2.test", Key: "ed25519:missing"},
			})
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range []bool{sign, sign, false} {
				name := id.ServerName(fmt.Sprintf("dead%d.test", i))
				keyID := id.KeyID("ed25519:k")
				if i == 2 {
					keyID = "ed25519:missing"
				}
				if got, ok := keys(name, keyID); ok != want || ok && !got.Public.Equal(ed25519.PublicKey(newKey("ed25519:k", byte(i)).Public())) {
					t.Errorf("signed %t: %s: %+v, %t", sign, name, got, ok)
				}
			}
			if at := n.query.Get("server_keys").Get("dead0.test").Get("ed25519:k").Get("minimum_valid_until_ts"); string(at) != "77" {
				t.Errorf("it was asked for %s", n.query)
			}
			n.of, n.sign = nil, true
			if _, ok := in.lookup(k, remote.Want{Server: "unasked.test", Key: "ed25519:k"}); ok {
				t.Error("a key was taken for which nobody had asked")
			}
		}
	})
}

func TestWhoInventsServersLeavesNoTraces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInternet(t)
		db := database(t)
		k, s := in.ringOver(db, in.net.Dial)
		for i := range 30 {
			server := id.ServerName(fmt.Sprintf("invented%d.test", i))
			if _, ok := in.lookup(k, remote.Want{Server: server, Key: "ed25519:k", Insist: i%2 == 0}); ok {
				t.Errorf("%s has a key", server)
			}
			if _, err := k.Responses(t.Context(), server+":1", nil, 0); err != nil {
				t.Error(err)
			}
			if !s.Health().Retry(server).IsZero() || !health(t, db).Retry(server+":1").IsZero() {
				t.Errorf("it is noted that %s cannot be reached", server)
			}
		}
	})
}

func TestWhoInventsServersHoldsUpNoOtherRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInternet(t)
		in.serve("there.test:8448", "there.test", answer(200, `{}`))
		o := in.origin(&origin{name: "a.test", keys: []signing.Key{newKey("ed25519:k", 1)}, valid: time.Hour})
		k, s := in.ringOver(database(t), func(ctx context.Context, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, "invented") {
				time.Sleep(10 * time.Second)
				return nil, errors.New("nobody answers")
			}
			return in.net.Dial(ctx, addr)
		})
		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 700 {
			wg.Go(func() {
				server := id.ServerName(fmt.Sprintf("invented%d.test", i))
				k.Lookup(ctx, []remote.Want{{Server: server, Key: "ed25519:k", Insist: true}})
			})
		}
		synctest.Wait()
		start := time.Now()
		if _, err := s.Do(t.Context(), ask("there.test")); err != nil {
			t.Error(err)
		}
		if _, ok := in.lookup(k, remote.Want{Server: o.name, Key: "ed25519:k"}); !ok {
			t.Error("the key of an event is not found")
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("it took %s", took)
		}
		cancel()
		wg.Wait()
		time.Sleep(time.Hour)
	})
}

func TestADeadServerIsAskedForKeysLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInternet(t)
		tries := 0
		k, _ := in.ringOver(database(t), func(ctx context.Context, addr string) (net.Conn, error) {
			if tries++; addr != "dead.test:443" {
				tries-- // that is where it would say where it is
			}
			return in.net.Dial(ctx, addr)
		})
		for range 24 * 60 {
			in.lookup(k, remote.Want{Server: "dead.test", Key: "ed25519:k"})
			time.Sleep(time.Minute)
		}
		if tries < 20 || tries > 35 {
			t.Errorf("in a day it was asked %d times", tries)
		}
	})
}

// TestAServerHasFewKeys has one use a hundred new keys each day for some days.
func TestAServerHasFewKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		in := newInternet(t)
		o := in.origin(&origin{name: "a.test", valid: 30 * 24 * time.Hour})
		for day := range 4 {
			o.keys = nil
			for i := range 100 {
				o.keys = append(o.keys, newKey(id.KeyID(fmt.Sprintf("ed25519:d%dk%d", day, i)), 1))
			}
			in.lookup(in.ring(db), remote.Want{Server: "a.test", Key: o.keys[0].ID})
		}
		var stored, bytes int
		if err := db.View(t.Context(), func(tx *store.Tx) error {
			return tx.Row("SELECT count(*), sum(length(response)) FROM server_keys").Scan(&stored, &bytes)
		}); err != nil {
			t.Fatal(err)
		}
		if stored != 64 || bytes > 64*32<<10 {
			t.Errorf("%d keys are stored, with %d bytes", stored, bytes)
		}
		found := 0
		for _, key := range o.keys {
			if _, ok := in.lookup(in.ring(db), remote.Want{Server: "a.test", Key: key.ID}); ok {
				found++
			}
		}
		if found != 64 {
			t.Errorf("of the keys of the last day %d are known", found)
		}
	})
}
