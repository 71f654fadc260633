package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
)

// ErrNoRows is returned by Scan when a query gave no row.
var ErrNoRows = errors.New("no rows")

// ErrUnknown means that a commit may or may not have happened.
var ErrUnknown = errors.New("the outcome of the commit is unknown")

// DB is a database. It is safe for concurrent use.
type DB struct {
	backend backend
	closed  sync.Once
	fault   atomic.Pointer[func(Point) error]
	asked   atomic.Int64
}

// A Point is a moment of an update at which a test may let it fail.
type Point int

const (
	BeforeBegin  Point = iota // nothing was done
	BeforeCommit              // all was written, and is undone
	AfterCommit               // all is durable, but the caller is told ErrUnknown
)

// FailAt lets f decide, at each point of each update, whether it fails there
// with the error that f returns; with nil none does. It is for tests of what a crash or
// a broken connection leaves behind.
func (db *DB) FailAt(f func(Point) error) {
	if f == nil {
		db.fault.Store(nil)
		return
	}
	db.fault.Store(&f)
}

func (db *DB) failure(write bool, p Point) error {
	f := db.fault.Load()
	if f == nil || !write {
		return nil
	}
	return (*f)(p)
}

// backend is what the two databases do differently.
type backend interface {
	// begin starts a transaction, which ends with commit or rollback.
	begin(ctx context.Context, write bool) (session, error)
	// again reports whether a transaction failed because others were in its way,
	// and may succeed if it is begun anew.
	again(err error) bool
	// risks is [DB.Risks].
	risks(ctx context.Context) ([]string, error)
	close() error
}

// session is an open transaction.
type session interface {
	exec(query string, args []any) (affected int64, err error)
	query(query string, args []any) (rows, error)
	// queue and queueInsert may leave the work to flush, or to whatever comes
	// next.
	queue(query string, args []any) error
	queueInsert(ins *Insert, rows [][]any) error
	flush() error
	list(values any) (expression string, arg any)
	dialect() Dialect
	broken() bool
	commit() error
	rollback()
}

// rows are the results of a query. Only one can be open in a transaction.
type rows interface {
	next() bool
	scan(dest []any) error
	close() error
}

// A Dialect is one of the two databases.
type Dialect string

const (
	SQLite     Dialect = "sqlite"
	PostgreSQL Dialect = "postgres"
)

// Open opens the database at a location: a postgres:// URL, or the path of a
// SQLite file, which is created when it is missing. It does not migrate.
func Open(ctx context.Context, location string) (*DB, error) {
	var b backend
	var err error
	if strings.HasPrefix(location, "postgres://") || strings.HasPrefix(location, "postgresql://") {
		b, err = openPostgres(ctx, location)
	} else {
		b, err = openSQLite(location)
	}
	if err != nil {
		return nil, err
	}
	return &DB{backend: b}, nil
}

// Close closes the database when all transactions have ended. Closing it again
// does nothing.
func (db *DB) Close() (err error) {
	db.closed.Do(func() { err = db.backend.close() })
	return err
}

// Risks says, to the operator, which settings of the database break the promise
// that what Update has acknowledged survives a crash and a loss of power.
func (db *DB) Risks(ctx context.Context) ([]string, error) { return db.backend.risks(ctx) }

// Statements is how many were given to the database so far, an insert of many rows
// being one.
func (db *DB) Statements() int64 { return db.asked.Load() }

// View runs f on a snapshot of the database, which f cannot change. f must not
// begin another transaction: there are only so many connections, and if each
// waited for a second one all would wait.
func (db *DB) View(ctx context.Context, f func(*Tx) error) error {
	return db.run(ctx, false, f)
}

// Update runs f in a transaction that is committed when f returns nil. f must
// not begin another transaction.
//
// PostgreSQL ends a transaction that waits for another which waits for it. It is
// begun anew then, so f may be called several times, and each time must do the
// same: what it leaves outside of the transaction has to be what its last call
// left.
func (db *DB) Update(ctx context.Context, f func(*Tx) error) error {
	var err error
	for range attempts {
		if err = db.run(ctx, true, f); !db.backend.again(err) {
			break
		}
	}
	return err
}

// attempts is how often a transaction is begun that others are in the way of. Of
// those that wait for each other one goes on, so there are seldom more than two.
const attempts = 10

func (db *DB) run(ctx context.Context, write bool, f func(*Tx) error) error {
	if err := db.failure(write, BeforeBegin); err != nil {
		return err
	}
	s, err := db.backend.begin(ctx, write)
	if err != nil {
		return err
	}
	ended := false
	defer func() {
		if !ended {
			s.rollback()
		}
	}()
	tx := &Tx{session: s, ctx: ctx, asked: &db.asked}
	if err := f(tx); err != nil {
		return err
	}
	if write && db.fault.Load() != nil { // otherwise with the commit
		if err := tx.Flush(); err != nil {
			return err
		}
	}
	if err := db.failure(write, BeforeCommit); err != nil {
		return err
	}
	ended = true
	if err := s.commit(); err != nil {
		return err
	}
	if err := db.failure(write, AfterCommit); err != nil {
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return nil
}
