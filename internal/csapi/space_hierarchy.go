package csapi

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"parley/internal/endpoint"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) spaceRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v1/rooms/{roomID}/hierarchy", endpoint.Policy{Auth: endpoint.User, Class: classRead}, s.hierarchy),
	}
}

// How many rooms there are in a page of a space, and at most.
const (
	spaceRoomsPerPage     = 50
	mostSpaceRoomsPerPage = 1000
)

type hierarchyRequest struct {
	RoomID        id.RoomID `path:"roomID"`
	SuggestedOnly bool      `query:"suggested_only"`
	Limit         *int64    `query:"limit"`
	MaxDepth      *int64    `query:"max_depth"`
	From          string    `query:"from"`
}

type hierarchyResponse struct {
	Rooms     []spaceRoom `json:"rooms"`
	NextBatch string      `json:"next_batch,omitempty"`
}

type spaceRoom struct {
	room.DescribedRoom
	ChildrenState []canonjson.Value `json:"children_state"`
}

// hierarchy serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidhierarchy
func (s *Server) hierarchy(ctx context.Context, c endpoint.Caller, req hierarchyRequest) (hierarchyResponse, error) {
	limit, err := req.limit()
	if err != nil {
		return hierarchyResponse{}, err
	}
	t, err := req.tree(c.UserID)
	if err != nil {
		return hierarchyResponse{}, err
	}
	page := treePage{tree: t}
	if req.From != "" {
		if page.behind, err = parseTreePage(req.From, t); err != nil {
			return hierarchyResponse{}, err
		}
	}
	rooms, more, err := s.Rooms.Hierarchy(ctx, t, page.behind, limit)
	if err != nil {
		return hierarchyResponse{}, err
	}
	resp := hierarchyResponse{Rooms: []spaceRoom{}}
	for _, r := range rooms {
		resp.Rooms = append(resp.Rooms, newSpaceRoom(r))
	}
	if more {
		page.behind = room.Branch{Room: rooms[len(rooms)-1].RoomID, Count: page.behind.Count + len(rooms)}
		resp.NextBatch = page.String()
	}
	return resp, nil
}

func (req hierarchyRequest) limit() (int, error) {
	switch {
	case req.Limit == nil:
		return spaceRoomsPerPage, nil
	case *req.Limit <= 0:
		return 0, mxerr.New(mxerr.InvalidParam, "limit has to be greater than zero")
	}
	return int(min(*req.Limit, mostSpaceRoomsPerPage)), nil
}

func (req hierarchyRequest) tree(user id.UserID) (room.Tree, error) {
	t := room.Tree{Root: req.RoomID, User: user, SuggestedOnly: req.SuggestedOnly, Depth: room.MaxDepth}
	if req.MaxDepth != nil {
		if *req.MaxDepth < 0 {
			return t, mxerr.New(mxerr.InvalidParam, "max_depth is negative")
		}
		t.Depth = int(min(*req.MaxDepth, room.MaxDepth))
	}
	return t, nil
}

func newSpaceRoom(r room.SpaceRoom) spaceRoom {
	shown := spaceRoom{DescribedRoom: r.Described(), ChildrenState: []canonjson.Value{}}
	for _, c := range r.Children {
		shown.ChildrenState = append(shown.ChildrenState, c.Stripped)
	}
	return shown
}

// A treePage says which part of a tree is wanted. It belongs to this tree: behind
// it, another would have other rooms.
type treePage struct {
	tree   room.Tree
	behind room.Branch
}

// String returns the page as a token.
func (p treePage) String() string {
	last := base64.RawURLEncoding.EncodeToString([]byte(p.behind.Room))
	return fmt.Sprintf("%s%d.%s", treePrefix(p.tree), p.behind.Count, last)
}

func treePrefix(t room.Tree) string {
	root := base64.RawURLEncoding.EncodeToString([]byte(t.Root))
	return fmt.Sprintf("h1.%s.%t.%d.", root, t.SuggestedOnly, t.Depth)
}

func parseTreePage(token string, t room.Tree) (behind room.Branch, err error) {
	rest, ok := strings.CutPrefix(token, treePrefix(t))
	if !ok {
		return behind, mxerr.New(mxerr.InvalidParam, "from is no token for this room with these suggested_only and max_depth")
	}
	refusal := mxerr.New(mxerr.InvalidParam, "from is no token of this server")
	count, last, _ := strings.Cut(rest, ".")
	if behind.Count, err = strconv.Atoi(count); err != nil || behind.Count < 0 {
		return behind, refusal.Wrap(err)
	}
	roomID, err := base64.RawURLEncoding.DecodeString(last)
	if err != nil {
		return behind, refusal.Wrap(err)
	}
	if behind.Room, err = id.ParseRoomID(string(roomID)); err != nil {
		return behind, refusal.Wrap(err)
	}
	return behind, nil
}
