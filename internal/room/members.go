package room

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
	"parley/matrix/stateres"
)

// A Membership is what a user is to a room.
type Membership struct {
	RoomID     id.RoomID
	Room       Num
	Membership string
	// Pos is the position of the journal at which that came about.
	Pos       journal.Position
	Forgotten bool
}

// Rooms returns what a user is to each room by its current state, in no order.
// Rooms that the user never had to do with are not among them.
func (g *Engine) Rooms(ctx context.Context, user id.UserID) ([]Membership, error) {
	var rooms []Membership
	err := g.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query(`
			SELECT rooms.room_id, rooms.room, memberships.membership, memberships.pos, memberships.forgotten
			FROM memberships JOIN rooms ON rooms.room = memberships.room
			WHERE memberships.user_id = $1`, user) {
			if err != nil {
				return err
			}
			var m Membership
			if err := row.Scan(&m.RoomID, &m.Room, &m.Membership, &m.Pos, &m.Forgotten); err != nil {
				return err
			}
			rooms = append(rooms, m)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the rooms of %s: %w", user, err)
	}
	return rooms, nil
}

// An Activity is a room that a user is in or invited to, and when something
// happened in it last.
type Activity struct {
	RoomID id.RoomID
	Room   Num
	Pos    journal.Position
}

// Activities returns the rooms that a user is in or invited to, the one in which
// something happened last first.
func (g *Engine) Activities(ctx context.Context, user id.UserID) (rooms []Activity, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query(`
			SELECT rooms.room_id, rooms.room, rooms.pos
			FROM memberships JOIN rooms ON rooms.room = memberships.room
			WHERE memberships.user_id = $1 AND memberships.membership IN ($2, $3) ORDER BY rooms.pos DESC`,
			user, event.MembershipJoin, event.MembershipInvite) {
			if err != nil {
				return err
			}
			var a Activity
			if err := row.Scan(&a.RoomID, &a.Room, &a.Pos); err != nil {
				return err
			}
			rooms = append(rooms, a)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading where something happened for %s: %w", user, err)
	}
	return rooms, nil
}

// Joined returns the rooms that a user is in, in no order.
func (g *Engine) Joined(ctx context.Context, user id.UserID) ([]id.RoomID, error) {
	rooms, err := g.Rooms(ctx, user)
	joined := []id.RoomID{}
	for _, m := range rooms {
		if m.Membership == event.MembershipJoin {
			joined = append(joined, m.RoomID)
		}
	}
	return joined, err
}

// LocalMembers returns the users of this server who are joined to a room, in no
// order. It costs a look at all members.
func (g *Engine) LocalMembers(ctx context.Context, roomID id.RoomID) ([]id.UserID, error) {
	users := []id.UserID{}
	err := g.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query(`
			SELECT memberships.user_id FROM memberships JOIN rooms ON rooms.room = memberships.room
			WHERE rooms.room_id = $1 AND memberships.membership = $2`, roomID, event.MembershipJoin) {
			if err != nil {
				return err
			}
			var user id.UserID
			if err := row.Scan(&user); err != nil {
				return err
			}
			if user.Server() == g.server {
				users = append(users, user)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the members of %s: %w", roomID, err)
	}
	return users, nil
}

// Membership returns what a user is to a room, empty if nothing.
func (g *Engine) Membership(ctx context.Context, roomID id.RoomID, user id.UserID) (membership string, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row(`
			SELECT memberships.membership FROM memberships JOIN rooms ON rooms.room = memberships.room
			WHERE memberships.user_id = $1 AND rooms.room_id = $2`, user, roomID).Scan(&membership)
	})
	if errors.Is(err, store.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the membership of %s in %s: %w", user, roomID, err)
	}
	return membership, nil
}

// Num returns the number of a room.
func (g *Engine) Num(ctx context.Context, roomID id.RoomID) (Num, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return 0, err
	}
	return r.num, nil
}

// Rules returns the rules of a room's version.
func (g *Engine) Rules(ctx context.Context, roomID id.RoomID) (*roomver.Rules, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	return r.rules, nil
}

// RoomID returns the ID of a room by its number.
func (g *Engine) RoomID(ctx context.Context, room Num) (roomID id.RoomID, err error) {
	g.mu.Lock()
	roomID = g.names[room]
	g.mu.Unlock()
	if roomID != "" {
		return roomID, nil
	}
	err = g.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT room_id FROM rooms WHERE room = $1", room).Scan(&roomID)
	})
	if err != nil {
		return "", fmt.Errorf("reading the ID of room %d: %w", room, err)
	}
	return roomID, nil
}

// heroes is how many members name a room that has no name.
const heroes = 5

// Heroes returns up to five members of a room beside a user, in the order of
// their member events: joined and invited ones or, if there is nobody else, who
// left or was banned.
// https://spec.matrix.org/v1.19/client-server-api/#calculating-the-display-name-for-a-room
func (g *Engine) Heroes(ctx context.Context, room Num, user id.UserID) (users []id.UserID, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		users, err = readHeroes(tx, room, user, event.MembershipJoin, event.MembershipInvite)
		if err == nil && len(users) == 0 {
			users, err = readHeroes(tx, room, user, event.MembershipLeave, event.MembershipBan)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the heroes of room %d: %w", room, err)
	}
	return users, nil
}

// readHeroes reads each membership by itself, which the index has in order: a
// room may have a hundred thousand members.
func readHeroes(tx *store.Tx, room Num, user id.UserID, memberships ...string) ([]id.UserID, error) {
	type hero struct {
		event stateres.Num
		user  id.UserID
	}
	var found []hero
	for _, membership := range memberships {
		for row, err := range tx.Query(`
			SELECT event, user_id FROM memberships
			WHERE room = $1 AND membership = $2 AND user_id <> $3 ORDER BY event LIMIT $4`, room, membership, user, heroes) {
			if err != nil {
				return nil, err
			}
			var h hero
			if err := row.Scan(&h.event, &h.user); err != nil {
				return nil, err
			}
			found = append(found, h)
		}
	}
	slices.SortFunc(found, func(a, b hero) int { return cmp.Compare(a.event, b.event) })
	var users []id.UserID
	for _, h := range found[:min(heroes, len(found))] {
		users = append(users, h.user)
	}
	return users, nil
}

// Forget makes a room that a user has left one that the user sees no more of,
// until joining it again.
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidforget
func (g *Engine) Forget(ctx context.Context, roomID id.RoomID, user id.UserID) error {
	r, err := g.room(ctx, roomID)
	if errors.Is(err, mxerr.NotFound) {
		return mxerr.New(mxerr.Unknown, "You were never in room %s", roomID).WithStatus(400)
	}
	if err != nil {
		return err
	}
	_, err = g.journal.Append(ctx, func(b *journal.Batch) error {
		var membership string
		err := b.Row("SELECT membership FROM memberships WHERE user_id = $1 AND room = $2", user, r.num).Scan(&membership)
		switch {
		case errors.Is(err, store.ErrNoRows):
			return mxerr.New(mxerr.Unknown, "You were never in room %s", roomID).WithStatus(400)
		case err != nil:
			return fmt.Errorf("reading the membership of %s in %s: %w", user, roomID, err)
		case membership != event.MembershipLeave && membership != event.MembershipBan:
			return mxerr.New(mxerr.Unknown, "You have to leave room %s before you can forget it", roomID).WithStatus(400)
		}
		b.Append(journal.UserScope(user), journal.KindForget, int64(r.num))
		b.Write(forgetKey{r.num, user}, func(tx *store.Tx) error {
			_, err := tx.Exec(`
				UPDATE memberships SET forgotten = $3
				WHERE user_id = $1 AND room = $2 AND membership = $4`, user, r.num, true, membership)
			return err
		})
		return nil
	})
	return err
}

type forgetKey struct {
	room Num
	user id.UserID
}
