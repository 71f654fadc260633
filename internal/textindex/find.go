package textindex

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"parley/internal/store"
)

// A Query says which texts are wanted.
type Query struct {
	// Terms are what a text must have, all of it. Without any, every text with one of the
	// tags is meant.
	Terms []Term
	// Tags are those of which a text has one; nil: any, if there are terms.
	Tags []int64
	// Below says that texts of this rank or a greater one are not wanted; 0: that
	// all are, but those of the greatest rank there can be.
	Below int64
}

// A Hunt goes through an index in search of candidates, part by part, those parts
// first whose texts may be ranked highest. It is not safe for concurrent use.
type Hunt struct {
	x     *Index
	query Query
	begun bool
	// blocks are those that are left, the last one next.
	blocks []blockRow
	step   int
}

type blockRow struct{ block, most int64 }

// Find begins a hunt. It does nothing before Next.
func (x *Index) Find(q Query) *Hunt {
	if q.Below == 0 {
		q.Below = math.MaxInt64
	}
	return &Hunt{x: x, query: q, step: 1}
}

// Rest returns the greatest rank that a candidate of the parts to come may have, the
// least number if there is no more to come.
func (h *Hunt) Rest() int64 {
	switch n := len(h.blocks); {
	case !h.begun:
		return math.MaxInt64
	case n == 0:
		return math.MinInt64
	default:
		return h.blocks[n-1].most
	}
}

// Done reports whether there is no more to come.
func (h *Hunt) Done() bool { return h.begun && len(h.blocks) == 0 }

// Next returns the candidates of the next part, in no order. Those of the tail match.
func (h *Hunt) Next(ctx context.Context) (docs []Doc, err error) {
	err = h.x.db.View(ctx, func(tx *store.Tx) (err error) {
		if !h.begun {
			docs, err = h.begin(tx)
			return err
		}
		// Of what is rare much is gone through at once, of what is not a little.
		n := min(h.step, len(h.blocks))
		h.step = min(2*h.step, 64)
		part := h.blocks[len(h.blocks)-n:]
		h.blocks = h.blocks[:len(h.blocks)-n]
		docs, err = h.among(tx, part)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for texts: %w", err)
	}
	return docs, nil
}

// begin looks through the tail, and lists the blocks.
func (h *Hunt) begin(tx *store.Tx) ([]Doc, error) {
	var err error
	h.blocks, err = store.Collect(tx.Query("SELECT block, most FROM text_blocks WHERE book = $1 AND least < $2", h.x.book, h.query.Below),
		func(scan func(...any) error) (b blockRow, err error) {
			err = scan(&b.block, &b.most)
			return b, err
		})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(h.blocks, func(a, b blockRow) int { return cmp.Or(cmp.Compare(a.most, b.most), cmp.Compare(a.block, b.block)) })
	h.begun = true
	query, args := "SELECT doc, text FROM text_tail WHERE book = $1 AND rank < $2", []any{h.x.book, h.query.Below}
	for _, t := range h.query.Terms {
		contains, pattern := store.Contains(len(args)+1, t.text)
		query, args = query+" AND text "+contains, append(args, pattern)
	}
	if h.query.Tags != nil {
		in, list := tx.In(len(args)+1, h.query.Tags)
		query, args = query+" AND tag "+in, append(args, list)
	}
	var docs []Doc
	for row, err := range tx.Query(query, args...) {
		if err != nil {
			return nil, err
		}
		var d Doc
		var text string
		if err := row.Scan(&d, &text); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(h.query.Terms, func(t Term) bool { return t.In(text) == NoMatch }) {
			docs = append(docs, d)
		}
	}
	return docs, nil
}

// among returns the candidates in blocks.
func (h *Hunt) among(tx *store.Tx, part []blockRow) (docs []Doc, err error) {
	var grams []gram
	for _, t := range h.query.Terms {
		grams = append(grams, t.grams...)
	}
	slices.Sort(grams)
	grams = slices.Compact(grams)
	if len(grams) == 0 && h.query.Tags == nil {
		return nil, fmt.Errorf("every text of %d blocks is wanted", len(part))
	}
	found := make(map[int64]places)
	blocks := make([]int64, len(part))
	for i, b := range part {
		blocks[i] = b.block
	}
	if len(grams) > 0 {
		if found, err = h.all(tx, blocks, grams); err != nil {
			return nil, err
		}
		blocks = blocks[:0]
		for b := range found {
			blocks = append(blocks, b)
		}
	}
	if h.query.Tags != nil && len(blocks) > 0 {
		tagged, err := h.tagged(tx, blocks)
		if err != nil {
			return nil, err
		}
		for _, b := range blocks {
			switch {
			case tagged[b] == nil:
				delete(found, b)
			case found[b] == nil:
				found[b] = tagged[b]
			default:
				found[b].and(tagged[b])
			}
		}
	}
	for b, set := range found {
		set.each(func(p int) { docs = append(docs, h.x.first(b)+Doc(p)) })
	}
	return h.x.left(tx, docs)
}

// all returns for each of some blocks the places that all of some grams have, without
// blocks that have none.
func (h *Hunt) all(tx *store.Tx, blocks []int64, grams []gram) (map[int64]places, error) {
	found := make(map[int64]places)
	seen := make(map[int64]int)
	err := h.x.lists(tx, blocks, grams, func(block int64, _ gram, list []byte) {
		set := newPlaces(h.x.size)
		set.decodeList(list)
		if seen[block]++; seen[block] == 1 {
			found[block] = set
		} else {
			found[block].and(set)
		}
	})
	for block, n := range seen {
		if n < len(grams) || found[block].count() == 0 {
			delete(found, block)
		}
	}
	return found, err
}

// tagged returns for each of some blocks the places that have one of the tags.
func (h *Hunt) tagged(tx *store.Tx, blocks []int64) (map[int64]places, error) {
	found := make(map[int64]places)
	grams := make([]gram, len(h.query.Tags))
	for i, tag := range h.query.Tags {
		grams[i] = tagGram(tag)
	}
	slices.Sort(grams)
	err := h.x.lists(tx, blocks, grams, func(block int64, _ gram, list []byte) {
		if found[block] == nil {
			found[block] = newPlaces(h.x.size)
		}
		found[block].decodeList(list)
	})
	return found, err
}

// lists calls f with the lists of some grams, which are in order, in some blocks.
func (x *Index) lists(tx *store.Tx, blocks []int64, grams []gram, f func(block int64, g gram, list []byte)) error {
	var pages []int64
	for _, g := range grams {
		pages = append(pages, x.page(g))
	}
	slices.Sort(pages)
	inBlocks, blockList := tx.In(2, blocks)
	inPages, pageList := tx.In(3, slices.Compact(pages))
	for row, err := range tx.Query("SELECT block, lists FROM text_lists WHERE book = $1 AND block "+inBlocks+" AND page "+inPages,
		x.book, blockList, pageList) {
		if err != nil {
			return err
		}
		var block int64
		var lists []byte
		if err := row.Scan(&block, &lists); err != nil {
			return err
		}
		eachOnPage(lists, func(l listed) {
			if _, wanted := slices.BinarySearch(grams, l.gram); wanted {
				f(block, l.gram, l.list)
			}
		})
	}
	return nil
}

// left returns those of some texts that are not gone.
func (x *Index) left(tx *store.Tx, docs []Doc) ([]Doc, error) {
	if len(docs) == 0 {
		return docs, nil
	}
	var any bool
	if err := tx.Row("SELECT EXISTS (SELECT 1 FROM text_gone WHERE book = $1)", x.book).Scan(&any); err != nil || !any {
		return docs, err
	}
	in, list := tx.In(2, docs)
	gone, err := store.List[Doc](tx, "SELECT doc FROM text_gone WHERE book = $1 AND doc "+in, x.book, list)
	slices.Sort(gone)
	return slices.DeleteFunc(docs, func(d Doc) bool {
		_, found := slices.BinarySearch(gone, d)
		return found
	}), err
}
