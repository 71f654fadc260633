// Package schema holds the tables of parley as numbered migrations, one text
// for both databases. What a table is for stands beside it; the statements that
// use it are in the package whose subject it is.
//
// On SQLite, tables without a number for their key are WITHOUT ROWID, and number
// keys are of type integer, which makes them the rowid: either way the table is
// its own index. Each tree less is a page less to write with every message.
//
// A migration that was released is never changed. One that older programs can
// live with (a new table, a column they need not fill) says in its first line
// that they are compatible.
package schema

import (
	"embed"

	"parley/internal/store"
)

//go:embed *.sql
var files embed.FS

// Migrations returns all migrations in order.
func Migrations() ([]store.Migration, error) { return store.ReadMigrations(files) }
