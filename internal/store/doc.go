// Package store is parley's database: SQLite in a file by default, PostgreSQL
// when one machine is not enough.
//
// SQL is written once, for both, in the package whose subject it is, and runs
// on a [Tx]. What both databases speak is used directly: $1 parameters, ON
// CONFLICT ... DO UPDATE, RETURNING, WITH RECURSIVE, partial indexes. What they
// do not share has one mechanism here: [Insert] writes many rows at the cost
// that each database likes best, [Tx.In] passes lists, and migrations mark the
// lines that only one of them runs.
//
// # Transactions
//
// [DB.Update] runs one at a time on SQLite, and on PostgreSQL with read
// committed isolation: what needs more takes a row lock. [DB.View] sees one
// unchanging snapshot. A transaction function that returns an error leaves no
// trace, and may be run by nobody else meanwhile; it must not touch the network
// or compute for long, since on SQLite every other writer waits for it.
//
// # Durability
//
// When Update returns nil the change has been synced to disk (SQLite: WAL with
// synchronous=FULL; PostgreSQL: its own settings, and [DB.Risks] says which of
// them are wrong) and survives kill -9 and a loss of power. When it returns an
// error the change has not happened, with one exception: [ErrUnknown], when the
// connection broke during commit, or the disk failed. Then whoever needs to know
// must look.
package store
