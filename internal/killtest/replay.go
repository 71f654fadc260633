package killtest

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
)

// eventRow is a row of the table of events.
type eventRow struct {
	num, room, place, pos int64
	id                    string
	before, current       []byte
	unread, loud          int64
	device, txn           string
	redactedBy            int64
	event                 *event.Event
}

func (e *eventRow) String() string {
	if e == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s (number %d, place %d, position %d, transaction %q of %s)", e.id, e.num, e.place, e.pos, e.txn, e.device)
}

// after returns the state with the event.
func (e *eventRow) after() []byte {
	if e.current == nil {
		return e.before
	}
	return e.current
}

// notifies reports whether the event notifies everybody. There are no others
// here than messages of which the default rules say so.
func (e *eventRow) notifies() bool { return e.event.Type() == "m.room.message" }

// roomRow is a row of the table of rooms with what belongs to it.
type roomRow struct {
	snapshot        *Snapshot
	num             int64
	version         string
	pos, place      int64
	head            []int64
	root            []byte
	joined, invited int64
	unread, loud    int64
	events          []*eventRow // in order

	// What follows comes of the replay.
	state   map[event.Tuple]*eventRow
	members map[string]member
	spoken  map[string]int64 // the place of the last event by which a user has read the room
	sights  int              // events that decide who may see what
}

type member struct {
	membership string
	num        int64
}

// replay goes through the events of the room, each on the one before, and checks
// that everything else that is stored of the room follows from them.
func (r *roomRow) replay(ctx context.Context, tx *store.Tx) error {
	r.state, r.members, r.spoken = make(map[event.Tuple]*eventRow), make(map[string]member), make(map[string]int64)
	nodes, err := r.nodes(tx)
	if err != nil {
		return err
	}
	for i, e := range r.events {
		if err := r.next(ctx, nodes, i, e); err != nil {
			return fmt.Errorf("event %v: %w", e, err)
		}
	}
	last := r.events[len(r.events)-1]
	if r.place != last.place || r.pos != last.pos || r.unread != last.unread || r.loud != last.loud || !slices.Equal(r.head, []int64{last.num}) {
		return fmt.Errorf("the row says %d %d %d %d %v, the last event is %v", r.place, r.pos, r.unread, r.loud, r.head, last)
	}
	if err := r.checkState(ctx, nodes, r.root); err != nil {
		return err
	}
	return r.checkMembers(tx)
}

func (r *roomRow) next(ctx context.Context, nodes statetrie.Nodes, i int, e *eventRow) error {
	if e.place != int64(i)+1 {
		return fmt.Errorf("want place %d", i+1)
	}
	var prev []id.EventID
	before := make([]byte, len(statetrie.Root{}))
	var unread, pos int64
	if i > 0 {
		last := r.events[i-1]
		prev, unread, pos = []id.EventID{last.event.ID()}, last.unread, last.pos
		before = last.after()
	}
	if e.pos <= pos || !slices.Equal(e.event.PrevEvents(), prev) || !slices.Equal(e.before, before) {
		return fmt.Errorf("it does not follow the one before: position %d, previous events %v, state %x, want %x", pos, e.event.PrevEvents(), e.before, before)
	}
	if e.notifies() {
		unread++
	}
	if e.unread != unread || e.loud != 0 {
		return fmt.Errorf("%d unread, %d loud, want %d and 0", e.unread, e.loud, unread)
	}
	sender := string(e.event.Sender())
	tuple, isState := e.event.Tuple()
	if !isState || tuple.Type != event.TypeMember {
		r.spoken[sender] = e.place
	}
	if !isState {
		return nil
	}
	r.state[tuple] = e
	switch tuple.Type {
	case event.TypeMember:
		if tuple.StateKey == sender && e.event.Membership() == "join" && r.members[sender].membership != "join" {
			r.spoken[sender] = e.place
		}
		r.members[tuple.StateKey] = member{e.event.Membership(), e.num}
		r.sights++
	case event.TypeHistoryVisibility:
		r.sights++
	}
	n, err := statetrie.Get(ctx, nodes, statetrie.Root(e.after()), statetrie.Key(tuple))
	if err == nil && int64(n) != e.num {
		err = fmt.Errorf("in the state after it number %d is in its place", n)
	}
	return err
}

// checkState compares a state with that of the replay.
func (r *roomRow) checkState(ctx context.Context, nodes statetrie.Nodes, root []byte) error {
	count := 0
	for entry, err := range statetrie.All(ctx, nodes, statetrie.Root(root)) {
		if err != nil {
			return err
		}
		if e := r.state[event.Tuple(entry.Key)]; e == nil || e.num != int64(entry.Number) {
			return fmt.Errorf("the state has number %d at %v, the replay %v", entry.Number, entry.Key, e)
		}
		count++
	}
	if count != len(r.state) {
		return fmt.Errorf("the state has %d events, the replay %d", count, len(r.state))
	}
	return nil
}

func (r *roomRow) checkMembers(tx *store.Tx) error {
	var joined, invited, found int64
	for row, err := range tx.Query("SELECT user_id, membership, event FROM memberships WHERE room = $1", r.num) {
		if err != nil {
			return err
		}
		var user string
		var m member
		if err := row.Scan(&user, &m.membership, &m.num); err != nil {
			return err
		}
		if m != r.members[user] {
			return fmt.Errorf("the membership of %s is %v, the replay says %v", user, m, r.members[user])
		}
		found++
		switch m.membership {
		case "join":
			joined++
		case "invite":
			invited++
		}
	}
	if found != int64(len(r.members)) || joined != r.joined || invited != r.invited {
		return fmt.Errorf("%d members, %d joined, %d invited; the row says %d and %d", found, joined, invited, r.joined, r.invited)
	}
	spoken := 0
	// Of a user who has joined and then spoken there are two rows, and nobody speaks
	// in threads.
	for row, err := range tx.Query("SELECT user_id, max(place), max(unread) FROM spoken WHERE room = $1 GROUP BY user_id", r.num) {
		if err != nil {
			return err
		}
		var user string
		var place, unread int64
		if err := row.Scan(&user, &place, &unread); err != nil {
			return err
		}
		if place != r.spoken[user] || unread != r.events[place-1].unread {
			return fmt.Errorf("%s has read up to place %d by speaking, %d unread there; the replay says %d", user, place, unread, r.spoken[user])
		}
		spoken++
	}
	if spoken != len(r.spoken) {
		return fmt.Errorf("it is stored of %d users what they have read by speaking, want %v", spoken, r.spoken)
	}
	var sights int
	if err := tx.Row("SELECT count(*) FROM sights WHERE room = $1", r.num).Scan(&sights); err != nil {
		return err
	}
	if sights != r.sights {
		return fmt.Errorf("%d rows of who may see what, want %d", sights, r.sights)
	}
	return nil
}

// continues checks that a timeline is the room from its first event on.
func (r *roomRow) continues(timeline []string) error {
	first := slices.IndexFunc(r.events, func(e *eventRow) bool { return e.id == timeline[0] })
	for i, e := range r.events[first:] {
		switch {
		case i >= len(timeline):
			return fmt.Errorf("%v and what follows is missing, the room ends with %v", e, r.events[len(r.events)-1])
		case timeline[i] != e.id:
			return fmt.Errorf("it has %v where there is %v", r.snapshot.byID[timeline[i]], e)
		}
	}
	if more := len(timeline) - (len(r.events) - first); more > 0 {
		return fmt.Errorf("it has %d events more", more)
	}
	return nil
}

// trie is the nodes of the states of a room.
type trie map[statetrie.Address][]byte

// Load implements statetrie.Nodes.
func (t trie) Load(_ context.Context, at []statetrie.Address, into [][]byte) error {
	for i, a := range at {
		into[i] = t[a]
	}
	return nil
}

func (r *roomRow) nodes(tx *store.Tx) (trie, error) {
	nodes := make(trie)
	for row, err := range tx.Query("SELECT address, node FROM state_nodes WHERE room = $1", r.num) {
		if err != nil {
			return nil, err
		}
		var a statetrie.Address
		var b []byte
		if err := row.Scan(&a, &b); err != nil {
			return nil, err
		}
		nodes[a] = b
	}
	return nodes, nil
}

func decodeNums(b []byte) []int64 {
	var nums []int64
	for len(b) > 0 {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			return nil
		}
		nums = append(nums, int64(n))
		b = b[size:]
	}
	return nums
}
