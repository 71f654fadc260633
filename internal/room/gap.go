package room

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

var insertGaps = &store.Insert{Table: "gaps", Columns: []store.Column{
	{Name: "room", Type: store.Int}, {Name: "place", Type: store.Int}, {Name: "missing", Type: store.Blob},
}}

// mostAwaited is how many of the events that are missing in one gap are remembered.
const mostAwaited = 200

// writeGap adds to the batch that the event follows what the room does not have.
func (m entry) writeGap(b *journal.Batch, r *live) {
	if m.gap == nil {
		return
	}
	b.Insert(insertGaps, r.num, m.place, encodeMissing(m.gap))
}

func encodeMissing(missing []id.EventID) []byte {
	encoded, err := canonjson.Marshal(missing[:min(len(missing), mostAwaited)])
	if err != nil {
		panic(fmt.Sprintf("room: event IDs as JSON: %v", err)) // they are text
	}
	return encoded
}

// A hole is a gap as it is stored.
type hole struct {
	place   int64 // of the first event behind it
	missing []id.EventID
	// island says that what is put into it stands in its middle, and that it stays
	// behind that.
	island  bool
	beneath beneath
}

// beneath is what was found to belong before an earlier gap when a gap was to be
// filled: branches may have parted before both.
type beneath struct {
	place int64 // of the first event behind the earlier gap; 0 if there is none
	older map[id.EventID]bool
}

// hand says that events are missing in the earlier gap.
func (u beneath) hand(tx *store.Tx, room Num, handed []id.EventID) error {
	if len(handed) == 0 {
		return nil
	}
	earlier, _, err := readHole(tx, room, u.place)
	if err != nil {
		return err
	}
	for _, eventID := range handed {
		if !slices.Contains(earlier.missing, eventID) {
			earlier.missing = append(earlier.missing, eventID)
		}
	}
	if _, err := tx.Exec("DELETE FROM gaps WHERE room = $1 AND place = $2", room, u.place); err != nil {
		return err
	}
	return tx.QueueAll(insertGaps, [][]any{{room, u.place, encodeMissing(earlier.missing)}})
}

// handDown moves what is missing in a gap to the earlier one, if it belongs there,
// and reports whether anything does.
func (g *Engine) handDown(ctx context.Context, r *live, h hole) (more bool, err error) {
	var left, handed []id.EventID
	for _, eventID := range h.missing {
		if h.beneath.older[eventID] {
			handed = append(handed, eventID)
		} else {
			left = append(left, eventID)
		}
	}
	if len(handed) == 0 {
		return false, nil
	}
	err = g.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec("DELETE FROM gaps WHERE room = $1 AND place = $2", r.num, h.place); err != nil {
			return err
		}
		if len(left) > 0 {
			if err := tx.QueueAll(insertGaps, [][]any{{r.num, h.place, encodeMissing(left)}}); err != nil {
				return err
			}
		}
		return h.beneath.hand(tx, r.num, handed)
	})
	if err != nil {
		return false, fmt.Errorf("moving a gap of %s: %w", r.id, err)
	}
	if len(left) == 0 {
		r.recent.moveGap(h.place, 0)
	}
	r.recent.moveGap(h.beneath.place, h.beneath.place)
	return true, nil
}

// readHole reads the gap before the event in a place; ok is false if there is none.
func (g *Engine) readHole(ctx context.Context, room Num, place int64) (h hole, ok bool, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) (err error) {
		h, ok, err = readHole(tx, room, place)
		return err
	})
	return h, ok, err
}

func readHole(tx *store.Tx, room Num, place int64) (h hole, ok bool, err error) {
	var missing []byte
	err = tx.Row("SELECT missing FROM gaps WHERE room = $1 AND place = $2", room, place).Scan(&missing)
	if errors.Is(err, store.ErrNoRows) {
		return h, false, nil
	}
	h.place = place
	if err == nil {
		err = json.Unmarshal(missing, &h.missing)
	}
	if err != nil {
		return h, false, fmt.Errorf("reading a gap of room %d: %w", room, err)
	}
	return h, true, nil
}

// readGaps reads where rooms have gaps, in order.
func readGaps(tx *store.Tx, rooms []Num) (map[Num][]int64, error) {
	places := make(map[Num][]int64)
	in, list := tx.In(1, rooms)
	for row, err := range tx.Query("SELECT room, place FROM gaps WHERE room "+in+" ORDER BY room, place", list) {
		if err != nil {
			return nil, err
		}
		var room Num
		var place int64
		if err := row.Scan(&room, &place); err != nil {
			return nil, err
		}
		places[room] = append(places[room], place)
	}
	return places, nil
}

// gaps is where a room has gaps, as far as it is committed: the places of the
// events behind them, in order. Its lock is that of recent.
type gaps struct {
	places []int64
	// tried is when a gap could last not be filled.
	tried map[int64]time.Time
}

// move says that a gap is before another event from now on; to 0, that there is
// none any more, and from 0, that it is new.
func (c *recent) moveGap(from, to int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	places := slices.DeleteFunc(slices.Clone(c.gaps.places), func(place int64) bool { return place == from || place == to })
	if to != 0 {
		places = append(places, to)
		slices.Sort(places)
	}
	c.gaps.places = places
	delete(c.gaps.tried, from)
}

// gapIn returns the last gap that is before an event in one of these places.
func (c *recent) gapIn(first, last int64) (place int64, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	i, exact := slices.BinarySearch(c.gaps.places, last)
	if !exact {
		i--
	}
	if i < 0 || c.gaps.places[i] < first {
		return 0, false
	}
	return c.gaps.places[i], true
}

// firstGapIn is gapIn for the first of them.
func (c *recent) firstGapIn(first, last int64) (place int64, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	i, _ := slices.BinarySearch(c.gaps.places, first)
	if i == len(c.gaps.places) || c.gaps.places[i] > last {
		return 0, false
	}
	return c.gaps.places[i], true
}

// gapPause is for how long nobody is asked again for what nobody has.
const gapPause = 5 * time.Minute

// vain notes that a gap could not be filled.
func (c *recent) vain(place int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gaps.tried == nil {
		c.gaps.tried = make(map[int64]time.Time)
	}
	c.gaps.tried[place] = time.Now()
}

// isVain reports whether that was just now.
func (c *recent) isVain(place int64) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	at, ok := c.gaps.tried[place]
	return ok && time.Since(at) < gapPause
}

// GapIn returns the last place of a room, between two, both included, before whose
// event others are missing that this server does not have; ok is false if nothing
// is missing. It asks only what is in memory.
func (g *Engine) GapIn(ctx context.Context, roomID id.RoomID, first, last int64) (place int64, ok bool, err error) {
	return g.gapIn(ctx, roomID, first, last, (*recent).gapIn)
}

// FirstGapIn is GapIn for the first such place.
func (g *Engine) FirstGapIn(ctx context.Context, roomID id.RoomID, first, last int64) (place int64, ok bool, err error) {
	return g.gapIn(ctx, roomID, first, last, (*recent).firstGapIn)
}

func (g *Engine) gapIn(
	ctx context.Context, roomID id.RoomID, first, last int64, find func(*recent, int64, int64) (int64, bool),
) (place int64, ok bool, err error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return 0, false, err
	}
	// What was purged is not missing.
	place, ok = find(&r.recent, max(first, r.remains.place+1), last)
	return place, ok, nil
}
