package room

import (
	"context"
	"fmt"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// An Heir is a user of this server who has joined a room that says it replaces
// another, and is to get there what the user has set for the other.
type Heir struct {
	User id.UserID
	Room id.RoomID
}

var insertHeirs = &store.Insert{Table: "heirs", Columns: []store.Column{
	{Name: "user_id", Type: store.Text}, {Name: "room", Type: store.Int},
}, Conflict: "ON CONFLICT (user_id, room) DO NOTHING"}

// inherits reports whether somebody of this server joins a room that replaces
// another. All that it costs is a look at the create event. The caller holds mu.
func (r *live) inherits(ctx context.Context, c memberChange, current statetrie.Root) (bool, error) {
	if c.membership != event.MembershipJoin || c.before == event.MembershipJoin || c.user.Server() != r.engine.server {
		return false, nil
	}
	n, err := statetrie.Get(ctx, r.nodes, current, statetrie.Key{Type: event.TypeCreate})
	if err != nil || n == 0 {
		return false, err
	}
	create, err := r.event(ctx, stateres.Num(n))
	return err == nil && roomNamed(predecessorOf(create.Content())) != "", err
}

// writeHeir adds to the batch that a user has to get what belongs to the old room.
func (r *live) writeHeir(b *journal.Batch, c memberChange) {
	b.Insert(insertHeirs, c.user, r.num)
	if r.engine.inherits != nil {
		// The old room, which names the new one, may be ended by a later change.
		b.Settled(func() { r.engine.inherits(Heir{c.user, r.id}) })
	}
}

// Heirs returns the heirs who have not got what they are to get.
func (g *Engine) Heirs(ctx context.Context) (heirs []Heir, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query(`
			SELECT heirs.user_id, rooms.room_id FROM heirs JOIN rooms ON rooms.room = heirs.room
			ORDER BY heirs.user_id, rooms.room_id`) {
			if err != nil {
				return err
			}
			var h Heir
			if err := row.Scan(&h.User, &h.Room); err != nil {
				return err
			}
			heirs = append(heirs, h)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading who is to get the settings of old rooms: %w", err)
	}
	return heirs, nil
}

// Inherited says that an heir has got everything.
func (g *Engine) Inherited(ctx context.Context, h Heir) error {
	err := g.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("DELETE FROM heirs WHERE user_id = $1 AND room = (SELECT room FROM rooms WHERE room_id = $2)", h.User, h.Room)
		return err
	})
	if err != nil {
		return fmt.Errorf("noting that %s has the settings for %s: %w", h.User, h.Room, err)
	}
	return nil
}
