package csapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/internal/room"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
)

func (s *Server) roomSummaryRoutes() []endpoint.Route {
	policy := endpoint.Policy{Auth: endpoint.Optional, Class: classRead}
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v1/room_summary/{roomIDOrAlias}", policy, s.roomSummary),
		// As it was called before it was part of the specification, in both places
		// where it has been.
		endpoint.On("GET /_matrix/client/unstable/im.nheko.summary/summary/{roomIDOrAlias}", policy, s.unstableRoomSummary),
		endpoint.On("GET /_matrix/client/unstable/im.nheko.summary/rooms/{roomIDOrAlias}/summary", policy, s.unstableRoomSummary),
	}
}

type roomSummaryRequest struct {
	Room string          `path:"roomIDOrAlias"`
	Via  []id.ServerName `query:"via"`
}

type roomSummaryResponse struct {
	room.DescribedRoom
	Membership string `json:"membership,omitempty"`
}

// roomSummary serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1room_summaryroomidoralias
func (s *Server) roomSummary(ctx context.Context, c endpoint.Caller, req roomSummaryRequest) (roomSummaryResponse, error) {
	roomID, via, err := s.named(ctx, req.Room)
	if err != nil {
		return roomSummaryResponse{}, err
	}
	found, err := s.Rooms.Previews(ctx, c.UserID, []id.RoomID{roomID})
	if err != nil {
		return roomSummaryResponse{}, err
	}
	p, ok := found[roomID]
	if !ok && c.UserID != "" { // others are not asked for just anybody
		p, ok, err = s.Rooms.FarSummary(ctx, c.UserID, roomID, append(req.Via, via...))
	}
	if err != nil {
		return roomSummaryResponse{}, err
	}
	if !ok {
		return roomSummaryResponse{}, mxerr.New(mxerr.NotFound, "There is no room %s that you may see", req.Room)
	}
	resp := roomSummaryResponse{p.Described(), p.Membership}
	if c.UserID != "" && resp.Membership == "" {
		resp.Membership = event.MembershipLeave
	}
	return resp, nil
}

type unstableRoomSummaryResponse struct {
	roomSummaryResponse
	UnstableEncryption string          `json:"im.nheko.summary.encryption,omitempty"`
	UnstableVersion    roomver.Version `json:"im.nheko.summary.room_version,omitempty"`
}

func (s *Server) unstableRoomSummary(ctx context.Context, c endpoint.Caller, req roomSummaryRequest) (unstableRoomSummaryResponse, error) {
	stable, err := s.roomSummary(ctx, c, req)
	resp := unstableRoomSummaryResponse{stable, stable.Encryption, stable.Version}
	// Some clients take the two names for one member, which cannot be there twice.
	resp.Encryption, resp.Version = "", ""
	return resp, err
}
