package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
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

func (db *postgresDB) begin(ctx context.Context, write bool) (session, error) {
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	if write {
		options = pgx.TxOptions{IsoLevel: pgx.ReadCommitted}
	}
	tx, err := db.pool.BeginTx(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("beginning a transaction: %w", err)
	}
	return &postgresSession{ctx: ctx, tx: tx}, nil
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

type postgresSession struct {
	ctx context.Context
	tx  pgx.Tx
	// queued are statements that go to the server together, before the next one
	// that somebody waits for.
	queued pgx.Batch
}

func (s *postgresSession) dialect() Dialect { return PostgreSQL }

func (s *postgresSession) broken() bool { return s.tx.Conn().PgConn().TxStatus() != 'T' }

// commit is not interrupted: once it has begun, the change is to be known.
func (s *postgresSession) commit() error {
	err := s.tx.Commit(context.WithoutCancel(s.ctx))
	if err == nil {
		return nil
	}
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) || errors.Is(err, pgx.ErrTxCommitRollback) {
		return fmt.Errorf("committing: %w", err)
	}
	return fmt.Errorf("committing: %w: %w", ErrUnknown, err)
}

func (s *postgresSession) rollback() {
	// It fails only when the connection is gone, and the transaction with it.
	_ = s.tx.Rollback(context.WithoutCancel(s.ctx))
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

func (s *postgresSession) exec(query string, args []any) (int64, error) {
	values, err := plainAll(args)
	if err != nil {
		return 0, err
	}
	if err := s.flush(); err != nil {
		return 0, err
	}
	tag, err := s.tx.Exec(s.ctx, query, values...)
	return tag.RowsAffected(), err
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
	if s.queued.Len() == 0 {
		return nil
	}
	batch := s.queued
	s.queued = pgx.Batch{}
	return s.tx.SendBatch(s.ctx, &batch).Close()
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
	if err := s.flush(); err != nil {
		return nil, err
	}
	rs, err := s.tx.Query(s.ctx, query, values...)
	if err != nil {
		return nil, err
	}
	return &postgresRows{Rows: rs}, nil
}

type postgresRows struct {
	pgx.Rows
}

func (r *postgresRows) next() bool { return r.Next() }

func (r *postgresRows) close() error {
	r.Close()
	return r.Err()
}

func (r *postgresRows) scan(dest []any) error {
	values, err := r.Values()
	if err != nil {
		return err
	}
	if len(values) != len(dest) {
		return fmt.Errorf("%d columns for %d destinations", len(values), len(dest))
	}
	for i, d := range dest {
		if err := assign(d, postgresColumn{values[i]}); err != nil {
			return fmt.Errorf("column %d: %w", i, err)
		}
	}
	return nil
}

// postgresColumn is a column as pgx decodes it without being told a type.
type postgresColumn struct {
	value any
}

func (c postgresColumn) int64() (int64, error) {
	switch v := c.value.(type) {
	case nil:
		return 0, nil
	case int64:
		return v, nil
	case int32:
		return int64(v), nil
	case int16:
		return int64(v), nil
	}
	return 0, fmt.Errorf("%T is not an integer", c.value)
}

func (c postgresColumn) text() (string, error) {
	switch v := c.value.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	}
	return "", fmt.Errorf("%T is not text", c.value)
}

func (c postgresColumn) bytes() ([]byte, error) {
	switch v := c.value.(type) {
	case nil:
		return nil, nil
	case []byte:
		return v, nil
	}
	return nil, fmt.Errorf("%T is not bytes", c.value)
}

func (c postgresColumn) bool() (bool, error) {
	switch v := c.value.(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	}
	return false, fmt.Errorf("%T is not boolean", c.value)
}

func (c postgresColumn) any() any {
	if n, err := c.int64(); err == nil && c.value != nil {
		return n
	}
	return c.value
}
