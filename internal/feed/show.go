package feed

import (
	"context"
	"strconv"
	"time"

	"parley/internal/filter"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// A Viewer is who gets to see events, and how.
type Viewer struct {
	User   id.UserID
	Device id.DeviceID
	// Fields are the members that events are reduced to.
	Fields filter.Fields
	// Federation asks for events as servers exchange them.
	Federation bool
	// OmitRoomID leaves out the room, where it is known.
	OmitRoomID bool
	// Membership tells what the user was to the room in a place. Nil: the viewer is no
	// user but somebody who was there.
	Membership func(place int64) string
	// Expires is until when sticky events are so, in milliseconds since 1970, where it
	// is known.
	Expires map[stateres.Num]int64
	// Related asks for what relates to events, put together, as far as the user may
	// see it: Seen are the places whose events the user may.
	Related bool
	Seen    []room.Interval
}

// Show returns events of a room in the form in which a client gets them:
// https://spec.matrix.org/v1.19/client-server-api/#room-event-format
func (f *Feed) Show(ctx context.Context, v Viewer, roomID id.RoomID, items []room.Item) ([]canonjson.Value, error) {
	items, err := f.pruned(ctx, v, items)
	if err != nil {
		return nil, err
	}
	replaced, err := f.replaced(ctx, v, roomID, items)
	if err != nil {
		return nil, err
	}
	related, err := f.related(ctx, v, roomID, items)
	if err != nil {
		return nil, err
	}
	now := time.Now().UnixMilli()
	shown := make([]canonjson.Value, len(items))
	// All lie in one piece of memory, about as large as it has to be.
	const around = 200 // an event, the server adds
	size := 0
	for _, it := range items {
		size += len(it.Event.JSON()) + len(related[it.Num]) + around
	}
	memory, unsigned := make([]byte, 0, size), make([]byte, 0, around)
	for i, it := range items {
		unsigned = v.appendUnsigned(unsigned[:0], it, replaced[it.Replaces], related[it.Num], now)
		start := len(memory)
		memory = v.appendEvent(memory, it.Event, unsigned)
		shown[i] = memory[start:len(memory):len(memory)]
	}
	return shown, nil
}

// replaced returns the state events in whose place others came, unless they were
// purged.
func (f *Feed) replaced(ctx context.Context, v Viewer, roomID id.RoomID, items []room.Item) (map[stateres.Num]*event.Event, error) {
	var nums []stateres.Num
	for _, it := range items {
		if it.Replaces != 0 {
			nums = append(nums, it.Replaces)
		}
	}
	if len(nums) == 0 {
		return nil, nil
	}
	found, err := f.Rooms.ItemsLeft(ctx, roomID, nums)
	if err == nil {
		found, err = f.pruned(ctx, v, found)
	}
	if err != nil {
		return nil, err
	}
	events := make(map[stateres.Num]*event.Event, len(found))
	for _, it := range found {
		events[it.Num] = it.Event
	}
	return events, nil
}

func (v *Viewer) appendEvent(dst []byte, e *event.Event, unsigned canonjson.Value) []byte {
	switch {
	case v.Federation:
		return append(dst, e.JSON().With("unsigned", unsigned)...)
	case v.Fields.All():
		return e.AppendClient(dst, event.Client{Unsigned: unsigned, OmitRoomID: v.OmitRoomID})
	}
	return v.Fields.Append(dst, e.AppendClient(nil, event.Client{Unsigned: unsigned, OmitRoomID: v.OmitRoomID}))
}

// appendUnsigned appends what the server adds to an event, in the order of
// canonical JSON.
func (v *Viewer) appendUnsigned(dst []byte, it room.Item, replaced *event.Event, related canonjson.Value, now int64) []byte {
	dst = strconv.AppendInt(append(dst, `{"age":`...), max(0, now-it.Event.OriginServerTS()), 10)
	delay := ""
	if it.Event.Sender() == v.User {
		delay = it.Transaction.Delay()
	}
	if delay != "" { // https://github.com/matrix-org/matrix-spec-proposals/pull/4140
		dst = canonjson.AppendString(append(dst, `,"delay_id":`...), delay)
	}
	if related != nil {
		dst = append(append(dst, `,"m.relations":`...), related...)
	}
	if v.Membership != nil {
		dst = canonjson.AppendString(append(dst, `,"membership":`...), v.Membership(it.Place))
	}
	dst = v.appendTTL(dst, it, now)
	if delay != "" {
		dst = canonjson.AppendString(append(dst, `,"org.matrix.msc4140.delay_id":`...), delay)
	}
	if replaced != nil {
		dst = append(append(dst, `,"prev_content":`...), replaced.Content()...)
	}
	if because := it.Event.Unsigned().Get("redacted_because"); because != nil {
		dst = append(append(dst, `,"redacted_because":`...), because...)
	}
	if replaced != nil {
		dst = canonjson.AppendString(append(dst, `,"replaces_state":`...), string(replaced.ID()))
	}
	if t := it.Transaction; t.ID != "" && t.Device == v.Device && it.Event.Sender() == v.User {
		dst = canonjson.AppendString(append(dst, `,"transaction_id":`...), t.ID)
	}
	return append(dst, '}')
}
