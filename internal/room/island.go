package room

import (
	"context"
	"errors"
	"fmt"

	"parley/internal/store"
	"parley/matrix/id"
)

// Bring fetches from a server an event that is missing in a gap, with some of those
// before it, and puts them in the middle of the gap: somebody has heard of the event,
// and wants to see it though what lies behind it is not here. The gap is the one that
// [Engine.GapBeside] reports with the same place and direction. That it could not be
// had is no error.
func (g *Engine) Bring(ctx context.Context, roomID id.RoomID, server id.ServerName, eventID id.EventID, place int64, back bool) error {
	r, err := g.room(ctx, roomID)
	if err != nil || g.elsewhere == nil {
		return err
	}
	unlock, err := g.backfilling.lock(ctx, roomID)
	if err != nil {
		return err
	}
	defer unlock()
	lacking, err := g.lacks(ctx, roomID, []id.EventID{eventID}, placed)
	if err != nil || len(lacking) == 0 {
		return err
	}
	at, err := g.gapBeside(ctx, r, place, back)
	if err != nil || at == 0 || at <= r.remains.place {
		return err
	}
	h, ok, err := g.readHole(ctx, r.num, at)
	if err != nil || !ok {
		return err
	}
	return g.bringFrom(ctx, server, r, h, eventID)
}

func (g *Engine) bringFrom(ctx context.Context, server id.ServerName, r *live, h hole, eventID id.EventID) error {
	limited, cancel := context.WithTimeout(ctx, fillTime)
	defer cancel()
	f := backfill{filling: filling{Engine: g, server: server}, room: r}
	h.island = true
	past, err := f.fetch(limited, &hole{place: h.place, missing: []id.EventID{eventID}, island: true})
	if err == nil && len(past) > 0 {
		_, err = g.takePast(ctx, r, h, past)
	}
	if theirs := (*fromElsewhere)(nil); errors.As(err, &theirs) || limited.Err() != nil && ctx.Err() == nil {
		g.log.Info("an event of the past could not be fetched", "room", r.id, "event", eventID, "server", server, "err", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("fetching %s from %s: %w", eventID, server, err)
	}
	return nil
}

// gapBeside returns the place of the event behind the gap that GapBeside reports, 0
// if there is none.
func (g *Engine) gapBeside(ctx context.Context, r *live, place int64, back bool) (at int64, err error) {
	if place == 0 && !back {
		return 0, nil // behind the last event nothing is missing
	}
	query := "SELECT coalesce(max(place), 0) FROM gaps WHERE room = $1 AND place = $2"
	if back {
		query = "SELECT coalesce(max(place), 0) FROM gaps WHERE room = $1 AND place = (SELECT min(place) FROM events WHERE room = $1 AND place > $2)"
	}
	err = g.db.View(ctx, func(tx *store.Tx) error { return tx.Row(query, r.num, place).Scan(&at) })
	if err != nil {
		return 0, fmt.Errorf("looking for gaps in %s: %w", r.id, err)
	}
	return at, nil
}
