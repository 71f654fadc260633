package room

import (
	"context"
	"errors"
	"fmt"

	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/stateres"
)

// mayRelate refuses a draft that relates to another event as it may not. Other
// servers may let such events pass, so nobody relies on there being none. The
// caller holds mu.
func (r *live) mayRelate(ctx context.Context, d Draft) error {
	relType, parent, ok := relationIn(d.Content)
	switch {
	case ok && relType == relThread:
		return r.mayRoot(ctx, parent)
	case ok && relType == relAnnotation:
		return r.newAnnotation(ctx, d, parent)
	}
	return nil
}

// mayRoot refuses a thread that begins from an event that relates to another one.
// https://spec.matrix.org/v1.19/client-server-api/#validation-of-mthread-relationships
func (r *live) mayRoot(ctx context.Context, root id.EventID) error {
	if _, known := r.threads[root]; known {
		return nil
	}
	e, err := r.eventByID(ctx, root)
	if err != nil || e == nil {
		return err
	}
	if _, _, related := relation(e); related {
		return mxerr.New(mxerr.Unknown, "A thread cannot begin from an event that relates to another one").WithStatus(400)
	}
	return nil
}

// eventByID returns an event of the room, nil if it has none such.
func (r *live) eventByID(ctx context.Context, eventID id.EventID) (*event.Event, error) {
	for _, m := range r.pending {
		if m.event.ID() == eventID {
			return m.event, nil
		}
	}
	if it, ok := r.recent.byID(eventID); ok {
		return it.Event, nil
	}
	var json []byte
	err := r.engine.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT json FROM events WHERE event_id = $1 AND room = $2 AND place IS NOT NULL", eventID, r.num).Scan(&json)
	})
	if errors.Is(err, store.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for event %s: %w", eventID, err)
	}
	return event.Load(json, eventID, r.rules)
}

// errDuplicate: the same was said of an event before, by this one.
type errDuplicate struct{ eventID id.EventID }

func (e errDuplicate) Error() string { return "it is the same as event " + string(e.eventID) }

// newAnnotation refuses to say of an event a second time what the sender says of
// it already.
// https://spec.matrix.org/v1.19/client-server-api/#avoiding-duplicate-annotations
func (r *live) newAnnotation(ctx context.Context, d Draft, parent id.EventID) error {
	key, ok := annotationKey(d.Content)
	if !ok {
		return nil
	}
	redacted := make(map[stateres.Num]bool) // by what is pending
	for _, m := range r.pending {
		redacted[m.redacts] = true
	}
	earlier, err := r.annotations(ctx, d, parent)
	if err != nil {
		return err
	}
	for _, a := range earlier {
		if k, _ := annotationKey(a.event.Content()); k != key || redacted[a.num] {
			continue
		}
		if d.Transaction != (Transaction{}) && a.transaction == d.Transaction {
			return nil // it is the same request, as will turn out
		}
		return mxerr.New(mxerr.DuplicateAnnotation, "You have said this of the event already").Wrap(errDuplicate{a.event.ID()})
	}
	return nil
}

func annotationKey(content canonjson.Value) (string, bool) {
	return content.Get("m.relates_to").Get("key").Text()
}

// annotations returns what the sender of a draft says of an event, by events of
// the same type. The caller holds mu.
func (r *live) annotations(ctx context.Context, d Draft, parent id.EventID) (list []entry, err error) {
	for _, m := range r.pending {
		relType, of, _ := relation(m.event)
		if relType == relAnnotation && of == parent && m.event.Sender() == d.Sender && m.event.Type() == d.Type {
			list = append(list, m)
		}
	}
	err = r.engine.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query(`
			SELECT e.event, e.event_id, e.json, e.device, e.txn FROM relations r JOIN events e ON e.event = r.child
			WHERE r.room = $1 AND r.sender = $2 AND r.rel_type = 'm.annotation' AND r.parent = $3 AND r.type = $4`,
			r.num, d.Sender, parent, d.Type) {
			if err != nil {
				return err
			}
			var m entry
			var eventID id.EventID
			var json []byte
			if err := row.Scan(&m.num, &eventID, &json, &m.transaction.Device, &m.transaction.ID); err != nil {
				return err
			}
			if m.event, err = event.Load(json, eventID, r.rules); err != nil {
				return err
			}
			list = append(list, m)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading what %s says of %s: %w", d.Sender, parent, err)
	}
	return list, nil
}
