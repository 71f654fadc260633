package remote

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/singleflight"

	"parley/internal/cache"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// A KeyRing has the keys of other servers, in memory and in the database, and
// fetches what is not there: from the servers themselves, and if those cannot be
// asked, from notaries. It is safe for concurrent use.
type KeyRing struct {
	db       *store.DB
	servers  *Servers
	notaries []id.ServerName
	own      *OwnKeys

	known    *cache.Cache[keyName, event.VerifyKey] // empty: it is not in the database
	fetching singleflight.Group
	asked    *cache.Cache[id.ServerName, attempt] // who was asked for its keys
	passedOn *cache.Cache[id.ServerName, attempt] // about whom the notaries were asked

	// Who is asked for keys takes a place of one of these: of strangers where a
	// request is the reason that nobody has vouched for, else of usual.
	strangers, usual chan struct{}
}

// An attempt is that a server was asked for its keys.
type attempt struct {
	at       time.Time
	failures int // in a row
}

// keyName names a key of a server.
type keyName struct {
	server id.ServerName
	key    id.KeyID
}

const (
	keyBytes   = 8 << 20
	askedBytes = 1 << 20
	// askAgain is how soon a server is asked again for keys. Who makes up IDs of keys
	// must not make us ask all the time.
	askAgain = time.Minute
	// lastAskAgain is the same of a server that has not answered for long.
	lastAskAgain = time.Hour
	// Who invents servers must not keep this one from making other requests.
	mostStrangers = mostRequests / 10
	mostUsual     = mostRequests / 2
	// The work of fetching.
	keysTime  = 30 * time.Second
	keysLimit = 32 << 10 // bytes of what a server says of its keys, which is stored
)

// NewKeyRing returns a ring which trusts the notaries, in this order, as far as
// they are others. The own keys are always known.
func NewKeyRing(db *store.DB, s *Servers, notaries []id.ServerName, own *OwnKeys) *KeyRing {
	return &KeyRing{
		db: db, servers: s, own: own,
		notaries:  slices.DeleteFunc(slices.Clone(notaries), func(n id.ServerName) bool { return n == s.o.Server }),
		known:     cache.New[keyName](keyBytes, func(event.VerifyKey) int { return 400 }),
		asked:     cache.New[id.ServerName](askedBytes, func(attempt) int { return 200 }),
		passedOn:  cache.New[id.ServerName](askedBytes, func(attempt) int { return 200 }),
		strangers: make(chan struct{}, mostStrangers), usual: make(chan struct{}, mostUsual),
	}
}

// A Want is a key that is needed: to check what was signed at a time, in
// milliseconds since 1970. At 0 it need only be known.
type Want struct {
	Server id.ServerName
	Key    id.KeyID
	At     int64
	// Insist asks the server even if it is left alone at present: it has just been
	// heard of, if it is who it claims to be.
	Insist bool
}

// Lookup returns the keys among those wanted that are known, fetching what is
// not. Which cannot be had is no error. The result implements [event.Keys] and
// does not change any more.
func (k *KeyRing) Lookup(ctx context.Context, wants []Want) (event.Keys, error) {
	found, missing, err := k.collect(ctx, wants)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		if err := k.fetch(ctx, missing); err != nil {
			return nil, err
		}
		if found, _, err = k.collect(ctx, wants); err != nil {
			return nil, err
		}
	}
	return func(server id.ServerName, key id.KeyID) (event.VerifyKey, bool) {
		vk, ok := found[keyName{server, key}]
		return vk, ok
	}, nil
}

// collect returns what is known of the keys wanted, and which wants that does not
// meet, by their server.
func (k *KeyRing) collect(ctx context.Context, wants []Want) (found map[keyName]event.VerifyKey, missing map[id.ServerName][]Want, err error) {
	found, missing = make(map[keyName]event.VerifyKey), make(map[id.ServerName][]Want)
	if err := k.load(ctx, wants); err != nil {
		return nil, nil, err
	}
	for _, w := range wants {
		key, ok := k.get(keyName{w.Server, w.Key})
		if ok {
			found[keyName{w.Server, w.Key}] = key
		}
		// A key that its server has ceased to use will not become valid again.
		if !ok || key.Expired == 0 && key.ValidUntil < w.At {
			missing[w.Server] = append(missing[w.Server], w)
		}
	}
	// What this server has signed before it lost its data is known to others.
	if own := k.servers.o.Server; missing[own] != nil && !k.mayAskForOwn() {
		delete(missing, own)
	}
	return found, missing, nil
}

func (k *KeyRing) get(name keyName) (event.VerifyKey, bool) {
	if name.server == k.servers.o.Server {
		if key, ok := k.own.get(name.key); ok {
			return key, true
		}
	}
	key, _ := k.known.Get(name)
	return key, key.Public != nil
}

// isOwn reports whether a key is known to be one of this server itself.
func (k *KeyRing) isOwn(w Want) bool {
	_, ok := k.own.get(w.Key)
	return ok && w.Server == k.servers.o.Server
}

// mayAskForOwn reports whether notaries may be asked for keys of this server itself
// that it does not know: at times, since everybody can make some up.
func (k *KeyRing) mayAskForOwn() bool {
	last, ok := k.asked.Get(k.servers.o.Server)
	return len(k.notaries) > 0 && (!ok || time.Since(last.at) >= askAgain)
}

// load reads from the database which of the keys wanted are not in memory.
func (k *KeyRing) load(ctx context.Context, wants []Want) error {
	var servers []id.ServerName
	seen := make(map[id.ServerName]bool)
	for _, w := range wants {
		if _, ok := k.known.Get(keyName{w.Server, w.Key}); !ok && !seen[w.Server] && !k.isOwn(w) {
			seen[w.Server] = true
			servers = append(servers, w.Server)
		}
	}
	if len(servers) == 0 {
		return nil
	}
	versions := make(map[keyName]uint64)
	for _, w := range wants {
		if seen[w.Server] { // what is not read stays as it is
			versions[keyName{w.Server, w.Key}] = k.known.Version(keyName{w.Server, w.Key})
		}
	}
	stored, err := k.read(ctx, servers)
	if err != nil {
		return err
	}
	for name, version := range versions {
		k.known.PutSince(name, stored[name], version)
	}
	return nil
}

func (k *KeyRing) read(ctx context.Context, servers []id.ServerName) (map[keyName]event.VerifyKey, error) {
	stored := make(map[keyName]event.VerifyKey)
	err := k.db.View(ctx, func(tx *store.Tx) error {
		in, list := tx.In(1, servers)
		for row, err := range tx.Query("SELECT server, key_id, public, valid_until, expired FROM server_keys WHERE server "+in, list) {
			if err != nil {
				return err
			}
			var name keyName
			var key event.VerifyKey
			var public []byte
			if err := row.Scan(&name.server, &name.key, &public, &key.ValidUntil, &key.Expired); err != nil {
				return err
			}
			key.Public = public
			stored[name] = key
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading keys of %d servers: %w", len(servers), err)
	}
	return stored, nil
}

// keep stores what a server says of its keys, and has it in memory. What is known
// already and valid for longer stays: a notary may have an old answer. Of a server
// that changes its keys all the time the latest are kept.
func (k *KeyRing) keep(ctx context.Context, server id.ServerName, object canonjson.Value, keys map[id.KeyID]event.VerifyKey, fetched time.Time) error {
	err := k.db.Update(ctx, func(tx *store.Tx) error {
		for keyID, key := range keys {
			err := tx.Queue(`
				INSERT INTO server_keys (server, key_id, public, valid_until, expired, fetched, response) VALUES ($1, $2, $3, $4, $5, $6, $7)
				ON CONFLICT (server, key_id) DO UPDATE SET public = excluded.public, valid_until = excluded.valid_until,
					expired = excluded.expired, fetched = excluded.fetched, response = excluded.response
				WHERE excluded.valid_until > server_keys.valid_until OR excluded.expired > 0`,
				server, keyID, []byte(key.Public), key.ValidUntil, key.Expired, fetched.UnixMilli(), object)
			if err != nil {
				return err
			}
		}
		return tx.Queue(`
			DELETE FROM server_keys WHERE server = $1 AND key_id NOT IN (
				SELECT key_id FROM server_keys WHERE server = $1 ORDER BY fetched DESC, valid_until DESC, key_id LIMIT $2)`, server, mostKeys)
	})
	if err != nil {
		return fmt.Errorf("storing the keys of %s: %w", server, err)
	}
	stored, err := k.read(ctx, []id.ServerName{server})
	if err != nil {
		return err
	}
	for name, key := range stored {
		k.known.Change(name, func(event.VerifyKey) event.VerifyKey { return key })
		k.known.Put(name, key)
	}
	return nil
}

// Responses returns the signed objects in which a server said which its keys are,
// for others who ask this server as a notary: those about the keys wanted or, if
// none in particular is wanted, the last. What is not valid until a time, in
// milliseconds since 1970, is asked for anew, and is returned if the server does
// not answer.
func (k *KeyRing) Responses(ctx context.Context, server id.ServerName, keys []id.KeyID, at int64) ([]canonjson.Value, error) {
	if server == k.servers.o.Server {
		return []canonjson.Value{k.own.Published()}, nil
	}
	list, until, err := k.responses(ctx, server, keys)
	if err != nil || until >= at && len(list) > 0 {
		return list, err
	}
	if err := k.fromOrigin(ctx, server, false, k.strangers); err != nil {
		return nil, err
	}
	list, _, err = k.responses(ctx, server, keys)
	return list, err
}

// responses returns what is stored, and until when that is valid.
func (k *KeyRing) responses(ctx context.Context, server id.ServerName, keys []id.KeyID) (list []canonjson.Value, until int64, err error) {
	err = k.db.View(ctx, func(tx *store.Tx) error {
		query, args := "SELECT response, max(valid_until) FROM server_keys WHERE server = $1", []any{server}
		if len(keys) > 0 {
			in, arg := tx.In(2, keys)
			query, args = query+" AND key_id "+in, append(args, arg)
		} else {
			query += " AND fetched = (SELECT max(fetched) FROM server_keys WHERE server = $1)"
		}
		for row, err := range tx.Query(query+" GROUP BY response ORDER BY response", args...) {
			if err != nil {
				return err
			}
			var response []byte
			var valid int64
			if err := row.Scan(&response, &valid); err != nil {
				return err
			}
			list, until = append(list, response), max(until, valid)
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("reading what %s says of its keys: %w", server, err)
	}
	return list, until, err
}
