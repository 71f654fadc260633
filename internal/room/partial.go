package room

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/stateres"
)

// A room that was joined from elsewhere is partial at first: the state has
// everything but members, and of these only those that authorise the rest. Who has
// joined can read and send at once. Meanwhile:
//
//   - Events come in by what authorises them: where the state does not know a member,
//     their word is taken for it. That is judged again in the end, see repair.go.
//   - Whatever depends on who is a member waits, see [Engine.Whole].
//   - Events go to all servers that the room was said to have.
//
// https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2send_joinroomideventid

// notWhole is the value of record.whole for a room that is partial.
const notWhole = -1

// A partial is a join into a room of which members are missing.
type partial struct {
	room  id.RoomID
	join  stateres.Num
	place int64 // of the join
	from  id.ServerName
}

// write adds it to the batch.
func (p partial) write(b *journal.Batch, room Num) {
	b.Write(partialKey{room}, func(tx *store.Tx) error {
		err := tx.Queue(`
			INSERT INTO partial_joins (room, event, place, server) VALUES ($1, $2, $3, $4)
			ON CONFLICT (room) DO UPDATE SET event = excluded.event, place = excluded.place, server = excluded.server`,
			room, p.join, p.place, p.from)
		if err != nil {
			return fmt.Errorf("noting that members of room %d are missing: %w", room, err)
		}
		return nil
	})
}

type partialKey struct{ room Num }

// readPartial reads what is missing of a room; ok is false if nothing is.
func (g *Engine) readPartial(ctx context.Context, r *live) (p partial, ok bool, err error) {
	p.room = r.id
	err = g.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT event, place, server FROM partial_joins WHERE room = $1", r.num).Scan(&p.join, &p.place, &p.from)
	})
	if errors.Is(err, store.ErrNoRows) {
		return p, false, nil
	}
	if err != nil {
		return p, false, fmt.Errorf("reading what is missing of %s: %w", r.id, err)
	}
	return p, true, nil
}

// lentMember returns the member event of a user among some events, nil if there is
// none.
func lentMember(lent []*event.Event, t event.Tuple) *event.Event {
	if t.Type != event.TypeMember {
		return nil
	}
	for _, e := range lent {
		if e.IsState(t.Type, t.StateKey) {
			return e
		}
	}
	return nil
}

// lentState is a state that lacks members, with some events that stand in for them.
type lentState struct {
	eventauth.State
	lent []*event.Event
}

// StateEvent implements eventauth.State.
func (s lentState) StateEvent(t event.Tuple) *event.Event {
	if e := s.State.StateEvent(t); e != nil {
		return e
	}
	return lentMember(s.lent, t)
}

// Partial reports whether members of a room were missing at a position of the
// journal. It asks only what is in memory, if the room is.
func (g *Engine) Partial(ctx context.Context, roomID id.RoomID, pos journal.Position) (bool, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return false, err
	}
	whole := journal.Position(r.whole.Load())
	return whole == notWhole || pos < whole, nil
}

// How long it is waited for the members of a room.
const (
	wholeGrace = time.Second // by a join, so that of most rooms nobody sees less than all
	wholeTime  = 30 * time.Second
)

// Whole waits until all members of a room are known. If that takes too long, the
// error is M_LIMIT_EXCEEDED. Of a room that this server does not know it is nil.
func (g *Engine) Whole(ctx context.Context, roomID id.RoomID) error {
	whole, err := g.waitWhole(ctx, roomID, wholeTime)
	if err == nil && !whole {
		err = mxerr.New(mxerr.LimitExceeded, "The members of room %s are not known yet", roomID).With("retry_after_ms", wholeTime.Milliseconds())
	}
	return err
}

// soonWhole begins to look for the members of a room that was joined, and waits for
// a moment.
func (g *Engine) soonWhole(ctx context.Context, roomID id.RoomID) {
	g.partials.Add(roomID)
	if _, err := g.waitWhole(ctx, roomID, wholeGrace); err != nil && ctx.Err() == nil {
		g.log.Warn("waiting for the members of a room", "room", roomID, "err", err)
	}
}

func (g *Engine) waitWhole(ctx context.Context, roomID id.RoomID, patience time.Duration) (whole bool, err error) {
	r, err := g.room(ctx, roomID)
	if errors.Is(err, mxerr.NotFound) {
		return true, nil
	}
	if err != nil || r.whole.Load() != notWhole {
		return err == nil, err
	}
	switch all, err := g.serversOf(ctx, r.num); {
	case err != nil:
		return false, err
	case all[g.server].joined == 0:
		return true, nil // this server has left it, and knows what it knows
	}
	sub := g.journal.Subscribe(r.num.Scope())
	defer sub.Close()
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		pokes, head := sub.Pokes(), g.journal.Head()
		partial, err := g.Partial(ctx, roomID, head)
		if errors.Is(err, mxerr.NotFound) {
			return true, nil // it was deleted
		}
		if err != nil || !partial {
			return !partial, err
		}
		if _, err := sub.Wait(limited, head, pokes); err != nil {
			return false, ctx.Err()
		}
	}
}
