package search

import (
	"context"
	"slices"
	"strings"
	"unicode"

	"parley/internal/filter"
	"parley/internal/room"
	"parley/internal/textindex"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// A Query says what somebody wants to find.
type Query struct {
	User id.UserID
	// Term is what the texts have to have: each of its words, and what is in quotes as
	// it is. See package textindex.
	Term string
	// Keys are where; nil: everywhere.
	Keys   []Key
	Filter *filter.RoomEventFilter
	// Recent wants the latest first, not the best.
	Recent bool
	Limit  int
	// After is where the page before ended.
	After Place
	// Room and Sender, unless empty, are a group within which to go on.
	Room   id.RoomID
	Sender id.UserID
}

// Group returns the group within which the query is, as the specification names it.
func (q Query) Group() (key, value string) {
	switch {
	case q.Room != "":
		return "room_id", string(q.Room)
	case q.Sender != "":
		return "sender", string(q.Sender)
	}
	return "", ""
}

// A Place is where a result stands. The zero Place is before all.
type Place struct {
	Rank int64 // 0 if the latest come first
	Moment
	// Behind is where those began that are ranked together: behind this.
	Behind Moment
	// Count is how many results there were about, when the first page was made.
	Count int64
}

// A Moment is where an event stands among those that come the latest first. The zero
// Moment is before all.
type Moment struct {
	TS  int64
	Num stateres.Num
}

// before reports whether a moment comes before an event.
func (m Moment) before(ts int64, num stateres.Num) bool {
	return m.Num == 0 || ts < m.TS || ts == m.TS && num < m.Num
}

// A Hit is an event that was found.
type Hit struct {
	RoomID id.RoomID
	Num    stateres.Num
	Sender id.UserID
	// Rank says how closely it is what was wanted, up to 1000.
	Rank int64
	ts   int64
}

// A Page is a part of the results.
type Page struct {
	Hits []Hit
	// Count is how many results there are, about.
	Count int64
	// Highlights are the words that make them results.
	Highlights []string
	// More says that Next leads on.
	More bool
	Next Place
}

// What bounds the work of one request.
const (
	// mostRanked is how many results are ranked together: the latest, and when those have
	// been shown the ones before.
	mostRanked = 500
	// mostLooked is how many events are read, and mostCandidates of how many it is
	// asked of which rooms they are.
	mostLooked     = 2000
	mostCandidates = 50_000
	// mostTags is up to how many rooms the index is asked for theirs only.
	mostTags = 200
	// mostBack is how far back the rooms are followed that others have replaced.
	mostBack = 20
)

// Find returns a page of what is found of a query. Of rooms that the user has left it is
// what was said before, and of users who are ignored nothing.
func (x *Index) Find(ctx context.Context, q Query) (Page, error) {
	terms := textindex.ParseTerms(q.Term)
	page := Page{Highlights: highlights(q.Term, terms)}
	if len(terms) == 0 || q.Filter.None() || q.Limit == 0 {
		return page, nil
	}
	rooms, err := x.searched(ctx, q)
	if err != nil || len(rooms) == 0 {
		return page, err
	}
	s := &searcher{Index: x, Query: q, terms: terms, rooms: rooms, seen: make(map[room.Num][]room.Interval)}
	if s.ignored, err = x.Ignored(ctx, q.User); err != nil {
		return page, err
	}
	x.journal.CatchUp(ctx)
	if err := s.run(ctx); err != nil {
		return page, err
	}
	return s.page(ctx, page)
}

// highlights returns the words of a query as they were written, and as they are compared.
func highlights(query string, terms []textindex.Term) []string {
	words := []string{}
	add := func(word string) {
		if !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	for _, t := range terms {
		add(t.String())
	}
	isEdge := func(r rune) bool { return unicode.IsPunct(r) }
	for _, word := range strings.Fields(query) {
		word = strings.ToLower(strings.TrimFunc(word, isEdge))
		if len(textindex.ParseTerms(word)) > 0 && len(words) < 2*len(terms) {
			add(word)
		}
	}
	return words
}

// searched returns the rooms that a query is about, by their numbers: those that the
// user is or was in and that the filter allows. Where it names rooms, those count, too,
// that they have replaced.
func (x *Index) searched(ctx context.Context, q Query) (map[room.Num]id.RoomID, error) {
	all, err := x.Rooms.Rooms(ctx, q.User)
	if err != nil {
		return nil, err
	}
	mine := make(map[id.RoomID]room.Num)
	for _, m := range all {
		if !m.Forgotten && m.Membership != event.MembershipInvite && m.Membership != event.MembershipKnock {
			mine[m.RoomID] = m.Room
		}
	}
	rooms := make(map[room.Num]id.RoomID)
	for roomID, num := range mine {
		if q.Filter.AllowsRoom(roomID) {
			rooms[num] = roomID
		}
	}
	if q.Filter.ListsRooms() {
		if err := x.addReplaced(ctx, q.Filter, mine, rooms); err != nil {
			return nil, err
		}
	}
	for num, roomID := range rooms {
		if q.Room != "" && q.Room != roomID {
			delete(rooms, num)
		}
	}
	return rooms, nil
}

// addReplaced adds the rooms of a user that those there have replaced.
func (x *Index) addReplaced(ctx context.Context, f *filter.RoomEventFilter, mine map[id.RoomID]room.Num, rooms map[room.Num]id.RoomID) error {
	var named []id.RoomID
	for _, roomID := range rooms {
		named = append(named, roomID)
	}
	for _, roomID := range named {
		for range mostBack {
			from, err := x.Rooms.Predecessor(ctx, roomID)
			if room.IsGone(err) || from == "" {
				break
			}
			if err != nil {
				return err
			}
			num, ok := mine[from]
			if !ok || f.ExcludesRoom(from) {
				break
			}
			rooms[num], roomID = from, from
		}
	}
	return nil
}
