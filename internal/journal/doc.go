// Package journal is the one totally ordered log of everything that a client
// may learn from /sync.
//
// An [Entry] says where it stands, whom it may concern, of what kind it is and
// where its content lies; it has no content itself, so that redaction, erasure
// and compaction stay possible.
//
// # Promises
//
//   - Positions are contiguous: 1, 2, 3 and so on, none left out, none given out
//     twice, whatever crashes in between.
//   - An entry is visible only when all earlier ones are, and what is visible at
//     a position never changes.
//   - What an append writes and its entries become durable together, and only
//     then visible, to anybody.
//
// They rest on one row, which every append locks until it commits; so the order
// of locks is the order of commits and the order of positions, on one node or
// many. That row would limit a server to some hundred appends a second, so
// appends are committed in groups: see [Journal.Submit].
//
// # Recent entries
//
// A window of recent entries is kept in memory, by position and by scope. A
// reader that has fallen no further behind, and a waiting one ([Subscription]),
// costs no query. Consumers that must not miss anything keep a [Cursor], which
// survives a crash.
//
// With several nodes the others' entries are read from the database when
// [Journal.Refresh] is told that there are some, and before own entries behind
// them become visible.
package journal
