package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// A Migration takes the schema from one version to the next.
type Migration struct {
	// Version is the version it leads to; the first is 1.
	Version int
	// Compatible is the least version whose programs can work with the schema
	// after this migration. It lets the nodes of a cluster be replaced one by
	// one.
	Compatible int
	// Name says what it is about.
	Name string
	// SQL is the statements, for both databases.
	SQL string
}

// ErrNewerSchema means that the schema is too new for this program.
var ErrNewerSchema = errors.New("the database was upgraded by a newer version that this one cannot work with")

// ReadMigrations reads migrations from files named 0001-name.sql and so on
// without gaps. The first line of each is
//
//	-- compatible with v1
//
// and a line that ends with "-- only: sqlite" or "-- only: postgres" is for that
// database.
func ReadMigrations(files fs.FS) ([]Migration, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	migrations := make([]Migration, len(names))
	for i, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		if migrations[i], err = parseMigration(name, string(text)); err != nil {
			return nil, fmt.Errorf("migration %s: %w", name, err)
		}
		if migrations[i].Version != i+1 {
			return nil, fmt.Errorf("migration %s: should have number %d", name, i+1)
		}
	}
	return migrations, nil
}

func parseMigration(file, text string) (Migration, error) {
	number, name, ok := strings.Cut(strings.TrimSuffix(file, ".sql"), "-")
	version, err := strconv.Atoi(number)
	if !ok || err != nil {
		return Migration{}, errors.New("the name is not of the form 0001-name.sql")
	}
	first, _, _ := strings.Cut(text, "\n")
	compatible, err := strconv.Atoi(strings.TrimPrefix(first, "-- compatible with v"))
	if err != nil || compatible < 1 || compatible > version {
		return Migration{}, fmt.Errorf("the first line %q does not say what it is compatible with", first)
	}
	return Migration{Version: version, Compatible: compatible, Name: name, SQL: text}, nil
}

// Migrate brings the schema up to date, each migration in a transaction of its
// own. Of several nodes that start at once one migrates and the others wait.
func (db *DB) Migrate(ctx context.Context, migrations []Migration) error {
	for done := false; !done; {
		err := db.Update(ctx, func(tx *Tx) (err error) {
			done, err = tx.migrate(migrations)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// migrate applies the next migration and reports whether none was left.
func (tx *Tx) migrate(migrations []Migration) (done bool, err error) {
	if tx.Dialect() == PostgreSQL {
		// The number only has to be the same in every node.
		if _, err := tx.Exec("SELECT pg_advisory_xact_lock(7526152)"); err != nil {
			return false, err
		}
	}
	if _, err := tx.Exec("CREATE TABLE IF NOT EXISTS schema_version (version bigint NOT NULL, compatible bigint NOT NULL)"); err != nil {
		return false, err
	}
	var version, compatible int
	err = tx.Row("SELECT version, compatible FROM schema_version").Scan(&version, &compatible)
	if errors.Is(err, ErrNoRows) {
		_, err = tx.Exec("INSERT INTO schema_version (version, compatible) VALUES (0, 0)")
	}
	if err != nil {
		return false, err
	}
	if version >= len(migrations) {
		if compatible > len(migrations) {
			return false, fmt.Errorf("%w (schema %d, needs %d, this program has %d)", ErrNewerSchema, version, compatible, len(migrations))
		}
		return true, nil
	}
	m := migrations[version]
	for _, statement := range statements(m.SQL, tx.Dialect()) {
		if _, err := tx.Exec(statement); err != nil {
			return false, fmt.Errorf("migration %d, %s: %w", m.Version, m.Name, err)
		}
	}
	_, err = tx.Exec("UPDATE schema_version SET version = $1, compatible = $2", m.Version, m.Compatible)
	return false, err
}

// statements splits a migration at semicolons that end a line, and leaves out
// comments and what is for another database.
func statements(text string, dialect Dialect) []string {
	var list []string
	var b strings.Builder
	for line := range strings.Lines(text) {
		code, comment, _ := strings.Cut(line, "--")
		only, limited := strings.CutPrefix(strings.TrimSpace(comment), "only: ")
		if limited && Dialect(strings.TrimSpace(only)) != dialect {
			continue
		}
		code = strings.TrimRight(code, " \t\r\n")
		if code == "" {
			continue
		}
		b.WriteString(code)
		b.WriteByte('\n')
		if strings.HasSuffix(code, ";") {
			list = append(list, strings.TrimSpace(b.String()))
			b.Reset()
		}
	}
	if rest := strings.TrimSpace(b.String()); rest != "" {
		list = append(list, rest)
	}
	return list
}
