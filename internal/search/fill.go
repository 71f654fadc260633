package search

import (
	"context"
	"errors"
	"fmt"

	"parley/internal/room"
	"parley/internal/store"
	"parley/matrix/stateres"
)

// A fill is how far the events were gone through that were there before the index.
type fill struct {
	next int64 // up to which number all is done, or toBeEmptied
	last int64
}

// toBeEmptied says that there may be texts in the index which are to go first.
const toBeEmptied = -1

// Progress is how far an index has come.
type Progress struct {
	// Done and Total are up to which event everything is indexed, and which is the last
	// to be, of those that were there when the index began.
	Done, Total int64
	// Behind is how many entries of the journal are still to be looked at.
	Behind int64
}

// Progress returns how far the index has come.
func (x *Index) Progress() Progress {
	head := x.Journal.Head()
	x.mu.Lock()
	defer x.mu.Unlock()
	p := Progress{Done: max(0, x.fill.next), Total: x.fill.last}
	if x.cursor != nil {
		p.Behind = max(0, int64(head-x.cursor.Position()))
	}
	return p
}

func (x *Index) filling() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.fill.next < x.fill.last
}

// readFill reads what is to be filled in. If that was never noted it is all that there is.
func (x *Index) readFill(ctx context.Context) (f fill, err error) {
	err = x.DB.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT next, last FROM search_fill").Scan(&f.next, &f.last)
	})
	switch {
	case errors.Is(err, store.ErrNoRows):
		return x.beginFill(ctx, 0)
	case err != nil:
		return f, fmt.Errorf("reading how far messages are indexed: %w", err)
	}
	return f, nil
}

// beginFill notes that all events are to be gone through.
func (x *Index) beginFill(ctx context.Context, next int64) (f fill, err error) {
	last, err := x.Rooms.LastStored(ctx)
	if err != nil {
		return f, err
	}
	f = fill{next, int64(last)}
	err = x.DB.Update(ctx, func(tx *store.Tx) error { return storeFill(tx, f) })
	if err != nil {
		err = fmt.Errorf("noting that messages are to be indexed: %w", err)
	}
	return f, err
}

func storeFill(tx *store.Tx, f fill) error {
	_, err := tx.Exec(`
		INSERT INTO search_fill (one, next, last) VALUES (1, $1, $2)
		ON CONFLICT (one) DO UPDATE SET next = excluded.next, last = excluded.last`, f.next, f.last)
	return err
}

// fillSome takes in some of the events that were there before.
func (x *Index) fillSome(ctx context.Context) (t taken, err error) {
	x.writing.Lock()
	defer x.writing.Unlock()
	x.mu.Lock()
	f := x.fill
	x.mu.Unlock()
	if f.next >= f.last {
		return t, nil
	}
	if f.next == toBeEmptied {
		if err := x.empty(ctx); err != nil {
			return t, err
		}
		f.next = 0
	}
	found, err := x.Rooms.StoredBehind(ctx, stateres.Num(f.next), stateres.Num(f.last), chunk)
	if err != nil {
		return t, err
	}
	f.next = f.last
	if len(found) == chunk {
		f.next = int64(found[chunk-1].Num)
	}
	w := new(work)
	var originals []room.Stored
	for _, s := range found {
		// What replaces another event is read with that.
		if _, ok := room.Edited(s.Event); !ok && keyOf(s.Event) != "" {
			originals = append(originals, s)
			w.looked = append(w.looked, s.Num)
		}
	}
	if w.docs, err = x.read(ctx, originals); err != nil {
		return t, err
	}
	if t, err = x.write(ctx, w, func(tx *store.Tx) error { return storeFill(tx, f) }); err != nil {
		return t, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.fill = f
	return t, nil
}

// Rebuild has the index emptied and made anew, in the background. Meanwhile it finds what
// it has.
func (x *Index) Rebuild(ctx context.Context) error {
	x.writing.Lock()
	defer x.writing.Unlock()
	f, err := x.beginFill(ctx, toBeEmptied)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.fill = f
	return nil
}

// empty removes all texts.
func (x *Index) empty(ctx context.Context) error {
	for more := true; more; {
		err := x.DB.Update(ctx, func(tx *store.Tx) error {
			n, err := tx.Exec("DELETE FROM search_docs WHERE doc IN (SELECT doc FROM search_docs LIMIT $1)", 2*removeStep)
			more = n > 0
			return err
		})
		if err != nil {
			return fmt.Errorf("emptying the index of messages: %w", err)
		}
	}
	return x.texts.Clear(ctx)
}
