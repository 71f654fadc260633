package room

import (
	"context"
	"fmt"
	"slices"

	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// An Audience is for whom it is put together what relates to events.
type Audience struct {
	User id.UserID
	// Seen are the places whose events the user may see.
	Seen []Interval
	// Ignored are the users of whom the user wants to hear nothing.
	Ignored map[id.UserID]bool
}

// within reports whether the user may see what is between two places.
func (a *Audience) within(first, last int64) bool {
	return slices.ContainsFunc(a.Seen, func(in Interval) bool { return in.First <= first && last <= in.Last })
}

// A Bundle is what relates to an event, put together by the rules of each type of
// relations: https://spec.matrix.org/v1.19/client-server-api/#aggregations-of-child-events
type Bundle struct {
	// Edit is the event that replaces it, if Edit.Event is not nil.
	Edit Item
	// Thread is the thread of which it is the root, nil for none.
	Thread *Thread
	// References are what refers to it, in order, up to mostReferences.
	References []id.EventID
}

// A Thread is what is in a thread beside its root.
type Thread struct {
	Latest       Item
	Count        int64
	Participated bool // the user has said something in it, or its root

	root  Item
	last  stateres.Num // Latest
	place int64        // of that
	ts    int64        // when that was sent
}

// mostReferences bounds Bundle.References: of an event to which very many refer,
// as do votes to a poll, clients ask for them page by page.
const mostReferences = 1000

// Bundles returns what relates to some events of a room, by their numbers. What
// nothing relates to is not among them, nor is state.
func (g *Engine) Bundles(ctx context.Context, roomID id.RoomID, a Audience, items []Item) (map[stateres.Num]*Bundle, error) {
	b := bundler{Audience: a, parents: make(map[id.EventID]Item), bundles: make(map[stateres.Num]*Bundle), edits: make(map[id.EventID][]edit)}
	for _, it := range items {
		if _, isState := it.Event.StateKey(); !isState {
			b.parents[it.Event.ID()] = it
			b.ids = append(b.ids, it.Event.ID())
		}
	}
	if len(b.ids) == 0 {
		return nil, nil
	}
	r, err := g.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	b.room = r.num
	if b.left, err = r.extant(ctx); err != nil {
		return nil, err
	}
	b.Seen = b.left.of(b.Seen)
	if err = g.db.View(ctx, b.read); err == nil {
		err = b.resolve(func(nums []stateres.Num) ([]Item, error) { return g.itemsOf(ctx, r, nums) })
	}
	if err != nil {
		return nil, fmt.Errorf("reading what relates to events of %s: %w", roomID, err)
	}
	return b.bundles, nil
}

// A bundler makes the bundles of some events.
type bundler struct {
	Audience
	room    Num
	left    extant
	ids     []id.EventID
	parents map[id.EventID]Item

	bundles map[stateres.Num]*Bundle
	edits   map[id.EventID][]edit // by what they edit: the last, several if they are of one time
	threads []*Thread
}

// An edit is an event that takes the place of another one.
type edit struct {
	num stateres.Num
	ts  int64
}

// sees reports whether the user gets to see an event.
func (b *bundler) sees(place int64, sender id.UserID, ts int64) bool {
	return b.within(place, place) && !b.Ignored[sender] && ts >= b.left.cutoff
}

// bundle returns what relates to an event, to be filled in.
func (b *bundler) bundle(parent id.EventID) *Bundle {
	num := b.parents[parent].Num
	if b.bundles[num] == nil {
		b.bundles[num] = new(Bundle)
	}
	return b.bundles[num]
}

func (b *bundler) read(tx *store.Tx) error {
	referred, err := b.readEdits(tx)
	if err == nil && len(referred) > 0 {
		err = b.readReferences(tx, referred)
	}
	if err == nil {
		err = b.readThreads(tx)
	}
	if err != nil || len(b.threads) == 0 {
		return err
	}
	if err := b.readParticipation(tx); err != nil {
		return err
	}
	return b.recount(tx)
}

// readEdits finds the edits, and to what others refer.
func (b *bundler) readEdits(tx *store.Tx) (referred []id.EventID, err error) {
	in, list := tx.In(2, b.ids)
	for row, err := range tx.Query(`
		SELECT r.parent, r.rel_type, r.child, r.place, r.type, r.sender, r.ts, r.edits FROM relations r
		WHERE r.room = $1 AND r.parent `+in+` AND r.rel_type IN ('m.reference', 'm.replace')`, b.room, list) {
		if err != nil {
			return nil, err
		}
		var parent id.EventID
		var relType, eventType string
		var sender id.UserID
		var place int64
		var e edit
		var edits bool
		if err := row.Scan(&parent, &relType, &e.num, &place, &eventType, &sender, &e.ts, &edits); err != nil {
			return nil, err
		}
		switch original := b.parents[parent].Event; {
		case !b.sees(place, sender, e.ts):
		case relType == relReference:
			if n := len(referred); n == 0 || referred[n-1] != parent {
				referred = append(referred, parent)
			}
		case edits && sender == original.Sender() && eventType == original.Type() && mayBeEdited(original):
			b.edit(parent, e)
		}
	}
	return referred, nil
}

// mayBeEdited reports whether an event may be replaced, as far as that depends on
// the event itself.
// https://spec.matrix.org/v1.19/client-server-api/#validity-of-replacement-events
func mayBeEdited(e *event.Event) bool {
	relType, _, _ := relation(e)
	return relType != relReplace && e.Unsigned().Get("redacted_because") == nil
}

// edit takes in one that is valid: of several the last counts, by the time that
// its sender gave it.
func (b *bundler) edit(parent id.EventID, e edit) {
	switch known := b.edits[parent]; {
	case len(known) == 0 || known[0].ts < e.ts:
		b.edits[parent] = []edit{e}
	case known[0].ts == e.ts:
		b.edits[parent] = append(known, e)
	}
}

// readReferences finds what refers to events.
func (b *bundler) readReferences(tx *store.Tx, to []id.EventID) error {
	in, list := tx.In(2, to)
	for row, err := range tx.Query(`
		SELECT r.parent, r.place, r.sender, r.ts, e.event_id FROM relations r JOIN events e ON e.event = r.child
		WHERE r.room = $1 AND r.parent `+in+` AND r.rel_type = 'm.reference' ORDER BY r.place`, b.room, list) {
		if err != nil {
			return err
		}
		var parent, child id.EventID
		var place, ts int64
		var sender id.UserID
		if err := row.Scan(&parent, &place, &sender, &ts, &child); err != nil {
			return err
		}
		if refs := &b.bundle(parent).References; b.sees(place, sender, ts) && len(*refs) < mostReferences {
			*refs = append(*refs, child)
		}
	}
	return nil
}

// readThreads finds the threads. What relates to another event is the root of
// none.
func (b *bundler) readThreads(tx *store.Tx) error {
	in, list := tx.In(2, b.ids)
	for row, err := range tx.Query(`
		SELECT t.thread, t.count, t.last, r.child, r.ts
		FROM threads t JOIN relations r ON r.room = t.room AND r.parent = t.thread AND r.rel_type = 'm.thread' AND r.place = t.last
		WHERE t.room = $1 AND t.last IS NOT NULL AND t.thread `+in, b.room, list) {
		if err != nil {
			return err
		}
		var root id.EventID
		t := new(Thread)
		if err := row.Scan(&root, &t.Count, &t.place, &t.last, &t.ts); err != nil {
			return err
		}
		t.root = b.parents[root]
		t.Participated = t.root.Event.Sender() == b.User
		if _, _, related := relation(t.root.Event); !related {
			b.threads = append(b.threads, t)
			b.bundle(root).Thread = t
		}
	}
	return nil
}

// roots are those of the threads.
func (b *bundler) roots() (roots []id.EventID) {
	for _, t := range b.threads {
		roots = append(roots, t.root.Event.ID())
	}
	return roots
}

// readParticipation finds in which threads the user has said something.
func (b *bundler) readParticipation(tx *store.Tx) error {
	in, list := tx.In(3, b.roots())
	for row, err := range tx.Query(`
		SELECT t.thread FROM threads t WHERE t.room = $1 AND t.thread `+in+` AND EXISTS (
			SELECT 1 FROM relations r WHERE r.room = t.room AND r.sender = $2 AND r.rel_type = 'm.thread' AND r.parent = t.thread)`,
		b.room, b.User, list) {
		if err != nil {
			return err
		}
		var root id.EventID
		if err := row.Scan(&root); err != nil {
			return err
		}
		b.bundle(root).Thread.Participated = true
	}
	return nil
}

// recount counts threads that are less for the user than for others.
func (b *bundler) recount(tx *store.Tx) error {
	threads := make(map[id.EventID]*Thread)
	var roots []id.EventID
	for _, t := range b.threads {
		if root := t.root.Event.ID(); len(b.Ignored) > 0 || t.ts < b.left.cutoff || !b.within(min(t.root.Place, t.place), t.place) {
			t.Count, t.last = 0, 0
			threads[root] = t
			roots = append(roots, root)
		}
	}
	if len(roots) == 0 {
		return nil
	}
	in, list := tx.In(2, roots)
	for row, err := range tx.Query(`
		SELECT r.parent, r.place, r.sender, r.ts, r.child FROM relations r
		WHERE r.room = $1 AND r.parent `+in+` AND r.rel_type = 'm.thread' ORDER BY r.place`, b.room, list) {
		if err != nil {
			return err
		}
		var root id.EventID
		var place, ts int64
		var sender id.UserID
		var child stateres.Num
		if err := row.Scan(&root, &place, &sender, &ts, &child); err != nil {
			return err
		}
		if t := threads[root]; b.sees(place, sender, ts) {
			t.Count, t.last = t.Count+1, child
		}
	}
	for root, t := range threads {
		if t.Count == 0 {
			b.bundle(root).Thread = nil
		}
	}
	b.threads = slices.DeleteFunc(b.threads, func(t *Thread) bool { return t.Count == 0 })
	return nil
}

// resolve fills in the events themselves.
func (b *bundler) resolve(read func([]stateres.Num) ([]Item, error)) error {
	var nums []stateres.Num
	for _, t := range b.threads {
		nums = append(nums, t.last)
	}
	var edited []id.EventID
	for parent, edits := range b.edits {
		for _, e := range edits {
			nums, edited = append(nums, e.num), append(edited, parent)
		}
	}
	items, err := read(nums)
	if err != nil {
		return err
	}
	for i, t := range b.threads {
		t.Latest = items[i]
	}
	for i, it := range items[len(b.threads):] {
		// Of those of one time the one counts whose ID is the greatest.
		if last := &b.bundle(edited[i]).Edit; last.Event == nil || last.Event.ID() < it.Event.ID() {
			*last = it
		}
	}
	return nil
}
