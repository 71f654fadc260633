package room

import (
	"context"
	"fmt"

	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// An Overview is what an administrator sees of a room at a glance.
type Overview struct {
	RoomID  id.RoomID
	Room    Num
	Version roomver.Version
	Joined  int64 // members
	// Published says that it is in the server's directory.
	Published bool
	// Events is how many events are stored, and Bytes about how much room they and
	// the states take on disk.
	Events, Bytes int64
}

// Survey returns an overview of all rooms, in no order.
func (g *Engine) Survey(ctx context.Context) ([]Overview, error) {
	return g.survey(ctx, "", nil)
}

// Overview returns that of one room, or a M_NOT_FOUND.
func (g *Engine) Overview(ctx context.Context, roomID id.RoomID) (Overview, error) {
	if _, err := g.room(ctx, roomID); err != nil {
		return Overview{}, err
	}
	list, err := g.survey(ctx, " AND rooms.room_id = $2", []any{roomID})
	if err != nil || len(list) == 0 {
		return Overview{RoomID: roomID}, err
	}
	return list[0], nil
}

func (g *Engine) survey(ctx context.Context, where string, args []any) (list []Overview, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query(`
			SELECT rooms.room_id, rooms.room, rooms.version, rooms.joined, rooms.published,
				rooms.events - coalesce(m.events, 0), rooms.bytes - coalesce(m.bytes, 0)
			FROM rooms LEFT JOIN room_remains m ON m.room = rooms.room
			WHERE (m.deleted IS NULL OR m.deleted = $1)`+where, append([]any{false}, args...)...) {
			if err != nil {
				return err
			}
			var o Overview
			if err := row.Scan(&o.RoomID, &o.Room, &o.Version, &o.Joined, &o.Published, &o.Events, &o.Bytes); err != nil {
				return err
			}
			list = append(list, o)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("surveying the rooms: %w", err)
	}
	return list, nil
}

// LocalJoined returns the local members of a room, and whether all local users who
// ever had to do with it have forgotten it.
func (g *Engine) LocalJoined(ctx context.Context, room Num) (users []id.UserID, forgotten bool, err error) {
	all, err := g.localMembers(ctx, room)
	forgotten = true
	for _, m := range all {
		if m.membership == event.MembershipJoin {
			users = append(users, m.user)
		}
		forgotten = forgotten && m.forgotten
	}
	return users, forgotten, err
}

// CountLocal returns how many local members each room has, those with none left
// out.
func (g *Engine) CountLocal(ctx context.Context, rooms []Num) (map[Num]int64, error) {
	counts := make(map[Num]int64)
	err := g.db.View(ctx, func(tx *store.Tx) error {
		in, arg := tx.In(3, rooms)
		for row, err := range tx.Query(`
			SELECT room, count(*) FROM memberships WHERE membership = $1 AND user_id LIKE $2 AND room `+in+` GROUP BY room`,
			event.MembershipJoin, "%:"+string(g.server), arg) {
			if err != nil {
				return err
			}
			var room Num
			var n int64
			if err := row.Scan(&room, &n); err != nil {
				return err
			}
			counts[room] = n
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("counting local members: %w", err)
	}
	return counts, nil
}

// StateCount returns how many events a state has.
func (g *Engine) StateCount(ctx context.Context, room Num, root statetrie.Root) (int64, error) {
	n, err := statetrie.Count(ctx, g.committed(room), root)
	return int64(n), err
}
