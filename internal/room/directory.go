package room

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// Publish puts a room into the server's directory, or takes it out.
func (g *Engine) Publish(ctx context.Context, roomID id.RoomID, published bool) error {
	var known int64
	err := g.db.Update(ctx, func(tx *store.Tx) (err error) {
		known, err = tx.Exec("UPDATE rooms SET published = $2 WHERE room_id = $1", roomID, published)
		return err
	})
	if err != nil {
		return fmt.Errorf("publishing %s (%v): %w", roomID, published, err)
	}
	if known == 0 {
		return mxerr.New(mxerr.NotFound, "There is no room %s", roomID)
	}
	return nil
}

// publishKey names a place in the directory in a batch.
type publishKey struct{ room id.RoomID }

// PublishWith puts a room into the directory in a batch, behind that which makes it.
func (g *Engine) PublishWith(b *journal.Batch, roomID id.RoomID) {
	b.Write(publishKey{roomID}, func(tx *store.Tx) error {
		return tx.Queue("UPDATE rooms SET published = $2 WHERE room_id = $1", roomID, true)
	})
}

// movePublished adds to the batch that a room is in the directory in place of
// another, if that is.
func movePublished(b *journal.Batch, from, to id.RoomID) {
	b.Write(publishKey{from}, func(tx *store.Tx) error {
		err := tx.Queue(`
			UPDATE rooms SET published = $2
			WHERE room_id = $1 AND EXISTS (SELECT 1 FROM rooms AS other WHERE other.room_id = $3 AND other.published)`, to, true, from)
		if err != nil {
			return err
		}
		return tx.Queue("UPDATE rooms SET published = $2 WHERE room_id = $1", from, false)
	})
}

// IsPublished reports whether a room is in the directory.
func (g *Engine) IsPublished(ctx context.Context, roomID id.RoomID) (published bool, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT published FROM rooms WHERE room_id = $1", roomID).Scan(&published)
	})
	if errors.Is(err, store.ErrNoRows) {
		return false, mxerr.New(mxerr.NotFound, "There is no room %s", roomID)
	}
	if err != nil {
		return false, fmt.Errorf("looking for %s in the directory: %w", roomID, err)
	}
	return published, nil
}

// MaxTerm is how many bytes may be searched for.
const MaxTerm = 4096

// A Search says which rooms of the directory are wanted. The zero Search is all.
type Search struct {
	// Term is the words each of which is in the name, an alias or the topic, or a part of
	// them, whatever the case and accents. One of more than MaxTerm bytes is in none. What
	// no room has that way may be mistyped.
	Term string
	// Types are the types of rooms, the empty one being that of ordinary rooms;
	// nil: all.
	Types []string
	// Network is a third-party network, in whose directory the rooms are, or AllNetworks;
	// empty: in that of this server.
	Network string
}

// AllNetworks is what stands for all directories, that of this server among them.
const AllNetworks = "*"

// A Listed is where a room stands, or has stood, in the directory: the largest
// rooms come first. The zero Listed is before all.
type Listed struct {
	Joined int64
	RoomID id.RoomID
}

// place returns where the room stands.
func (s Summary) place() Listed { return Listed{s.Joined, s.RoomID} }

// A Page is a part of the directory, in its order.
type Page struct {
	Rooms []Summary
	// Earlier and Later say that there are more rooms before these and behind them.
	Earlier, Later bool
	Total          int // of all pages
}

// First and Last are where the first and the last room of a page stand, which
// must have any.
func (p Page) First() Listed { return p.Rooms[0].place() }
func (p Page) Last() Listed  { return p.Rooms[len(p.Rooms)-1].place() }

// Directory returns up to limit of the published rooms that a search finds: those
// behind a place or, if backwards, those before it. Rooms that nobody is in, so
// that nobody can join them, are left out. A place keeps its meaning when rooms
// come and go.
func (g *Engine) Directory(ctx context.Context, search Search, from Listed, backwards bool, limit int) (p Page, err error) {
	if search.findsNothing() {
		return p, nil
	}
	err = g.db.View(ctx, func(tx *store.Tx) error {
		q := search.query(tx)
		if err := tx.Row("SELECT count(*)"+q.from, q.args...).Scan(&p.Total); err != nil {
			return err
		}
		if p.Total == 0 && search.mayBeMistyped() {
			p, err = search.mistyped(tx, from, backwards, limit)
			return err
		}
		more, err := q.read(tx, &p.Rooms, from, backwards, limit)
		if err != nil || len(p.Rooms) == 0 {
			return err
		}
		if backwards {
			p.Earlier = more
			p.Later, err = q.any(tx, p.Last(), false)
		} else {
			p.Later = more
			p.Earlier, err = q.any(tx, p.First(), true)
		}
		return err
	})
	if err != nil {
		return Page{}, fmt.Errorf("reading the directory: %w", err)
	}
	return p, nil
}

// A listQuery selects rooms of the directory.
type listQuery struct {
	from string // FROM with its conditions
	args []any
}

func (s Search) query(tx *store.Tx) listQuery {
	q := listQuery{from: " FROM rooms r"}
	if s.Term != "" || s.Types != nil {
		q.from += " JOIN summaries s ON s.room = r.room"
	}
	switch s.Network {
	case "":
		q.from += " WHERE r.published AND r.joined > 0"
	case AllNetworks:
		q.from += " WHERE r.room IN (SELECT room FROM rooms WHERE published UNION SELECT room FROM network_rooms) AND r.joined > 0"
	default:
		q.args = append(q.args, storable(s.Network))
		q.from += " JOIN network_rooms n ON n.room = r.room AND n.network = $1 WHERE r.joined > 0"
	}
	for _, word := range s.words() {
		contains, pattern := store.Contains(len(q.args)+1, word)
		q.args = append(q.args, pattern)
		q.from += " AND s.words " + contains
	}
	if s.Types != nil {
		types := make([]string, len(s.Types))
		for i, t := range s.Types {
			types[i] = storable(t)
		}
		in, list := tx.In(len(q.args)+1, types)
		q.args = append(q.args, list)
		q.from += " AND s.room_type " + in
	}
	return q
}

// findsNothing reports whether no room can be found: by what is too long or no text, or
// of no type.
func (s Search) findsNothing() bool {
	return len(s.Term) > MaxTerm || len(s.Network) > MaxNetwork || s.Types != nil && len(s.Types) == 0 ||
		strings.TrimSpace(s.Term) != "" && len(s.words()) == 0
}

// mostWords is how many words of a term count.
const mostWords = 12

func (s Search) words() []string {
	list := strings.Fields(words(s.Term))
	return list[:min(len(list), mostWords)]
}

// at adds the rooms behind a place, or before it, in the order from there. Each
// condition by itself is a range of the index.
func (q listQuery) at(place Listed, backwards bool) listQuery {
	n := len(q.args)
	if place != (Listed{}) {
		condition := " AND r.joined <= $%d AND (r.joined < $%d OR r.room_id > $%d)"
		if backwards {
			condition = " AND r.joined >= $%d AND (r.joined > $%d OR r.room_id < $%d)"
		}
		q.from += fmt.Sprintf(condition, n+1, n+1, n+2)
		q.args = append(slices.Clone(q.args), place.Joined, place.RoomID)
	}
	if backwards {
		q.from += " ORDER BY r.joined, r.room_id DESC"
	} else {
		q.from += " ORDER BY r.joined DESC, r.room_id"
	}
	return q
}

// read reads up to limit rooms from a place on, in the order of the directory, and
// reports whether there are more.
func (q listQuery) read(tx *store.Tx, rooms *[]Summary, place Listed, backwards bool, limit int) (more bool, err error) {
	q = q.at(place, backwards)
	nums, err := q.nums(tx, limit+1)
	if err != nil {
		return false, err
	}
	if more = len(nums) > limit; more {
		nums = nums[:limit]
	}
	in, list := tx.In(1, nums)
	found, err := readSummaries(tx, "r.room "+in, list)
	if err != nil {
		return false, err
	}
	for _, num := range nums {
		*rooms = append(*rooms, found[num])
	}
	if backwards {
		slices.Reverse(*rooms)
	}
	return more, nil
}

// nums reads the numbers of up to limit rooms.
func (q listQuery) nums(tx *store.Tx, limit int) ([]Num, error) {
	return store.List[Num](tx, fmt.Sprintf("SELECT r.room%s LIMIT %d", q.from, limit), q.args...)
}

// any reports whether there is a room behind a place, or before it.
func (q listQuery) any(tx *store.Tx, place Listed, backwards bool) (bool, error) {
	nums, err := q.at(place, backwards).nums(tx, 1)
	return len(nums) > 0, err
}
