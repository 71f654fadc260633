package room

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// Block says whether local users are kept from entering a room, whether the server
// knows it or not. By is who wants it.
func (g *Engine) Block(ctx context.Context, roomID id.RoomID, by id.UserID, block bool) error {
	err := g.db.Update(ctx, func(tx *store.Tx) (err error) {
		if block {
			_, err = tx.Exec(`
				INSERT INTO blocked_rooms (room_id, user_id, blocked) VALUES ($1, $2, $3)
				ON CONFLICT (room_id) DO NOTHING`, roomID, by, time.Now().UnixMilli())
		} else {
			_, err = tx.Exec("DELETE FROM blocked_rooms WHERE room_id = $1", roomID)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("blocking %s (%v): %w", roomID, block, err)
	}
	return nil
}

// Blocked returns who has blocked a room, empty if it is not blocked.
func (g *Engine) Blocked(ctx context.Context, roomID id.RoomID) (by id.UserID, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT user_id FROM blocked_rooms WHERE room_id = $1", roomID).Scan(&by)
	})
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		return "", fmt.Errorf("asking whether %s is blocked: %w", roomID, err)
	}
	return by, nil
}

// mayMove refuses what the administrators do not want of memberships.
func (g *Engine) mayMove(ctx context.Context, roomID id.RoomID, d Draft) error {
	if d.Type != event.TypeMember || d.StateKey == nil || d.Instead != "" || d.evicts {
		return nil
	}
	switch membership, _ := d.Content.Get("membership").Text(); {
	case !event.IsOut(membership):
		return g.mayEnter(ctx, roomID)
	case g.mayDecline != nil && *d.StateKey == string(d.Sender):
		if is, err := g.Membership(ctx, roomID, d.Sender); err != nil || is != event.MembershipInvite {
			return err
		}
		return g.mayDecline(ctx, roomID, d.Sender)
	}
	return nil
}

// mayEnter refuses to bring somebody into a room that is blocked, or is being
// deleted.
func (g *Engine) mayEnter(ctx context.Context, roomID id.RoomID) error {
	var closed bool
	err := g.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row(`
			SELECT EXISTS (SELECT 1 FROM blocked_rooms WHERE room_id = $1)
				OR EXISTS (SELECT 1 FROM purges WHERE room_id = $1 AND kind = $2 AND ended = 0)`, roomID, PurgeRoom).Scan(&closed)
	})
	switch {
	case err != nil:
		return fmt.Errorf("asking whether %s may be entered: %w", roomID, err)
	case closed:
		return mxerr.New(mxerr.Forbidden, "Room %s was blocked by the administrators of this server", roomID)
	}
	return nil
}
