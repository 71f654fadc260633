package room

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// RelationDepth is through how many relations an event is followed to those that
// relate to it indirectly.
const RelationDepth = 3

// mostFollowed is how many events are followed further at each depth: those
// nearest to what is asked for.
const mostFollowed = 1000

// A ChildQuery says which of the events that relate to another one are wanted.
type ChildQuery struct {
	Parent id.EventID
	// RelType and Type are those of the relation and of the event; empty: any. What
	// relates indirectly does so through events that are such, too.
	RelType, Type string
	// Depth is 1 for what relates to the parent itself, at most RelationDepth.
	Depth int
	// Back gives the last first.
	Back bool
	// First and Last are the places between which events are wanted, and Seen those
	// that the reader may see.
	First, Last int64
	Seen        []Interval
	Limit       int
}

// Children returns events of a room that relate to another one, in the room's own
// order. What was redacted relates to nothing, and neither does what was purged or is
// too old to be shown. The work does not grow with the room.
// https://spec.matrix.org/v1.19/client-server-api/#relationships-api
func (g *Engine) Children(ctx context.Context, roomID id.RoomID, q ChildQuery) ([]Item, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	left, err := r.extant(ctx)
	if err != nil {
		return nil, err
	}
	q.Seen = left.of(q.Seen)
	var found []child
	err = g.db.View(ctx, func(tx *store.Tx) (err error) {
		s := childSearch{ChildQuery: q, tx: tx, room: r.num, left: left}
		found, err = s.run()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading what relates to %s in %s: %w", q.Parent, roomID, err)
	}
	nums := make([]stateres.Num, len(found))
	for i, c := range found {
		nums[i] = c.num
	}
	return g.itemsOf(ctx, r, nums)
}

// A child is an event that relates to another one.
type child struct {
	num   stateres.Num
	place int64
}

// A childSearch is a ChildQuery as it is being answered.
type childSearch struct {
	ChildQuery
	tx   *store.Tx
	room Num
	left extant
}

// run goes from depth to depth. At each it takes what may be part of the answer,
// and follows what may lead to more: nothing behind the last place that the answer
// can have, as what relates to an event comes after it.
func (s *childSearch) run() ([]child, error) {
	parents := []id.EventID{s.Parent}
	var found []child
	for depth := 1; ; depth++ {
		some, err := s.wanted(parents)
		if err != nil {
			return nil, err
		}
		found = s.merge(found, some)
		if !s.Back && len(found) == s.Limit && s.Limit > 0 {
			s.Last = min(s.Last, found[s.Limit-1].place)
		}
		if depth >= s.Depth || s.Limit == 0 {
			return found, nil
		}
		if parents, err = s.follow(parents); err != nil || len(parents) == 0 {
			return found, err
		}
	}
}

// merge adds what was found at another depth, as much as the answer can have.
func (s *childSearch) merge(found, some []child) []child {
	found = append(found, some...)
	slices.SortFunc(found, func(a, b child) int {
		if s.Back {
			a, b = b, a
		}
		return cmp.Compare(a.place, b.place)
	})
	found = slices.Compact(found)
	return found[:min(len(found), s.Limit)]
}

// wanted returns the first of what relates to some events that may be seen, and
// perhaps some more.
func (s *childSearch) wanted(parents []id.EventID) (found []child, err error) {
	relTypes, err := s.relTypes(parents)
	if err != nil {
		return nil, err
	}
	seen := slices.Clone(s.Seen)
	if s.Back {
		slices.Reverse(seen)
	}
	for _, in := range seen {
		in = Interval{max(in.First, s.First), min(in.Last, s.Last)}
		limit := s.Limit - len(found)
		if in.First > in.Last || limit <= 0 {
			continue
		}
		for _, relType := range relTypes {
			query, args := s.query(parents, relType, in, s.Back, limit)
			for row, err := range s.tx.Query(query, args...) {
				if err != nil {
					return nil, err
				}
				var c child
				if err := row.Scan(&c.num, &c.place); err != nil {
					return nil, err
				}
				found = append(found, c)
			}
		}
	}
	return found, nil
}

// follow returns the last of what relates to some events, as far as it may be
// seen.
func (s *childSearch) follow(parents []id.EventID) (found []id.EventID, err error) {
	relTypes, err := s.relTypes(parents)
	if err != nil {
		return nil, err
	}
	for _, relType := range relTypes {
		query, args := s.query(parents, relType, Interval{s.left.first, s.Last}, true, mostFollowed)
		for row, err := range s.tx.Query("SELECT c.place, e.event_id FROM ("+query+") c JOIN events e ON e.event = c.child", args...) {
			if err != nil {
				return nil, err
			}
			var place int64
			var eventID id.EventID
			if err := row.Scan(&place, &eventID); err != nil {
				return nil, err
			}
			if slices.ContainsFunc(s.Seen, func(in Interval) bool { return in.Contains(place) }) {
				found = append(found, eventID)
			}
		}
	}
	return found, nil
}

// mostRelTypes is how many types of relations are looked for one by one.
const mostRelTypes = 16

// relTypes returns the types of relations to ask for, one after the other. The
// index has what relates to an event by its type and then by its place, so that
// of one type the last are found at once, and of all together by going through
// them. Empty stands for all.
func (s *childSearch) relTypes(parents []id.EventID) (list []string, err error) {
	if s.RelType != "" || len(parents) > 1 {
		return []string{s.RelType}, nil
	}
	for last := ""; len(list) < mostRelTypes; {
		err := s.tx.Row("SELECT rel_type FROM relations WHERE room = $1 AND parent = $2 AND rel_type > $3 ORDER BY rel_type LIMIT 1",
			s.room, parents[0], last).Scan(&last)
		if errors.Is(err, store.ErrNoRows) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		list = append(list, last)
	}
	return []string{""}, nil
}

// query is for what relates to some events, between two places.
func (s *childSearch) query(parents []id.EventID, relType string, in Interval, back bool, limit int) (string, []any) {
	args := []any{s.room, in.First, in.Last, limit}
	query := "SELECT r.child, r.place FROM relations r WHERE r.room = $1 AND r.place >= $2 AND r.place <= $3 "
	if len(parents) == 1 {
		args = append(args, parents[0])
		query += "AND r.parent = $5 "
	} else {
		in, list := s.tx.In(5, parents)
		args = append(args, list)
		query += "AND r.parent " + in
	}
	for _, by := range []struct{ column, value string }{{"rel_type", relType}, {"type", s.Type}} {
		if by.value != "" {
			args = append(args, by.value)
			query += fmt.Sprintf(" AND r.%s = $%d", by.column, len(args))
		}
	}
	if s.left.cutoff != 0 {
		args = append(args, s.left.cutoff)
		query += fmt.Sprintf(" AND r.ts >= $%d", len(args))
	}
	query += " ORDER BY r.place"
	if back {
		query += " DESC"
	}
	return query + " LIMIT $4", args
}
