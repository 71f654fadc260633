package room

import (
	"context"
	"fmt"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
)

// JoinedAmong returns those of some users who are joined to a room, each with the
// position of the journal since which its membership is what it is: no sooner than the
// user was joined. It looks at the members or at the users, whichever are fewer.
func (g *Engine) JoinedAmong(ctx context.Context, num Num, users []id.UserID) (map[id.UserID]journal.Position, error) {
	among := make(map[id.UserID]bool, len(users))
	for _, user := range users {
		among[user] = true
	}
	found := make(map[id.UserID]journal.Position)
	err := g.db.View(ctx, func(tx *store.Tx) error {
		var members int64
		if err := tx.Row("SELECT coalesce(max(joined), 0) FROM rooms WHERE room = $1", num).Scan(&members); err != nil {
			return err
		}
		query, args := "SELECT user_id, pos FROM memberships WHERE room = $1 AND membership = $2", []any{num, event.MembershipJoin}
		if int64(len(users)) < members {
			in, list := tx.In(3, users)
			query, args = query+" AND user_id "+in, append(args, list)
		}
		for row, err := range tx.Query(query, args...) {
			if err != nil {
				return err
			}
			var user id.UserID
			var pos journal.Position
			if err := row.Scan(&user, &pos); err != nil {
				return err
			}
			if among[user] {
				found[user] = pos
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for %d users in room %d: %w", len(users), num, err)
	}
	return found, nil
}
