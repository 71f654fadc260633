// Package storetest gives tests a database: a fresh SQLite file always, and a
// fresh schema in PostgreSQL when there is a server to test with.
//
// The server is named by the environment variable PARLEY_TEST_POSTGRES, a
// postgres:// URL of a database in which the tests may create and drop schemas.
// `make test` starts one where PostgreSQL is installed.
package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"parley/internal/schema"
	"parley/internal/store"
)

// Each runs f on each database that there is, empty and with all tables.
func Each(t *testing.T, f func(t *testing.T, db *store.DB)) {
	EachLocation(t, func(t *testing.T, location string) { f(t, Open(t, location)) })
}

// Bench is Each for benchmarks.
func Bench(b *testing.B, f func(b *testing.B, db *store.DB)) {
	b.Run("sqlite", func(b *testing.B) { f(b, Open(b, filepath.Join(b.TempDir(), "parley.db"))) })
	if server := os.Getenv("PARLEY_TEST_POSTGRES"); server != "" {
		b.Run("postgres", func(b *testing.B) { f(b, Open(b, newSchema(b, server))) })
	}
}

// EachLocation runs f with the location of a database without tables on each
// database that there is, for tests that open and close it themselves.
func EachLocation(t *testing.T, f func(t *testing.T, location string)) {
	EachKind(t, func(t *testing.T, fresh func() string) { f(t, fresh()) })
}

// EachKind runs f on each kind of database that there is, for tests that need
// several of them: fresh returns the location of another one without tables.
func EachKind(t *testing.T, f func(t *testing.T, fresh func() string)) {
	t.Run("sqlite", func(t *testing.T) {
		f(t, func() string { return filepath.Join(t.TempDir(), "parley.db") })
	})
	if server := os.Getenv("PARLEY_TEST_POSTGRES"); server != "" {
		t.Run("postgres", func(t *testing.T) { f(t, func() string { return newSchema(t, server) }) })
	}
}

// Open opens the database at a location and brings its tables up to date. The
// end of the test closes it, if nobody did before.
func Open(t testing.TB, location string) *store.DB {
	t.Helper()
	db, err := store.Open(context.Background(), location)
	if err != nil {
		t.Fatal(err)
	}
	migrations, err := schema.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(context.Background(), migrations); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// newSchema makes a schema named after the test and the process, and returns a
// URL under which it is the only one.
func newSchema(t testing.TB, server string) string {
	sum := sha256.Sum256([]byte(t.TempDir()))
	name := "test_" + hex.EncodeToString(sum[:8])
	run := func(statement string) {
		db, err := store.Open(context.Background(), server)
		if err == nil {
			err = db.Update(context.Background(), func(tx *store.Tx) error {
				_, err := tx.Exec(statement)
				return err
			})
			db.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	run("CREATE SCHEMA " + name)
	t.Cleanup(func() { run("DROP SCHEMA " + name + " CASCADE") })
	location, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	query := location.Query()
	query.Set("search_path", name)
	location.RawQuery = query.Encode()
	return location.String()
}
