package room

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// The types of relations that the server knows the meaning of.
const (
	relAnnotation = "m.annotation"
	relReference  = "m.reference"
	relReplace    = "m.replace"
	relThread     = "m.thread"
)

var insertRelations = &store.Insert{Table: "relations", Columns: []store.Column{
	{Name: "room", Type: store.Int}, {Name: "parent", Type: store.Text}, {Name: "rel_type", Type: store.Text},
	{Name: "place", Type: store.Int}, {Name: "child", Type: store.Int}, {Name: "type", Type: store.Text},
	{Name: "sender", Type: store.Text}, {Name: "ts", Type: store.Int}, {Name: "edits", Type: store.Bool},
}}

// relation returns how an event relates to another; ok is false if it does not. A
// type that no filter can name is none.
// https://spec.matrix.org/v1.19/client-server-api/#forming-relationships-between-events
func relation(e *event.Event) (relType string, parent id.EventID, ok bool) {
	return relationIn(e.Content())
}

func relationIn(content canonjson.Value) (relType string, parent id.EventID, ok bool) {
	relates := content.Get("m.relates_to")
	relType, _ = relates.Get("rel_type").Text()
	text, _ := relates.Get("event_id").Text()
	parent, err := id.ParseEventID(text)
	if err != nil || relType == "" || len(relType) > event.MaxField || strings.IndexByte(relType, 0) >= 0 {
		return "", "", false
	}
	return relType, parent, true
}

// writeRelation adds to the batch how the event relates to another.
func (m entry) writeRelation(b *journal.Batch, r *live) {
	relType, parent, ok := relation(m.event)
	if !ok || m.because.event != nil {
		return
	}
	eventType := m.event.Type()
	if strings.IndexByte(eventType, 0) >= 0 {
		eventType = "" // nobody can ask for it
	}
	b.Insert(insertRelations, r.num, parent, relType, m.place, m.num, eventType, m.event.Sender(), m.event.OriginServerTS(), mayEdit(m.event))
}

// mayEdit reports whether an event may take the place of another, as far as its
// form says so. What the server cannot read it has to believe.
// https://spec.matrix.org/v1.19/client-server-api/#validity-of-replacement-events
func mayEdit(e *event.Event) bool {
	_, isState := e.StateKey()
	return !isState && (e.Type() == "m.room.encrypted" || e.Content().Get("m.new_content").Kind() == canonjson.Object)
}

// breakRelation adds to the batch that a redacted event does not relate to
// another any more.
func breakRelation(b *journal.Batch, room Num, num stateres.Num, e *event.Event) {
	relType, parent, ok := relation(e)
	if !ok {
		return
	}
	b.Write(brokenKey{num}, func(tx *store.Tx) error { return unrelate(tx, room, num, e.Sender(), relType, parent) })
}

// unrelate forgets that an event relates to another.
func unrelate(tx *store.Tx, room Num, num stateres.Num, sender id.UserID, relType string, parent id.EventID) error {
	broken, err := tx.Exec("DELETE FROM relations WHERE room = $1 AND sender = $2 AND rel_type = $3 AND parent = $4 AND child = $5",
		room, sender, relType, parent, num)
	if err != nil {
		return fmt.Errorf("forgetting what event %d relates to: %w", num, err)
	}
	if broken == 0 || relType != relThread {
		return nil // it was redacted before, or is in no thread
	}
	return shrinkThread(tx, threadKey{room, parent})
}

// brokenKey names an event in a batch whose relation is forgotten.
type brokenKey struct{ num stateres.Num }

// Related returns which of some events of a room another one relates to, that is
// not redacted: by one of the types and from one of the senders. A nil list is
// any. Others count only where they are in one of the places that the reader may see.
// https://spec.matrix.org/v1.19/client-server-api/#filtering
func (g *Engine) Related(ctx context.Context, roomID id.RoomID, items []Item, relTypes []string, senders []id.UserID, seen []Interval) (map[id.EventID]bool, error) {
	related := make(map[id.EventID]bool)
	if len(items) == 0 {
		return related, nil
	}
	r, err := g.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	left, err := r.extant(ctx)
	if err != nil {
		return nil, err
	}
	seen = left.of(seen)
	var parents []id.EventID
	for _, it := range items {
		parents = append(parents, it.Event.ID())
	}
	err = g.db.View(ctx, func(tx *store.Tx) error {
		in, list := tx.In(2, parents)
		query, args := `
			SELECT r.parent, r.place FROM relations r WHERE r.room = $1 AND r.ts >= $3 AND r.parent `+in, []any{r.num, list, left.cutoff}
		if relTypes != nil {
			in, list := tx.In(len(args)+1, relTypes)
			query, args = query+" AND r.rel_type "+in, append(args, list)
		}
		if senders != nil {
			in, list := tx.In(len(args)+1, senders)
			query, args = query+" AND r.sender "+in, append(args, list)
		}
		for row, err := range tx.Query(query, args...) {
			if err != nil {
				return err
			}
			var parent id.EventID
			var place int64
			if err := row.Scan(&parent, &place); err != nil {
				return err
			}
			if slices.ContainsFunc(seen, func(in Interval) bool { return in.Contains(place) }) {
				related[parent] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading what relates to events of %s: %w", roomID, err)
	}
	return related, nil
}
