package search

import (
	"cmp"
	"context"
	"math"
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
	TS   int64
	Num  stateres.Num
	// Count is how many results there were about, when the first page was made.
	Count int64
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
	// mostRanked is how many of the latest results are ranked. What is older can be
	// found by time.
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
	x.catchUp(ctx)
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

// A searcher goes through the candidates for one page.
type searcher struct {
	*Index
	Query
	terms   []textindex.Term
	rooms   map[room.Num]id.RoomID
	ignored map[id.UserID]bool
	seen    map[room.Num][]room.Interval // as far as was asked

	hunt *textindex.Hunt
	pool []doc // candidates that were not looked at, the latest first
	hits []Hit

	candidates, inRooms, looked int
	last                        Place // of what was looked at last
}

// run finds as many hits as the page needs, as long as that does not get too long.
func (s *searcher) run(ctx context.Context) error {
	query := textindex.Query{Terms: s.terms}
	if len(s.rooms) <= mostTags {
		query.Tags = []int64{}
		for num := range s.rooms {
			query.Tags = append(query.Tags, int64(num))
		}
	}
	wanted := mostRanked
	if s.Recent {
		wanted = s.Limit + 1 // one more tells whether there is more
		if s.After.Num != 0 {
			query.Below = s.After.TS + 1
		}
	}
	s.hunt = s.texts.Find(query)
	for len(s.hits) < wanted && s.looked < mostLooked {
		ready := s.ready()
		if ready == 0 {
			if s.hunt.Done() || s.candidates >= mostCandidates {
				return nil
			}
			if err := s.fetch(ctx); err != nil {
				return err
			}
			continue
		}
		n := min(ready, max(20, wanted-len(s.hits)))
		if err := s.look(ctx, s.pool[:n]); err != nil {
			return err
		}
		s.pool = s.pool[n:]
	}
	return nil
}

// ready returns how many of the pool no candidate can come before that is not there yet.
func (s *searcher) ready() int {
	rest := s.hunt.Rest()
	n, _ := slices.BinarySearchFunc(s.pool, rest, func(d doc, rest int64) int {
		if d.ts > rest {
			return -1
		}
		return 1
	})
	if s.hunt.Done() {
		n = len(s.pool)
	}
	return n
}

// fetch takes more candidates into the pool: those that the user may see.
func (s *searcher) fetch(ctx context.Context) error {
	nums, err := s.hunt.Next(ctx)
	if err != nil {
		return err
	}
	docs, err := s.docs(ctx, nums)
	if err != nil {
		return err
	}
	s.candidates += len(docs)
	docs = slices.DeleteFunc(docs, func(d doc) bool { return s.rooms[d.room] == "" })
	s.inRooms += len(docs)
	if err := s.see(ctx, docs); err != nil {
		return err
	}
	for _, d := range docs {
		if s.sees(d.room, d.place) && (!s.Recent || s.After.Num == 0 || earlier(d.ts, d.event, s.After.TS, s.After.Num)) {
			s.pool = append(s.pool, d)
		}
	}
	slices.SortFunc(s.pool, func(a, b doc) int { return cmp.Or(cmp.Compare(b.ts, a.ts), cmp.Compare(b.event, a.event)) })
	return nil
}

// earlier reports whether an event comes behind another when the latest come first.
func earlier(ts int64, num stateres.Num, thanTS int64, thanNum stateres.Num) bool {
	return ts < thanTS || ts == thanTS && num < thanNum
}

// see finds out what the user may see of the rooms of some candidates.
func (s *searcher) see(ctx context.Context, docs []doc) error {
	var rooms []room.Num
	for _, d := range docs {
		if _, known := s.seen[d.room]; !known {
			rooms = append(rooms, d.room)
			s.seen[d.room] = nil
		}
	}
	if len(rooms) == 0 {
		return nil
	}
	seen, err := s.Rooms.Seen(ctx, s.User, rooms)
	for num, places := range seen {
		s.seen[num] = places
	}
	return err
}

func (s *searcher) sees(num room.Num, place int64) bool {
	return slices.ContainsFunc(s.seen[num], func(in room.Interval) bool { return in.Contains(place) })
}

// look reads the events of candidates, and keeps those that are what is wanted.
func (s *searcher) look(ctx context.Context, docs []doc) error {
	s.looked += len(docs)
	last := docs[len(docs)-1]
	s.last = Place{TS: last.ts, Num: last.event}
	var nums []stateres.Num
	for _, d := range docs {
		nums = append(nums, d.event)
		if d.edit != 0 {
			nums = append(nums, d.edit)
		}
	}
	list, err := s.Rooms.Stored(ctx, nums)
	if err == nil {
		list, err = s.Rooms.Unfaded(ctx, list)
	}
	if err != nil {
		return err
	}
	stored := make(map[stateres.Num]room.Stored, len(list))
	for _, e := range list {
		stored[e.Num] = e
	}
	var found []doc
	var hits []Hit
	for _, d := range docs {
		e, ok := stored[d.event]
		if !ok || !s.passes(e) {
			continue
		}
		says := e.Event
		if edit, ok := stored[d.edit]; ok && !edit.Redacted && s.sees(d.room, edit.Place) {
			says = edit.Event
		}
		if rank := s.rank(textOf(says)); rank > 0 {
			found = append(found, d)
			hits = append(hits, Hit{RoomID: s.rooms[d.room], Num: d.event, Sender: e.Event.Sender(), Rank: rank, ts: d.ts})
		}
	}
	return s.keep(ctx, found, hits, stored)
}

// passes reports whether an event is one that is searched.
func (s *searcher) passes(e room.Stored) bool {
	key := keyOf(e.Event)
	sender := e.Event.Sender()
	return !e.Redacted && key != "" && (s.Keys == nil || slices.Contains(s.Keys, key)) &&
		(s.Sender == "" || s.Sender == sender) && (key != KeyBody || !s.ignored[sender]) &&
		s.Filter.Match(e.Event.Type(), sender, e.Event.Content())
}

// keep keeps the hits that the filter lets pass by what relates to them.
func (s *searcher) keep(ctx context.Context, docs []doc, hits []Hit, stored map[stateres.Num]room.Stored) error {
	if !s.Filter.WantsRelated() {
		s.hits = append(s.hits, hits...)
		return nil
	}
	items := make(map[room.Num][]room.Item)
	for _, d := range docs {
		items[d.room] = append(items[d.room], room.Item{Num: d.event, Place: d.place, Event: stored[d.event].Event})
	}
	related := make(map[room.Num]map[id.EventID]bool)
	for num, list := range items {
		var err error
		if related[num], err = s.Rooms.Related(ctx, s.rooms[num], list, s.Filter.RelatedByRelTypes, s.Filter.RelatedBySenders, s.seen[num]); err != nil {
			return err
		}
	}
	for i, d := range docs {
		if related[d.room][stored[d.event].Event.ID()] {
			s.hits = append(s.hits, hits[i])
		}
	}
	return nil
}

// rank says how closely a text is what is wanted, 0 if it is not: words count more than
// their beginnings, and these more than other parts, and all of it more in a short text.
func (s *searcher) rank(text string) int64 {
	weights := [...]int{textindex.NoMatch: 0, textindex.Inside: 500, textindex.Prefix: 750, textindex.Whole: 1000}
	sum := 0
	for _, t := range s.terms {
		m := t.In(text)
		if m == textindex.NoMatch {
			return 0
		}
		sum += weights[m]
	}
	const short = 64 // bytes
	mean := sum / len(s.terms)
	return int64(mean/2 + mean*short/(short+len(text))/2)
}

// page makes the page of the hits.
func (s *searcher) page(ctx context.Context, page Page) (Page, error) {
	hits := s.hits
	if !s.Recent {
		slices.SortStableFunc(hits, func(a, b Hit) int { return cmp.Compare(b.Rank, a.Rank) })
		if a := s.After; a.Num != 0 {
			hits = slices.DeleteFunc(hits, func(h Hit) bool {
				return h.Rank > a.Rank || h.Rank == a.Rank && !earlier(h.ts, h.Num, a.TS, a.Num)
			})
		}
	}
	switch {
	case len(hits) > s.Limit:
		page.More, hits = true, hits[:s.Limit]
		last := hits[s.Limit-1]
		page.Next = Place{TS: last.ts, Num: last.Num}
		if !s.Recent {
			page.Next.Rank = last.Rank
		}
	case s.Recent && s.ready() > 0: // there was too much to look at
		page.More, page.Next = true, s.last
	case s.Recent && !s.hunt.Done():
		page.More, page.Next = true, Place{TS: s.hunt.Rest(), Num: math.MaxInt64}
	}
	page.Hits = hits
	var err error
	if page.Count = s.After.Count; s.After.Num == 0 {
		page.Count, err = s.count(ctx)
	}
	page.Next.Count = page.Count
	return page, err
}

// count estimates how many results there are: of what was not looked at as large a part as
// of what was.
func (s *searcher) count(ctx context.Context) (int64, error) {
	rest, share := float64(len(s.pool)), 1.0
	if s.looked > 0 {
		share = float64(len(s.hits)) / float64(s.looked)
	}
	inRooms := 1.0
	if s.candidates > 0 {
		inRooms = float64(s.inRooms) / float64(s.candidates)
	}
	for !s.hunt.Done() {
		more, err := s.hunt.Next(ctx)
		if err != nil {
			return 0, err
		}
		rest += float64(len(more)) * inRooms
	}
	return int64(len(s.hits)) + int64(math.Round(rest*share)), nil
}
