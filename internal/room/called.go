package room

import (
	"context"
	"fmt"

	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// A Called is how a user is called in a room.
type Called struct{ Displayname, AvatarURL string }

// selectCalled selects member events of joined users, of each the last few.
const selectCalled = `
	SELECT m.user_id, e.json FROM (
		SELECT user_id, event, row_number() OVER (PARTITION BY user_id ORDER BY event DESC) AS n FROM memberships m
		WHERE m.membership = 'join' AND %s) AS m
	JOIN events e ON e.event = m.event
	WHERE m.n <= $1 ORDER BY m.user_id, m.event DESC`

// Called returns how users are called in the rooms that they have last come into or
// changed something in, up to so many. Users who are in no room are not among them.
func (g *Engine) Called(ctx context.Context, users []id.UserID, rooms int) (map[id.UserID][]Called, error) {
	return g.called(ctx, func(tx *store.Tx) (where string, args []any) {
		in, list := tx.In(2, users)
		return "m.user_id " + in, []any{rooms, list}
	})
}

// CalledFor is Called for rooms that somebody shares with the users, and those that
// everybody may join or read: how they are called elsewhere is not for everybody to know.
func (g *Engine) CalledFor(ctx context.Context, viewer id.UserID, users []id.UserID, rooms int) (map[id.UserID][]Called, error) {
	return g.called(ctx, func(tx *store.Tx) (where string, args []any) {
		in, list := tx.In(2, users)
		return "m.user_id " + in + ` AND (
			EXISTS (SELECT 1 FROM memberships mine WHERE mine.user_id = $3 AND mine.room = m.room AND mine.membership = 'join') OR
			EXISTS (SELECT 1 FROM summaries s WHERE s.room = m.room AND s.open))`, []any{rooms, list, viewer}
	})
}

func (g *Engine) called(ctx context.Context, which func(*store.Tx) (where string, args []any)) (map[id.UserID][]Called, error) {
	found := make(map[id.UserID][]Called)
	err := g.db.View(ctx, func(tx *store.Tx) error {
		where, args := which(tx)
		for row, err := range tx.Query(fmt.Sprintf(selectCalled, where), args...) {
			if err != nil {
				return err
			}
			var user id.UserID
			var json []byte
			if err := row.Scan(&user, &json); err != nil {
				return err
			}
			content := canonjson.Value(json).Get("content")
			var c Called
			c.Displayname, _ = content.Get("displayname").Text()
			if text, _ := content.Get("avatar_url").Text(); text != "" {
				if uri, err := id.ParseContentURI(text); err == nil {
					c.AvatarURL = string(uri)
				}
			}
			found[user] = append(found[user], c)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading how users are called: %w", err)
	}
	return found, nil
}

// JoinedBehind returns users who are joined to a room, whichever it is: those whose IDs are
// behind one, in their order and up to a limit.
func (g *Engine) JoinedBehind(ctx context.Context, after id.UserID, limit int) (users []id.UserID, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		users, err = store.List[id.UserID](tx, `
			SELECT DISTINCT user_id FROM memberships WHERE user_id > $1 AND membership = $2 ORDER BY user_id LIMIT $3`, string(after), event.MembershipJoin, limit)
		return err
	})
	if err != nil {
		err = fmt.Errorf("reading the users behind %s: %w", after, err)
	}
	return users, err
}

// MembersBehind returns users who are joined to a room, as JoinedBehind does.
func (g *Engine) MembersBehind(ctx context.Context, room Num, after id.UserID, limit int) (users []id.UserID, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		users, err = store.List[id.UserID](tx, `
			SELECT user_id FROM memberships WHERE room = $1 AND user_id > $2 AND membership = $3 ORDER BY user_id LIMIT $4`,
			room, string(after), event.MembershipJoin, limit)
		return err
	})
	if err != nil {
		err = fmt.Errorf("reading the members of room %d behind %s: %w", room, after, err)
	}
	return users, err
}
