package search

import (
	"cmp"
	"context"
	"math"
	"slices"

	"parley/internal/room"
	"parley/internal/textindex"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

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
	begin                       Moment // behind which all is that is looked at
	last                        Moment // of what was looked at last
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
	s.begin = s.After.Behind
	if s.Recent {
		wanted = s.Limit + 1 // one more tells whether there is more
		s.begin = s.After.Moment
	}
	if s.begin.Num != 0 {
		query.Below = s.begin.TS + 1
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
		if s.sees(d.room, d.place) && s.begin.before(d.ts, d.event) {
			s.pool = append(s.pool, d)
		}
	}
	slices.SortFunc(s.pool, func(a, b doc) int { return cmp.Or(cmp.Compare(b.ts, a.ts), cmp.Compare(b.event, a.event)) })
	return nil
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
	s.last = Moment{last.ts, last.event}
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
				return h.Rank > a.Rank || h.Rank == a.Rank && !a.before(h.ts, h.Num)
			})
		}
	}
	switch {
	case len(hits) > s.Limit:
		hits = hits[:s.Limit]
		last := hits[s.Limit-1]
		page.More, page.Next = true, Place{Moment: Moment{last.ts, last.Num}}
		if !s.Recent {
			page.Next.Rank, page.Next.Behind = last.Rank, s.begin
		}
	case s.ready() > 0: // there was too much to look at
		page.More, page.Next = true, s.behind(s.last)
	case !s.hunt.Done():
		page.More, page.Next = true, s.behind(Moment{s.hunt.Rest(), math.MaxInt64})
	}
	page.Hits = hits
	var err error
	if page.Count = s.After.Count; s.After == (Place{}) {
		page.Count, err = s.count(ctx)
	}
	page.Next.Count = page.Count
	return page, err
}

// behind is the place from which to go on with what was not looked at.
func (s *searcher) behind(m Moment) Place {
	if s.Recent {
		return Place{Moment: m}
	}
	return Place{Behind: m}
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
