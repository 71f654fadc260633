package feed

import (
	"context"
	"time"

	"parley/internal/ephemeral"
	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// tellPresence tells of the presence of those who share a room with the user: in
// an initial answer, of who is not offline; otherwise of what has changed. Of a
// room that the user has come into that is everybody of whom anything is known:
// the client may have been told something in a room that it has left.
func (a *answer) tellPresence() {
	f := &a.q.Filter.Presence
	initial, restarted := a.since == (Token{}), a.since.Board != a.now.Board
	if a.Presence == nil || f.None() || !initial && !restarted && !a.entered && !a.relisted && a.since.Seq == a.now.Seq {
		return
	}
	from := a.since.Pos
	if initial {
		from = a.now.Pos
	}
	var rooms, entered []journal.Scope
	a.watch.split(from, a.now.Pos,
		func(n room.Num) { rooms = append(rooms, n.Scope()) },
		func(n room.Num) { entered = append(entered, n.Scope()) })
	seen := a.Presence.See(ephemeral.Look{
		User: a.q.User, Rooms: rooms, Entered: entered,
		Since: a.since.Seq, Everything: initial && a.knowing == 0, Anything: restarted || a.relisted || initial && a.knowing != 0,
	})
	size := 0
	for _, s := range seen {
		size += s.Size()
	}
	now, memory := time.Now(), make([]byte, 0, size)
	for _, s := range seen {
		if f.Match("m.presence", s.User) && !a.ignored[s.User] {
			start := len(memory)
			memory = s.Append(memory, now)
			a.Response.presence = append(a.Response.presence, memory[start:len(memory):len(memory)])
		}
	}
}

// PresenceIn returns who is online of a user and of the members of rooms that the
// user is in, without those whom the user ignores.
func (f *Feed) PresenceIn(ctx context.Context, user id.UserID, rooms []room.Num) ([]canonjson.Value, error) {
	events := []canonjson.Value{}
	if f.Presence == nil || len(rooms) == 0 {
		return events, nil
	}
	ignored, err := f.AccountData.Ignored(ctx, user)
	if err != nil {
		return nil, err
	}
	look := ephemeral.Look{User: user, Everything: true}
	for _, n := range rooms {
		look.Rooms = append(look.Rooms, n.Scope())
	}
	now := time.Now()
	for _, s := range f.Presence.See(look) {
		if !ignored[s.User] {
			events = append(events, s.Append(nil, now))
		}
	}
	return events, nil
}
