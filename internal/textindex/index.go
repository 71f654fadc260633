package textindex

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"parley/internal/store"
)

// A Book is one of several indexes. The numbers are stored and never change.
type Book int64

// All books are listed here so that no two have one number.
const (
	Messages Book = 1 // what is said in rooms (search)
	Users    Book = 2 // how users are called (directory)
)

// A Doc is the number of a text. It is given out once.
type Doc int64

// A Text is what is to be found.
type Text struct {
	// Folded is the text as Fold returns it.
	Folded string
	// Tag says to which of some things it belongs, so that a query can be for texts
	// of a few of these; 0: to none. It is not negative.
	Tag int64
	// Rank says which texts are wanted first: the greatest.
	Rank int64
}

// Index is one book. It is safe for concurrent use as far as there is one at a time
// who writes.
type Index struct {
	db   *store.DB
	book Book
	size int // texts in a block
}

// New returns a book of a database. The size of its blocks, in texts, is a multiple of
// 64 up to 65536, and the same for ever: small blocks are written early, large ones
// take less room.
func New(db *store.DB, book Book, size int) *Index {
	if size <= 0 || size > 1<<16 || size%64 != 0 {
		panic("textindex: size of blocks out of range")
	}
	return &Index{db, book, size}
}

func (x *Index) block(d Doc) int64  { return int64(d) / int64(x.size) }
func (x *Index) place(d Doc) int    { return int(int64(d) % int64(x.size)) }
func (x *Index) first(b int64) Doc  { return Doc(b * int64(x.size)) }
func (x *Index) behind(b int64) Doc { return x.first(b + 1) }

var insertTail = &store.Insert{Table: "text_tail", Columns: []store.Column{
	{Name: "book", Type: store.Int}, {Name: "doc", Type: store.Int}, {Name: "tag", Type: store.Int}, {Name: "rank", Type: store.Int},
	{Name: "text", Type: store.Text},
}}

// Add adds texts in a transaction, and returns the number of the first: the others
// follow it.
func (x *Index) Add(tx *store.Tx, texts []Text) (Doc, error) {
	n := int64(len(texts))
	var last int64
	err := tx.Row(`
		INSERT INTO text_books (book, last) VALUES ($1, $2)
		ON CONFLICT (book) DO UPDATE SET last = text_books.last + excluded.last
		RETURNING last`, x.book, n).Scan(&last)
	if err != nil {
		return 0, fmt.Errorf("numbering %d texts: %w", n, err)
	}
	first := Doc(last - n + 1)
	rows := make([][]any, n)
	for i, t := range texts {
		rows[i] = []any{x.book, first + Doc(i), t.Tag, t.Rank, t.Folded}
	}
	return first, tx.QueueAll(insertTail, rows)
}

var insertGone = &store.Insert{Table: "text_gone", Columns: []store.Column{{Name: "book", Type: store.Int}, {Name: "doc", Type: store.Int}},
	Conflict: "ON CONFLICT (book, doc) DO NOTHING"}

// Remove removes texts in a transaction.
func (x *Index) Remove(tx *store.Tx, docs []Doc) error {
	if len(docs) == 0 {
		return nil
	}
	in, list := tx.In(2, docs)
	tail, err := store.List[Doc](tx, "DELETE FROM text_tail WHERE book = $1 AND doc "+in+" RETURNING doc", x.book, list)
	if err != nil {
		return fmt.Errorf("removing %d texts: %w", len(docs), err)
	}
	slices.Sort(tail)
	var rows [][]any
	for _, d := range docs {
		if _, found := slices.BinarySearch(tail, d); !found {
			rows = append(rows, []any{x.book, d})
		}
	}
	return tx.QueueAll(insertGone, rows)
}

// clearStep is how many rows are deleted in one transaction.
const clearStep = 5000

// Clear removes everything, some at a time.
func (x *Index) Clear(ctx context.Context) error {
	for _, t := range []struct{ table, key string }{
		// The blocks first: nobody looks for lists that are of none.
		{"text_blocks", "block"}, {"text_tail", "doc"}, {"text_gone", "doc"}, {"text_lists", "block, page"},
	} {
		for more := true; more; {
			err := x.db.Update(ctx, func(tx *store.Tx) error {
				n, err := tx.Exec("DELETE FROM "+t.table+" WHERE book = $1 AND ("+t.key+") IN (SELECT "+t.key+" FROM "+t.table+" WHERE book = $1 LIMIT $2)",
					x.book, clearStep)
				more = n == clearStep
				return err
			})
			if err != nil {
				return fmt.Errorf("clearing an index of texts: %w", err)
			}
		}
	}
	return nil
}

// last returns the last number that was given out, 0 for none.
func (x *Index) last(tx *store.Tx) (last Doc, err error) {
	err = tx.Row("SELECT last FROM text_books WHERE book = $1", x.book).Scan(&last)
	if errors.Is(err, store.ErrNoRows) {
		err = nil
	}
	return last, err
}
