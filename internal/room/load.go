package room

import (
	"context"
	"fmt"
	"maps"

	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
	"parley/matrix/stateres"
)

// A load is a room that is being read, by several readers perhaps. It is late
// when the room changed meanwhile, so that what was read may be out of date.
type load struct {
	readers int
	late    bool
}

// room returns a room from memory, or reads it.
func (g *Engine) room(ctx context.Context, roomID id.RoomID) (*live, error) {
	for {
		g.mu.Lock()
		if e := g.rooms[roomID]; e != nil {
			g.order.MoveToFront(e)
			g.mu.Unlock()
			return e.Value.(*live), nil
		}
		l := g.load(roomID)
		g.mu.Unlock()
		found, err := g.read(ctx, roomID)
		if err == nil && found[roomID] == nil {
			err = mxerr.New(mxerr.NotFound, "There is no room %s", roomID)
		}
		if r, ok := g.loaded(roomID, l, found[roomID], err); ok {
			return r, err
		}
	}
}

// loaded puts a room into memory that was read, unless somebody else did or the
// read was late; then it has to be read again, which is rare.
func (g *Engine) loaded(roomID id.RoomID, l *load, r *live, err error) (*live, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	// The last reader ends the load: until then the others have to learn of what
	// is appended to the copy of the first.
	if l.readers--; l.readers == 0 && g.loads[roomID] == l {
		delete(g.loads, roomID)
	}
	switch {
	case err != nil, r == nil:
		return nil, true
	case l.late:
		return nil, false
	}
	return g.remember(r), true
}

// Warm reads rooms into memory that are about to be asked for, all of them in few
// questions. It is for speed only: whoever asks for one that it left out, because it
// changed meanwhile or for a fault, reads it anew.
func (g *Engine) Warm(ctx context.Context, rooms []id.RoomID) {
	missing := g.notInMemory(rooms)
	if len(missing) < 2 {
		return
	}
	loads := make([]*load, len(missing))
	g.mu.Lock()
	for i, roomID := range missing {
		loads[i] = g.load(roomID)
	}
	g.mu.Unlock()
	found, err := g.read(ctx, missing...)
	for i, roomID := range missing {
		g.loaded(roomID, loads[i], found[roomID], err)
	}
}

// notInMemory returns which rooms are to be read.
func (g *Engine) notInMemory(rooms []id.RoomID) (missing []id.RoomID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, roomID := range rooms {
		if g.rooms[roomID] == nil {
			missing = append(missing, roomID)
		}
	}
	return missing
}

// load notes that a room is being read. The caller holds mu.
func (g *Engine) load(roomID id.RoomID) *load {
	l := g.loads[roomID]
	if l == nil {
		l = new(load)
		g.loads[roomID] = l
	}
	l.readers++
	return l
}

// read reads rooms. Those that are not there are not in the result.
func (g *Engine) read(ctx context.Context, ids ...id.RoomID) (map[id.RoomID]*live, error) {
	found := make(map[id.RoomID]*live, len(ids))
	err := g.db.View(ctx, func(tx *store.Tx) error {
		rows, err := readRooms(tx, ids)
		if err != nil {
			return err
		}
		nums := make([]Num, 0, len(rows))
		for _, row := range rows {
			nums = append(nums, row.num)
		}
		left, err := readAllRemains(tx, nums)
		if err != nil {
			return err
		}
		missing, err := readGaps(tx, nums)
		if err != nil {
			return err
		}
		heads := make(map[*roomver.Rules][]stateres.Num)
		for roomID, row := range rows {
			if left[row.num].deleted {
				continue
			}
			rules, ok := roomver.Lookup(row.version)
			if !ok {
				return fmt.Errorf("room version %q is unknown", row.version)
			}
			r := newLive(g, row.num, rules)
			r.id, r.exists, r.row, r.remains = roomID, true, row, left[row.num]
			r.whole.Store(int64(row.whole))
			r.sticky.Store(row.sticky)
			r.recent.moments, r.recent.gaps.places = []Moment{row.moment()}, missing[row.num]
			found[roomID], heads[rules] = r, append(heads[rules], row.head...)
		}
		return readHeads(tx, found, heads)
	})
	if err != nil {
		return nil, fmt.Errorf("reading %d rooms, %s first: %w", len(ids), ids[0], err)
	}
	return found, nil
}

// readHeads reads the forward extremities of rooms, of all with the same rules at once.
func readHeads(tx *store.Tx, rooms map[id.RoomID]*live, heads map[*roomver.Rules][]stateres.Num) error {
	events := make(map[stateres.Num]*event.Event)
	for rules, nums := range heads {
		some, err := readEvents(tx, nums, rules)
		if err != nil {
			return err
		}
		maps.Copy(events, some)
	}
	for _, r := range rooms {
		for _, n := range r.row.head {
			r.head = append(r.head, events[n])
		}
	}
	return nil
}
