package csapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/internal/room"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) publicRoomRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v3/directory/list/room/{roomID}", endpoint.Policy{Auth: endpoint.None}, s.visibility),
		endpoint.On("PUT /_matrix/client/v3/directory/list/room/{roomID}",
			endpoint.Policy{Auth: endpoint.User, Class: classWrite}, s.setVisibility),
		endpoint.On("GET /_matrix/client/v3/publicRooms", endpoint.Policy{Auth: endpoint.None, Class: classRead}, s.publicRooms),
		endpoint.On("POST /_matrix/client/v3/publicRooms",
			endpoint.Policy{Auth: endpoint.UserOrGuest, Class: classRead}, s.searchPublicRooms),
	}
}

// The visibilities of a room in the directory.
const (
	visibilityPublic  = "public"
	visibilityPrivate = "private"
)

type visibilityRequest struct {
	RoomID id.RoomID `path:"roomID"`
}

type visibilityResponse struct {
	Visibility string `json:"visibility"`
}

// visibility serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3directorylistroomroomid
func (s *Server) visibility(ctx context.Context, _ endpoint.Caller, req visibilityRequest) (visibilityResponse, error) {
	published, err := s.Rooms.IsPublished(ctx, req.RoomID)
	return visibilityResponse{visibilityOf(published)}, err
}

func visibilityOf(published bool) string {
	if published {
		return visibilityPublic
	}
	return visibilityPrivate
}

type setVisibilityRequest struct {
	visibilityRequest
	Visibility *string `json:"visibility"`
}

// setVisibility serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3directorylistroomroomid
func (s *Server) setVisibility(ctx context.Context, c endpoint.Caller, req setVisibilityRequest) (endpoint.Empty, error) {
	visibility := visibilityPublic
	if req.Visibility != nil {
		visibility = *req.Visibility
	}
	if visibility != visibilityPublic && visibility != visibilityPrivate {
		return endpoint.Empty{}, mxerr.New(mxerr.InvalidParam, "visibility has to be public or private")
	}
	if err := notSuspended(c); err != nil {
		return endpoint.Empty{}, err
	}
	if _, err := s.Rooms.Num(ctx, req.RoomID); err != nil {
		return endpoint.Empty{}, err
	}
	if err := s.mayName(ctx, c, req.RoomID); err != nil {
		return endpoint.Empty{}, err
	}
	return endpoint.Empty{}, s.Rooms.Publish(ctx, req.RoomID, visibility == visibilityPublic)
}

type publicRoomsRequest struct {
	Limit  *int64        `query:"limit"`
	Since  string        `query:"since"`
	Server id.ServerName `query:"server"`
}

// publicRooms serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3publicrooms
func (s *Server) publicRooms(ctx context.Context, c endpoint.Caller, req publicRoomsRequest) (publicRoomsResponse, error) {
	return s.searchPublicRooms(ctx, c, searchPublicRoomsRequest{Server: req.Server, Limit: req.Limit, Since: req.Since})
}

type searchPublicRoomsRequest struct {
	Server id.ServerName `query:"server"`
	Limit  *int64        `json:"limit"`
	Since  string        `json:"since"`
	Filter struct {
		Term  string    `json:"generic_search_term"`
		Types []*string `json:"room_types"` // nil stands for rooms without a type
	} `json:"filter"`
	AllNetworks bool   `json:"include_all_networks"`
	Network     string `json:"third_party_instance_id"`
}

// search is what the request looks for.
func (req searchPublicRoomsRequest) search() room.Search {
	search := room.Search{Term: req.Filter.Term}
	for _, t := range req.Filter.Types {
		if t == nil {
			t = new(string)
		}
		search.Types = append(search.Types, *t)
	}
	if search.Types == nil && req.Filter.Types != nil {
		search.Types = []string{}
	}
	return search
}

type publicRoomsResponse struct {
	Chunk     []publicRoom `json:"chunk"`
	NextBatch string       `json:"next_batch,omitempty"`
	PrevBatch string       `json:"prev_batch,omitempty"`
	Total     int          `json:"total_room_count_estimate"`
}

type publicRoom struct {
	RoomID         id.RoomID `json:"room_id"`
	Name           string    `json:"name,omitempty"`
	Topic          string    `json:"topic,omitempty"`
	CanonicalAlias string    `json:"canonical_alias,omitempty"`
	AvatarURL      string    `json:"avatar_url,omitempty"`
	JoinRule       string    `json:"join_rule,omitempty"`
	RoomType       string    `json:"room_type,omitempty"`
	Joined         int64     `json:"num_joined_members"`
	WorldReadable  bool      `json:"world_readable"`
	GuestCanJoin   bool      `json:"guest_can_join"`
}

func newPublicRoom(r room.Summary) publicRoom {
	return publicRoom{
		RoomID: r.RoomID, Name: r.Name, Topic: r.Topic, CanonicalAlias: r.CanonicalAlias, AvatarURL: r.AvatarURL,
		JoinRule: r.JoinRule, RoomType: r.RoomType, Joined: r.Joined, WorldReadable: r.WorldReadable, GuestCanJoin: r.GuestCanJoin,
	}
}

// How many rooms there are in a page, and at most.
const (
	roomsPerPage     = 100
	mostRoomsPerPage = 500
)

// searchPublicRooms serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3publicrooms
func (s *Server) searchPublicRooms(ctx context.Context, _ endpoint.Caller, req searchPublicRoomsRequest) (publicRoomsResponse, error) {
	if req.Server != "" && req.Server != s.Name {
		return publicRoomsResponse{}, mxerr.New(mxerr.NotFound, "This server does not know the rooms of %s", req.Server)
	}
	if req.AllNetworks && req.Network != "" {
		return publicRoomsResponse{}, mxerr.New(mxerr.InvalidParam, "third_party_instance_id names one network, include_all_networks all")
	}
	limit := int64(roomsPerPage)
	if req.Limit != nil && *req.Limit != 0 {
		limit = min(*req.Limit, mostRoomsPerPage)
	}
	if limit < 0 {
		return publicRoomsResponse{}, mxerr.New(mxerr.InvalidParam, "limit is negative")
	}
	since, err := parseRoomPage(req.Since)
	if err != nil {
		return publicRoomsResponse{}, err
	}
	resp := publicRoomsResponse{Chunk: []publicRoom{}}
	// There are no networks beside Matrix, and so no rooms in one.
	if req.Network != "" {
		return resp, nil
	}
	page, err := s.Rooms.Directory(ctx, req.search(), since.place, since.backwards, int(limit))
	if err != nil {
		return resp, err
	}
	resp.Total = page.Total
	if page.Later {
		resp.NextBatch = roomPage{false, page.Last()}.String()
	}
	if page.Earlier {
		resp.PrevBatch = roomPage{true, page.First()}.String()
	}
	for _, r := range page.Rooms {
		resp.Chunk = append(resp.Chunk, newPublicRoom(r))
	}
	return resp, nil
}
