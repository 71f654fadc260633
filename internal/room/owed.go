package room

import (
	"context"
	"errors"
	"fmt"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/stateres"
)

// SentHere returns an event of a room by its number; ok is false if it was sent by
// another server, or was purged, alone or with its room.
func (g *Engine) SentHere(ctx context.Context, num Num, n int64) (e *event.Event, ok bool, err error) {
	it, _, ok, err := g.Happened(ctx, num, n)
	if err != nil || !ok {
		return nil, false, err
	}
	return it.Event, g.tells(it), nil
}

// roomLeft returns a room by its number, nil if it was purged.
func (g *Engine) roomLeft(ctx context.Context, num Num) (*live, error) {
	roomID, err := g.RoomID(ctx, num)
	if err == nil {
		var r *live
		if r, err = g.room(ctx, roomID); err == nil {
			return r, nil
		}
	}
	if errors.Is(err, mxerr.NotFound) || errors.Is(err, store.ErrNoRows) {
		return nil, nil
	}
	return nil, err
}

// tells reports whether this server tells the others in a room of an event.
func (g *Engine) tells(it Item) bool { return it.Relays || it.Event.Sender().Server() == g.server }

// find returns an item, if it is in memory.
func (c *recent) find(n stateres.Num) (Item, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for i := len(c.items) - 1; i >= 0; i-- {
		if c.items[i].Num == n {
			return c.items[i], true
		}
	}
	return Item{}, false
}

// An Owed is an event of this server that another one is to get.
type Owed struct {
	Pos   journal.Position
	Event *event.Event
}

// OwedWindow is how many positions of the journal OwedTo is best asked about.
const OwedWindow = 20_000

// OwedTo returns what another server is owed between two positions of the journal,
// both included, in order, up to a limit: events that were sent here into rooms
// that it was in then. Of what is older than the journal, see [Engine.OwedLast].
func (g *Engine) OwedTo(ctx context.Context, server id.ServerName, from, to journal.Position, limit int) ([]Owed, error) {
	rows, err := g.readOwed(ctx, server, from, to)
	if err != nil {
		return nil, fmt.Errorf("reading what %s is owed: %w", server, err)
	}
	var list []Owed
	for _, row := range rows {
		o, err := g.owed(ctx, row)
		if IsGone(err) {
			continue // it was purged this moment
		}
		if err != nil {
			return nil, err
		}
		if !g.tells(Item{Event: o.Event, Relays: row.relays}) || o.Event.Sender().Server() == server {
			continue
		}
		if list = append(list, o); len(list) == limit {
			break
		}
	}
	return list, nil
}

// owedRow is an event of a room that another server is in.
type owedRow struct {
	pos   journal.Position
	event id.EventID
	json  []byte
	room  id.RoomID
	// relays is as of an Item.
	relays bool
}

// owed reads the event of a row. The error is as [IsGone] says if its room is gone.
func (g *Engine) owed(ctx context.Context, row owedRow) (Owed, error) {
	r, err := g.room(ctx, row.room)
	if err != nil {
		return Owed{}, err
	}
	e, err := event.Load(row.json, row.event, r.rules)
	return Owed{row.pos, e}, err
}

func (g *Engine) readOwed(ctx context.Context, server id.ServerName, from, to journal.Position) (rows []owedRow, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query(`
			SELECT e.pos, e.event_id, e.json, rooms.room_id, e.relays
			FROM room_servers s
			JOIN journal j ON j.scope = s.room + $4 AND j.pos BETWEEN $2 AND $3 AND j.kind = $5
			JOIN events e ON e.event = j.ref
			JOIN rooms ON rooms.room = s.room
			WHERE s.server = $1 AND (s.joined > 0 AND j.pos >= s.pos OR s.joined <= 0 AND j.pos <= s.pos) -- see presence.at
			ORDER BY j.pos`, server, from, to, int64(Num(0).Scope()), journal.KindEvent) {
			if err != nil {
				return err
			}
			var o owedRow
			if err := row.Scan(&o.pos, &o.event, &o.json, &o.room, &o.relays); err != nil {
				return err
			}
			rows = append(rows, o)
		}
		return nil
	})
	return rows, err
}

// OwedLast is OwedTo where the journal has nothing any more, for rooms in which
// nothing has happened since: the last events of each, in which the server sees
// what it misses. Of rooms in which more has happened OwedTo has that. The limit is
// of rooms; next is the position behind the last of them, or behind all.
func (g *Engine) OwedLast(ctx context.Context, server id.ServerName, from, to journal.Position, limit int) (list []Owed, next journal.Position, err error) {
	last, err := g.readLast(ctx, server, from, to, limit)
	if err != nil {
		return nil, 0, fmt.Errorf("reading which rooms of %s have come to rest: %w", server, err)
	}
	if next = to + 1; len(last) == limit {
		next = last[limit-1].pos + 1
	}
	for _, l := range last {
		r, err := g.roomLeft(ctx, l.room)
		if err != nil {
			return nil, 0, err
		}
		if r == nil {
			continue // it was purged this moment
		}
		items, err := g.itemsFound(ctx, r, l.head)
		if err != nil {
			return nil, 0, err
		}
		for _, it := range items {
			if it.Event != nil && g.tells(it) && it.Event.Sender().Server() != server {
				list = append(list, Owed{l.pos, it.Event})
			}
		}
	}
	return list, next, nil
}

// lastRow is where a room has come to rest.
type lastRow struct {
	room Num
	pos  journal.Position
	head []stateres.Num
}

func (g *Engine) readLast(ctx context.Context, server id.ServerName, from, to journal.Position, limit int) (rows []lastRow, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query(`
			SELECT rooms.room, rooms.pos, rooms.head FROM room_servers s JOIN rooms ON rooms.room = s.room
			WHERE s.server = $1 AND s.joined > 0 AND s.pos <= rooms.pos AND rooms.pos BETWEEN $2 AND $3
			ORDER BY rooms.pos LIMIT $4`, server, from, to, limit) {
			if err != nil {
				return err
			}
			var l lastRow
			var head []byte
			if err := row.Scan(&l.room, &l.pos, &head); err != nil {
				return err
			}
			if l.head, err = decodeNums(head); err != nil {
				return err
			}
			rows = append(rows, l)
		}
		return nil
	})
	return rows, err
}
