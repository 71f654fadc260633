package room

import (
	"context"
	"fmt"

	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// A Membership is what a user is to a room.
type Membership struct {
	RoomID     id.RoomID
	Membership string
}

// Rooms returns what a user is to each room by its current state, in no order.
// Rooms that the user never had to do with are not among them.
func (g *Engine) Rooms(ctx context.Context, user id.UserID) ([]Membership, error) {
	var rooms []Membership
	err := g.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query(`
			SELECT rooms.room_id, memberships.membership
			FROM memberships JOIN rooms ON rooms.room = memberships.room
			WHERE memberships.user_id = $1`, user) {
			if err != nil {
				return err
			}
			var m Membership
			if err := row.Scan(&m.RoomID, &m.Membership); err != nil {
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

// Members returns the member events of a room's current state, in no order. It
// does not ask who may see them.
func (g *Engine) Members(ctx context.Context, roomID id.RoomID) ([]*event.Event, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var members []*event.Event
	for entry, err := range statetrie.OfType(ctx, r.nodes, r.row.root, event.TypeMember) {
		if err != nil {
			return nil, fmt.Errorf("reading the members of %s: %w", roomID, err)
		}
		e, err := r.event(ctx, stateres.Num(entry.Number))
		if err != nil {
			return nil, err
		}
		members = append(members, e)
	}
	return members, nil
}
