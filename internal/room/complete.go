package room

import (
	"context"
	"errors"
	"fmt"

	"parley/internal/errand"
	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/stateres"
)

// completeAtOnce is how many rooms are completed at once: each may be held in
// memory.
const completeAtOnce = 2

// CompleteRooms fetches the members of rooms that were joined without them, until
// the context ends. It is run once.
func (g *Engine) CompleteRooms(ctx context.Context) {
	g.partials.Run(ctx, errand.Work[id.RoomID]{
		What: "fetching the members of a room", Recall: g.partialRooms, Do: g.makeWhole, AtOnce: completeAtOnce, Log: g.log,
		Usual: func(err error) bool { return errors.Is(err, errNobodyTells) },
	})
}

// errNobodyTells is that no server could be had that tells who is in a room.
var errNobodyTells = errors.New("no server tells who is in the room")

func (g *Engine) partialRooms(ctx context.Context) (rooms []id.RoomID, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		rooms, err = store.List[id.RoomID](tx, "SELECT rooms.room_id FROM partial_joins JOIN rooms ON rooms.room = partial_joins.room")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading which rooms have members missing: %w", err)
	}
	return rooms, nil
}

// makeWhole completes a room, unless this server has left it.
func (g *Engine) makeWhole(ctx context.Context, roomID id.RoomID) error {
	unlock, err := g.arriving.lock(ctx, roomID)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := g.room(ctx, roomID)
	if errors.Is(err, mxerr.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	p, ok, err := g.readPartial(ctx, r)
	if err != nil || !ok {
		return err
	}
	all, err := g.serversOf(ctx, r.num)
	if err != nil {
		return err
	}
	if all[g.server].joined == 0 {
		return g.givePartialUp(ctx, r)
	}
	join, err := g.event(ctx, p.join, r.rules)
	if err != nil {
		return err
	}
	for _, server := range p.tellers(all, g.server) {
		if err = g.completeFrom(ctx, r, p, join, server); err == nil || ctx.Err() != nil {
			return err
		}
		g.log.Info("a server does not tell who is in a room", "room", roomID, "server", server, "err", err)
	}
	return fmt.Errorf("completing %s: %w", roomID, errNobodyTells)
}

// tellers returns the servers to ask, the one that has handed over the room first.
func (p partial) tellers(all servers, self id.ServerName) []id.ServerName {
	list := []id.ServerName{p.from}
	for server, has := range all {
		if has.joined > 0 && server != self && server != p.from && len(list) < mostDoors {
			list = append(list, server)
		}
	}
	return list
}

// givePartialUp forgets that members of a room are missing which this server is not in any more.
func (g *Engine) givePartialUp(ctx context.Context, r *live) error {
	err := g.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("DELETE FROM partial_joins WHERE room = $1", r.num)
		return err
	})
	if err != nil {
		return fmt.Errorf("giving up to complete %s: %w", r.id, err)
	}
	return nil
}

// wholeState is the state before a join with all its members.
type wholeState struct {
	heardState
	members handedMembers
}

// completeFrom makes a room whole by what one server says. What is stored before the
// last step is not referred to, or is what is so anyway: after a crash it is stored
// again.
func (g *Engine) completeFrom(ctx context.Context, r *live, p partial, join *event.Event, server id.ServerName) error {
	x := g.gather(r)
	err := g.elsewhere.State(ctx, server, r.id, join.ID(), x.events(ctx))
	if err == nil {
		err = x.end(ctx)
	}
	if err != nil {
		return err
	}
	whole, err := x.whole(ctx, p)
	if err != nil {
		return err
	}
	for range attempts {
		if err = g.repair(ctx, r.id, p, whole); !errors.Is(err, errConflict) {
			return err
		}
	}
	return err
}

func (g *Engine) joinedAt(ctx context.Context, join stateres.Num) (pos journal.Position, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT pos FROM events WHERE event = $1", join).Scan(&pos)
	})
	if err != nil {
		return 0, fmt.Errorf("reading when a room was joined: %w", err)
	}
	return pos, nil
}

// insertMembershipsBefore inserts memberships that were so before a position. What
// came later stays.
func insertMembershipsBefore(pos journal.Position) *store.Insert {
	return &store.Insert{
		Table: insertMemberships.Table, Columns: insertMemberships.Columns,
		Conflict: fmt.Sprintf("%s WHERE memberships.pos < %d", insertMemberships.Conflict, pos),
	}
}
