package room

import (
	"slices"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
)

// verify holds all that a server keeps of the room against its view, as it is in
// memory and as it is in the database.
func (s *simulation) verify(i int) {
	s.t.Helper()
	n := s.nodes[i]
	items := n.items(s.roomID)
	s.verifyLine(i, items)
	n.checkServers(s.roomID)
	s.verifyMembers(i, items)
	var roots []statetrie.Root
	for _, it := range items {
		roots = append(roots, it.Current)
	}
	for server := range s.nodes {
		n.checkSight(s.roomID, user("guest", server), s.views[i].states, roots)
		n.checkSight(s.roomID, user("mod", server), s.views[i].states, roots)
	}
	now, err := n.Now(ctx, s.roomID)
	if err != nil {
		s.t.Fatal(err)
	}
	n.forgetAll()
	if again, err := n.Now(ctx, s.roomID); err != nil || again != now {
		s.t.Errorf("server %d has the room otherwise in memory than in its database: %+v, %+v, %v", i, now, again, err)
	}
	read := n.items(s.roomID)
	for k, it := range items {
		if !sameItem(it, read[k]) {
			s.t.Errorf("server %d has an event otherwise in memory than in its database:\n%+v\n%+v", i, it, read[k])
		}
	}
	s.compare(i)
}

func sameItem(a, b Item) bool {
	same := string(a.Event.JSON()) == string(b.Event.JSON()) && a.Event.ID() == b.Event.ID()
	a.Event, b.Event, a.Transaction, b.Transaction = nil, nil, Transaction{}, Transaction{}
	return same && a == b
}

// verifyLine checks what is shown of the room: the accepted events in their
// order, each with the states that belong to it, redacted if it is to be.
func (s *simulation) verifyLine(i int, items []Item) {
	s.t.Helper()
	n, v := s.nodes[i], s.views[i]
	if len(items) != len(v.line) {
		s.t.Fatalf("server %d shows %d events, want %d", i, len(items), len(v.line))
	}
	applied := make(map[event.Tuple]id.EventID) // what the line alone says
	for k, it := range items {
		e := v.line[k]
		if it.Event.ID() != e.ID() || it.Place != int64(k+1) {
			s.t.Fatalf("server %d: in place %d, the %dth, is %s, want %s", i, it.Place, k+1, it.Event.ID(), e.ID())
		}
		before, current := n.stateAt(s.roomID, Moment{Root: it.Before}), n.stateAt(s.roomID, Moment{Root: it.Current})
		if !sameState(before, v.before[e.ID()]) || !sameState(current, v.states[k]) {
			s.t.Errorf("server %d has the wrong states for %s", i, e.ID())
		}
		if redacted := it.Event.Unsigned().Get("redacted_because") != nil; redacted != v.redacted(e) {
			s.t.Errorf("server %d: %s is redacted: %v", i, e.JSON(), redacted)
		}
		place, isState := e.Tuple()
		if isState {
			applied[place] = e.ID()
			if before[place].Num != it.Replaces {
				s.t.Errorf("server %d: %s replaces %d, want %d", i, e.ID(), it.Replaces, before[place].Num)
			}
		}
		if same := sameIDs(applied, v.states[k]); !same && !it.Merges || it.Merges && same && k > 0 && e.PrevEvents()[0] == v.line[k-1].ID() {
			s.t.Errorf("server %d: %s merges: %v", i, e.ID(), it.Merges)
		}
		applied = ids(current)
	}
}

func sameIDs(got map[event.Tuple]id.EventID, want eventauth.MapState) bool {
	if len(got) != len(want) {
		return false
	}
	for t, e := range want {
		if got[t] != e.ID() {
			return false
		}
	}
	return true
}

// verifyMembers checks the tables that follow the current state: what each user
// is, and what each was in which place.
func (s *simulation) verifyMembers(i int, items []Item) {
	s.t.Helper()
	n, v := s.nodes[i], s.views[i]
	places := map[string][]sightRow{}
	last := map[string]string{"": string(Shared)}
	for k, state := range v.states {
		now := map[string]string{"": string(VisibilityOf(state.StateEvent(event.Tuple{Type: event.TypeHistoryVisibility})))}
		for t, e := range state {
			if t.Type == event.TypeMember && isUser(t.StateKey) {
				now[t.StateKey] = e.Membership()
			}
		}
		for user := range last {
			if now[user] == "" {
				now[user] = event.MembershipLeave
			}
		}
		for user, value := range now {
			// Another event that says the same is a row too.
			if changed(v, k, user) {
				places[user] = append(places[user], sightRow{items[k].Place, items[k].Pos, value})
			}
		}
		last = now
	}
	delete(last, "")
	if got := n.membersOf(s.roomID); len(got) != len(last) {
		s.t.Errorf("server %d: memberships of %d users, want %d", i, len(got), len(last))
	} else {
		for user, membership := range last {
			if rows := places[user]; got[user] != (sightRow{0, rows[len(rows)-1].pos, membership}) {
				s.t.Errorf("server %d: %s is %v, want %s since %d", i, user, got[user], membership, rows[len(rows)-1].pos)
			}
		}
	}
	got := n.sights(s.roomID)
	for user, rows := range places {
		if !slices.Equal(got[user], rows) {
			s.t.Errorf("server %d: sights of %q are %v, want %v", i, user, got[user], rows)
		}
	}
	if len(got) != len(places) {
		s.t.Errorf("server %d: sights of %d users, want %d", i, len(got), len(places))
	}
}

// changed reports whether the event in a user's place of the state, or the
// history visibility for no user, is another since the kth event.
func changed(v *view, k int, user string) bool {
	place := event.Tuple{Type: event.TypeMember, StateKey: user}
	if user == "" {
		place = event.Tuple{Type: event.TypeHistoryVisibility}
	}
	var before *event.Event
	if k > 0 {
		before = v.states[k-1][place]
	}
	return before != v.states[k][place]
}

type sightRow struct {
	place int64
	pos   journal.Position
	value string
}

func (n *node) sights(roomID id.RoomID) map[string][]sightRow {
	rows := make(map[string][]sightRow)
	n.query("SELECT user_id, sights.place, sights.pos, value FROM sights JOIN rooms ON rooms.room = sights.room WHERE room_id = $1 ORDER BY sights.place",
		func(row store.Cursor) error {
			var user string
			var s sightRow
			err := row.Scan(&user, &s.place, &s.pos, &s.value)
			rows[user] = append(rows[user], s)
			return err
		}, roomID)
	return rows
}

func (n *node) membersOf(roomID id.RoomID) map[string]sightRow {
	rows := make(map[string]sightRow)
	n.query("SELECT user_id, memberships.pos, membership FROM memberships JOIN rooms ON rooms.room = memberships.room WHERE room_id = $1",
		func(row store.Cursor) error {
			var user string
			var s sightRow
			err := row.Scan(&user, &s.pos, &s.value)
			rows[user] = s
			return err
		}, roomID)
	return rows
}

func (n *node) query(query string, scan func(store.Cursor) error, args ...any) {
	n.t.Helper()
	err := n.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query(query, args...) {
			if err != nil {
				return err
			}
			if err := scan(row); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
}
