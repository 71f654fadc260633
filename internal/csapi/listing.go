package csapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/internal/room"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// A listing is a response that has many events of a room's state, read and written
// part by part: a room may have a hundred thousand members.
type listing struct {
	*Server
	caller endpoint.Caller
	room   id.RoomID
	sight  room.Sight
	nums   []stateres.Num // of what is left
	keep   func(room.Item) bool
	// open and close are what stands around the events, which write appends.
	open, close string
	write       func(ctx context.Context, l *listing, dst []byte, items []room.Item) ([]byte, error)

	begun, some bool
}

// partSize is how many events of a listing are held in memory at once.
const partSize = 1000

// AppendPart implements endpoint.PartAppender.
func (l *listing) AppendPart(ctx context.Context, dst []byte) (_ []byte, more bool, err error) {
	if !l.begun {
		dst, l.begun = append(dst, l.open...), true
	}
	part := l.nums[:min(len(l.nums), partSize)]
	l.nums = l.nums[len(part):]
	items, err := l.Rooms.Bare(ctx, l.room, part)
	if err != nil {
		return dst, false, err
	}
	kept := items[:0]
	for _, it := range items {
		if l.keep(it) {
			kept = append(kept, it)
		}
	}
	if dst, err = l.write(ctx, l, dst, kept); err != nil || len(l.nums) > 0 {
		return dst, true, err
	}
	return append(dst, l.close...), false, nil
}

// separate appends what stands between two values.
func (l *listing) separate(dst []byte) []byte {
	if l.some {
		return append(dst, ',')
	}
	l.some = true
	return dst
}

// writeEvents writes events as the caller is to see them.
func writeEvents(ctx context.Context, l *listing, dst []byte, items []room.Item) ([]byte, error) {
	shown, err := l.show(ctx, l.caller, l.room, l.sight, items)
	for _, e := range shown {
		dst = append(l.separate(dst), e...)
	}
	return dst, err
}
