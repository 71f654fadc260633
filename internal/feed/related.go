package feed

import (
	"context"
	"slices"
	"strconv"

	"parley/internal/filter"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// Audience returns for whom it is put together what relates to events.
func (f *Feed) Audience(ctx context.Context, v Viewer) (room.Audience, error) {
	ignored, err := f.AccountData.Ignored(ctx, v.User)
	return room.Audience{User: v.User, Seen: v.Seen, Ignored: ignored}, err
}

// related returns what relates to events, as the member m.relations of unsigned.
// https://spec.matrix.org/v1.19/client-server-api/#aggregations-of-child-events
func (f *Feed) related(ctx context.Context, v Viewer, roomID id.RoomID, items []room.Item) (map[stateres.Num]canonjson.Value, error) {
	if !v.Related || !slices.ContainsFunc(items, func(it room.Item) bool { _, isState := it.Event.StateKey(); return !isState }) {
		return nil, nil // nothing relates to state
	}
	audience, err := f.Audience(ctx, v)
	if err != nil {
		return nil, err
	}
	bundles, err := f.Rooms.Bundles(ctx, roomID, audience, items)
	if err != nil || len(bundles) == 0 {
		return nil, err
	}
	var edits, latest []room.Item
	for _, b := range bundles {
		if b.Edit.Event != nil {
			edits = append(edits, b.Edit)
		}
		if b.Thread != nil {
			latest = append(latest, b.Thread.Latest)
		}
	}
	v.Fields = filter.Fields{} // what is shown is a part of events that are reduced as a whole
	// What is in a thread is no root of one, so this comes to an end.
	shown, err := f.showAll(ctx, v, roomID, latest)
	if err != nil {
		return nil, err
	}
	v.Related = false
	shownEdits, err := f.showAll(ctx, v, roomID, edits)
	if err != nil {
		return nil, err
	}
	related := make(map[stateres.Num]canonjson.Value, len(bundles))
	for num, b := range bundles {
		if json := appendBundle(nil, b, shownEdits[b.Edit.Num], shown); json != nil {
			related[num] = json
		}
	}
	return related, nil
}

// showAll is Show, by the numbers of the events.
func (f *Feed) showAll(ctx context.Context, v Viewer, roomID id.RoomID, items []room.Item) (map[stateres.Num]canonjson.Value, error) {
	list, err := f.Show(ctx, v, roomID, items)
	shown := make(map[stateres.Num]canonjson.Value, len(list))
	for i, json := range list {
		shown[items[i].Num] = json
	}
	return shown, err
}

// appendBundle appends an object with a member per type of relations, nothing if
// there would be none.
func appendBundle(dst []byte, b *room.Bundle, edit canonjson.Value, latest map[stateres.Num]canonjson.Value) []byte {
	open := byte('{')
	if len(b.References) > 0 {
		dst = append(append(dst, open), `"m.reference":{"chunk":[`...)
		for i, eventID := range b.References {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(canonjson.AppendString(append(dst, `{"event_id":`...), string(eventID)), '}')
		}
		dst, open = append(dst, `]}`...), ','
	}
	if edit != nil {
		dst, open = append(append(append(dst, open), `"m.replace":`...), edit...), ','
	}
	if t := b.Thread; t != nil {
		dst = strconv.AppendInt(append(append(dst, open), `"m.thread":{"count":`...), t.Count, 10)
		dst = strconv.AppendBool(append(dst, `,"current_user_participated":`...), t.Participated)
		dst = append(append(dst, `,"latest_event":`...), latest[t.Latest.Num]...)
		dst, open = append(dst, '}'), ','
	}
	if open == '{' {
		return nil
	}
	return append(dst, '}')
}
