package textindex

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"parley/internal/store"
)

// pageStep is how many pages are written in one transaction: nobody else can write
// meanwhile on SQLite.
const pageStep = 64

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
		if err != nil {
			return err
		}
		block = x.block(first)
		ok = last >= x.behind(block)-1
		return nil
	})
	if err != nil {
		err = fmt.Errorf("looking for a full block: %w", err)
	}
	return block, ok, err
}

var insertLists = &store.Insert{Table: "text_lists", Columns: []store.Column{
	{Name: "book", Type: store.Int}, {Name: "block", Type: store.Int}, {Name: "page", Type: store.Int}, {Name: "lists", Type: store.Blob},
}, Conflict: "ON CONFLICT (book, block, page) DO UPDATE SET lists = excluded.lists"}

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
	pages := make(map[int64][]listed)
	for g, list := range lists {
		pages[x.page(g)] = append(pages[x.page(g)], listed{g, encodeList(list, x.size)})
	}
	rows := make([][]any, 0, len(pages))
	for _, page := range slices.Sorted(maps.Keys(pages)) {
		rows = append(rows, []any{x.book, block, page, encodePage(pages[page])})
	}
	for part := range slices.Chunk(rows, pageStep) {
		if err := x.db.Update(ctx, func(tx *store.Tx) error { return tx.QueueAll(insertLists, part) }); err != nil {
			return err
		}
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
	return x.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("DELETE FROM text_lists WHERE book = $1 AND block = $2", x.book, block)
		return err
	})
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
	for after := int64(-1); ; {
		pages, last, err := x.scrubbed(ctx, block, after, out)
		if err != nil || last == after {
			if err != nil {
				return err
			}
			break
		}
		after = last
		if err := x.db.Update(ctx, func(tx *store.Tx) error { return x.rewrite(tx, block, pages) }); err != nil {
			return err
		}
	}
	return x.db.Update(ctx, func(tx *store.Tx) error {
		in, arg := tx.In(2, docs)
		_, err := tx.Exec("DELETE FROM text_gone WHERE book = $1 AND doc "+in, x.book, arg)
		return err
	})
}

// scrubbed reads some pages of a block behind one, and returns those that change without
// some places, as they are then, and which page was the last, or the one before if there
// are no more.
func (x *Index) scrubbed(ctx context.Context, block, after int64, out places) (pages map[int64][]byte, last int64, err error) {
	pages, last = make(map[int64][]byte), after
	err = x.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query("SELECT page, lists FROM text_lists WHERE book = $1 AND block = $2 AND page > $3 ORDER BY page LIMIT $4",
			x.book, block, after, pageStep) {
			if err != nil {
				return err
			}
			var lists []byte
			if err := row.Scan(&last, &lists); err != nil {
				return err
			}
			if rest, had := without(lists, out, x.size); had {
				pages[last] = rest
			}
		}
		return nil
	})
	return pages, last, err
}

// rewrite stores pages of a block; one of which nothing is left goes.
func (x *Index) rewrite(tx *store.Tx, block int64, pages map[int64][]byte) error {
	var rows [][]any
	for page, lists := range pages {
		if lists != nil {
			rows = append(rows, []any{x.book, block, page, lists})
		} else if err := tx.Queue("DELETE FROM text_lists WHERE book = $1 AND block = $2 AND page = $3", x.book, block, page); err != nil {
			return err
		}
	}
	return tx.QueueAll(insertLists, rows)
}

// without returns a page without some places, nil if nothing is left of it, and whether it
// had any of them.
func without(page []byte, out places, size int) (rest []byte, had bool) {
	var left []listed
	set := newPlaces(size)
	eachOnPage(page, func(l listed) {
		clear(set)
		set.decodeList(l.list)
		before := set.count()
		for i := range set {
			set[i] &^= out[i]
		}
		if set.count() < before {
			had = true
			l.list = set.encode()
		}
		if l.list != nil {
			left = append(left, l)
		}
	})
	if left == nil {
		return nil, had
	}
	return encodePage(left), had
}
