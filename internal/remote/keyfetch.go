package remote

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// fetch asks for keys: first each server for its own, then the notaries for what
// is still missing. Only faults of this server are errors.
func (k *KeyRing) fetch(ctx context.Context, missing map[id.ServerName][]Want) error {
	rest, err := k.fromOrigins(ctx, missing)
	if err != nil || len(k.notaries) == 0 {
		return err
	}
	maps.DeleteFunc(rest, func(server id.ServerName, wants []Want) bool {
		last, ok := k.passedOn.Get(server)
		return ok && time.Since(last.at) < last.pause(insists(wants))
	})
	asked := slices.Collect(maps.Keys(rest))
	for _, notary := range k.notaries {
		if len(rest) == 0 {
			break
		}
		if rest, err = k.fromNotary(ctx, notary, rest); err != nil {
			return err
		}
	}
	for _, server := range asked {
		last, _ := k.passedOn.Get(server)
		k.passedOn.Put(server, last.next(rest[server] == nil))
	}
	return nil
}

// insists reports whether any of the wants does.
func insists(wants []Want) bool {
	return slices.ContainsFunc(wants, func(w Want) bool { return w.Insist })
}

// fromOrigins asks servers for their own keys, all at once, and returns the wants
// that their answers do not meet.
func (k *KeyRing) fromOrigins(ctx context.Context, missing map[id.ServerName][]Want) (rest map[id.ServerName][]Want, err error) {
	var wg sync.WaitGroup
	var mu sync.Mutex // guards rest and err
	rest = make(map[id.ServerName][]Want)
	for server, wants := range missing {
		if server == k.servers.o.Server {
			k.asked.Put(server, attempt{at: time.Now()})
			mu.Lock()
			rest[server] = wants
			mu.Unlock()
			continue
		}
		wg.Go(func() {
			insist := insists(wants)
			places := k.usual
			if insist {
				places = k.strangers
			}
			failure := k.fromOrigin(ctx, server, insist, places)
			mu.Lock()
			defer mu.Unlock()
			if failure != nil {
				err = failure
			}
			if !k.meets(wants) {
				rest[server] = wants
			}
		})
	}
	wg.Wait()
	return rest, err
}

// fromOrigin asks a server for its keys once there is a place, unless that was done
// just now.
func (k *KeyRing) fromOrigin(ctx context.Context, server id.ServerName, insist bool, places chan struct{}) error {
	if last, ok := k.asked.Get(server); ok && time.Since(last.at) < last.pause(insist) {
		return nil
	}
	done := k.fetching.DoChan(string(server), func() (any, error) {
		ctx := context.WithoutCancel(ctx)
		waiting := time.NewTimer(keysTime)
		defer waiting.Stop()
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		case <-waiting.C:
			return nil, nil // as if it had not answered
		}
		return nil, k.ask(ctx, server, insist)
	})
	select {
	case r := <-done:
		return r.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask asks a server for its keys and keeps them. That it does not answer is no
// error, and not noted elsewhere: others have named it, who may have invented it.
func (k *KeyRing) ask(ctx context.Context, server id.ServerName, insist bool) error {
	object, err := k.servers.Do(ctx, Call{
		Server: server, Method: "GET", Path: "/_matrix/key/v2/server", Unsigned: true, Insist: insist, Hearsay: true,
		Timeout: keysTime, Limit: keysLimit,
	})
	last, _ := k.asked.Get(server)
	defer func() { k.asked.Put(server, last.next(object != nil)) }() // once the answer is kept
	if err != nil {
		return nil
	}
	return k.take(ctx, server, object)
}

// next returns the attempt that follows one, at this moment.
func (a attempt) next(succeeded bool) attempt {
	if succeeded {
		return attempt{at: time.Now()}
	}
	return attempt{time.Now(), a.failures + 1}
}

// pause returns for how long a server is not asked again after an attempt.
func (a attempt) pause(insist bool) time.Duration {
	if insist {
		return askAgain // if it asks itself it is there
	}
	return min(askAgain<<min(a.failures, 10), lastAskAgain)
}

// take keeps what an object says of a server's keys, if it is right.
func (k *KeyRing) take(ctx context.Context, server id.ServerName, object canonjson.Value) error {
	if len(object) > keysLimit {
		return nil // a notary passes on what is too much
	}
	now := time.Now()
	keys, err := parseKeys(object, server, now)
	if err != nil {
		return nil // as if it had not answered
	}
	return k.keep(ctx, server, object, keys, now)
}

// meets says whether keys in memory meet the wants.
func (k *KeyRing) meets(wants []Want) bool {
	for _, w := range wants {
		key, ok := k.get(keyName{w.Server, w.Key})
		if !ok || key.Expired == 0 && key.ValidUntil < w.At {
			return false
		}
	}
	return true
}

// perQuery is for how many servers a notary is asked at once.
const perQuery = 200

// fromNotary asks a notary for keys of other servers.
// https://spec.matrix.org/v1.19/server-server-api/#post_matrixkeyv2query
func (k *KeyRing) fromNotary(ctx context.Context, notary id.ServerName, missing map[id.ServerName][]Want) (rest map[id.ServerName][]Want, err error) {
	if err := k.fromOrigin(ctx, notary, false, k.usual); err != nil {
		return nil, err
	}
	rest = make(map[id.ServerName][]Want)
	query, count := canonjson.Value("{}"), 0
	ask := func() error {
		defer func() { query, count = canonjson.Value("{}"), 0 }()
		return k.query(ctx, notary, query)
	}
	for server, wants := range missing {
		query = query.With(string(server), wanted(wants))
		if count++; count == perQuery {
			err = ask()
		}
		if err != nil {
			return nil, err
		}
	}
	if count > 0 {
		err = ask()
	}
	for server, wants := range missing {
		if !k.meets(wants) {
			rest[server] = wants
		}
	}
	return rest, err
}

// wanted is what a query says of the keys of one server.
func wanted(wants []Want) canonjson.Value {
	object := canonjson.Value("{}")
	for _, w := range wants {
		criteria := canonjson.Value(fmt.Sprintf(`{"minimum_valid_until_ts":%d}`, max(w.At, 0)))
		object = object.With(string(w.Key), criteria)
	}
	return object
}

// query asks a notary and takes those of its answers that it has signed.
func (k *KeyRing) query(ctx context.Context, notary id.ServerName, servers canonjson.Value) error {
	answer, err := k.servers.Do(ctx, Call{
		Server: notary, Method: "POST", Path: "/_matrix/key/v2/query", Timeout: keysTime, Limit: perQuery * 16 << 10,
		Body: canonjson.Value("{}").With("server_keys", servers),
	})
	if err != nil {
		return nil
	}
	for object := range answer.Get("server_keys").Elements() {
		name, _ := object.Get("server_name").Text()
		server := id.ServerName(name)
		if servers.Get(name) == nil || k.vouches(notary, object) != nil {
			continue
		}
		if err := k.take(ctx, server, object); err != nil {
			return err
		}
	}
	return nil
}

// vouches checks that an object is signed by a notary, with a key of its that is
// known and in use.
func (k *KeyRing) vouches(notary id.ServerName, object canonjson.Value) error {
	keys, now := make(map[id.KeyID]event.VerifyKey), time.Now().UnixMilli()
	for name := range object.Get("signatures").Get(string(notary)).Members() {
		text, _ := name.Text()
		if key, ok := k.get(keyName{notary, id.KeyID(text)}); ok && key.Expired == 0 && key.ValidUntil >= now {
			keys[id.KeyID(text)] = key
		}
	}
	return signedByOne(object, notary, keys)
}
