package csapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"

	"parley/internal/room"
	"parley/matrix/glob"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// publishedRooms returns the rooms in the directory that pass a filter, the largest
// first. Rooms that nobody is in, so that nobody can join them, are left out.
func (s *Server) publishedRooms(ctx context.Context, filter roomFilter) ([]room.Summary, error) {
	published, err := s.Aliases.Published(ctx)
	if err != nil {
		return nil, err
	}
	var rooms []room.Summary
	for _, roomID := range published {
		summary, err := s.Rooms.Summary(ctx, roomID)
		if errors.Is(err, mxerr.NotFound) {
			continue // it was removed from the server
		}
		if err != nil {
			return nil, err
		}
		if summary.Joined > 0 && filter.passes(summary) {
			rooms = append(rooms, summary)
		}
	}
	slices.SortFunc(rooms, func(a, b room.Summary) int { return placeOf(a).compare(placeOf(b)) })
	return rooms, nil
}

// A roomFilter is what is looked for in the directory.
type roomFilter struct {
	term  []byte    // as newFolded returns it; empty: whatever
	types []*string // nil: whatever; a nil in it: rooms without a type
}

// newFolded returns a text as it is compared, whatever its case.
func newFolded(s string) []byte { return glob.Fold(nil, []byte(s)) }

func (f roomFilter) passes(r room.Summary) bool {
	hasType := func(t *string) bool { return t == nil && r.RoomType == "" || t != nil && *t == r.RoomType }
	if f.types != nil && !slices.ContainsFunc(f.types, hasType) {
		return false
	}
	return len(f.term) == 0 || slices.ContainsFunc([]string{r.Name, r.Topic, r.CanonicalAlias},
		func(s string) bool { return bytes.Contains(newFolded(s), f.term) })
}

// A roomPlace is where a room stands, or has stood, in the list.
type roomPlace struct {
	joined int64
	roomID id.RoomID
}

func placeOf(r room.Summary) roomPlace { return roomPlace{r.Joined, r.RoomID} }

func (p roomPlace) compare(other roomPlace) int {
	return cmp.Or(-cmp.Compare(p.joined, other.joined), cmp.Compare(p.roomID, other.roomID))
}

// A roomPage says which part of the list is wanted: what stands behind a place
// or, if it is backwards, before it. The zero roomPage is the first page. A place
// keeps its meaning when rooms come and go in between.
type roomPage struct {
	backwards bool
	place     roomPlace
}

// String returns the page as a token.
func (p roomPage) String() string {
	direction := "n"
	if p.backwards {
		direction = "p"
	}
	return direction + strconv.FormatInt(p.place.joined, 10) + "_" + base64.RawURLEncoding.EncodeToString([]byte(p.place.roomID))
}

func parseRoomPage(token string) (p roomPage, err error) {
	if token == "" {
		return p, nil
	}
	refusal := mxerr.New(mxerr.InvalidParam, "since is no token of this server")
	direction, rest := token[:1], token[1:]
	if direction != "n" && direction != "p" {
		return p, refusal
	}
	joined, encoded, _ := strings.Cut(rest, "_")
	roomID, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return p, refusal.Wrap(err)
	}
	p.backwards = direction == "p"
	if p.place.joined, err = strconv.ParseInt(joined, 10, 64); err != nil {
		return p, refusal.Wrap(err)
	}
	if p.place.roomID, err = id.ParseRoomID(string(roomID)); err != nil {
		return p, refusal.Wrap(err)
	}
	return p, nil
}

// of returns the page of a list in order, and the tokens of the pages after and
// before it, empty where there is nothing.
func (p roomPage) of(rooms []room.Summary, limit int) (page []room.Summary, next, prev string) {
	first, last := 0, 0
	switch {
	case p.backwards:
		last, _ = slices.BinarySearchFunc(rooms, p.place, comparePlace)
		first = max(0, last-limit)
	case p.place != roomPlace{}:
		var found bool
		if first, found = slices.BinarySearchFunc(rooms, p.place, comparePlace); found {
			first++
		}
		last = min(len(rooms), first+limit)
	default:
		last = min(len(rooms), limit)
	}
	page = rooms[first:last]
	if len(page) == 0 {
		return page, "", ""
	}
	if last < len(rooms) {
		next = roomPage{false, placeOf(page[len(page)-1])}.String()
	}
	if first > 0 {
		prev = roomPage{true, placeOf(page[0])}.String()
	}
	return page, next, prev
}

func comparePlace(r room.Summary, p roomPlace) int { return placeOf(r).compare(p) }
