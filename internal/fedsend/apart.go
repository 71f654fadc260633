package fedsend

import (
	"context"
	"fmt"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/internal/store"
	"parley/matrix/id"
)

// An apart is an event that a server is owed of a room that it is not in, by which
// it would not be found again.
type apart struct {
	server id.ServerName
	pos    journal.Position
	room   room.Num
	event  int64
}

var insertApart = &store.Insert{Table: "owed_apart", Columns: []store.Column{
	{Name: "server", Type: store.Text}, {Name: "pos", Type: store.Int}, {Name: "room", Type: store.Int}, {Name: "event", Type: store.Int},
}, Conflict: "ON CONFLICT (server, pos) DO NOTHING"}

// readApart returns such events between two positions, both included, in order and
// up to a limit. One that was purged since has no PDU.
func (s *Sender) readApart(ctx context.Context, server id.ServerName, from, to journal.Position, limit int) (list []owed, err error) {
	var found []apart
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query("SELECT pos, room, event FROM owed_apart WHERE server = $1 AND pos BETWEEN $2 AND $3 ORDER BY pos LIMIT $4",
			server, from, to, limit) {
			if err != nil {
				return err
			}
			a := apart{server: server}
			if err := row.Scan(&a.pos, &a.room, &a.event); err != nil {
				return err
			}
			found = append(found, a)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading what %s is owed of rooms that it is not in: %w", server, err)
	}
	for _, a := range found {
		e, ok, err := s.Rooms.SentHere(ctx, a.room, a.event)
		if err != nil {
			return nil, err
		}
		o := owed{pos: a.pos}
		if ok {
			o.json = pduOf(e)
		}
		list = append(list, o)
	}
	return list, nil
}
