package adminapi

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"parley/internal/endpoint"
	"parley/internal/room"
	"parley/matrix/mxerr"
)

type roomsRequest struct {
	page
	OrderBy string `query:"order_by"`
	Term    string `query:"search_term"`
	Public  *bool  `query:"public_rooms"`
	Empty   *bool  `query:"empty_rooms"`
}

type roomsResponse struct {
	Rooms  []aRoom `json:"rooms"`
	Offset int64   `json:"offset"`
	Total  int     `json:"total_rooms"`
	Next   *int64  `json:"next_batch,omitempty"`
	Prev   *int64  `json:"prev_batch,omitempty"`
}

// orders are the ways to sort rooms. Those that are numbers have the largest first.
var orders = map[string]func(a, b aRoom) int{
	"name":                 func(a, b aRoom) int { return compareTexts(a.Name, b.Name) },
	"alphabetical":         func(a, b aRoom) int { return compareTexts(a.Name, b.Name) },
	"canonical_alias":      func(a, b aRoom) int { return compareTexts(a.CanonicalAlias, b.CanonicalAlias) },
	"encryption":           func(a, b aRoom) int { return compareTexts(a.Encryption, b.Encryption) },
	"join_rules":           func(a, b aRoom) int { return compareTexts(a.JoinRules, b.JoinRules) },
	"guest_access":         func(a, b aRoom) int { return compareTexts(a.GuestAccess, b.GuestAccess) },
	"history_visibility":   func(a, b aRoom) int { return compareTexts(a.HistoryVisibility, b.HistoryVisibility) },
	"creator":              func(a, b aRoom) int { return cmp.Compare(a.Creator, b.Creator) },
	"version":              func(a, b aRoom) int { return cmp.Compare(b.Version, a.Version) },
	"federatable":          func(a, b aRoom) int { return compareBools(a.Federatable, b.Federatable) },
	"public":               func(a, b aRoom) int { return compareBools(a.Public, b.Public) },
	"joined_members":       func(a, b aRoom) int { return cmp.Compare(b.Joined, a.Joined) },
	"size":                 func(a, b aRoom) int { return cmp.Compare(b.Joined, a.Joined) },
	"joined_local_members": func(a, b aRoom) int { return cmp.Compare(b.LocalJoined, a.LocalJoined) },
	"state_events":         func(a, b aRoom) int { return cmp.Compare(b.StateEvents, a.StateEvents) },
	// Not of Synapse: what takes most room on disk.
	"events": func(a, b aRoom) int { return cmp.Compare(b.Events, a.Events) },
	"bytes":  func(a, b aRoom) int { return cmp.Compare(b.Bytes, a.Bytes) },
}

func compareTexts(a, b *string) int {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return strings.ToLower(*s)
	}
	return cmp.Compare(text(a), text(b))
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// quick are the orders for which nothing of the states has to be read.
var quick = map[string]bool{"version": true, "joined_members": true, "size": true, "public": true, "events": true, "bytes": true}

// rooms lists rooms. Unless the order and the search are by what the table of rooms
// has, it reads of every room what it is called.
func (s *Server) rooms(ctx context.Context, _ endpoint.Caller, req roomsRequest) (roomsResponse, error) {
	skip, limit, backwards, err := req.bounds("f")
	if err != nil {
		return roomsResponse{}, err
	}
	order := cmp.Or(req.OrderBy, "name")
	compare := orders[order]
	if compare == nil {
		return roomsResponse{}, mxerr.New(mxerr.InvalidParam, "There is no order by %q", req.OrderBy)
	}
	all, err := s.candidates(ctx, req)
	if err != nil {
		return roomsResponse{}, err
	}
	whole := !quick[order] || req.Term != ""
	if whole {
		if all, err = s.describeAll(ctx, all, req.Term); err != nil {
			return roomsResponse{}, err
		}
	}
	if order == "joined_local_members" {
		if err := s.countLocal(ctx, all); err != nil {
			return roomsResponse{}, err
		}
	}
	slices.SortFunc(all, func(a, b aRoom) int {
		c := cmp.Or(compare(a, b), cmp.Compare(a.RoomID, b.RoomID))
		if backwards {
			return -c
		}
		return c
	})
	from := min(skip, int64(len(all)))
	chunk := all[from:min(from+limit, int64(len(all)))]
	if !whole {
		if chunk, err = s.describeAll(ctx, chunk, ""); err != nil {
			return roomsResponse{}, err
		}
	}
	if err := s.countLocal(ctx, chunk); err != nil {
		return roomsResponse{}, err
	}
	resp := roomsResponse{Rooms: append([]aRoom{}, chunk...), Offset: skip, Total: len(all), Next: next(skip, len(chunk), int64(len(all)))}
	if skip > 0 {
		before := max(0, skip-limit)
		resp.Prev = &before
	}
	return resp, nil
}

// candidates returns the rooms that pass the filters for which nothing of their
// state has to be read.
func (s *Server) candidates(ctx context.Context, req roomsRequest) ([]aRoom, error) {
	survey, err := s.Rooms.Survey(ctx)
	if err != nil {
		return nil, err
	}
	var all []aRoom
	for _, o := range survey {
		if req.Public != nil && *req.Public != o.Published || req.Empty != nil && *req.Empty != (o.Joined == 0) {
			continue
		}
		all = append(all, aRoom{
			RoomID: o.RoomID, Joined: o.Joined, Version: string(o.Version), Public: o.Published, Events: o.Events, Bytes: o.Bytes, num: o.Room,
		})
	}
	return all, nil
}

// describeAll fills in what the states say, and drops rooms in which a term does
// not occur, and those that were deleted meanwhile.
func (s *Server) describeAll(ctx context.Context, rooms []aRoom, term string) ([]aRoom, error) {
	var all []aRoom
	for _, r := range rooms {
		described, _, err := s.describe(ctx, room.Overview{
			RoomID: r.RoomID, Room: r.num, Joined: r.Joined, Published: r.Public, Events: r.Events, Bytes: r.Bytes,
		})
		if room.IsGone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		described.Version = r.Version
		if term == "" || described.matches(term) {
			all = append(all, described)
		}
	}
	return all, nil
}

func (r aRoom) matches(term string) bool {
	contains := func(s *string) bool { return s != nil && strings.Contains(strings.ToLower(*s), strings.ToLower(term)) }
	return contains(r.Name) || contains(r.CanonicalAlias) || strings.Contains(string(r.RoomID), term)
}

func (s *Server) countLocal(ctx context.Context, rooms []aRoom) error {
	var nums []room.Num
	for _, r := range rooms {
		nums = append(nums, r.num)
	}
	counts, err := s.Rooms.CountLocal(ctx, nums)
	for i := range rooms {
		rooms[i].LocalJoined = counts[rooms[i].num]
	}
	return err
}
