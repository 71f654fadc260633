package store

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
)

// Tx is a transaction. It is not safe for concurrent use and must not be used
// after the function that got it has returned.
type Tx struct {
	session session
	ctx     context.Context
	asked   *atomic.Int64 // statements, of all transactions
}

// Context returns the context that the transaction was begun with.
func (tx *Tx) Context() context.Context { return tx.ctx }

// Dialect tells which database it is, for the rare statement that cannot be
// written for both.
func (tx *Tx) Dialect() Dialect { return tx.session.dialect() }

// Broken reports whether an earlier error makes all further statements of the
// transaction fail. On PostgreSQL that is any error of a statement.
func (tx *Tx) Broken() bool { return tx.session.broken() }

// Exec runs a statement that returns no rows and tells how many it affected.
//
// Arguments are integers, strings, byte slices, booleans and nil, types whose
// underlying type is one of these, and driver.Valuers. Nil byte slices are
// NULL.
func (tx *Tx) Exec(query string, args ...any) (affected int64, err error) {
	tx.asked.Add(1)
	affected, err = tx.session.exec(query, args)
	if err != nil {
		return 0, fmt.Errorf("%w in %.200q", err, query)
	}
	return affected, nil
}

// Queue is Exec for a statement whose outcome nobody waits for: where the
// database is far, many go there at once. An error may be that of a statement
// queued before, or come from whatever is done next, from Flush, or from the end
// of the transaction.
func (tx *Tx) Queue(query string, args ...any) error {
	tx.asked.Add(1)
	if err := tx.session.queue(query, args); err != nil {
		return fmt.Errorf("%w in %.200q", err, query)
	}
	return nil
}

// QueueAll inserts rows, each with a value per column, in as few round trips as
// the database needs, and like Queue.
func (tx *Tx) QueueAll(ins *Insert, rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	tx.asked.Add(1)
	if err := tx.session.queueInsert(ins, rows); err != nil {
		return fmt.Errorf("inserting %d rows into %s: %w", len(rows), ins.Table, err)
	}
	return nil
}

// Flush does what was queued.
func (tx *Tx) Flush() error {
	if err := tx.session.flush(); err != nil {
		return fmt.Errorf("doing what was queued: %w", err)
	}
	return nil
}

// Row is the first row that a query gives.
type Row struct {
	tx    *Tx
	query string
	args  []any
}

// Row prepares a query of which one row is wanted.
func (tx *Tx) Row(query string, args ...any) Row { return Row{tx, query, args} }

// Scan runs the query and stores the columns of its first row. The error is
// ErrNoRows when there is none. Destinations are pointers to what Exec takes as
// arguments, or sql.Scanners; byte slices are the caller's. NULL leaves a
// string, number or boolean zero and a byte slice nil.
func (r Row) Scan(dest ...any) error {
	for row, err := range r.tx.Query(r.query, r.args...) {
		if err != nil {
			return err
		}
		return row.Scan(dest...)
	}
	return ErrNoRows
}

// A Cursor is the present row of a query.
type Cursor struct {
	rows  rows
	query string
}

// Scan stores the columns of the present row, see Row.Scan.
func (c Cursor) Scan(dest ...any) error {
	if err := c.rows.scan(dest); err != nil {
		return fmt.Errorf("reading a row of %.200q: %w", c.query, err)
	}
	return nil
}

// Query yields the rows of a query. An error ends the sequence. While it is
// ranged over no other statement may run in the transaction.
func (tx *Tx) Query(query string, args ...any) iter.Seq2[Cursor, error] {
	return func(yield func(Cursor, error) bool) {
		tx.asked.Add(1)
		rs, err := tx.session.query(query, args)
		if err != nil {
			yield(Cursor{}, fmt.Errorf("%w in %.200q", err, query))
			return
		}
		for rs.next() {
			if !yield(Cursor{rs, query}, nil) {
				rs.close()
				return
			}
		}
		if err := rs.close(); err != nil {
			yield(Cursor{}, fmt.Errorf("%w in %.200q", err, query))
		}
	}
}

// List returns the one column that a query has, nil if that gives no rows. A *T has
// to be something that Scan takes.
func List[T any](tx *Tx, query string, args ...any) (list []T, err error) {
	for row, err := range tx.Query(query, args...) {
		if err != nil {
			return nil, err
		}
		var v T
		if err := row.Scan(&v); err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// Collect returns what a function makes of each row of a query, never nil. It gets
// the row's [Cursor.Scan], so that it can be the one that reads a [Row], too.
func Collect[T any](rows iter.Seq2[Cursor, error], read func(scan func(dest ...any) error) (T, error)) ([]T, error) {
	list := []T{}
	for row, err := range rows {
		if err != nil {
			return nil, err
		}
		v, err := read(row.Scan)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// A ColumnType is the type of a column that many rows are inserted into.
type ColumnType string

const (
	Int  ColumnType = "bigint"
	Text ColumnType = "text"
	Blob ColumnType = "bytea"
	Bool ColumnType = "boolean"
)

// A Column is a column of an Insert.
type Column struct {
	Name string
	Type ColumnType
}

// Insert is a statement that inserts many rows. Make one per statement, once.
type Insert struct {
	// Table and Columns say where the values go.
	Table   string
	Columns []Column
	// Conflict is an ON CONFLICT clause, or empty.
	Conflict string
}

// In returns a subquery of the values of a list, to stand after IN, and the
// argument that it needs as its parameter $n:
//
//	in, arg := tx.In(1, ids)
//	tx.Query("SELECT ... WHERE id "+in, arg)
//
// The list is a slice of strings, of integers, of types that are such underneath,
// or a [][]byte.
func (tx *Tx) In(n int, list any) (expression string, arg any) {
	expression, arg = tx.session.list(list)
	return fmt.Sprintf(expression, n), arg
}

// Contains returns a condition that a text contains another one, to stand after the text,
// and the argument that it needs as its parameter $n. On SQLite the case of the letters
// from a to z does not count.
func Contains(n int, part string) (condition string, arg any) {
	escapes := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)
	return fmt.Sprintf(`LIKE $%d ESCAPE '\'`, n), "%" + escapes.Replace(part) + "%"
}
