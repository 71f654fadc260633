package search

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/internal/store"
	"parley/internal/textindex"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// A doc is the text of an event in the index.
type doc struct {
	doc   textindex.Doc // as it is numbered
	event stateres.Num
	edit  stateres.Num // whose text it is, 0: the event's own
	room  room.Num
	place int64
	ts    int64
	text  string
}

// taken is how many texts came into the index and went.
type taken struct{ added, removed int }

// work is what is to be changed in the index.
type work struct {
	// looked are the events that were looked at, and docs those that have a text now.
	looked []stateres.Num
	docs   map[stateres.Num]doc
	// gone are texts to be removed in any case.
	gone []textindex.Doc
}

// takeEntries takes in what some entries of the journal tell.
func (x *Index) takeEntries(ctx context.Context, cursor *journal.Cursor, entries []journal.Entry) (t taken, err error) {
	x.writing.Lock()
	defer x.writing.Unlock()
	var nums []stateres.Num
	purged := make(map[room.Num]bool)
	for _, e := range entries {
		switch e.Kind {
		case journal.KindEvent, journal.KindPast, journal.KindRedaction:
			nums = append(nums, stateres.Num(e.Ref))
		case journal.KindPurge:
			purged[room.Num(e.Ref)] = true
		}
	}
	w, err := x.look(ctx, nums)
	if err != nil {
		return t, err
	}
	for num := range purged {
		if err := x.lookPurged(ctx, num, w); err != nil {
			return t, err
		}
	}
	pos := entries[len(entries)-1].Pos
	t, err = x.write(ctx, w, func(tx *store.Tx) error { return cursor.DoneWith(tx, pos) })
	if err == nil {
		x.passed(cursor, pos)
	}
	return t, err
}

// look finds out what events say now, of which something has happened. Of one that
// replaces another, or did before it was redacted, it is that other that is looked at.
func (x *Index) look(ctx context.Context, nums []stateres.Num) (*work, error) {
	slices.Sort(nums)
	nums = slices.Compact(nums)
	found, err := x.Rooms.Stored(ctx, nums)
	if err != nil {
		return nil, err
	}
	edited := make(map[room.Num][]id.EventID)
	var originals []room.Stored
	for _, s := range found {
		if original, ok := room.Edited(s.Event); ok {
			edited[s.Room] = append(edited[s.Room], original)
			continue
		}
		originals = append(originals, s)
	}
	for num, ids := range edited {
		more, err := x.Rooms.StoredByID(ctx, num, ids)
		if err != nil {
			return nil, err
		}
		originals = append(originals, more...)
	}
	w := &work{looked: nums}
	for _, s := range originals {
		w.looked = append(w.looked, s.Num)
	}
	w.docs, err = x.read(ctx, originals)
	return w, err
}

// read returns what events say, by their numbers, without those that say nothing.
func (x *Index) read(ctx context.Context, originals []room.Stored) (map[stateres.Num]doc, error) {
	originals = slices.DeleteFunc(originals, func(s room.Stored) bool { return s.Redacted || keyOf(s.Event) == "" })
	edits, err := x.Rooms.LastEdits(ctx, originals)
	if err != nil {
		return nil, err
	}
	texts := make(map[stateres.Num]*event.Event)
	if len(edits) > 0 {
		found, err := x.Rooms.Stored(ctx, slices.Collect(maps.Values(edits)))
		if err != nil {
			return nil, err
		}
		for _, s := range found {
			texts[s.Num] = s.Event
		}
	}
	now := time.Now().UnixMilli()
	docs := make(map[stateres.Num]doc, len(originals))
	for _, s := range originals {
		// Nobody is believed to speak from the future, before all others.
		d := doc{event: s.Num, room: s.Room, place: s.Place, ts: min(s.Event.OriginServerTS(), now)}
		e := s.Event
		if edit := texts[edits[s.Num]]; edit != nil {
			d.edit, e = edits[s.Num], edit
		}
		if d.text = textOf(e); d.text != "" {
			docs[s.Num] = d
		}
	}
	return docs, nil
}

// lookPurged finds what has left a room.
func (x *Index) lookPurged(ctx context.Context, num room.Num, w *work) error {
	first, deleted, err := x.Rooms.Extant(ctx, num)
	if err != nil {
		return err
	}
	return x.eachOfRoom(ctx, num, func(d doc) {
		if deleted || d.place < first {
			w.gone = append(w.gone, d.doc)
		}
	})
}

// eachOfRoom calls f for the texts of a room.
func (x *Index) eachOfRoom(ctx context.Context, num room.Num, f func(doc)) error {
	for h := x.texts.Find(textindex.Query{Tags: []int64{int64(num)}}); !h.Done(); {
		found, err := h.Next(ctx)
		if err != nil {
			return err
		}
		docs, err := x.docs(ctx, found)
		if err != nil {
			return err
		}
		for _, d := range docs {
			f(d)
		}
	}
	return nil
}

// docs returns what is known of texts.
func (x *Index) docs(ctx context.Context, nums []textindex.Doc) (docs []doc, err error) {
	if len(nums) == 0 {
		return nil, nil
	}
	err = x.DB.View(ctx, func(tx *store.Tx) error {
		in, list := tx.In(1, nums)
		docs, err = scanDocs(tx, "doc "+in, list)
		return err
	})
	if err != nil {
		err = fmt.Errorf("reading of which events %d texts are: %w", len(nums), err)
	}
	return docs, err
}

func scanDocs(tx *store.Tx, where string, args ...any) ([]doc, error) {
	return store.Collect(tx.Query("SELECT doc, event, edit, room, place, ts FROM search_docs WHERE "+where, args...),
		func(scan func(...any) error) (d doc, err error) {
			err = scan(&d.doc, &d.event, &d.edit, &d.room, &d.place, &d.ts)
			return d, err
		})
}

var insertDocs = &store.Insert{Table: "search_docs", Columns: []store.Column{
	{Name: "doc", Type: store.Int}, {Name: "event", Type: store.Int}, {Name: "edit", Type: store.Int},
	{Name: "room", Type: store.Int}, {Name: "place", Type: store.Int}, {Name: "ts", Type: store.Int},
}}

// removeStep is how many texts leave the index in one transaction.
const removeStep = 2000

// write changes the index, and in the last transaction does what goes with it.
func (x *Index) write(ctx context.Context, w *work, with func(*store.Tx) error) (t taken, err error) {
	for len(w.gone) > removeStep {
		if err := x.DB.Update(ctx, func(tx *store.Tx) error { return x.remove(tx, w.gone[:removeStep]) }); err != nil {
			return t, fmt.Errorf("removing %d texts: %w", removeStep, err)
		}
		t.removed += removeStep
		w.gone = w.gone[removeStep:]
	}
	err = x.DB.Update(ctx, func(tx *store.Tx) error {
		fresh, stale, err := w.compare(tx)
		if err != nil {
			return err
		}
		if err := x.remove(tx, append(stale, w.gone...)); err != nil {
			return err
		}
		t = taken{len(fresh), t.removed + len(stale) + len(w.gone)}
		if err := x.add(tx, fresh); err != nil {
			return err
		}
		return with(tx)
	})
	if err != nil {
		return taken{}, fmt.Errorf("indexing %d events: %w", len(w.looked), err)
	}
	return t, nil
}

// compare finds which texts are not in the index yet, and which are there and are not
// what their events say any more.
func (w *work) compare(tx *store.Tx) (fresh []doc, stale []textindex.Doc, err error) {
	if len(w.looked) == 0 {
		return nil, nil, nil
	}
	in, list := tx.In(1, w.looked)
	known, err := scanDocs(tx, "event "+in, list)
	if err != nil {
		return nil, nil, err
	}
	same := make(map[stateres.Num]bool)
	for _, d := range known {
		if now, ok := w.docs[d.event]; ok && now.edit == d.edit && now.place == d.place {
			same[d.event] = true
		} else if !slices.Contains(w.gone, d.doc) {
			stale = append(stale, d.doc)
		}
	}
	for num, d := range w.docs {
		if !same[num] {
			fresh = append(fresh, d)
		}
	}
	slices.SortFunc(fresh, func(a, b doc) int { return cmp.Compare(a.event, b.event) })
	return fresh, stale, nil
}

func (x *Index) add(tx *store.Tx, docs []doc) error {
	if len(docs) == 0 {
		return nil
	}
	texts := make([]textindex.Text, len(docs))
	for i, d := range docs {
		texts[i] = textindex.Text{Folded: d.text, Tag: int64(d.room), Rank: d.ts}
	}
	first, err := x.texts.Add(tx, texts)
	if err != nil {
		return err
	}
	rows := make([][]any, len(docs))
	for i, d := range docs {
		rows[i] = []any{first + textindex.Doc(i), d.event, optional(d.edit), d.room, d.place, d.ts}
	}
	return tx.QueueAll(insertDocs, rows)
}

// optional returns a number to be stored, NULL for 0.
func optional(n stateres.Num) any {
	if n == 0 {
		return nil
	}
	return n
}

func (x *Index) remove(tx *store.Tx, docs []textindex.Doc) error {
	if len(docs) == 0 {
		return nil
	}
	in, list := tx.In(1, docs)
	if _, err := tx.Exec("DELETE FROM search_docs WHERE doc "+in, list); err != nil {
		return err
	}
	return x.texts.Remove(tx, docs)
}

// DeleteRoom removes what was said in a room that was deleted.
func (x *Index) DeleteRoom(ctx context.Context, num room.Num) error {
	x.writing.Lock()
	defer x.writing.Unlock()
	w := new(work)
	if err := x.eachOfRoom(ctx, num, func(d doc) { w.gone = append(w.gone, d.doc) }); err != nil {
		return err
	}
	_, err := x.write(ctx, w, func(*store.Tx) error { return nil })
	return err
}
