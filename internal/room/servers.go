package room

import (
	"context"
	"fmt"
	"maps"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
)

// came is +1 for a user who joins, -1 for one who ceases to be joined, else 0.
func (c memberChange) came() int64 {
	switch before, after := c.before == event.MembershipJoin, c.membership == event.MembershipJoin; {
	case after && !before:
		return +1
	case before && !after:
		return -1
	}
	return 0
}

// serverKey names a change of how many members a server has in a room. All of
// them are done, since each adds to the one before.
type serverKey struct {
	memberKey
	pos journal.Position
}

// writeServer adds to the batch what the change makes of the number of members of
// the user's server.
func (c memberChange) writeServer(b *journal.Batch, r *live, pos journal.Position) {
	by := c.came()
	if by == 0 {
		return
	}
	b.Write(serverKey{memberKey{r.num, c.user}, pos}, func(tx *store.Tx) error {
		err := tx.Queue(`
			INSERT INTO room_servers (room, server, joined, pos) VALUES ($1, $2, $3, $4)
			ON CONFLICT (room, server) DO UPDATE SET joined = room_servers.joined + excluded.joined,
				pos = CASE WHEN room_servers.joined = 0 OR room_servers.joined + excluded.joined = 0 THEN excluded.pos ELSE room_servers.pos END`,
			r.num, c.user.Server(), by, pos)
		if err != nil {
			return fmt.Errorf("counting the members of %s in room %d: %w", c.user.Server(), r.num, err)
		}
		return nil
	})
}

// A presence is how many joined members a server has in a room. Without any, Pos
// is the position at which the last one left.
type presence struct {
	joined int64
	pos    journal.Position
}

// at reports whether the server was in the room at a position of the journal, as
// far as that is known. What happened before it came is for it to ask for: it need
// not be for its users to see.
func (p presence) at(pos journal.Position) bool {
	if p.joined > 0 {
		return p.pos <= pos
	}
	return p.pos >= pos
}

// servers is the servers of a room. What was handed out is not changed.
type servers map[id.ServerName]presence

func (s servers) weight() int { return 100 + 120*len(s) }

// anybody reports whether anybody is joined.
func (s servers) anybody() bool {
	for _, p := range s {
		if p.joined > 0 {
			return true
		}
	}
	return false
}

// joined returns the servers that have joined members.
func (s servers) joined() (list []id.ServerName) {
	for server, p := range s {
		if p.joined > 0 {
			list = append(list, server)
		}
	}
	return list
}

// ServersIn returns the servers that have joined members in a room, this one
// included if it is one of them.
func (g *Engine) ServersIn(ctx context.Context, room Num) ([]id.ServerName, error) {
	all, err := g.serversOf(ctx, room)
	return all.joined(), err
}

// ServersAt returns the servers that are to get the event of a room at a position
// of the journal: those that are in the room since then or before, and those whose
// last member left there or later.
func (g *Engine) ServersAt(ctx context.Context, room Num, pos journal.Position) ([]id.ServerName, error) {
	all, err := g.serversOf(ctx, room)
	var list []id.ServerName
	for server, p := range all {
		if p.at(pos) {
			list = append(list, server)
		}
	}
	return list, err
}

// HasMembers reports whether a server has a joined member in a room.
func (g *Engine) HasMembers(ctx context.Context, roomID id.RoomID, server id.ServerName) (bool, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return false, err
	}
	all, err := g.serversOf(ctx, r.num)
	return all[server].joined > 0, err
}

// ServersOf returns the other servers that have joined members in rooms that a user
// is in.
func (g *Engine) ServersOf(ctx context.Context, user id.UserID) (list []id.ServerName, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		list, err = store.List[id.ServerName](tx, `
			SELECT DISTINCT s.server FROM memberships m JOIN room_servers s ON s.room = m.room
			WHERE m.user_id = $1 AND m.membership = $2 AND s.joined > 0 AND s.server <> $3 ORDER BY s.server`,
			user, event.MembershipJoin, g.server)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the servers that share a room with %s: %w", user, err)
	}
	return list, nil
}

func (g *Engine) serversOf(ctx context.Context, room Num) (servers, error) {
	if s, ok := g.servers.Get(room); ok {
		return s, nil
	}
	version := g.servers.Version(room)
	s := make(servers)
	err := g.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query("SELECT server, joined, pos FROM room_servers WHERE room = $1", room) {
			if err != nil {
				return err
			}
			var server id.ServerName
			var p presence
			if err := row.Scan(&server, &p.joined, &p.pos); err != nil {
				return err
			}
			s[server] = p
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the servers of room %d: %w", room, err)
	}
	g.servers.PutSince(room, s, version)
	return s, nil
}

// movedServers is writeServer for what is in memory.
func (g *Engine) movedServers(r *live, members []memberChange, pos journal.Position) {
	for _, c := range members {
		by := c.came()
		if by == 0 {
			continue
		}
		g.servers.Change(r.num, func(s servers) servers {
			s = maps.Clone(s)
			p := s[c.user.Server()]
			if p.joined == 0 || p.joined+by == 0 {
				p.pos = pos
			}
			p.joined += by
			s[c.user.Server()] = p
			return s
		})
	}
}

// ServerSince returns the position of the journal at which the first of the members
// came that a server has in a room without a break, 0 if it has none.
func (g *Engine) ServerSince(ctx context.Context, room Num, server id.ServerName) (journal.Position, error) {
	all, err := g.serversOf(ctx, room)
	if all[server].joined == 0 {
		return 0, err
	}
	return all[server].pos, err
}
