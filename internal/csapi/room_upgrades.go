package csapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/internal/room"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

func (s *Server) upgradeRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("POST /_matrix/client/v3/rooms/{roomID}/upgrade", endpoint.Policy{Auth: endpoint.User, Class: classCreate}, s.upgrade),
	}
}

type upgradeRequest struct {
	RoomID   id.RoomID       `path:"roomID"`
	Version  roomver.Version `json:"new_version" required:"true"`
	Creators []id.UserID     `json:"additional_creators"`
}

type upgradeResponse struct {
	Replacement id.RoomID `json:"replacement_room"`
}

// upgrade serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidupgrade
func (s *Server) upgrade(ctx context.Context, c endpoint.Caller, req upgradeRequest) (upgradeResponse, error) {
	if err := notSuspended(c); err != nil {
		return upgradeResponse{}, err
	}
	if err := s.mustBeJoined(ctx, c, req.RoomID); err != nil {
		return upgradeResponse{}, err
	}
	defer s.Profiles.Hold(c.UserID)()
	own, err := s.Profiles.Member(ctx, c.UserID)
	if err != nil {
		return upgradeResponse{}, err
	}
	next, err := s.Rooms.Upgrade(ctx, req.RoomID, room.Upgrade{
		Sender: c.UserID, Version: req.Version, Creators: req.Creators, Profile: own, Move: s.Aliases.Move,
	})
	if err != nil {
		return upgradeResponse{}, err
	}
	if err := s.Profiles.RetellUnless(ctx, c.UserID, own); err != nil {
		return upgradeResponse{}, err
	}
	// It would happen in the background, but who has upgraded looks at once.
	return upgradeResponse{next}, s.Heirs.Settle(ctx, room.Heir{User: c.UserID, Room: next})
}
