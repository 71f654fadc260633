package feed

import (
	"context"
	"errors"
	"slices"
	"time"

	"parley/internal/filter"
	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/stateres"
)

// A StreamRequest asks for events one after the other, of all rooms together, as
// clients did before there was /sync.
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3events
type StreamRequest struct {
	User   id.UserID
	Device id.DeviceID
	// From is the token of an answer before, or empty for the present.
	From string
	// Timeout is how long to wait for an event.
	Timeout time.Duration
}

// A Stream is the events from one token to another.
type Stream struct {
	Start, End Token
	Events     []canonjson.Value // each with its room, unless it is of none
}

// streamStep is how many entries of the journal are gone through at once. The
// timeline of a room holds as many events, so none is left out.
const streamStep = filter.MaxLimit

// streamed is an event of a stream, with where it stands in it.
type streamed struct {
	pos   journal.Position
	event canonjson.Value
}

// Events answers a request for the events of all rooms of a user: what /sync says
// of the same time, as a list in the order in which it came about.
func (f *Feed) Events(ctx context.Context, q StreamRequest) (Stream, error) {
	start, err := f.streamStart(q)
	if err != nil {
		return Stream{}, err
	}
	wanted, err := filter.Parse(canonjson.Value(`{"room":{"timeline":{"limit":100}}}`))
	if err != nil {
		return Stream{}, err
	}
	a, err := f.sync(ctx, Request{User: q.User, Device: q.Device, Filter: wanted, Timeout: q.Timeout, stream: true}, start, start.Pos)
	if err != nil {
		return Stream{}, err
	}
	s := Stream{Start: start, End: a.now}
	if a.since == (Token{}) {
		return s, nil // what is behind the token is gone by now
	}
	for _, e := range slices.Concat(a.accountData, a.presence) {
		a.stream = append(a.stream, streamed{a.now.Pos, e})
	}
	slices.SortStableFunc(a.stream, func(a, b streamed) int { return int(a.pos - b.pos) })
	for _, e := range a.stream {
		s.Events = append(s.Events, e.event)
	}
	return s, nil
}

// streamStart returns the token from which on to answer. Behind one of another
// epoch nothing is known, so that is the present.
func (f *Feed) streamStart(q StreamRequest) (Token, error) {
	if q.From == "" {
		return f.Now(), nil
	}
	t, err := ParseToken(q.From)
	if err == nil && !f.leads(t) {
		t = f.Now()
	}
	return t, err
}

// step returns how far a stream goes from one position towards another.
func (w *watch) step(ctx context.Context, j *journal.Journal, from, to journal.Position) (journal.Position, error) {
	entries, err := w.read(ctx, j, from, to)
	if errors.Is(err, journal.ErrGone) {
		return to, nil // which the answer finds out again
	}
	if err != nil || len(entries) <= streamStep {
		return to, err
	}
	slices.SortFunc(entries, func(a, b journal.Entry) int { return int(a.Pos - b.Pos) })
	return entries[streamStep-1].Pos, nil
}

// streamEvents adds the events of a timeline to the stream, and what came into the
// state without one.
func (a *answer) streamEvents(b *stateBlock, events, state []canonjson.Value) {
	for i, it := range b.timeline.items {
		if it.Pos > a.since.Pos { // a room that the user came into or left is told from its beginning
			a.stream = append(a.stream, streamed{it.Pos, events[i]})
		}
	}
	if b.w.fresh || b.w.gone {
		return
	}
	for _, e := range state {
		a.stream = append(a.stream, streamed{a.now.Pos, e})
	}
}

// streamOwn adds the user's own member event, of a room that tells nothing else.
func (a *answer) streamOwn(ctx context.Context, n *news) error {
	own, ok, err := a.Rooms.Own(ctx, n.id, a.q.User, n.sight.Memberships[len(n.sight.Memberships)-1].Place)
	if err != nil || !ok {
		return err
	}
	shown, err := a.Show(ctx, a.viewer(n.sight.MembershipAt), n.id, []room.Item{own})
	if err == nil && own.Pos > a.since.Pos {
		a.stream = append(a.stream, streamed{own.Pos, shown[0]})
	}
	return err
}

// streamOfRoom adds what is of a room and no event of it: receipts, who is typing, and
// account data.
func (a *answer) streamOfRoom(n *news, ephemeral []canonjson.Value) {
	events := slices.Clone(ephemeral)
	for _, d := range n.data {
		events = append(events, typed(d.Type, d.Content))
	}
	for _, e := range events {
		a.stream = append(a.stream, streamed{a.now.Pos, e.With("room_id", canonjson.Text(string(n.id)))})
	}
}

// Peek answers a request for the events of one room, which the user need not be
// in: of them those that the user may see. A room of which that is nothing is
// M_FORBIDDEN.
// https://spec.matrix.org/v1.19/client-server-api/#room-previews
func (f *Feed) Peek(ctx context.Context, q StreamRequest, roomID id.RoomID) (Stream, error) {
	start, err := f.streamStart(q)
	if err != nil {
		return Stream{}, err
	}
	sight, err := f.Rooms.Sight(ctx, roomID, q.User)
	if err != nil {
		return Stream{}, err
	}
	if !sight.MayRead() {
		return Stream{}, mxerr.New(mxerr.Forbidden, "You are not in room %s", roomID)
	}
	num, err := f.Rooms.Num(ctx, roomID)
	if err != nil {
		return Stream{}, err
	}
	sub := f.Journal.Subscribe(num.Scope())
	defer sub.Close()
	wait, cancel := context.WithTimeout(ctx, q.Timeout)
	defer cancel()
	s := Stream{Start: start, End: start}
	for {
		pokes := sub.Pokes()
		all, err := f.peek(ctx, q, roomID, sub, &s)
		if err != nil || len(s.Events) > 0 {
			return s, err
		}
		if !all {
			continue
		}
		if _, err := sub.Wait(wait, s.End.Pos, pokes); err != nil {
			return s, nil
		}
	}
}

// peek moves a stream on by a step, and reports whether it is all up to the present.
func (f *Feed) peek(ctx context.Context, q StreamRequest, roomID id.RoomID, sub *journal.Subscription, s *Stream) (all bool, err error) {
	now := f.Now()
	entries, err := sub.Read(ctx, s.End.Pos, now.Pos)
	if errors.Is(err, journal.ErrGone) {
		s.End = now
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if all = len(entries) <= streamStep; !all {
		entries = entries[:streamStep]
		now.Pos = entries[streamStep-1].Pos
	}
	s.End = now
	var nums []stateres.Num
	for _, e := range entries {
		if e.Kind == journal.KindEvent {
			nums = append(nums, stateres.Num(e.Ref))
		}
	}
	if len(nums) == 0 {
		return all, nil
	}
	sight, err := f.Rooms.SightAt(ctx, roomID, q.User, now.Pos)
	if err != nil {
		return all, err
	}
	items, err := f.Rooms.ItemsShown(ctx, roomID, nums) // what was purged has entries still
	if err != nil {
		return all, err
	}
	ignored, err := f.AccountData.Ignored(ctx, q.User)
	if err != nil {
		return all, err
	}
	items = slices.DeleteFunc(items, func(it room.Item) bool { return !sight.Sees(it.Place) || Hidden(ignored, it.Event) })
	s.Events, err = f.Show(ctx, Viewer{User: q.User, Device: q.Device, Membership: sight.MembershipAt}, roomID, items)
	return all, err
}
