package textindex

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"parley/internal/store"
)

// Similar returns the texts that have the most grams of one, which is folded: about what
// somebody has mistyped. They have at least two of five, and the best come first. It
// reads all of the tail, and lists of all blocks: it is for books of what is short.
func (x *Index) Similar(ctx context.Context, folded string, limit int) ([]Doc, error) {
	grams := textGrams(folded)
	grams = grams[:min(len(grams), 200)] // they are counted in bytes
	if len(grams) == 0 {
		return nil, nil
	}
	least := max(2, (2*len(grams)+4)/5)
	shared := make(map[Doc]int)
	err := x.db.View(ctx, func(tx *store.Tx) error {
		if err := x.similarInTail(tx, grams, least, shared); err != nil {
			return err
		}
		blocks, err := store.List[int64](tx, "SELECT block FROM text_blocks WHERE book = $1", x.book)
		if err != nil {
			return err
		}
		counts := make(map[int64][]uint8)
		all := newPlaces(x.size)
		err = x.lists(tx, blocks, grams, func(block int64, _ gram, list []byte) {
			clear(all)
			all.decodeList(list)
			if counts[block] == nil {
				counts[block] = make([]uint8, x.size)
			}
			all.each(func(p int) { counts[block][p]++ })
		})
		for block, list := range counts {
			for p, n := range list {
				if int(n) >= least {
					shared[x.first(block)+Doc(p)] = int(n)
				}
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for similar texts: %w", err)
	}
	docs := make([]Doc, 0, len(shared))
	for d := range shared {
		docs = append(docs, d)
	}
	slices.SortFunc(docs, func(a, b Doc) int { return cmp.Or(cmp.Compare(shared[b], shared[a]), cmp.Compare(a, b)) })
	docs = docs[:min(limit, len(docs))]
	err = x.db.View(ctx, func(tx *store.Tx) error {
		docs, err = x.left(tx, docs)
		return err
	})
	return docs, err
}

func (x *Index) similarInTail(tx *store.Tx, grams []gram, least int, shared map[Doc]int) error {
	for row, err := range tx.Query("SELECT doc, text FROM text_tail WHERE book = $1", x.book) {
		if err != nil {
			return err
		}
		var d Doc
		var text string
		if err := row.Scan(&d, &text); err != nil {
			return err
		}
		n := 0
		for _, g := range textGrams(text) {
			if _, ok := slices.BinarySearch(grams, g); ok {
				n++
			}
		}
		if n >= least {
			shared[d] = n
		}
	}
	return nil
}
