package ssapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

func (s *Server) spaceRoutes() []endpoint.Route {
	return []endpoint.Route{endpoint.On("GET /_matrix/federation/v1/hierarchy/{roomID}", signed(), s.hierarchy)}
}

type hierarchyRequest struct {
	RoomID        id.RoomID `path:"roomID"`
	SuggestedOnly bool      `query:"suggested_only"`
}

type hierarchyResponse struct {
	Room         spaceRoom            `json:"room"`
	Children     []room.DescribedRoom `json:"children"`
	Inaccessible []id.RoomID          `json:"inaccessible_children"`
}

type spaceRoom struct {
	room.DescribedRoom
	ChildrenState []canonjson.Value `json:"children_state"`
}

// hierarchy serves https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1hierarchyroomid
func (s *Server) hierarchy(ctx context.Context, c endpoint.Caller, req hierarchyRequest) (hierarchyResponse, error) {
	space, err := s.Rooms.ServeSpace(ctx, c.Server, req.RoomID, req.SuggestedOnly)
	if err != nil {
		return hierarchyResponse{}, err
	}
	resp := hierarchyResponse{
		Room:     spaceRoom{DescribedRoom: space.Room.Described(), ChildrenState: []canonjson.Value{}},
		Children: []room.DescribedRoom{}, Inaccessible: []id.RoomID{},
	}
	for _, child := range space.Room.Children {
		resp.Room.ChildrenState = append(resp.Room.ChildrenState, child.Stripped)
	}
	for _, summary := range space.Children {
		resp.Children = append(resp.Children, summary.Described())
	}
	resp.Inaccessible = append(resp.Inaccessible, space.Inaccessible...)
	return resp, nil
}
