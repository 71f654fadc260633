package csapi

import (
	"context"
	"time"

	"parley/internal/endpoint"
	"parley/matrix/id"
)

func (s *Server) typingRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("PUT /_matrix/client/v3/rooms/{roomID}/typing/{userID}",
			endpoint.Policy{Auth: endpoint.User, Class: classWrite}, s.setTyping),
	}
}

type typingRequest struct {
	RoomID  id.RoomID `path:"roomID"`
	UserID  id.UserID `path:"userID"`
	Typing  bool      `json:"typing" required:"true"`
	Timeout int64     `json:"timeout"` // in milliseconds
}

// setTyping serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidtypinguserid
func (s *Server) setTyping(ctx context.Context, c endpoint.Caller, req typingRequest) (endpoint.Empty, error) {
	if err := own(c, req.UserID); err != nil {
		return endpoint.Empty{}, err
	}
	if err := s.mustBeJoined(ctx, c, req.RoomID); err != nil {
		return endpoint.Empty{}, err
	}
	s.active(c)
	num, err := s.Rooms.Num(ctx, req.RoomID)
	if err != nil {
		return endpoint.Empty{}, err
	}
	if !req.Typing {
		s.Typing.Stop(num.Scope(), c.UserID)
		return endpoint.Empty{}, nil
	}
	if err := notSuspended(c); err != nil {
		return endpoint.Empty{}, err
	}
	// The board has limits of its own; this one keeps the product in range.
	const day = 24 * 60 * 60 * 1000
	timeout := time.Duration(min(max(req.Timeout, -day), day)) * time.Millisecond
	s.Typing.Type(num.Scope(), c.UserID, timeout)
	return endpoint.Empty{}, nil
}
