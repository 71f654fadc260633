package csapi

import (
	"context"
	"slices"

	"parley/internal/endpoint"
	"parley/internal/feed"
	"parley/internal/filter"
	"parley/internal/receipt"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// A roomGlance looks at rooms as they are at one position, for one caller.
type roomGlance struct {
	*Server
	caller endpoint.Caller
	token  feed.Token
	limit  int                          // of messages
	data   map[id.RoomID][]typedContent // account data by room, that of none under ""
	// ignored is of whom the caller does not want to hear.
	ignored map[id.UserID]bool
}

func (s *Server) glance(ctx context.Context, c endpoint.Caller, limit int) (*roomGlance, error) {
	g := &roomGlance{Server: s, caller: c, token: s.Feed.Now(), limit: limit, data: map[id.RoomID][]typedContent{"": {}}}
	data, err := s.AccountData.All(ctx, c.UserID, g.token.Pos)
	for _, d := range data {
		g.data[d.Room] = append(g.data[d.Room], typedContent{d.Type, d.Content})
	}
	if err == nil {
		g.ignored, err = s.AccountData.Ignored(ctx, c.UserID)
	}
	return g, err
}

// roomInfo is a room with its last messages.
type roomInfo struct {
	RoomID      id.RoomID         `json:"room_id"`
	Membership  string            `json:"membership,omitempty"`
	Visibility  string            `json:"visibility,omitempty"`
	Invite      canonjson.Value   `json:"invite,omitempty"`
	Messages    *messageChunk     `json:"messages,omitempty"`
	State       []canonjson.Value `json:"state,omitempty"`
	AccountData []typedContent    `json:"account_data,omitempty"`
	Receipts    []canonjson.Value `json:"receipts,omitzero"`
	Presence    []canonjson.Value `json:"presence,omitzero"`
}

type messageChunk struct {
	Chunk []canonjson.Value `json:"chunk"`
	Start string            `json:"start,omitempty"`
	End   string            `json:"end"`
}

// room shows a room of which the caller may see something: as it is to members and
// where everybody may read, and as it was to those who have left.
func (g *roomGlance) room(ctx context.Context, roomID id.RoomID, sight room.Sight) (info roomInfo, err error) {
	info = roomInfo{RoomID: roomID, Membership: sight.Membership(), AccountData: g.data[roomID], Receipts: []canonjson.Value{}}
	if info.Visibility, err = g.visibilityIn(ctx, roomID); err != nil {
		return info, err
	}
	if info.Messages, err = g.messages(ctx, roomID, sight); err != nil {
		return info, err
	}
	root, err := g.Rooms.StateRoot(ctx, roomID, sight)
	if err != nil {
		return info, err
	}
	items, err := g.Rooms.FullState(ctx, roomID, root)
	if err != nil {
		return info, err
	}
	if info.State, err = g.show(ctx, g.caller, roomID, sight, inOrder(items)); err != nil {
		return info, err
	}
	if sight.Membership() == event.MembershipJoin {
		info.Receipts, err = g.receipts(ctx, roomID)
	}
	return info, err
}

func (g *roomGlance) visibilityIn(ctx context.Context, roomID id.RoomID) (string, error) {
	published, err := g.Rooms.IsPublished(ctx, roomID)
	return visibilityOf(published), err
}

// messages returns the last events of a room that the caller may see, oldest first.
func (g *roomGlance) messages(ctx context.Context, roomID id.RoomID, sight room.Sight) (*messageChunk, error) {
	last := sight.At.Place
	if left := sight.Left(); left != 0 && sight.Visibility != room.WorldReadable {
		last = left
	}
	w := &walk{room: roomID, sight: sight, back: true, at: last, ignored: g.ignored, fills: mostFills} // what is here is enough
	if len(sight.Intervals) > 0 {
		w.to = sight.Intervals[0].First - 1
	}
	items, err := w.collect(ctx, g.Rooms, &filter.RoomEventFilter{}, g.limit)
	if err != nil {
		return nil, err
	}
	slices.Reverse(items)
	chunk := &messageChunk{End: feed.FormatPlace(last)}
	if !w.done {
		chunk.Start = feed.FormatPlace(w.at)
	}
	chunk.Chunk, err = g.show(ctx, g.caller, roomID, sight, items)
	return chunk, err
}

// receipts returns up to where who has read a room.
func (g *roomGlance) receipts(ctx context.Context, roomID id.RoomID) (events []canonjson.Value, err error) {
	events = []canonjson.Value{}
	num, err := g.Rooms.Num(ctx, roomID)
	if err != nil {
		return nil, err
	}
	said, err := g.Receipts.All(ctx, []int64{int64(num)}, g.caller.UserID, g.token.Pos)
	list := slices.DeleteFunc(said[int64(num)], func(r receipt.Receipt) bool { return g.ignored[r.User] })
	for _, content := range receipt.Contents(list) {
		events = append(events, canonjson.Value(nil).With("content", content).
			With("room_id", canonjson.Text(string(roomID))).With("type", canonjson.Text("m.receipt")))
	}
	return events, err
}

// invite shows a room that the caller is invited to, if it is by somebody who may.
func (g *roomGlance) invite(ctx context.Context, roomID id.RoomID, sight room.Sight) (info roomInfo, ok bool, err error) {
	own, ok, err := g.Rooms.Own(ctx, roomID, g.caller.UserID, sight.Memberships[len(sight.Memberships)-1].Place)
	if err != nil || !ok {
		return info, false, err
	}
	if hidden, err := g.Feed.HidesInvite(ctx, g.caller.UserID, own.Event.Sender()); err != nil || hidden {
		return info, false, err
	}
	info = roomInfo{RoomID: roomID, Membership: sight.Membership()}
	if info.Visibility, err = g.visibilityIn(ctx, roomID); err != nil {
		return info, false, err
	}
	shown, err := g.show(ctx, g.caller, roomID, sight, []room.Item{own})
	if err != nil {
		return info, false, err
	}
	info.Invite = shown[0]
	return info, true, nil
}
