package ssapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/internal/room"
)

func (s *Server) publicRoomRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/federation/v1/publicRooms", signed(), s.publicRooms),
		endpoint.On("POST /_matrix/federation/v1/publicRooms", signed(), s.searchPublicRooms),
	}
}

type publicRoomsRequest struct {
	Limit       *int64 `query:"limit"`
	Since       string `query:"since"`
	AllNetworks bool   `query:"include_all_networks"`
	Network     string `query:"third_party_instance_id"`
}

// publicRooms serves https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1publicrooms
func (s *Server) publicRooms(ctx context.Context, _ endpoint.Caller, req publicRoomsRequest) (room.PublicRooms, error) {
	return s.Rooms.PublicRooms(ctx, room.PublicQuery{Limit: req.Limit, Since: req.Since, AllNetworks: req.AllNetworks, Network: req.Network})
}

type searchPublicRoomsRequest struct {
	room.PublicQuery
}

// searchPublicRooms serves https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1publicrooms
func (s *Server) searchPublicRooms(ctx context.Context, _ endpoint.Caller, req searchPublicRoomsRequest) (room.PublicRooms, error) {
	return s.Rooms.PublicRooms(ctx, req.PublicQuery)
}
