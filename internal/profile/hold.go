package profile

import (
	"sync"

	"parley/matrix/id"
)

// holds is for whom member events are being made at the moment.
type holds struct {
	mu    sync.Mutex
	users map[id.UserID]*hold
}

type hold struct {
	count int
	owed  bool // rooms were told meanwhile, and perhaps not all
}

// Hold begins to make a member event of a local user, in a room that the user may
// not be in yet. The profile has to be read after it, and release be called when
// the event is durable or never will be. Until then a note that the rooms have to
// be told stays: if the profile changes meanwhile and the server dies before the
// new room has learned of it, the next start tells it.
func (k *Keeper) Hold(user id.UserID) (release func()) {
	k.holds.mu.Lock()
	defer k.holds.mu.Unlock()
	h := k.holds.users[user]
	if h == nil {
		h = &hold{}
		k.holds.users[user] = h
	}
	h.count++
	return func() {
		if k.holds.release(user) {
			k.queue.Add(user)
		}
	}
}

// release reports whether the rooms have to be told again.
func (hs *holds) release(user id.UserID) (again bool) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.users[user]
	if h.count--; h.count > 0 {
		return false
	}
	delete(hs.users, user)
	return h.owed
}

// owe reports whether a user is held, and has the rooms told again afterwards.
func (hs *holds) owe(user id.UserID) bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.users[user]
	if h != nil {
		h.owed = true
	}
	return h != nil
}
