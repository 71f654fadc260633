package room

import (
	"context"
	"fmt"

	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
)

// Share reports whether there is a room that two users are in.
func (g *Engine) Share(ctx context.Context, a, b id.UserID) (share bool, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row(`
			SELECT EXISTS (
				SELECT 1 FROM memberships JOIN memberships others ON others.room = memberships.room
				WHERE memberships.user_id = $1 AND memberships.membership = $3
					AND others.user_id = $2 AND others.membership = $3)`,
			a, b, event.MembershipJoin).Scan(&share)
	})
	if err != nil {
		return false, fmt.Errorf("looking for a room of %s and %s: %w", a, b, err)
	}
	return share, nil
}

// ShareWithServer reports whether there is a room that a user is in, and a user of
// a server.
func (g *Engine) ShareWithServer(ctx context.Context, user id.UserID, server id.ServerName) (share bool, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row(`
			SELECT EXISTS (
				SELECT 1 FROM memberships JOIN room_servers ON room_servers.room = memberships.room
				WHERE memberships.user_id = $1 AND memberships.membership = $3
					AND room_servers.server = $2 AND room_servers.joined > 0)`,
			user, server, event.MembershipJoin).Scan(&share)
	})
	if err != nil {
		return false, fmt.Errorf("looking for a room of %s and %s: %w", user, server, err)
	}
	return share, nil
}

// Mutual returns how many rooms there are that two users are in, and up to limit
// of them, in the order of their numbers and behind one of these.
func (g *Engine) Mutual(ctx context.Context, a, b id.UserID, after Num, limit int) (rooms []Membership, count int64, err error) {
	const shared = `
		FROM memberships JOIN memberships others ON others.room = memberships.room JOIN rooms ON rooms.room = memberships.room
		WHERE memberships.user_id = $1 AND memberships.membership = $3 AND others.user_id = $2 AND others.membership = $3`
	err = g.db.View(ctx, func(tx *store.Tx) error {
		if err := tx.Row("SELECT count(*)"+shared, a, b, event.MembershipJoin).Scan(&count); err != nil {
			return err
		}
		for row, err := range tx.Query("SELECT rooms.room_id, rooms.room, memberships.pos"+shared+" AND rooms.room > $4 ORDER BY rooms.room LIMIT $5",
			a, b, event.MembershipJoin, after, limit) {
			if err != nil {
				return err
			}
			m := Membership{Membership: event.MembershipJoin}
			if err := row.Scan(&m.RoomID, &m.Room, &m.Pos); err != nil {
				return err
			}
			rooms = append(rooms, m)
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("looking for the rooms of %s and %s: %w", a, b, err)
	}
	return rooms, count, nil
}

// mostPublic is in how many rooms of a user InPublic looks at most.
const mostPublic = 200

// InPublic reports whether a user is in a room that everybody may join or read.
// Of somebody who is in hundreds it looks at some.
func (g *Engine) InPublic(ctx context.Context, user id.UserID) (bool, error) {
	joined, err := g.Joined(ctx, user)
	if err != nil {
		return false, err
	}
	for _, roomID := range joined[:min(len(joined), mostPublic)] {
		now, err := g.Now(ctx, roomID)
		if err != nil {
			return false, err
		}
		rule, err := g.State(ctx, roomID, now.Root, event.Tuple{Type: event.TypeJoinRules})
		if err != nil {
			return false, err
		}
		visibility, err := g.State(ctx, roomID, now.Root, event.Tuple{Type: event.TypeHistoryVisibility})
		if err != nil {
			return false, err
		}
		if rule != nil && text(rule, "join_rule") == "public" || VisibilityOf(visibility) == WorldReadable {
			return true, nil
		}
	}
	return false, nil
}
