package csapi

import (
	"context"
	"errors"

	"parley/internal/endpoint"
	"parley/internal/feed"
	"parley/internal/filter"
	"parley/internal/room"
	"parley/internal/search"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/stateres"
)

type searchResponse struct {
	Categories struct {
		RoomEvents *searchResults `json:"room_events,omitempty"`
	} `json:"search_categories"`
}

type searchResults struct {
	Results    []searchResult                     `json:"results"`
	Count      int64                              `json:"count"`
	Highlights []string                           `json:"highlights"`
	State      map[id.RoomID][]canonjson.Value    `json:"state,omitempty"`
	Groups     map[string]map[string]*searchGroup `json:"groups,omitempty"`
	NextBatch  string                             `json:"next_batch,omitempty"`
}

type searchResult struct {
	Rank    int64           `json:"rank"`
	Result  canonjson.Value `json:"result"`
	Context *searchContext  `json:"context,omitempty"`
}

type searchContext struct {
	Start    string                        `json:"start"`
	End      string                        `json:"end"`
	Before   []canonjson.Value             `json:"events_before"`
	After    []canonjson.Value             `json:"events_after"`
	Profiles map[id.UserID]canonjson.Value `json:"profile_info,omitempty"`
}

type searchGroup struct {
	NextBatch string       `json:"next_batch,omitempty"`
	Order     int          `json:"order"`
	Results   []id.EventID `json:"results"`
}

// searchResponse puts together the answer of what was found.
func (s *Server) searchResponse(ctx context.Context, c endpoint.Caller, r *searchCriteria, q search.Query, page search.Page) (resp searchResponse, err error) {
	a := searchAnswer{Server: s, c: c, criteria: r, rooms: make(map[id.RoomID]*searchedRoom)}
	if a.ignored, err = s.AccountData.Ignored(ctx, c.UserID); err != nil {
		return resp, err
	}
	if err := a.read(ctx, page.Hits); err != nil {
		return resp, err
	}
	results := &searchResults{Results: []searchResult{}, Count: page.Count, Highlights: page.Highlights}
	groups := make(map[string]map[string]*searchGroup)
	for _, h := range page.Hits {
		result, ok, err := a.result(ctx, h)
		if err != nil {
			return resp, err
		}
		if !ok {
			continue
		}
		results.Results = append(results.Results, result)
		for key, value := range map[string]string{groupRoom: string(h.RoomID), groupSender: string(h.Sender)} {
			if !r.groupsBy(key) {
				continue
			}
			eventID := a.rooms[h.RoomID].items[h.Num].Event.ID()
			addToGroup(groups, key, value, eventID)
		}
	}
	if page.More {
		group, value := q.Group()
		results.NextBatch = formatSearchToken(q.Recent, page.Next, group, value)
		for key, list := range groups {
			for value, g := range list {
				g.NextBatch = formatSearchToken(q.Recent, page.Next, key, value)
			}
		}
	}
	if len(groups) > 0 {
		results.Groups = groups
	}
	if r.IncludeState {
		results.State, err = a.state(ctx, q.Filter)
	}
	resp.Categories.RoomEvents = results
	return resp, err
}

func addToGroup(groups map[string]map[string]*searchGroup, key, value string, eventID id.EventID) {
	if groups[key] == nil {
		groups[key] = make(map[string]*searchGroup)
	}
	g := groups[key][value]
	if g == nil {
		g = &searchGroup{Order: len(groups[key])}
		groups[key][value] = g
	}
	g.Results = append(g.Results, eventID)
}

// A searchAnswer is an answer while it is put together.
type searchAnswer struct {
	*Server
	c        endpoint.Caller
	criteria *searchCriteria
	ignored  map[id.UserID]bool
	rooms    map[id.RoomID]*searchedRoom
}

// A searchedRoom is one with results.
type searchedRoom struct {
	sight   room.Sight
	items   map[stateres.Num]room.Item
	senders map[id.UserID]room.Item // of what is shown, each with some of it
}

// read reads the events of the hits.
func (a *searchAnswer) read(ctx context.Context, hits []search.Hit) error {
	nums := make(map[id.RoomID][]stateres.Num)
	for _, h := range hits {
		nums[h.RoomID] = append(nums[h.RoomID], h.Num)
	}
	for roomID, list := range nums {
		r := &searchedRoom{items: make(map[stateres.Num]room.Item), senders: make(map[id.UserID]room.Item)}
		a.rooms[roomID] = r
		items, err := a.Rooms.ItemsShown(ctx, roomID, list)
		if room.IsGone(err) {
			continue
		}
		if err == nil {
			r.sight, err = a.Rooms.Sight(ctx, roomID, a.c.UserID)
		}
		if err != nil {
			return err
		}
		for _, it := range items {
			if r.sight.Sees(it.Place) {
				r.items[it.Num] = it
			}
		}
	}
	return nil
}

// result returns a hit as the caller is to see it; ok is false if it is not there any
// more, or its sender does not want it to be seen.
func (a *searchAnswer) result(ctx context.Context, h search.Hit) (result searchResult, ok bool, err error) {
	r := a.rooms[h.RoomID]
	it, ok := r.items[h.Num]
	if !ok {
		return result, false, nil
	}
	var before, after []room.Item
	if a.criteria.Context != nil {
		result.Context = new(searchContext)
		if before, after, err = a.around(ctx, h.RoomID, it, result.Context); err != nil {
			return result, false, err
		}
	}
	all := append(append([]room.Item{it}, before...), after...)
	shown, err := a.show(ctx, a.c, h.RoomID, r.sight, all)
	if err != nil || string(shown[0].Get("content")) == "{}" {
		return result, false, err
	}
	result.Rank, result.Result = h.Rank, shown[0]
	for _, it := range all {
		r.senders[it.Event.Sender()] = it
	}
	if result.Context == nil {
		return result, true, nil
	}
	result.Context.Before, result.Context.After = shown[1:1+len(before)], shown[1+len(before):]
	if a.criteria.Context.IncludeProfile {
		result.Context.Profiles, err = a.profiles(ctx, h.RoomID, it, all)
	}
	return result, true, err
}

// around returns the events before and behind one, as far as they are here: nobody is
// asked for more.
func (a *searchAnswer) around(ctx context.Context, roomID id.RoomID, it room.Item, c *searchContext) (before, after []room.Item, err error) {
	wantBefore, wantAfter, err := a.criteria.around()
	if err != nil {
		return nil, nil, err
	}
	var everything filter.RoomEventFilter
	sight := a.rooms[roomID].sight
	back := &walk{room: roomID, user: a.c.UserID, sight: sight, ignored: a.ignored, fills: mostFills,
		back: true, at: it.Place - 1, to: sight.Intervals[0].First - 1}
	if before, err = back.collect(ctx, a.Rooms, &everything, wantBefore); err != nil {
		return nil, nil, err
	}
	forward := &walk{room: roomID, user: a.c.UserID, sight: sight, ignored: a.ignored, fills: mostFills, at: it.Place, to: sight.At.Place}
	after, err = forward.collect(ctx, a.Rooms, &everything, wantAfter)
	c.Start, c.End = feed.FormatPlace(back.at), feed.FormatPlace(forward.at)
	return before, after, err
}

// profiles returns how the senders of events were called at one of them.
func (a *searchAnswer) profiles(ctx context.Context, roomID id.RoomID, at room.Item, events []room.Item) (map[id.UserID]canonjson.Value, error) {
	profiles := make(map[id.UserID]canonjson.Value)
	for _, it := range events {
		user := it.Event.Sender()
		if profiles[user] != nil {
			continue
		}
		member, err := a.Rooms.State(ctx, roomID, at.Current, event.Tuple{Type: event.TypeMember, StateKey: string(user)})
		if err != nil {
			return nil, err
		}
		profiles[user] = memberProfile(member)
	}
	return profiles, nil
}

// memberProfile returns what a member event says of its user, if it is as it has to be.
func memberProfile(member *event.Event) canonjson.Value {
	said := canonjson.Value("{}")
	if member == nil {
		return said
	}
	for _, key := range [...]string{"displayname", "avatar_url"} {
		text, ok := member.Content().Get(key).Text()
		if _, err := id.ParseContentURI(text); key == "avatar_url" && err != nil {
			ok = false
		}
		if ok {
			said = said.With(key, canonjson.Text(text))
		}
	}
	return said
}

// state returns the state of the rooms with results, as the caller may see it; if members
// are loaded lazily, of these those who sent something.
func (a *searchAnswer) state(ctx context.Context, f *filter.RoomEventFilter) (map[id.RoomID][]canonjson.Value, error) {
	states := make(map[id.RoomID][]canonjson.Value)
	for roomID, r := range a.rooms {
		if len(r.senders) == 0 {
			continue
		}
		root, err := a.Rooms.StateRoot(ctx, roomID, r.sight)
		if errors.Is(err, mxerr.Forbidden) {
			continue // who was only invited sees events, perhaps, and no state
		}
		if err != nil {
			return nil, err
		}
		var items []room.Item
		if f.LazyLoadMembers {
			items, err = a.Rooms.StateOf(ctx, roomID, root, r.senders)
		} else {
			items, err = a.Rooms.FullState(ctx, roomID, root)
		}
		if err != nil {
			return nil, err
		}
		if states[roomID], err = a.show(ctx, a.c, roomID, r.sight, inOrder(items)); err != nil {
			return nil, err
		}
	}
	return states, nil
}
