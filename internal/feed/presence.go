package feed

import (
	"time"

	"parley/internal/ephemeral"
	"parley/internal/journal"
	"parley/internal/room"
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
