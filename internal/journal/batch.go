package journal

import (
	"iter"
	"maps"

	"parley/internal/store"
)

// Batch is one transaction that commits a group of changes. A change reads
// what it depends on, says what is to be written, and appends entries. Nothing
// is written before all changes of the group have been asked, so a change that
// fails leaves the others as they are; for the same reason a change does not
// see in the database what others of its group will write. What it has to know
// of them it finds in the memo.
type Batch struct {
	tx    *store.Tx
	next  Position // that the next entry gets
	alone bool

	entries []Entry
	inserts []insertRow
	writes  []write
	durable []func()
	settled []func()
	tells   map[Position][]Scope
	memo    map[any]any
	undo    []memory // what the memo had before the present change
}

type insertRow struct {
	into *store.Insert
	row  []any
}

type write struct {
	key any
	do  func(*store.Tx) error
}

type memory struct {
	key, value any
	had        bool
}

// Row is [store.Tx.Row]. The query must not change anything.
func (b *Batch) Row(query string, args ...any) store.Row { return b.tx.Row(query, args...) }

// Query is [store.Tx.Query]. The query must not change anything.
func (b *Batch) Query(query string, args ...any) iter.Seq2[store.Cursor, error] {
	return b.tx.Query(query, args...)
}

// Read runs a function of queries, which must not change anything.
func (b *Batch) Read(f func(*store.Tx) error) error { return f(b.tx) }

// Append adds an entry and returns its position. The position is given out
// only if the batch commits; until then nobody must learn of it.
func (b *Batch) Append(scope Scope, kind Kind, ref int64) Position {
	e := Entry{Pos: b.next, Scope: scope, Kind: kind, Ref: ref}
	b.next++
	b.entries = append(b.entries, e)
	return e.Pos
}

// Tell has subscriptions to some scopes told of an entry that is of none of them:
// one that concerns everyone who shares a room with a user is told in the rooms of
// the user, and need not be in each of them. Whoever is told has to know where to
// look for it.
func (b *Batch) Tell(pos Position, scopes ...Scope) {
	if b.tells == nil {
		b.tells = make(map[Position][]Scope)
	}
	b.tells[pos] = append(b.tells[pos], scopes...)
}

// Last returns the last position that was given out so far.
func (b *Batch) Last() Position { return b.next - 1 }

// Insert adds a row. All rows of the batch that go into one table are inserted
// together, before the writes.
func (b *Batch) Insert(into *store.Insert, row ...any) {
	b.inserts = append(b.inserts, insertRow{into, row})
}

// Write adds a statement, which best is queued. Of those with one key only the last is done: of ten
// messages that move the head of a room, one move. Writes with different keys
// are done in the order in which the keys first appeared.
func (b *Batch) Write(key any, do func(*store.Tx) error) {
	b.writes = append(b.writes, write{key, do})
}

// Durable adds what is to be done when the batch is committed and before its
// entries become visible: what is in memory of what they are about must not be
// older than they are. It must be quick, and it is not done when the outcome of
// the commit is unknown.
func (b *Batch) Durable(do func()) { b.durable = append(b.durable, do) }

// Settled adds what is to be done when the batch is committed, all that Durable was
// told of is done, and its entries are visible: whoever is set to work on what a
// change has brought about finds that and what came together with it. It must be
// quick, and it is not done when the outcome of the commit is unknown.
func (b *Batch) Settled(do func()) { b.settled = append(b.settled, do) }

// Alone reports whether there is one change only. In a group a change may leave
// it to the database to find out what hardly ever is so: if that fails the group,
// each of its changes is tried again alone.
func (b *Batch) Alone() bool { return b.alone }

// Memo returns what an earlier change of the batch remembered under a key.
func (b *Batch) Memo(key any) (value any, ok bool) {
	value, ok = b.memo[key]
	return value, ok
}

// Remember leaves something under a key for later changes of the batch.
func (b *Batch) Remember(key, value any) {
	old, had := b.memo[key]
	b.undo = append(b.undo, memory{key, old, had})
	b.memo[key] = value
}

// try asks one change, and takes back what it said if it fails.
func (b *Batch) try(change Change) error {
	entries, inserts, writes, next := len(b.entries), len(b.inserts), len(b.writes), b.next
	durable, settled := len(b.durable), len(b.settled)
	b.undo = b.undo[:0]
	err := change(b)
	if err == nil {
		return nil
	}
	b.entries, b.inserts, b.writes, b.next = b.entries[:entries], b.inserts[:inserts], b.writes[:writes], next
	b.durable, b.settled = b.durable[:durable], b.settled[:settled]
	maps.DeleteFunc(b.tells, func(pos Position, _ []Scope) bool { return pos >= next })
	for i := len(b.undo) - 1; i >= 0; i-- {
		if m := b.undo[i]; m.had {
			b.memo[m.key] = m.value
		} else {
			delete(b.memo, m.key)
		}
	}
	return err
}

var insertEntries = &store.Insert{
	Table:   "journal",
	Columns: []store.Column{{Name: "pos", Type: store.Int}, {Name: "scope", Type: store.Int}, {Name: "kind", Type: store.Int}, {Name: "ref", Type: store.Int}},
}

// flush writes everything.
func (b *Batch) flush() error {
	var tables []*store.Insert
	rows := make(map[*store.Insert][][]any)
	for _, r := range b.inserts {
		if rows[r.into] == nil {
			tables = append(tables, r.into)
		}
		rows[r.into] = append(rows[r.into], r.row)
	}
	for _, into := range tables {
		if err := b.tx.QueueAll(into, rows[into]); err != nil {
			return err
		}
	}
	last := make(map[any]int)
	for i, w := range b.writes {
		last[w.key] = i
	}
	for _, w := range b.writes {
		i, due := last[w.key]
		if !due {
			continue
		}
		delete(last, w.key)
		if err := b.writes[i].do(b.tx); err != nil {
			return err
		}
	}
	if len(b.entries) == 0 {
		return nil
	}
	lines := make([][]any, len(b.entries))
	for i, e := range b.entries {
		lines[i] = []any{int64(e.Pos), int64(e.Scope), int64(e.Kind), e.Ref}
	}
	if err := b.tx.QueueAll(insertEntries, lines); err != nil {
		return err
	}
	return b.tx.Queue("UPDATE journal_head SET pos = $1", b.next-1)
}
