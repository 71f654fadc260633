package room

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// TypeRetention is the type of the state event in which a room says for how long
// messages are kept.
// https://github.com/matrix-org/matrix-spec-proposals/pull/1763
const TypeRetention = "m.room.retention"

// Retention says for how long messages are kept. State is always kept.
type Retention struct {
	// Enabled says that messages are not kept for ever.
	Enabled bool
	// Default is for rooms that do not say it themselves; 0: for ever. Least and
	// Most bound what rooms say; 0: not at all.
	Default, Least, Most time.Duration
}

// lifetime returns for how long messages are kept where a room says this, 0 for
// ever. What makes no sense is not said.
func (r Retention) lifetime(content canonjson.Value) time.Duration {
	life := r.Default
	if said := millis(content.Get("max_lifetime")); said > 0 {
		life = max(said, millis(content.Get("min_lifetime")))
	}
	if life == 0 {
		return 0
	}
	life = max(life, r.Least)
	if r.Most > 0 {
		life = min(life, r.Most)
	}
	return life
}

// millis reads a duration in milliseconds, 0 if it is none.
func millis(v canonjson.Value) time.Duration {
	const century = 100 * 365 * 24 * time.Hour
	n, ok := v.Int()
	switch {
	case !ok || n < 0:
		return 0
	case n > century.Milliseconds():
		return century
	}
	return time.Duration(n) * time.Millisecond
}

// lifetime is for how long messages of a room are kept by a state of it.
type lifetime struct {
	root statetrie.Root
	life time.Duration
}

// cutoff returns the time, in milliseconds since 1970, before which messages of a
// room are not shown any more; 0 if all are. It asks the database only when the
// state has changed.
func (r *live) cutoff(ctx context.Context) (int64, error) {
	g := r.engine
	if !g.retention.Enabled {
		return 0, nil
	}
	root := r.recent.root()
	known := r.lifetime.Load()
	if known == nil || known.root != root {
		life, err := g.lifetimeIn(ctx, r, root)
		if err != nil {
			return 0, err
		}
		known = &lifetime{root, life}
		r.lifetime.Store(known)
	}
	if known.life == 0 {
		return 0, nil
	}
	return time.Now().Add(-known.life).UnixMilli(), nil
}

func (g *Engine) lifetimeIn(ctx context.Context, r *live, root statetrie.Root) (time.Duration, error) {
	n, err := statetrie.Get(ctx, g.committed(r.num), root, statetrie.Key{Type: TypeRetention})
	if err != nil {
		return 0, fmt.Errorf("reading for how long messages of %s are kept: %w", r.id, err)
	}
	if n == 0 {
		return g.retention.lifetime(nil), nil
	}
	list, err := g.itemsOf(ctx, r, []stateres.Num{stateres.Num(n)})
	if err != nil {
		return 0, err
	}
	return g.retention.lifetime(list[0].Event.Content()), nil
}

// fading is up to where the messages of a room were too old to be shown.
type fading struct {
	cutoff int64
	mark   *Mark // nil: nowhere
}

// faded returns up to where about all messages are too old to be shown, nil for
// nowhere: what nobody can read is not unread. It looks again when a twentieth of
// the time has gone by for which messages are kept, or a minute.
func (r *live) faded(ctx context.Context) (*Mark, error) {
	cutoff, err := r.cutoff(ctx)
	if err != nil || cutoff == 0 {
		return nil, err
	}
	step := min(r.lifetime.Load().life/20, time.Minute).Milliseconds()
	first, last := max(1, r.remains.place), r.recent.place()
	known := r.fading.Load()
	switch {
	case known == nil || cutoff < known.cutoff:
	case cutoff <= known.cutoff+step:
		return known.mark, nil
	case known.mark != nil:
		first = max(first, known.mark.Place)
	}
	now := &fading{cutoff: cutoff}
	for first <= last { // nothing before first is young, and nothing behind last is old
		middle := first + (last-first)/2
		items, err := r.engine.forward(ctx, r, middle, 1)
		if err != nil {
			return nil, err
		}
		if len(items) == 0 || items[0].Event.OriginServerTS() >= cutoff {
			last = middle - 1
			continue
		}
		it := items[0]
		first, now.mark = max(middle, it.Place)+1, &Mark{Place: it.Place, Total: it.Total, Threaded: it.Threaded}
	}
	r.fading.Store(now)
	return now.mark, nil
}

// place returns the last place of the room.
func (c *recent) place() int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.moments) == 0 {
		return 0
	}
	return c.moments[len(c.moments)-1].Place
}

// root returns the current state, as it is committed.
func (c *recent) root() statetrie.Root {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.moments) == 0 {
		return statetrie.Root{}
	}
	return c.moments[len(c.moments)-1].Root
}

// expired reports whether an event is one that is not shown any more. A cutoff of 0
// is none.
func expired(it Item, cutoff int64) bool {
	_, isState := it.Event.Tuple()
	return cutoff != 0 && !isState && it.Event.OriginServerTS() < cutoff
}

// extant is what there still is of a room's history to be shown: the places from
// first on, and there what was not sent before the cutoff.
type extant struct {
	first  int64
	cutoff int64 // 0: nothing is too old
}

func (r *live) extant(ctx context.Context) (extant, error) {
	cutoff, err := r.cutoff(ctx)
	return extant{r.remains.place, cutoff}, err
}

// of returns what there still is of some places.
func (x extant) of(places []Interval) []Interval {
	if x.first == 0 {
		return places
	}
	var left []Interval
	for _, in := range places {
		if in.First = max(in.First, x.first); in.First <= in.Last {
			left = append(left, in)
		}
	}
	return left
}

// Unexpired returns those events of a room that are not too old to be shown. Back,
// Forward and Item leave out the others, and what is too old relates to nothing.
func (g *Engine) Unexpired(ctx context.Context, roomID id.RoomID, items []Item) ([]Item, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	return r.unexpired(ctx, items)
}

func (r *live) unexpired(ctx context.Context, items []Item) ([]Item, error) {
	cutoff, err := r.cutoff(ctx)
	if err != nil || cutoff == 0 {
		return items, err
	}
	return slices.DeleteFunc(items, func(it Item) bool { return expired(it, cutoff) }), nil
}

// Prune has the histories of rooms purged in which messages have become too old,
// each at most once a day. That one cannot be looked at keeps none from it: the error
// has all of them.
func (g *Engine) Prune(ctx context.Context) error {
	if !g.retention.Enabled {
		return nil
	}
	rooms, err := g.Survey(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, o := range rooms {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := g.prune(ctx, o); err != nil && !IsGone(err) {
			failed = append(failed, fmt.Errorf("pruning %s: %w", o.RoomID, err))
		}
	}
	return errors.Join(failed...)
}

// prune looks at one room. That its messages are kept for ever is found out past
// the caches, since it is so for most.
func (g *Engine) prune(ctx context.Context, o Overview) error {
	if g.retention.Default == 0 {
		var root statetrie.Root
		err := g.db.View(ctx, func(tx *store.Tx) error {
			return tx.Row("SELECT root FROM rooms WHERE room = $1", o.Room).Scan(&root)
		})
		if err != nil {
			return err
		}
		n, err := statetrie.Get(ctx, storedNodes{g.db, o.Room}, root, statetrie.Key{Type: TypeRetention})
		if err != nil || n == 0 {
			return err
		}
	}
	lately, err := g.PurgesOf(ctx, o.RoomID, PurgeHistory)
	if err != nil || len(lately) > 0 {
		return err
	}
	r, err := g.room(ctx, o.RoomID)
	if err != nil {
		return err
	}
	cutoff, err := r.cutoff(ctx)
	if err != nil || cutoff == 0 {
		return err
	}
	first := max(1, r.remains.place)
	place, err := g.firstNotOlder(ctx, r, first, cutoff)
	if err != nil || place <= first {
		return err
	}
	_, err = g.PurgeHistory(ctx, o.RoomID, place, false)
	return err
}
