package journal

import (
	"context"
	"slices"
	"sync"

	"parley/internal/store"
	"parley/matrix/id"
)

// UserChanges are the changes of users, of one kind, that concern everyone who shares
// a room with the user. A change is one entry of the scope sharers, whoever shares a
// room, and a row that has the position, of the domain. It is told in the user's rooms
// ([Batch.Tell]); who is told asks [UserChanges.Since], and is answered from memory
// mostly, by the rooms that the user was in. It is safe for concurrent use.
type UserChanges struct {
	UserChangesParts
	recent recentChanges
}

// UserChangesParts are what changes of users stand on.
type UserChangesParts struct {
	// Kind is that of the entries.
	Kind Kind
	// Rooms returns the scopes of the rooms that a user is in.
	Rooms func(tx *store.Tx, user id.UserID) ([]Scope, error)
	// Between returns all users with a row whose position is behind one up to another.
	Between func(ctx context.Context, after, upTo Position) ([]id.UserID, error)
	// Sharers returns those of some users who share a room with a user.
	Sharers func(ctx context.Context, user id.UserID, among []id.UserID) ([]id.UserID, error)
}

// UserChanges returns changes of users. It must be called before Run.
func (j *Journal) UserChanges(p UserChangesParts) *UserChanges {
	c := &UserChanges{UserChangesParts: p}
	c.recent.start = j.Head()
	j.OnForeign(c.foreign)
	return c
}

// changed names the change of a user in a batch.
type changed struct {
	of   *UserChanges
	user id.UserID
}

// Append adds to a batch that something of a user has changed, and returns the
// position of that. Several changes of a user in one batch are one: whoever is told is
// told of all at once. If it fails, so does the batch.
func (c *UserChanges) Append(b *Batch, user id.UserID, ref int64) Position {
	key := changed{c, user}
	if pos, ok := b.Memo(key); ok {
		return pos.(Position)
	}
	var rooms []Scope
	err := b.Read(func(tx *store.Tx) (err error) {
		rooms, err = c.Rooms(tx, user)
		return err
	})
	if err != nil {
		b.Write(key, func(*store.Tx) error { return err })
	}
	pos := b.Append(SharersScope(user), c.Kind, ref)
	b.Remember(key, pos)
	b.Tell(pos, UserScope(user))
	b.Tell(pos, rooms...)
	b.Durable(func() { c.recent.add(userChange{pos, user, rooms}) })
	return pos
}

// Since returns the users who have changed behind one position of the journal up to
// another, of those who share a room with a user, and the user. In tells whether the
// user is in a room, of which only its scope is known. Whoever came to share a room
// with the user since then need not be among them, and who does not any more may be.
func (c *UserChanges) Since(ctx context.Context, user id.UserID, in func(Scope) bool, after, upTo Position) ([]id.UserID, error) {
	list, ok := c.recent.between(after, upTo)
	if !ok {
		return c.stored(ctx, user, after, upTo)
	}
	var users []id.UserID
	for _, one := range list {
		if one.user == user || slices.ContainsFunc(one.rooms, in) {
			users = append(users, one.user)
		}
	}
	return users, nil
}

// stored is Since by what the database has.
func (c *UserChanges) stored(ctx context.Context, user id.UserID, after, upTo Position) ([]id.UserID, error) {
	users, err := c.Between(ctx, after, upTo)
	if err != nil {
		return nil, err
	}
	sharers, err := c.Sharers(ctx, user, users)
	if err == nil && slices.Contains(users, user) && !slices.Contains(sharers, user) {
		sharers = append(sharers, user)
	}
	return sharers, err
}

// foreign takes in that another node has changed users.
func (c *UserChanges) foreign(entries []Entry) {
	for _, e := range entries {
		if e.Kind == c.Kind {
			c.recent.forget(e.Pos)
		}
	}
}

// A userChange is one of a user, and in which rooms the user was.
type userChange struct {
	pos   Position
	user  id.UserID
	rooms []Scope
}

// recentChanges are the last ones.
type recentChanges struct {
	mu      sync.Mutex
	start   Position // all that is behind it is there
	changes []userChange
	weight  int
}

// mostRecent bounds the changes that are kept in memory: each weighs ten, and one
// for each room.
const mostRecent = 500_000

func (c userChange) weight() int { return 10 + len(c.rooms) }

func (r *recentChanges) add(c userChange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = append(r.changes, c)
	r.weight += c.weight()
	for r.weight > mostRecent {
		r.start = r.changes[0].pos
		r.weight -= r.changes[0].weight()
		r.changes = r.changes[1:]
	}
}

// forget drops what is there, because there is more up to a position.
func (r *recentChanges) forget(upTo Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.start = max(r.start, upTo)
	r.changes = slices.DeleteFunc(r.changes, func(c userChange) bool { return c.pos <= r.start })
	r.weight = 0
	for _, c := range r.changes {
		r.weight += c.weight()
	}
}

// between returns the changes behind one position up to another; ok is false if it
// does not have all.
func (r *recentChanges) between(after, upTo Position) (list []userChange, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if after < r.start {
		return nil, false
	}
	first, _ := slices.BinarySearchFunc(r.changes, after+1, func(c userChange, pos Position) int { return int(c.pos - pos) })
	last, _ := slices.BinarySearchFunc(r.changes, upTo+1, func(c userChange, pos Position) int { return int(c.pos - pos) })
	return r.changes[first:last:last], true
}
