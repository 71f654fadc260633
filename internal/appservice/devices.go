package appservice

import (
	"context"
	"maps"
	"slices"
	"sync"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// equipped are the users of services who have, or had, devices, by their scopes: the
// journal tells of these. It is safe for concurrent use.
type equipped struct {
	mu      sync.RWMutex
	byScope map[journal.Scope][]id.UserID
}

func (q *equipped) add(user id.UserID) {
	scope := journal.UserScope(user)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.byScope == nil {
		q.byScope = make(map[journal.Scope][]id.UserID)
	}
	if !slices.Contains(q.byScope[scope], user) {
		q.byScope[scope] = append(q.byScope[scope], user)
	}
}

// of returns the users with a scope, mostly none or one.
func (q *equipped) of(scope journal.Scope) []id.UserID {
	q.mu.RLock()
	defer q.mu.RUnlock()
	return slices.Clone(q.byScope[scope])
}

// owned returns those of a service, in order.
func (q *equipped) owned(s *Service) (users []id.UserID) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	for _, list := range q.byScope {
		for _, user := range list {
			if s.Owns(user) {
				users = append(users, user)
			}
		}
	}
	slices.Sort(users)
	return users
}

// wantsDevices reports whether a service is told anything of the devices of its users.
func (s *Service) wantsDevices() bool { return s.URL != "" && (s.ToDevice || s.Encryption) }

// Devices takes in that the devices of a user are about to change. It does not wait.
func (s *Services) Devices(user id.UserID) {
	if slices.ContainsFunc(s.Set().All(), func(service *Service) bool { return service.wantsDevices() && service.Owns(user) }) {
		s.equipped.add(user)
	}
}

// addToDevice adds what was sent to devices of the service's users by an entry, if the
// service wants that: others ask by /sync, and what they were told here they would not
// find there. Devices with a token of users who are not the service's alone may be of
// people, who do so too.
// https://github.com/matrix-org/matrix-spec-proposals/pull/4203
func (w *worker) addToDevice(ctx context.Context, d *draft, e journal.Entry) error {
	if !w.service.ToDevice {
		return nil
	}
	for _, user := range w.equipped.of(e.Scope) {
		if !w.service.Owns(user) {
			continue
		}
		messages, err := w.ToDevice.Sent(ctx, user, e.Pos)
		if err != nil {
			return err
		}
		for _, device := range slices.Sorted(maps.Keys(messages)) {
			if !w.service.OwnsAlone(user) {
				if has, err := w.HasToken(ctx, user, device); err != nil || has {
					if err != nil {
						return err
					}
					continue
				}
			}
			shown := messages[device].With("to_device_id", canonjson.Text(string(device))).With("to_user_id", canonjson.Text(string(user)))
			d.toDevice, d.size = append(d.toDevice, shown), d.size+len(shown)
			d.told[deviceKey{user, device}] = e.Pos
			if w.service.Encryption {
				d.count(user, device)
			}
		}
	}
	return nil
}

// count has it said how many keys a device has left.
func (d *draft) count(user id.UserID, device id.DeviceID) {
	if d.counted[user] == nil {
		d.counted[user] = make(map[id.DeviceID]bool)
	}
	d.counted[user][device] = true
}

// addCounts has it said how many keys the device has left that an entry is about.
// https://github.com/matrix-org/matrix-spec-proposals/pull/3202
func (w *worker) addCounts(ctx context.Context, d *draft, e journal.Entry) error {
	if !w.service.Encryption {
		return nil
	}
	for _, user := range w.equipped.of(e.Scope) {
		if !w.service.Owns(user) {
			continue
		}
		devices, err := w.DevicesOf(ctx, user)
		if err != nil {
			return err
		}
		for _, device := range devices {
			if w.KeysRef(device) == e.Ref {
				d.count(user, device)
			}
		}
	}
	return nil
}

// counts says of devices how many one-time keys they have left, and of which algorithms
// they have fallback keys that were not used.
func (w *worker) counts(ctx context.Context, of map[id.UserID]map[id.DeviceID]bool) (counts, unused canonjson.Value, err error) {
	counts, unused = canonjson.Value("{}"), canonjson.Value("{}")
	for user, devices := range of {
		left, fallback := canonjson.Value("{}"), canonjson.Value("{}")
		for device := range devices {
			oneTime, types, err := w.KeysLeft(ctx, user, device)
			if err != nil {
				return nil, nil, err
			}
			of, list := canonjson.Value("{}"), []canonjson.Value{}
			for algorithm, n := range oneTime {
				of = of.With(algorithm, canonjson.Integer(n))
			}
			for _, algorithm := range types {
				list = append(list, canonjson.Text(algorithm))
			}
			left, fallback = left.With(string(device), of), fallback.With(string(device), canonjson.ArrayOf(list))
		}
		counts, unused = counts.With(string(user), left), unused.With(string(user), fallback)
	}
	return counts, unused, nil
}

// addLists adds the users whose devices have changed behind a position, of those who
// share a room with users of the service who have devices themselves.
func (w *worker) addLists(ctx context.Context, d *draft, after journal.Position) error {
	changed, err := w.DeviceLists.ChangedBetween(ctx, after, d.upTo)
	if err != nil {
		return err
	}
	for _, user := range changed {
		concerns := w.service.Owns(user)
		if !concerns {
			if concerns, err = w.sharesWith(ctx, user); err != nil {
				return err
			}
		}
		if concerns {
			d.changed[user] = true
		}
	}
	return nil
}

// sharesWith reports whether somebody shares a room with a user of the service who has
// devices.
func (w *worker) sharesWith(ctx context.Context, user id.UserID) (bool, error) {
	for some := range slices.Chunk(w.equipped.owned(w.service), 1000) {
		if sharers, err := w.Rooms.Sharers(ctx, user, some); err != nil || len(sharers) > 0 {
			return err == nil, err
		}
	}
	return false, nil
}

// addSharers adds who comes to share a room with users of the service by a member event,
// or ceases to. The interest is that from before the event, and target the one of the
// service's users whose event it is, empty if it is that of somebody else.
func (w *worker) addSharers(ctx context.Context, d *draft, num room.Num, it room.Item, in *interest, target id.UserID) error {
	joined := it.Event.Membership() == event.MembershipJoin
	if own := w.service.Owns(target); own && (in.members[target] == joined || len(w.equipped.of(journal.UserScope(target))) == 0) {
		return nil
	} else if !own {
		return w.addSharer(ctx, d, it, in, joined)
	}
	if joined {
		members, err := w.Rooms.NewSharers(ctx, target, num, it.Pos-1)
		for _, user := range members {
			d.changed[user] = true
			delete(d.left, user)
		}
		return err
	}
	members, err := w.Rooms.LostSharers(ctx, target, num, it.Pos-1)
	for _, user := range members {
		if err := w.lose(ctx, d, user); err != nil {
			return err
		}
	}
	return err
}

// addSharer is addSharers for an event of somebody else.
func (w *worker) addSharer(ctx context.Context, d *draft, it room.Item, in *interest, joined bool) error {
	key, _ := it.Event.StateKey()
	user := id.UserID(key)
	if len(in.members) == 0 || user == "" {
		return nil
	}
	if joined {
		if it.Replaces != 0 { // perhaps it is only a new name; to ask once more does no harm
			if was, err := w.Rooms.MembershipBefore(ctx, it.Event.RoomID(), it, user); err != nil || was == event.MembershipJoin {
				return err
			}
		}
		d.changed[user] = true
		delete(d.left, user)
		return nil
	}
	return w.lose(ctx, d, user)
}

// lose has a user's devices forgotten who shares no room with the service's any more.
func (w *worker) lose(ctx context.Context, d *draft, user id.UserID) error {
	shares, err := w.sharesWith(ctx, user)
	if err == nil && !shares && !w.service.Owns(user) {
		d.left[user] = true
		delete(d.changed, user)
	}
	return err
}

// users is a JSON array of users.
func users(list []id.UserID) canonjson.Value {
	values := make([]canonjson.Value, len(list))
	for i, user := range list {
		values[i] = canonjson.Text(string(user))
	}
	return canonjson.ArrayOf(values)
}
