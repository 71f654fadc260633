package room

import (
	"context"
	"fmt"

	"parley/internal/store"
	"parley/matrix/id"
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
