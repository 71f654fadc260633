package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
)

var ctx = context.Background()

func update(t testing.TB, db *store.DB, f func(tx *store.Tx) error) {
	t.Helper()
	if err := db.Update(ctx, f); err != nil {
		t.Fatal(err)
	}
}

func exec(t testing.TB, db *store.DB, query string, args ...any) (affected int64) {
	t.Helper()
	update(t, db, func(tx *store.Tx) (err error) {
		affected, err = tx.Exec(query, args...)
		return err
	})
	return affected
}

func count(t testing.TB, db *store.DB, table string) (n int) {
	t.Helper()
	err := db.View(ctx, func(tx *store.Tx) error { return tx.Row("SELECT count(*) FROM " + table).Scan(&n) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const thing = "CREATE TABLE thing (n bigint PRIMARY KEY, s text, b bytea, t boolean)"

type number uint64

func TestValuesComeBack(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		exec(t, db, thing)
		insert := "INSERT INTO thing (t, b, s, n) VALUES ($4, $3, $2, $1)"
		exec(t, db, insert, number(1), id.UserID("@a:a.test"), [3]byte{1, 2, 3}, true)
		exec(t, db, insert, 2, id.UserID(""), []byte(nil), false)
		exec(t, db, insert, int64(-3), "", []byte{}, nil)
		type row struct {
			n number
			s id.UserID
			b [3]byte
			t bool
		}
		var first row
		var nulls struct {
			n    int
			s    string
			user id.UserID
			b    []byte
			t    bool
		}
		err := db.View(ctx, func(tx *store.Tx) error {
			if err := tx.Row("SELECT n, s, b, t FROM thing WHERE n = $1", 1).Scan(&first.n, &first.s, &first.b, &first.t); err != nil {
				return err
			}
			return tx.Row("SELECT n, s, s, b, t FROM thing WHERE n = 2").Scan(&nulls.n, &nulls.s, &nulls.user, &nulls.b, &nulls.t)
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := (row{1, "@a:a.test", [3]byte{1, 2, 3}, true}); first != want {
			t.Errorf("got %v, want %v", first, want)
		}
		if nulls.n != 2 || nulls.s != "" || nulls.user != "" || nulls.b != nil || nulls.t {
			t.Errorf("NULLs came back as %v", nulls)
		}
	})
}

func TestMisuseIsAnError(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		exec(t, db, thing)
		exec(t, db, "INSERT INTO thing (n, s) VALUES (1, 'x')")
		rows := map[string]func(tx *store.Tx) error{
			"an argument of no known type": func(tx *store.Tx) error {
				_, err := tx.Exec("INSERT INTO thing (n) VALUES ($1)", struct{}{})
				return err
			},
			"a missing argument": func(tx *store.Tx) error {
				_, err := tx.Exec("INSERT INTO thing (n) VALUES ($1)")
				return err
			},
			"a statement that is none": func(tx *store.Tx) error {
				_, err := tx.Exec("INSERT thing")
				return err
			},
			"too few destinations": func(tx *store.Tx) error {
				var n int
				return tx.Row("SELECT n, s FROM thing").Scan(&n)
			},
			"a destination of no known type": func(tx *store.Tx) error {
				var f float64
				return tx.Row("SELECT n FROM thing").Scan(&f)
			},
			"a duplicate key": func(tx *store.Tx) error {
				_, err := tx.Exec("INSERT INTO thing (n) VALUES (1)")
				return err
			},
		}
		for name, f := range rows {
			t.Run(name, func(t *testing.T) {
				if err := db.Update(ctx, f); err == nil {
					t.Error("no error")
				}
			})
		}
		if err := db.View(ctx, func(tx *store.Tx) error { return tx.Row("SELECT n FROM thing WHERE n = 9").Scan() }); !errors.Is(err, store.ErrNoRows) {
			t.Errorf("no row gives %v", err)
		}
		if err := db.View(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec("INSERT INTO thing (n) VALUES (2)")
			return err
		}); err == nil {
			t.Error("a view could write")
		}
		if n := count(t, db, "thing"); n != 1 {
			t.Errorf("%d rows are left of the misuse", n)
		}
	})
}

func TestAFailedUpdateLeavesNoTrace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		exec(t, db, thing)
		failure := errors.New("failure")
		err := db.Update(ctx, func(tx *store.Tx) error {
			if _, err := tx.Exec("INSERT INTO thing (n) VALUES (1)"); err != nil {
				return err
			}
			return failure
		})
		if !errors.Is(err, failure) {
			t.Errorf("got %v", err)
		}
		func() {
			defer func() { recover() }()
			db.Update(ctx, func(tx *store.Tx) error {
				if _, err := tx.Exec("INSERT INTO thing (n) VALUES (2)"); err != nil {
					return err
				}
				panic("a bug")
			})
		}()
		cancelled, cancel := context.WithCancel(ctx)
		err = db.Update(cancelled, func(tx *store.Tx) error {
			cancel()
			_, err := tx.Exec("INSERT INTO thing (n) VALUES (3)")
			return err
		})
		if err == nil {
			t.Error("a cancelled update succeeded")
		}
		if n := count(t, db, "thing"); n != 0 {
			t.Errorf("%d rows are there", n)
		}
	})
}

func TestQueueAllAndIn(t *testing.T) {
	ins := &store.Insert{
		Table:    "thing",
		Columns:  []store.Column{{"n", store.Int}, {"s", store.Text}, {"b", store.Blob}, {"t", store.Bool}},
		Conflict: "ON CONFLICT (n) DO UPDATE SET s = excluded.s",
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		exec(t, db, thing)
		var rows [][]any
		for i := range 1000 {
			rows = append(rows, []any{i, fmt.Sprint("s", i), []byte{byte(i)}, i%2 == 0})
		}
		rows = append(rows, []any{1000, nil, nil, nil})
		update(t, db, func(tx *store.Tx) error { return tx.QueueAll(ins, rows) })
		if n := count(t, db, "thing"); n != 1001 {
			t.Errorf("%d rows were inserted", n)
		}
		update(t, db, func(tx *store.Tx) error {
			return tx.QueueAll(ins, [][]any{{7, "again", nil, nil}, {2000, "new", nil, nil}})
		})
		if n := count(t, db, "thing"); n != 1002 {
			t.Errorf("there are %d rows when one was updated and one inserted", n)
		}
		var found []string
		err := db.View(ctx, func(tx *store.Tx) error {
			in, arg := tx.In(2, []number{7, 8, 5000})
			names, list := tx.In(1, []id.UserID{"again", "s8", "s9"})
			for row, err := range tx.Query("SELECT s FROM thing WHERE s "+names+" AND n "+in+" ORDER BY n", list, arg) {
				var s string
				if err = errors.Join(err, row.Scan(&s)); err != nil {
					return err
				}
				found = append(found, s)
			}
			return nil
		})
		if want := []string{"again", "s8"}; err != nil || !reflect.DeepEqual(found, want) {
			t.Errorf("got %v, %v; want %v", found, err, want)
		}
		if err := db.Update(ctx, func(tx *store.Tx) error {
			return tx.QueueAll(ins, [][]any{{"no number", nil, nil, nil}})
		}); err == nil && strings.Contains(t.Name(), "postgres") {
			t.Error("text went into a number")
		}
	})
}

func TestTextsThatContainOthers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		exec(t, db, thing)
		update(t, db, func(tx *store.Tx) error {
			ins := &store.Insert{Table: "thing", Columns: []store.Column{{Name: "n", Type: store.Int}, {Name: "s", Type: store.Text}}}
			return tx.QueueAll(ins, [][]any{{1, "100%"}, {2, `a_b\c`}, {3, "plain"}})
		})
		for part, want := range map[string]int64{"0%": 1, "%": 1, "_": 2, `\`: 2, `b\c`: 2, "lai": 3, "p%n": 0, "pl_in": 0} {
			contains, arg := store.Contains(2, part)
			var n int64
			err := db.View(ctx, func(tx *store.Tx) error {
				return tx.Row("SELECT coalesce(max(n), 0) FROM thing WHERE n < $1 AND s "+contains, 4, arg).Scan(&n)
			})
			if err != nil || n != want {
				t.Errorf("%q is in %d, %v; want %d", part, n, err, want)
			}
		}
	})
}

func TestRowsAreCollected(t *testing.T) {
	bad := errors.New("bad")
	name := func(scan func(...any) error) (s string, err error) {
		if err = scan(&s); s == "bad" {
			err = bad
		}
		return s + "!", err
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		exec(t, db, thing)
		exec(t, db, "INSERT INTO thing (n, s) VALUES (1, 'a'), (2, 'b'), (3, 'bad')")
		for where, want := range map[string][]string{"n < 3": {"a!", "b!"}, "n > 3": {}} {
			err := db.View(ctx, func(tx *store.Tx) error {
				got, err := store.Collect(tx.Query("SELECT s FROM thing WHERE "+where+" ORDER BY n"), name)
				if !reflect.DeepEqual(got, want) {
					t.Errorf("where %s: got %#v, want %#v", where, got, want)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
		err := db.View(ctx, func(tx *store.Tx) error {
			_, err := store.Collect(tx.Query("SELECT s FROM thing"), name)
			return err
		})
		if !errors.Is(err, bad) {
			t.Errorf("a row that cannot be read: %v", err)
		}
		err = db.View(ctx, func(tx *store.Tx) error {
			_, err := store.Collect(tx.Query("SELECT nothing FROM thing"), name)
			return err
		})
		if err == nil {
			t.Error("a query that is none was done")
		}
	})
}

func TestReadersSeeASnapshot(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		exec(t, db, thing)
		err := db.View(ctx, func(tx *store.Tx) error {
			read := func() (n int, err error) {
				err = tx.Row("SELECT count(*) FROM thing").Scan(&n)
				return n, err
			}
			before, err := read()
			if err != nil {
				return err
			}
			exec(t, db, "INSERT INTO thing (n) VALUES (1)")
			after, err := read()
			if before != 0 || after != 0 {
				t.Errorf("a view saw %d rows, then %d", before, after)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestUpdatesOfManyGoroutines(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		exec(t, db, thing)
		exec(t, db, "INSERT INTO thing (n, s) VALUES (0, '')")
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				for i := range 20 {
					if err := db.Update(ctx, func(tx *store.Tx) error {
						_, err := tx.Exec("INSERT INTO thing (n) VALUES ($1)", 1+g*20+i)
						return err
					}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n := count(t, db, "thing"); n != 161 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestUpdatesThatWaitForEachOther(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		exec(t, db, "CREATE TABLE counter (name bigint PRIMARY KEY, n bigint NOT NULL)")
		exec(t, db, "INSERT INTO counter (name, n) VALUES (0, 0), (1, 0)")
		const rounds = 4
		var wg sync.WaitGroup
		for first := range 2 {
			wg.Go(func() {
				for range rounds {
					err := db.Update(ctx, func(tx *store.Tx) error {
						for _, name := range []int{first, 1 - first} {
							if _, err := tx.Exec("UPDATE counter SET n = n + 1 WHERE name = $1", name); err != nil {
								return err
							}
						}
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for name := range 2 {
			var n int
			err := db.View(ctx, func(tx *store.Tx) error {
				return tx.Row("SELECT n FROM counter WHERE name = $1", name).Scan(&n)
			})
			if err != nil || n != 2*rounds {
				t.Errorf("%d was counted %d times, %v, want %d", name, n, err, 2*rounds)
			}
		}
	})
}

// TestHowUpdatesEnd is about what is done by the end of a transaction only.
func TestHowUpdatesEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		exec(t, db, thing)
		insert := func(tx *store.Tx, n int) error { return tx.Queue("INSERT INTO thing (n) VALUES ($1)", n) }
		update(t, db, func(*store.Tx) error { return nil })
		update(t, db, func(tx *store.Tx) error { return errors.Join(insert(tx, 1), insert(tx, 2)) })
		if n := count(t, db, "thing"); n != 2 {
			t.Errorf("%d rows are there of what was queued", n)
		}
		err := db.Update(ctx, func(tx *store.Tx) error { return errors.Join(insert(tx, 3), insert(tx, 1), insert(tx, 4)) })
		if err == nil || errors.Is(err, store.ErrUnknown) || count(t, db, "thing") != 2 {
			t.Errorf("what is there twice: %v, and there are %d rows", err, count(t, db, "thing"))
		}
		err = db.Update(ctx, func(tx *store.Tx) error {
			if err := insert(tx, 5); err != nil {
				return err
			}
			_, err := tx.Exec("INSERT INTO thing (n) VALUES (1)")
			if err == nil || tx.Dialect() == store.PostgreSQL && !tx.Broken() {
				t.Errorf("%v, broken %t", err, tx.Broken())
			}
			return err
		})
		if err == nil || count(t, db, "thing") != 2 {
			t.Errorf("%v, and there are %d rows", err, count(t, db, "thing"))
		}
		gone, cancel := context.WithCancel(ctx)
		err = db.Update(gone, func(tx *store.Tx) error {
			defer cancel()
			return insert(tx, 6)
		})
		if n := count(t, db, "thing"); (err == nil) != (n == 3) || errors.Is(err, store.ErrUnknown) {
			t.Errorf("nobody waits any more: %v, and there are %d rows", err, n)
		}
		for range 100 { // more than there are connections
			if err := db.View(ctx, func(*store.Tx) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestFailurePoints(t *testing.T) {
	rows := []struct {
		point   store.Point
		survive bool
	}{{store.BeforeBegin, false}, {store.BeforeCommit, false}, {store.AfterCommit, true}}
	for _, r := range rows {
		storetest.EachLocation(t, func(t *testing.T, location string) {
			db := storetest.Open(t, location)
			exec(t, db, thing)
			failure := errors.New("failure")
			db.FailAt(func(p store.Point) error {
				if p == r.point {
					return failure
				}
				return nil
			})
			err := db.Update(ctx, func(tx *store.Tx) error {
				_, err := tx.Exec("INSERT INTO thing (n) VALUES (1)")
				return err
			})
			if !errors.Is(err, failure) || errors.Is(err, store.ErrUnknown) != r.survive {
				t.Errorf("point %d: %v", r.point, err)
			}
			db.Close()
			if n := count(t, storetest.Open(t, location), "thing"); (n == 1) != r.survive {
				t.Errorf("point %d: %d rows after reopening", r.point, n)
			}
		})
	}
}

func TestMigrate(t *testing.T) {
	files := fstest.MapFS{
		"0001-first.sql": {Data: []byte("-- compatible with v1\nCREATE TABLE a ( -- a comment; with a semicolon\n\tn bigint\n);\nCREATE TABLE b (n bigint);\n")},
		"0002-second.sql": {Data: []byte("-- compatible with v2\nCREATE TABLE c (\n\tn integer, -- only: sqlite\n\tn bigint, -- only: postgres\n\tm bigint\n);\n" +
			"INSERT INTO a (n) VALUES (1);\n")},
	}
	migrations, err := store.ReadMigrations(files)
	if err != nil {
		t.Fatal(err)
	}
	storetest.EachLocation(t, func(t *testing.T, location string) {
		db, err := store.Open(ctx, location)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for _, known := range [][]store.Migration{migrations[:1], migrations, migrations} {
			if err := db.Migrate(ctx, known); err != nil {
				t.Fatal(err)
			}
		}
		if a, c := count(t, db, "a"), count(t, db, "c"); a != 1 || c != 0 {
			t.Errorf("tables have %d and %d rows", a, c)
		}
		if err := db.Migrate(ctx, migrations[:1]); !errors.Is(err, store.ErrNewerSchema) {
			t.Errorf("an old program got %v", err)
		}
		broken := append(migrations, store.Migration{Version: 3, Compatible: 1, Name: "broken", SQL: "CREATE TABLE d (n bigint);\nCREATE TABLE a (n bigint);"})
		if err := db.Migrate(ctx, broken); err == nil || !strings.Contains(err.Error(), "migration 3, broken") {
			t.Errorf("got %v", err)
		}
		if err := db.View(ctx, func(tx *store.Tx) error { return tx.Row("SELECT n FROM d").Scan() }); err == nil || errors.Is(err, store.ErrNoRows) {
			t.Error("a failed migration left a table")
		}
	})
}

func TestReadMigrationsRefuses(t *testing.T) {
	rows := map[string]string{
		"0002-gap.sql":     "-- compatible with v1\n",
		"0001.sql":         "-- compatible with v1\n",
		"x-name.sql":       "-- compatible with v1\n",
		"0001-late.sql":    "-- compatible with v2\n",
		"0001-nothing.sql": "CREATE TABLE a (n bigint);\n",
	}
	for name, text := range rows {
		if _, err := store.ReadMigrations(fstest.MapFS{name: {Data: []byte(text)}}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What Update acknowledges is on disk only if the database is told to put it there.
func TestCommitsAreSynced(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		db := storetest.Open(t, location)
		settings := []struct{ name, want string }{{"SHOW fsync", "on"}, {"SHOW synchronous_commit", "on"}}
		if !strings.HasPrefix(location, "postgres") {
			settings = []struct{ name, want string }{{"PRAGMA journal_mode", "wal"}, {"PRAGMA synchronous", "2"}}
		}
		for _, s := range settings {
			var got string
			update(t, db, func(tx *store.Tx) error { return tx.Row(s.name).Scan(&got) })
			if got != s.want {
				t.Errorf("%s: got %s, want %s", s.name, got, s.want)
			}
		}
		if risks, err := db.Risks(ctx); len(risks) > 0 || err != nil {
			t.Errorf("risks are %q, %v", risks, err)
		}
		if !strings.HasPrefix(location, "postgres") {
			return
		}
		careless, err := store.Open(ctx, location+"&options=-c%20synchronous_commit%3Doff")
		if err != nil {
			t.Fatal(err)
		}
		defer careless.Close()
		if risks, err := careless.Risks(ctx); len(risks) != 1 || !strings.Contains(risks[0], "synchronous_commit = off") || err != nil {
			t.Errorf("risks are %q, %v", risks, err)
		}
	})
}

func TestAClosedSQLiteFileIsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "parley.db")
	db, err := store.Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("CREATE TABLE t (n bigint NOT NULL)")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the write-ahead log is left beside it: %v", err)
	}
}
