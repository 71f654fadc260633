package e2ee

import (
	"context"
	"slices"
	"strings"
	"sync"

	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// maxDevicesAbroad is how many devices of a user of another server are passed on.
const maxDevicesAbroad = 2000

// queryAbroad adds the keys of users of other servers: what is known of them, and
// otherwise what their servers say, which are asked side by side.
func (k *Keys) queryAbroad(ctx context.Context, q Query, users []id.UserID, a *Answer) error {
	time := waitFor(q.Timeout)
	wait, cancel := context.WithTimeout(ctx, time)
	defer cancel()
	// Some lists may have to be fetched first, which leaves time for the others.
	some, cancelSome := context.WithTimeout(wait, time/2)
	known, err := k.Cached(some, users)
	cancelSome()
	if err != nil && ctx.Err() == nil && some.Err() == nil {
		return err
	}
	asked := make(map[id.ServerName]map[id.UserID][]id.DeviceID)
	for _, user := range users {
		if keys, ok := known[user]; ok {
			a.Users[user] = keys
			continue
		}
		server := user.Server()
		if asked[server] == nil {
			asked[server] = make(map[id.UserID][]id.DeviceID)
		}
		asked[server][user] = append([]id.DeviceID{}, q.Users[user]...)
	}
	a.Failures = askAll(wait, asked, k.Remote.QueryKeys, func(server id.ServerName, answer canonjson.Value) {
		for user, keys := range ReadAnswer(server, answer) {
			if _, wanted := asked[server][user]; wanted {
				a.Users[user] = keys
			}
		}
	})
	return ctx.Err()
}

// askAll asks servers side by side, and returns those that did not answer in time
// or not well. What they answer is taken in one after the other.
func askAll[Q any](ctx context.Context, questions map[id.ServerName]Q,
	ask func(context.Context, id.ServerName, Q) (canonjson.Value, error), take func(id.ServerName, canonjson.Value)) (failed []id.ServerName) {
	var all sync.WaitGroup
	var mu sync.Mutex // guards failed, and what take does
	for server, q := range questions {
		all.Go(func() {
			answer, err := ask(ctx, server, q)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || answer.Kind() != canonjson.Object {
				failed = append(failed, server)
				return
			}
			take(server, answer)
		})
	}
	all.Wait()
	slices.Sort(failed)
	return failed
}

// ReadAnswer reads what a server says of the keys of its users, to a query or in a
// list of devices. What is about users of others, or is no key of the user and
// device it is said to be of, is left out. Whether what is left is signed is for
// clients to check.
func ReadAnswer(server id.ServerName, answer canonjson.Value) map[id.UserID]UserKeys {
	found := make(map[id.UserID]UserKeys)
	for name, devices := range answer.Get("device_keys").Members() {
		user, ok := userOf(name, server)
		if !ok || devices.Kind() != canonjson.Object {
			continue
		}
		keys := UserKeys{Devices: make(map[id.DeviceID]canonjson.Value)}
		for name, object := range devices.Members() {
			text, _ := name.Text()
			device, err := id.ParseDeviceID(text)
			if err == nil && len(keys.Devices) < maxDevicesAbroad && IsDevice(object, user, device) {
				keys.Devices[device] = Said(object, user)
			}
		}
		found[user] = keys
	}
	for member, set := range map[string]func(*UserKeys, canonjson.Value){
		"master_keys":       func(u *UserKeys, key canonjson.Value) { u.Master = key },
		"self_signing_keys": func(u *UserKeys, key canonjson.Value) { u.SelfSigning = key },
	} {
		for name, key := range answer.Get(member).Members() {
			user, ok := userOf(name, server)
			keys, there := found[user]
			if !there {
				keys.Devices = make(map[id.DeviceID]canonjson.Value)
			}
			if ok && IsCrossSigning(key, user, strings.TrimSuffix(member, "_keys")) {
				set(&keys, Said(key, user))
				found[user] = keys
			}
		}
	}
	return found
}

// Said returns a key of another server's user as it may be shown: less signatures of
// anybody but the user, and less all that is not signed but the name of the device.
func Said(key canonjson.Value, user id.UserID) canonjson.Value {
	own := canonjson.Value("{}")
	if signatures := key.Get("signatures").Get(string(user)); signatures.Kind() == canonjson.Object {
		own = own.With(string(user), signatures)
	}
	if key.Get("signatures") != nil {
		key = key.With("signatures", own)
	}
	unsigned := key.Get("unsigned")
	if unsigned == nil {
		return key
	}
	name, _ := unsigned.Get("device_display_name").Text()
	if len(name) > maxKeyID {
		name = ""
	}
	return named(key, name)
}

func userOf(name canonjson.Value, server id.ServerName) (id.UserID, bool) {
	text, _ := name.Text()
	user, err := id.ParseUserID(text)
	return user, err == nil && user.Server() == server
}

// IsDevice reports whether an object of another server has the form of the keys of
// a device. It says nothing of signatures.
func IsDevice(object canonjson.Value, user id.UserID, device id.DeviceID) bool {
	return checkObject("", object, 2*maxKeyObject) == nil &&
		object.Get("user_id").Is(string(user)) && object.Get("device_id").Is(string(device)) &&
		object.Get("keys").Kind() == canonjson.Object && object.Get("algorithms").Kind() == canonjson.Array &&
		object.Get("signatures").Kind() == canonjson.Object
}

// A Claim wants keys of devices.
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysclaim
type Claim struct {
	// Wanted has the algorithms of the keys that are wanted.
	Wanted map[id.UserID]map[id.DeviceID]string
	// Timeout is for how many milliseconds to wait for other servers, 0: as usual.
	Timeout uint64
}

// Claim gives out keys of devices of this server, and claims those of others. It
// returns the servers that could not be asked.
func (k *Keys) Claim(ctx context.Context, c Claim) (got []Claimed, failures []id.ServerName, err error) {
	asked := make(map[id.ServerName]map[id.UserID]map[id.DeviceID]string)
	var local []Wish
	for user, devices := range c.Wanted {
		server := user.Server()
		if server == k.Server {
			local = append(local, WishesFor(user, devices)...)
			continue
		}
		if asked[server] == nil {
			asked[server] = make(map[id.UserID]map[id.DeviceID]string)
		}
		asked[server][user] = devices
	}
	var mine []Claimed
	var mineErr error
	var own sync.WaitGroup
	own.Go(func() { mine, mineErr = k.ClaimLocal(ctx, local) })
	wait, cancel := context.WithTimeout(ctx, waitFor(c.Timeout))
	defer cancel()
	failures = askAll(wait, asked, k.Remote.ClaimKeys, func(server id.ServerName, answer canonjson.Value) {
		got = append(got, readClaimed(answer.Get("one_time_keys"), asked[server])...)
	})
	own.Wait()
	if mineErr != nil {
		return nil, nil, mineErr
	}
	return append(got, mine...), failures, ctx.Err()
}

// WishesFor returns the wishes for devices of a user.
func WishesFor(user id.UserID, devices map[id.DeviceID]string) (list []Wish) {
	for device, algorithm := range devices {
		list = append(list, Wish{user, device, algorithm})
	}
	return list
}

// readClaimed reads what another server gives: for each device that was asked for
// at most one key, of the algorithm that was wanted.
func readClaimed(answer canonjson.Value, asked map[id.UserID]map[id.DeviceID]string) (got []Claimed) {
	for user, devices := range asked {
		for device, algorithm := range devices {
			for name, key := range answer.Get(string(user)).Get(string(device)).Members() {
				text, _ := name.Text()
				form := key.Kind() == canonjson.String || key.Kind() == canonjson.Object
				if form && strings.HasPrefix(text, algorithm+":") && len(key) <= maxKeyObject {
					got = append(got, Claimed{Wish{user, device, algorithm}, text, key})
					break
				}
			}
		}
	}
	return got
}

// ByDevice sorts claimed keys as the answer to a claim has them.
func ByDevice(got []Claimed) map[id.UserID]map[id.DeviceID]map[string]canonjson.Value {
	sorted := make(map[id.UserID]map[id.DeviceID]map[string]canonjson.Value)
	for _, c := range got {
		devices := sorted[c.User]
		if devices == nil {
			devices = make(map[id.DeviceID]map[string]canonjson.Value)
			sorted[c.User] = devices
		}
		devices[c.Device] = map[string]canonjson.Value{c.Name: c.Key}
	}
	return sorted
}
