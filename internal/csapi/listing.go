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
	ahead       []chan part // that are being read, in order
}

// A part is what is read and written at once.
type part struct {
	items []room.Item
	err   error
}

// partSize is how many events of a listing are held in memory at once.
const partSize = 1000

// AppendPart implements endpoint.PartAppender.
func (l *listing) AppendPart(ctx context.Context, dst []byte) (_ []byte, more bool, err error) {
	if !l.begun {
		dst, l.begun = append(dst, l.open...), true
	}
	got := l.take(ctx)
	if got.err != nil {
		return dst, false, got.err
	}
	if dst, err = l.write(ctx, l, dst, got.items); err != nil || len(l.ahead) > 0 {
		return dst, true, err
	}
	return append(dst, l.close...), false, nil
}

// readAhead is how many parts are read while one is written.
const readAhead = 2

// take returns the next part, and begins to read those after it, which goes on
// while this one is written.
func (l *listing) take(ctx context.Context) (got part) {
	if len(l.nums) > partSize || len(l.ahead) > 0 {
		l.begin(ctx)
		got, l.ahead = <-l.ahead[0], l.ahead[1:]
		l.begin(ctx)
		return got
	}
	return l.read(ctx, l.cut())
}

// begin begins to read as many parts as are read at once.
func (l *listing) begin(ctx context.Context) {
	for len(l.ahead) < readAhead && len(l.nums) > 0 {
		nums, next := l.cut(), make(chan part, 1)
		go func() { next <- l.read(ctx, nums) }()
		l.ahead = append(l.ahead, next)
	}
}

// Close implements io.Closer: it waits until nothing is being read any more.
func (l *listing) Close() error {
	for _, next := range l.ahead {
		<-next
	}
	return nil
}

// cut takes the numbers of the next part.
func (l *listing) cut() []stateres.Num {
	nums := l.nums[:min(len(l.nums), partSize)]
	l.nums = l.nums[len(nums):]
	return nums
}

func (l *listing) read(ctx context.Context, nums []stateres.Num) part {
	items, err := l.Rooms.Bare(ctx, l.room, nums)
	kept := items[:0]
	for _, it := range items {
		if l.keep(it) {
			kept = append(kept, it)
		}
	}
	return part{kept, err}
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
