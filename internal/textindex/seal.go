package textindex

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"parley/internal/store"
)

// gramStep is how many lists are written in one transaction: nobody else can write
// meanwhile on SQLite.
const gramStep = 1000

// Tidy writes the lists of the blocks that are full, and takes out of lists what is
// gone. It is to be called now and then by who writes, and more often than a block gets
// full. What a crash interrupts, the next call does again.
func (x *Index) Tidy(ctx context.Context) error {
	if err := x.Seal(ctx); err != nil {
		return err
	}
	for {
		block, docs, err := x.gone(ctx)
		if err != nil || len(docs) == 0 {
			return err
		}
		if err := x.scrub(ctx, block, docs); err != nil {
			return fmt.Errorf("taking %d texts out of block %d: %w", len(docs), block, err)
		}
	}
}

// Seal writes the lists of the blocks that are full.
func (x *Index) Seal(ctx context.Context) error {
	for {
		block, ok, err := x.full(ctx)
		if err != nil || !ok {
			return err
		}
		if err := x.seal(ctx, block); err != nil {
			return fmt.Errorf("writing the lists of block %d: %w", block, err)
		}
	}
}

// full returns a block all of whose numbers are given out, and of which there are
// texts in the tail.
func (x *Index) full(ctx context.Context) (block int64, ok bool, err error) {
	err = x.db.View(ctx, func(tx *store.Tx) error {
		last, err := x.last(tx)
		if err != nil {
			return err
		}
		var first Doc
		err = tx.Row("SELECT doc FROM text_tail WHERE book = $1 ORDER BY doc LIMIT 1", x.book).Scan(&first)
		if errors.Is(err, store.ErrNoRows) {
			return nil
		}
		block = x.block(first)
		ok = last >= x.behind(block)-1
		return err
	})
	if err != nil {
		err = fmt.Errorf("looking for a full block: %w", err)
	}
	return block, ok, err
}

var insertGrams = &store.Insert{Table: "text_grams", Columns: []store.Column{
	{Name: "book", Type: store.Int}, {Name: "block", Type: store.Int}, {Name: "gram", Type: store.Int}, {Name: "docs", Type: store.Blob},
}, Conflict: "ON CONFLICT (book, block, gram) DO UPDATE SET docs = excluded.docs"}

// seal writes the lists of a block. They are written some at a time, and count once
// there is a row of the block.
func (x *Index) seal(ctx context.Context, block int64) error {
	lists := make(map[gram][]uint16)
	var texts []Doc
	var least, most int64
	err := x.eachInTail(ctx, block, func(d Doc, t Text) {
		if len(texts) == 0 || t.Rank < least {
			least = t.Rank
		}
		if len(texts) == 0 || t.Rank > most {
			most = t.Rank
		}
		texts = append(texts, d)
		grams := textGrams(t.Folded)
		if t.Tag != 0 {
			grams = append(grams, tagGram(t.Tag))
		}
		for _, g := range grams {
			lists[g] = append(lists[g], uint16(x.place(d)))
		}
	})
	if err != nil {
		return err
	}
	if err := x.dropLists(ctx, block); err != nil {
		return err
	}
	rows := make([][]any, 0, len(lists))
	for g, list := range lists {
		rows = append(rows, []any{x.book, block, int64(g), encodeList(list, x.size)})
	}
	sortRows(rows)
	for len(rows) > 0 {
		n := min(gramStep, len(rows))
		if err := x.db.Update(ctx, func(tx *store.Tx) error { return tx.QueueAll(insertGrams, rows[:n]) }); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return x.db.Update(ctx, func(tx *store.Tx) error {
		if err := tx.Queue("INSERT INTO text_blocks (book, block, least, most) VALUES ($1, $2, $3, $4)", x.book, block, least, most); err != nil {
			return err
		}
		return tx.Queue("DELETE FROM text_tail WHERE book = $1 AND doc >= $2 AND doc < $3", x.book, x.first(block), x.behind(block))
	})
}

// dropLists deletes what an attempt that was interrupted has left: it may have what is
// gone since.
func (x *Index) dropLists(ctx context.Context, block int64) error {
	for more := true; more; {
		err := x.db.Update(ctx, func(tx *store.Tx) error {
			n, err := tx.Exec(`
				DELETE FROM text_grams WHERE book = $1 AND block = $2 AND gram IN (
					SELECT gram FROM text_grams WHERE book = $1 AND block = $2 LIMIT $3)`, x.book, block, gramStep)
			more = n == gramStep
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eachInTail calls f for the texts of a block that are in the tail, in order.
func (x *Index) eachInTail(ctx context.Context, block int64, f func(Doc, Text)) error {
	return x.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query("SELECT doc, tag, rank, text FROM text_tail WHERE book = $1 AND doc >= $2 AND doc < $3 ORDER BY doc",
			x.book, x.first(block), x.behind(block)) {
			if err != nil {
				return err
			}
			var d Doc
			var t Text
			if err := row.Scan(&d, &t.Tag, &t.Rank, &t.Folded); err != nil {
				return err
			}
			f(d, t)
		}
		return nil
	})
}

// gone returns texts of one block that are gone, and still in its lists.
func (x *Index) gone(ctx context.Context) (block int64, docs []Doc, err error) {
	err = x.db.View(ctx, func(tx *store.Tx) error {
		var first Doc
		err := tx.Row("SELECT doc FROM text_gone WHERE book = $1 ORDER BY doc LIMIT 1", x.book).Scan(&first)
		if errors.Is(err, store.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		block = x.block(first)
		docs, err = store.List[Doc](tx, "SELECT doc FROM text_gone WHERE book = $1 AND doc < $2 ORDER BY doc", x.book, x.behind(block))
		return err
	})
	if err != nil {
		err = fmt.Errorf("looking for texts that are gone: %w", err)
	}
	return block, docs, err
}

// scrub takes texts out of the lists of a block.
func (x *Index) scrub(ctx context.Context, block int64, docs []Doc) error {
	out := newPlaces(x.size)
	for _, d := range docs {
		out.add(x.place(d))
	}
	after, more := gram(-1<<63), true
	for more {
		var changed [][]any
		var emptied []int64
		err := x.db.View(ctx, func(tx *store.Tx) error {
			seen := 0
			for row, err := range tx.Query("SELECT gram, docs FROM text_grams WHERE book = $1 AND block = $2 AND gram > $3 ORDER BY gram LIMIT $4",
				x.book, block, int64(after), gramStep) {
				if err != nil {
					return err
				}
				var g int64
				var list []byte
				if err := row.Scan(&g, &list); err != nil {
					return err
				}
				after = gram(g)
				seen++
				switch rest, had := without(list, out, x.size); {
				case had && rest == nil:
					emptied = append(emptied, g)
				case had:
					changed = append(changed, []any{x.book, block, g, rest})
				}
			}
			more = seen == gramStep
			return nil
		})
		if err == nil && len(changed)+len(emptied) > 0 {
			err = x.db.Update(ctx, func(tx *store.Tx) error {
				in, arg := tx.In(3, emptied)
				if err := tx.Queue("DELETE FROM text_grams WHERE book = $1 AND block = $2 AND gram "+in, x.book, block, arg); err != nil {
					return err
				}
				return tx.QueueAll(insertGrams, changed)
			})
		}
		if err != nil {
			return err
		}
	}
	return x.db.Update(ctx, func(tx *store.Tx) error {
		in, arg := tx.In(2, docs)
		_, err := tx.Exec("DELETE FROM text_gone WHERE book = $1 AND doc "+in, x.book, arg)
		return err
	})
}

// without returns a list without some places, nil if nothing is left of it, and
// whether it had any of them.
func without(list []byte, out places, size int) (rest []byte, had bool) {
	all := newPlaces(size)
	all.decodeList(list)
	before := all.count()
	for i := range all {
		all[i] &^= out[i]
	}
	if all.count() == before {
		return list, false
	}
	return all.encode(), true
}

// sortRows sorts rows of lists by their grams, in the order of the table.
func sortRows(rows [][]any) {
	slices.SortFunc(rows, func(a, b []any) int { return cmp.Compare(a[2].(int64), b[2].(int64)) })
}
