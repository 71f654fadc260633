package store

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// postgresDB is a pool of connections to PostgreSQL 13 or later.
type postgresDB struct {
	pool *pgxpool.Pool
}

func openPostgres(ctx context.Context, url string) (backend, error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("reaching the database: %w", err)
	}
	return &postgresDB{pool: pool}, nil
}

// How transactions begin. One that only reads sees one snapshot, which is made by its first
// statement.
const (
	beginWriting = "BEGIN ISOLATION LEVEL READ COMMITTED"
	beginReading = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
)

func (db *postgresDB) begin(ctx context.Context, write bool) (session, error) {
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("beginning a transaction: %w", err)
	}
	s := &postgresSession{ctx: ctx, conn: conn, write: write}
	how := beginReading
	if write {
		how = beginWriting
	}
	s.queued.Queue(how)
	return s, nil
}

// lossy is what is lost by settings of PostgreSQL that are off.
var lossy = map[string]string{
	"fsync":              "after a loss of power the database may be damaged",
	"full_page_writes":   "after a loss of power the database may be damaged",
	"synchronous_commit": "a crash loses what users were told is sent",
}

// again is for deadlocks, and for what else PostgreSQL says to begin anew for:
// https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html
func (*postgresDB) again(err error) bool {
	refused := (*pgconn.PgError)(nil)
	return errors.As(err, &refused) && (refused.Code == "40P01" || refused.Code == "40001")
}

func (db *postgresDB) risks(ctx context.Context) (risks []string, err error) {
	names := slices.Sorted(maps.Keys(lossy))
	rs, err := db.pool.Query(ctx, "SELECT name FROM pg_settings WHERE name = ANY($1) AND setting = 'off' ORDER BY name", names)
	if err == nil {
		names, err = pgx.CollectRows(rs, pgx.RowTo[string])
	}
	if err != nil {
		return nil, fmt.Errorf("reading the settings of the database: %w", err)
	}
	for _, name := range names {
		risks = append(risks, fmt.Sprintf("PostgreSQL has %s = off: %s", name, lossy[name]))
	}
	return risks, nil
}

func (db *postgresDB) close() error {
	db.pool.Close()
	return nil
}

// A postgresSession is a transaction. Each answer of the server takes its time, so it
// begins with the first statement and is committed with the last ones.
type postgresSession struct {
	ctx   context.Context
	conn  *pgxpool.Conn
	write bool
	// queued are statements that go to the server together with the next one that
	// somebody waits for. The first is that by which the transaction begins.
	queued pgx.Batch
	begun  bool
	failed bool // so that the server would refuse all that comes
}

func (s *postgresSession) dialect() Dialect { return PostgreSQL }

func (s *postgresSession) broken() bool { return s.failed || s.begun && s.status() != 'T' }

func (s *postgresSession) status() byte { return s.conn.Conn().PgConn().TxStatus() }

// commit is not interrupted: once it has begun, the change is to be known. How reading ends
// does not matter.
func (s *postgresSession) commit() error {
	switch {
	case !s.write:
		s.end("COMMIT")
		return nil
	case !s.begun && s.queued.Len() == 1: // nothing was done
		s.conn.Release()
		return nil
	}
	if err := s.ctx.Err(); err != nil {
		s.rollback()
		return err
	}
	s.ctx = context.WithoutCancel(s.ctx)
	done, err := s.do("COMMIT", nil)
	if err == nil && done.String() != "COMMIT" {
		err = errBroken
	}
	if err == nil {
		s.conn.Release()
		return nil
	}
	s.rollback()
	// All has been sent by now. What the server refuses is undone.
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) || errors.Is(err, errBroken) {
		return fmt.Errorf("committing: %w", err)
	}
	return fmt.Errorf("committing: %w: %w", ErrUnknown, err)
}

func (s *postgresSession) rollback() { s.end("ROLLBACK") }

// end ends the transaction where it does not matter how. If it fails the connection is gone,
// and the transaction with it.
func (s *postgresSession) end(how string) {
	if s.begun && s.status() != 'I' {
		_, _ = s.conn.Exec(context.WithoutCancel(s.ctx), how)
	}
	s.conn.Release()
}

// errBroken is what comes of a transaction in which a statement has failed.
var errBroken = errors.New("an earlier statement of the transaction has failed")

func (s *postgresSession) exec(query string, args []any) (int64, error) {
	values, err := plainAll(args)
	if err != nil {
		return 0, err
	}
	tag, err := s.do(query, values)
	return tag.RowsAffected(), err
}

// do does a statement that gives no rows, after what is queued.
func (s *postgresSession) do(query string, values []any) (pgconn.CommandTag, error) {
	rs, err := s.ask(query, values)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	err = rs.close()
	return rs.CommandTag(), err
}

// ask does a statement after what is queued. What it gives is to be closed.
func (s *postgresSession) ask(query string, values []any) (*postgresRows, error) {
	if s.failed {
		return nil, errBroken
	}
	r := &postgresRows{session: s}
	var err error
	if n := s.queued.Len(); n == 0 {
		r.Rows, err = s.conn.Query(s.ctx, query, values...)
	} else {
		r.batch = s.send(query, values)
		for range n {
			if err == nil {
				_, err = r.batch.Exec()
			}
		}
		if err == nil {
			r.Rows, err = r.batch.Query()
		}
	}
	if err != nil {
		s.failed = true
		if r.batch != nil {
			_ = r.batch.Close() // with the same
		}
		return nil, err
	}
	return r, nil
}

// send sends what is queued, and more.
func (s *postgresSession) send(query string, values []any) pgx.BatchResults {
	batch := s.queued
	s.queued, s.begun = pgx.Batch{}, true
	batch.Queue(query, values...)
	return s.conn.SendBatch(s.ctx, &batch)
}

func plainAll(args []any) ([]any, error) {
	values := make([]any, len(args))
	for i, arg := range args {
		var err error
		if values[i], err = plain(arg); err != nil {
			if !isList(arg) {
				return nil, err
			}
			values[i] = arg
		}
	}
	return values, nil
}

// unnest passes each column as one array: one statement, whatever the number of
// rows.
func unnest(ins *Insert, rows [][]any) (statement string, arrays []any, err error) {
	arrays = make([]any, len(ins.Columns))
	var b strings.Builder
	fmt.Fprintf(&b, "INSERT INTO %s (%s) SELECT * FROM unnest(", ins.Table, ins.names())
	for i, c := range ins.Columns {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d::%s[]", i+1, c.Type)
		if arrays[i], err = columnArray(c, i, rows); err != nil {
			return "", nil, err
		}
	}
	fmt.Fprintf(&b, ") %s", ins.Conflict)
	return b.String(), arrays, nil
}

func (s *postgresSession) queue(query string, args []any) error {
	values, err := plainAll(args)
	if err == nil {
		s.queued.Queue(query, values...)
	}
	return err
}

func (s *postgresSession) queueInsert(ins *Insert, rows [][]any) error {
	statement, arrays, err := unnest(ins, rows)
	if err == nil {
		s.queued.Queue(statement, arrays...)
	}
	return err
}

func (s *postgresSession) flush() error {
	switch {
	case s.failed:
		return errBroken
	case s.queued.Len() == 0, !s.begun && s.queued.Len() == 1:
		return nil
	}
	batch := s.queued
	s.queued, s.begun = pgx.Batch{}, true
	err := s.conn.SendBatch(s.ctx, &batch).Close()
	s.failed = err != nil
	return err
}

func columnArray(c Column, i int, rows [][]any) (any, error) {
	switch c.Type {
	case Int:
		return collect(c, i, rows, func(v int64) pgtype.Int8 { return pgtype.Int8{Int64: v, Valid: true} })
	case Text:
		return collect(c, i, rows, func(v string) pgtype.Text { return pgtype.Text{String: v, Valid: true} })
	case Blob:
		return collect(c, i, rows, func(v []byte) []byte { return v })
	case Bool:
		return collect(c, i, rows, func(v bool) pgtype.Bool { return pgtype.Bool{Bool: v, Valid: true} })
	}
	return nil, fmt.Errorf("column %s has unknown type %q", c.Name, c.Type)
}

// collect makes the array of one column, in which NULL is the zero Out.
func collect[In, Out any](c Column, i int, rows [][]any, convert func(In) Out) ([]Out, error) {
	array := make([]Out, len(rows))
	for n, row := range rows {
		value, err := plain(row[i])
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
		if value == nil {
			continue
		}
		v, ok := value.(In)
		if !ok {
			return nil, fmt.Errorf("column %s: %T is not %s", c.Name, row[i], c.Type)
		}
		array[n] = convert(v)
	}
	return array, nil
}

func isList(arg any) bool {
	switch arg.(type) {
	case []string, []int64, [][]byte:
		return true
	}
	return false
}

func (s *postgresSession) list(values any) (string, any) {
	if blobs, ok := values.([][]byte); ok {
		return "= ANY($%d)", blobs
	}
	v := reflect.ValueOf(values)
	switch v.Type().Elem().Kind() {
	case reflect.String:
		list := make([]string, v.Len())
		for i := range list {
			list[i] = v.Index(i).String()
		}
		return "= ANY($%d)", list
	case reflect.Int, reflect.Int64:
		list := make([]int64, v.Len())
		for i := range list {
			list[i] = v.Index(i).Int()
		}
		return "= ANY($%d)", list
	case reflect.Uint64:
		list := make([]int64, v.Len())
		for i := range list {
			list[i] = int64(v.Index(i).Uint())
		}
		return "= ANY($%d)", list
	}
	panic(fmt.Sprintf("store: a list of type %T", values))
}

func (s *postgresSession) query(query string, args []any) (rows, error) {
	values, err := plainAll(args)
	if err != nil {
		return nil, err
	}
	return s.ask(query, values)
}

type postgresRows struct {
	pgx.Rows
	batch   pgx.BatchResults // that they are the end of; may be nil
	session *postgresSession
	column  postgresColumn // that is read
}

func (r *postgresRows) next() bool { return r.Next() }

func (r *postgresRows) close() error {
	r.Close()
	err := r.Err()
	if r.batch != nil {
		if closing := r.batch.Close(); err == nil {
			err = closing
		}
	}
	if err != nil {
		r.session.failed = true
	}
	return err
}

func (r *postgresRows) scan(dest []any) error {
	values, fields := r.RawValues(), r.FieldDescriptions()
	if len(values) != len(dest) {
		return fmt.Errorf("%d columns for %d destinations", len(values), len(dest))
	}
	for i, d := range dest {
		r.column = postgresColumn{values[i], &fields[i]}
		if err := assign(d, &r.column); err != nil {
			return fmt.Errorf("column %d: %w", i, err)
		}
	}
	return nil
}

// postgresColumn is a column as it comes from the server: nil is NULL. It is read here:
// there are only four kinds, and pgx would find out for each value which, and allocate it.
// https://www.postgresql.org/docs/current/protocol-message-formats.html
type postgresColumn struct {
	raw   []byte // not ours
	field *pgconn.FieldDescription
}

func (c *postgresColumn) is(kinds ...uint32) bool { return slices.Contains(kinds, c.field.DataTypeOID) }

func (c *postgresColumn) asText() bool { return c.field.Format == pgx.TextFormatCode }

func (c *postgresColumn) not(kind string) error {
	return fmt.Errorf("what has the type of OID %d is not %s", c.field.DataTypeOID, kind)
}

func (c *postgresColumn) int64() (int64, error) {
	switch {
	case c.raw == nil:
		return 0, nil
	case !c.is(pgtype.Int8OID, pgtype.Int4OID, pgtype.Int2OID):
		return 0, c.not("an integer")
	case c.asText():
		return strconv.ParseInt(string(c.raw), 10, 64)
	}
	switch len(c.raw) {
	case 8:
		return int64(binary.BigEndian.Uint64(c.raw)), nil
	case 4:
		return int64(int32(binary.BigEndian.Uint32(c.raw))), nil
	case 2:
		return int64(int16(binary.BigEndian.Uint16(c.raw))), nil
	}
	return 0, fmt.Errorf("an integer of %d bytes", len(c.raw))
}

func (c *postgresColumn) text() (string, error) {
	if c.raw != nil && !c.is(pgtype.TextOID, pgtype.VarcharOID, pgtype.NameOID) {
		return "", c.not("text")
	}
	return string(c.raw), nil
}

func (c *postgresColumn) bytes() ([]byte, error) {
	switch {
	case c.raw == nil:
		return nil, nil
	case !c.is(pgtype.ByteaOID):
		return nil, c.not("bytes")
	case c.asText():
		return hex.DecodeString(strings.TrimPrefix(string(c.raw), `\x`))
	}
	return append([]byte{}, c.raw...), nil
}

func (c *postgresColumn) bool() (bool, error) {
	switch {
	case c.raw == nil:
		return false, nil
	case !c.is(pgtype.BoolOID) || len(c.raw) != 1:
		return false, c.not("boolean")
	}
	return c.raw[0] == 1 || c.raw[0] == 't', nil
}

func (c *postgresColumn) any() (v any) {
	switch c.field.DataTypeOID {
	case pgtype.Int8OID, pgtype.Int4OID, pgtype.Int2OID:
		v, _ = c.int64()
	case pgtype.BoolOID:
		v, _ = c.bool()
	case pgtype.ByteaOID:
		v, _ = c.bytes()
	default:
		v = string(c.raw)
	}
	if c.raw == nil {
		return nil
	}
	return v
}
