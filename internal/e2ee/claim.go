package e2ee

import (
	"context"
	"sync"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// A Wish is for a key of a device.
type Wish struct {
	User      id.UserID
	Device    id.DeviceID
	Algorithm string
}

// A Claimed is the key that a wish got.
type Claimed struct {
	Wish
	// Name is algorithm and name of the key, with a colon in between.
	Name string
	Key  canonjson.Value
}

// wishesAtOnce is how many wishes are fulfilled in one transaction.
const wishesAtOnce = 500

// claims fulfils wishes, those that come while others are being fulfilled together:
// one transaction takes hardly longer for many.
type claims struct {
	keys *Keys

	mu      sync.Mutex
	waiting []*wish
	busy    bool // somebody takes what is waiting
}

// A wish is one that somebody waits for.
type wish struct {
	Wish
	ctx  context.Context
	done *sync.WaitGroup
	// Set when it is done:
	name string
	key  canonjson.Value // nil: there is none
	err  error
}

// ClaimLocal gives out keys of devices of this server: one-time keys as long as
// there are any, fallback keys afterwards. Who has none is left out. What is
// given was removed for good, whatever becomes of the answer.
func (k *Keys) ClaimLocal(ctx context.Context, wanted []Wish) ([]Claimed, error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	var done sync.WaitGroup
	done.Add(len(wanted))
	wishes := make([]*wish, len(wanted))
	for i, w := range wanted {
		wishes[i] = &wish{Wish: w, ctx: ctx, done: &done}
	}
	k.claims.add(wishes)
	done.Wait()
	var got []Claimed
	for _, w := range wishes {
		if w.err != nil {
			return nil, w.err
		}
		if w.key != nil {
			got = append(got, Claimed{w.Wish, w.name, w.key})
		}
	}
	return got, nil
}

func (c *claims) add(wishes []*wish) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, wishes...)
	if !c.busy {
		c.busy = true
		go c.run()
	}
}

// run fulfils what is waiting until there is nothing more.
func (c *claims) run() {
	for {
		group := c.take()
		if group == nil {
			return
		}
		again := c.fulfil(group)
		c.mu.Lock()
		c.waiting = append(again, c.waiting...)
		c.mu.Unlock()
	}
}

// take returns the wishes to be fulfilled next, and ends the run if there are
// none. Of those who have gone no key is taken.
func (c *claims) take() []*wish {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		n := min(len(c.waiting), wishesAtOnce)
		if n == 0 {
			c.waiting, c.busy = nil, false
			return nil
		}
		var group []*wish
		for _, w := range c.waiting[:n] {
			if w.err = w.ctx.Err(); w.err != nil {
				w.done.Done()
				continue
			}
			group = append(group, w)
		}
		c.waiting = c.waiting[n:]
		if group != nil {
			return group
		}
	}
}

// fulfil gives keys to a group of wishes in one transaction, and returns those that
// have to be tried again.
func (c *claims) fulfil(group []*wish) (again []*wish) {
	var d *deal
	wait := c.keys.journal.Submit(func(b *journal.Batch) error {
		d = &deal{keys: c.keys, wishes: group}
		return d.plan(b)
	})
	_, err := wait()
	for i, w := range group {
		switch {
		case err != nil:
			w.err = err
		case d.given[i].missed:
			again = append(again, w)
			continue
		default:
			w.name, w.key = d.given[i].name, d.given[i].key
		}
		w.done.Done()
	}
	return again
}

// A deal gives keys to wishes in one transaction.
type deal struct {
	keys   *Keys
	wishes []*wish
	given  []gift // for each wish
}

// A gift is a key for a wish.
type gift struct {
	place  int64 // of a one-time key, until that is taken
	missed bool  // the one-time key has gone to somebody else
	name   string
	key    canonjson.Value
}

// plan finds out which keys to give. They are taken when the batch is written.
func (d *deal) plan(b *journal.Batch) error {
	d.given = make([]gift, len(d.wishes))
	p, err := readPlan(b, d.wishes)
	if err != nil {
		return err
	}
	told := make(map[touched]bool)
	tell := func(w *wish) {
		if t := (touched{w.User, w.Device}); !told[t] {
			told[t] = true
			d.keys.counted(b, w.User, w.Device)
		}
	}
	var places []int64
	var worn []fallback
	for i, w := range d.wishes {
		place, f := p.next(w.Wish)
		switch {
		case place != 0:
			d.given[i] = gift{place: place}
			places = append(places, place)
			tell(w)
		case f != nil:
			d.given[i] = gift{name: f.name(), key: f.key}
			if !f.used {
				f.used = true
				worn = append(worn, *f)
				tell(w)
			}
		}
	}
	if len(places)+len(worn) > 0 {
		b.Write(d, func(tx *store.Tx) error { return d.take(tx, places, worn) })
	}
	return nil
}

// take removes the one-time keys that are given out. What is given is what was
// removed, and nothing else.
func (d *deal) take(tx *store.Tx, places []int64, worn []fallback) error {
	type taken struct {
		oneTimeKey
		device int64
	}
	keys := make(map[int64]taken, len(places))
	in, list := tx.In(1, places)
	for row, err := range tx.Query("DELETE FROM one_time_keys WHERE place "+in+" RETURNING place, device, algorithm, key_id, key", list) {
		var place int64
		var t taken
		if err == nil {
			err = row.Scan(&place, &t.device, &t.algorithm, &t.id, &t.key)
		}
		if err != nil {
			return err
		}
		keys[place] = t
	}
	var rows [][]any
	for i := range d.given {
		g := &d.given[i]
		if g.place == 0 {
			continue
		}
		t, ok := keys[g.place]
		if !ok {
			g.missed = true
			continue
		}
		g.name, g.key = t.name(), t.key
		rows = append(rows, []any{t.device, t.digest(), g.place})
	}
	if err := tx.QueueAll(insertGivenKeys, rows); err != nil {
		return err
	}
	for _, f := range worn {
		err := tx.Queue("UPDATE fallback_keys SET used = $4 WHERE device = $1 AND algorithm = $2 AND key_id = $3", f.device, f.algorithm, f.id, true)
		if err != nil {
			return err
		}
	}
	return nil
}

var insertGivenKeys = &store.Insert{Table: "given_keys", Columns: []store.Column{
	{Name: "device", Type: store.Int}, {Name: "digest", Type: store.Int}, {Name: "place", Type: store.Int}},
	Conflict: "ON CONFLICT (device, digest) DO UPDATE SET place = excluded.place"}
