package store

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"
)

// sqliteDB is a SQLite file: one connection writes, several read. The driver's
// own interface is used, not database/sql, which makes point reads three times
// as dear.
type sqliteDB struct {
	writer  chan *sqliteConn // holds the connection while nobody writes
	readers chan *sqliteConn
	count   int // of readers
}

// sqliteConn is a connection with what it knows of its prepared statements.
type sqliteConn struct {
	*sqlite.Conn
	// params has for each parameter of a statement which argument it takes.
	params map[*sqlite.Stmt][]int
}

// checkpointPages is how far the write-ahead log grows before it is copied
// back: 64 MB. Rarer and longer checkpoints cost less in all.
const checkpointPages = 16000

func openSQLite(path string) (backend, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := createPrivate(path); err != nil {
		return nil, err
	}
	readers := max(4, 2*runtime.GOMAXPROCS(0))
	db := &sqliteDB{
		writer:  make(chan *sqliteConn, 1),
		readers: make(chan *sqliteConn, readers),
	}
	conn, err := connectSQLite(path, sqlite.OpenReadWrite|sqlite.OpenCreate|sqlite.OpenWAL)
	if err != nil {
		return nil, err
	}
	db.writer <- conn
	for range readers {
		conn, err := connectSQLite(path, sqlite.OpenReadOnly)
		if err != nil {
			return nil, errors.Join(err, db.close())
		}
		db.readers <- conn
		db.count++
	}
	return db, nil
}

// createPrivate makes a file that only its owner may read, unless there is one:
// there are hashes of passwords in it. SQLite gives its other files the same mode.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func connectSQLite(path string, flags sqlite.OpenFlags) (*sqliteConn, error) {
	conn, err := sqlite.OpenConn(path, flags)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	conn.SetBusyTimeout(10 * time.Second)
	c := &sqliteConn{Conn: conn, params: make(map[*sqlite.Stmt][]int)}
	for _, pragma := range []string{
		"PRAGMA synchronous = FULL",
		"PRAGMA foreign_keys = ON",
		"PRAGMA wal_autocheckpoint = " + strconv.Itoa(checkpointPages),
		"PRAGMA mmap_size = 67108864",
		"PRAGMA cache_size = -8192",
		"PRAGMA temp_store = MEMORY",
	} {
		if err := c.run(pragma); err != nil {
			return nil, errors.Join(fmt.Errorf("%s on %s: %w", pragma, path, err), conn.Close())
		}
	}
	return c, nil
}

func (c *sqliteConn) run(statement string) error {
	stmt, _, err := c.PrepareTransient(statement)
	if err != nil {
		return err
	}
	for more := true; more && err == nil; {
		more, err = stmt.Step()
	}
	return errors.Join(err, stmt.Finalize())
}

func (db *sqliteDB) begin(ctx context.Context, write bool) (session, error) {
	pool, statement := db.readers, "BEGIN"
	if write {
		pool, statement = db.writer, "BEGIN IMMEDIATE"
	}
	select {
	case conn := <-pool:
		conn.SetInterrupt(ctx.Done())
		s := &sqliteSession{conn: conn, pool: pool}
		if _, err := s.exec(statement, nil); err != nil {
			s.release()
			return nil, fmt.Errorf("beginning a transaction: %w", err)
		}
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// risks: there are none, see connectSQLite.
// again: writers come one after the other.
func (*sqliteDB) again(error) bool { return false }

func (db *sqliteDB) risks(context.Context) ([]string, error) { return nil, nil }

// close closes the writer last: the last connection copies the write-ahead log
// back and removes it, which one that only reads cannot.
func (db *sqliteDB) close() (err error) {
	for range db.count {
		err = errors.Join(err, (<-db.readers).Close())
	}
	return errors.Join(err, (<-db.writer).Close())
}

type sqliteSession struct {
	conn *sqliteConn
	pool chan *sqliteConn
}

func (s *sqliteSession) dialect() Dialect { return SQLite }

// broken: some errors, such as a full disk, roll the transaction back.
func (s *sqliteSession) broken() bool { return s.conn.AutocommitEnabled() }

func (s *sqliteSession) release() {
	s.conn.SetInterrupt(nil)
	s.pool <- s.conn
}

// commit is not interrupted: once it has begun, the change is to be known.
func (s *sqliteSession) commit() error {
	s.conn.SetInterrupt(nil)
	if _, err := s.exec("COMMIT", nil); err != nil {
		s.rollback()
		if sqlite.ErrCode(err).ToPrimary() == sqlite.ResultIOErr {
			// It is undone for this process. If that dies before it writes
			// again, the next one may find it in the log.
			err = fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		return fmt.Errorf("committing: %w", err)
	}
	s.release()
	return nil
}

func (s *sqliteSession) rollback() {
	s.conn.SetInterrupt(nil)
	if !s.conn.AutocommitEnabled() {
		// It fails only when there is nothing left to roll back.
		_, _ = s.exec("ROLLBACK", nil)
	}
	s.release()
}

// prepare returns the cached statement with its arguments bound.
func (s *sqliteSession) prepare(query string, args []any) (*sqlite.Stmt, error) {
	stmt, err := s.conn.Prepare(query)
	if err != nil {
		return nil, err
	}
	order, ok := s.conn.params[stmt]
	if !ok {
		if order, err = paramOrder(stmt); err != nil {
			return nil, err
		}
		s.conn.params[stmt] = order
	}
	return stmt, bind(stmt, order, args)
}

// paramOrder finds which argument each parameter takes: SQLite numbers $2 and
// $1 by which comes first.
func paramOrder(stmt *sqlite.Stmt) ([]int, error) {
	order := make([]int, stmt.BindParamCount())
	for i := range order {
		name := stmt.BindParamName(i + 1)
		n, err := strconv.Atoi(strings.TrimPrefix(name, "$"))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("parameter %q is not of the form $1", name)
		}
		order[i] = n - 1
	}
	return order, nil
}

func bind(stmt *sqlite.Stmt, order []int, args []any) error {
	for i, n := range order {
		if n >= len(args) {
			return fmt.Errorf("parameter $%d has no argument", n+1)
		}
		value, err := plain(args[n])
		if err != nil {
			return err
		}
		switch v := value.(type) {
		case nil:
			stmt.BindNull(i + 1)
		case int64:
			stmt.BindInt64(i+1, v)
		case string:
			stmt.BindText(i+1, v)
		case []byte:
			stmt.BindBytes(i+1, v)
		case bool:
			stmt.BindBool(i+1, v)
		}
	}
	return nil
}

func (s *sqliteSession) exec(query string, args []any) (int64, error) {
	stmt, err := s.prepare(query, args)
	if err != nil {
		return 0, err
	}
	for more := true; more && err == nil; {
		more, err = stmt.Step()
	}
	// Reset repeats the error of the last step.
	if resetErr := stmt.Reset(); err == nil {
		err = resetErr
	}
	if err != nil {
		return 0, err
	}
	return int64(s.conn.Changes()), nil
}

// There is no way to the database that could be gone less often.
func (s *sqliteSession) queue(query string, args []any) error {
	_, err := s.exec(query, args)
	return err
}

func (s *sqliteSession) queueInsert(ins *Insert, rows [][]any) error {
	var b strings.Builder
	fmt.Fprintf(&b, "INSERT INTO %s (%s) VALUES (", ins.Table, ins.names())
	for i := range ins.Columns {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", i+1)
	}
	fmt.Fprintf(&b, ") %s", ins.Conflict)
	query := b.String()
	for _, row := range rows {
		if _, err := s.exec(query, row); err != nil {
			return err
		}
	}
	return nil
}

func (s *sqliteSession) flush() error { return nil }

func (ins *Insert) names() string {
	names := make([]string, len(ins.Columns))
	for i, c := range ins.Columns {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}

func (s *sqliteSession) list(values any) (string, any) {
	if blobs, ok := values.([][]byte); ok {
		texts := make([]string, len(blobs))
		for i, b := range blobs {
			texts[i] = hex.EncodeToString(b)
		}
		text, _ := json.Marshal(texts) // strings can always be encoded
		return "IN (SELECT unhex(value) FROM json_each($%d))", string(text)
	}
	text, err := json.Marshal(values)
	if err != nil {
		panic("store: a list that is no list: " + err.Error())
	}
	return "IN (SELECT value FROM json_each($%d))", string(text)
}

func (s *sqliteSession) query(query string, args []any) (rows, error) {
	stmt, err := s.prepare(query, args)
	if err != nil {
		return nil, err
	}
	return &sqliteRows{stmt: stmt}, nil
}

type sqliteRows struct {
	stmt   *sqlite.Stmt
	err    error
	column sqliteColumn // that is being read
}

func (r *sqliteRows) next() bool {
	more, err := r.stmt.Step()
	r.err = err
	return more && err == nil
}

func (r *sqliteRows) close() error {
	if err := r.stmt.Reset(); r.err == nil {
		r.err = err
	}
	return r.err
}

func (r *sqliteRows) scan(dest []any) error {
	if n := r.stmt.ColumnCount(); n != len(dest) {
		return fmt.Errorf("%d columns for %d destinations", n, len(dest))
	}
	for i, d := range dest {
		r.column = sqliteColumn{r.stmt, i}
		if err := assign(d, &r.column); err != nil {
			return fmt.Errorf("column %d: %w", i, err)
		}
	}
	return nil
}

type sqliteColumn struct {
	stmt *sqlite.Stmt
	i    int
}

func (c sqliteColumn) int64() (int64, error) { return c.stmt.ColumnInt64(c.i), nil }
func (c sqliteColumn) text() (string, error) { return c.stmt.ColumnText(c.i), nil }
func (c sqliteColumn) bool() (bool, error)   { return c.stmt.ColumnInt64(c.i) != 0, nil }

func (c sqliteColumn) bytes() ([]byte, error) {
	if c.stmt.ColumnIsNull(c.i) {
		return nil, nil
	}
	b := make([]byte, c.stmt.ColumnLen(c.i))
	c.stmt.ColumnBytes(c.i, b)
	return b, nil
}

func (c sqliteColumn) any() any {
	switch c.stmt.ColumnType(c.i) {
	case sqlite.TypeNull:
		return nil
	case sqlite.TypeInteger:
		return c.stmt.ColumnInt64(c.i)
	case sqlite.TypeBlob:
		b, _ := c.bytes()
		return b
	}
	return c.stmt.ColumnText(c.i)
}
