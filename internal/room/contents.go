package room

import (
	"context"
	"encoding/json"
	"fmt"
	"math"

	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// contentsStep is how many events are read together.
const contentsStep = 500

// Contents gives each the contents of all events of a room that are shown, as they
// were before they were redacted. It is for administrators.
func (g *Engine) Contents(ctx context.Context, roomID id.RoomID, each func(canonjson.Value)) error {
	num, err := g.Num(ctx, roomID)
	if err != nil {
		return err
	}
	for last, more := int64(math.MinInt64), true; more; {
		err := g.db.View(ctx, func(tx *store.Tx) error {
			more = false
			for row, err := range tx.Query("SELECT place, json FROM events WHERE room = $1 AND place > $2 ORDER BY place LIMIT $3", num, last, contentsStep) {
				var pdu []byte
				if err == nil {
					err = row.Scan(&last, &pdu)
				}
				if err != nil {
					return err
				}
				more = true
				each(canonjson.Value(pdu).Get("content"))
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("reading the events of %s: %w", roomID, err)
		}
	}
	return nil
}

// Avatars returns the pictures of rooms.
func (g *Engine) Avatars(ctx context.Context) (uris []string, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		summaries, err := store.List[[]byte](tx, "SELECT summary FROM summaries")
		for _, row := range summaries {
			var s Summary
			if err := json.Unmarshal(row, &s); err != nil {
				return err
			}
			if s.AvatarURL != "" {
				uris = append(uris, s.AvatarURL)
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the pictures of rooms: %w", err)
	}
	return uris, nil
}
