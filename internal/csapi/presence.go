package csapi

import (
	"context"
	"time"

	"parley/internal/endpoint"
	"parley/internal/ephemeral"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) presenceRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("PUT /_matrix/client/v3/presence/{userID}/status", endpoint.Policy{Auth: endpoint.User, Class: classWrite}, s.setPresence),
		endpoint.On("GET /_matrix/client/v3/presence/{userID}/status", endpoint.Policy{Auth: endpoint.User, Class: classRead}, s.presence),
	}
}

// maxStatus is how many bytes a status message may have: each goes to everybody
// who shares a room with the user.
const maxStatus = 1 << 10

type setPresenceRequest struct {
	UserID  id.UserID       `path:"userID"`
	State   string          `json:"presence" required:"true"`
	Message canonjson.Value `json:"status_msg"`
}

// setPresence serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3presenceuseridstatus
func (s *Server) setPresence(_ context.Context, c endpoint.Caller, req setPresenceRequest) (endpoint.Empty, error) {
	if err := own(c, req.UserID); err != nil {
		return endpoint.Empty{}, err
	}
	state, ok := ephemeral.ParseState(req.State)
	if !ok {
		return endpoint.Empty{}, mxerr.New(mxerr.InvalidParam, "presence is neither online nor offline nor unavailable")
	}
	message, ok := req.Message.Text()
	switch {
	case !ok && req.Message != nil && req.Message.Kind() != canonjson.Null:
		return endpoint.Empty{}, mxerr.New(mxerr.InvalidParam, "status_msg is not a string")
	case len(message) > maxStatus:
		return endpoint.Empty{}, mxerr.New(mxerr.InvalidParam, "status_msg may have %d bytes", maxStatus)
	case message != "" && c.Suspended:
		return endpoint.Empty{}, notSuspended(c) // it is something to say
	}
	if s.Presence != nil {
		s.Presence.Set(c.UserID, c.DeviceID, state, message)
	}
	return endpoint.Empty{}, nil
}

type presenceRequest struct {
	UserID id.UserID `path:"userID"`
}

type presenceResponse struct {
	State         string `json:"presence"`
	LastActiveAgo *int64 `json:"last_active_ago,omitempty"` // milliseconds
	Message       string `json:"status_msg,omitempty"`
	Currently     *bool  `json:"currently_active,omitempty"`
}

// presence serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3presenceuseridstatus
func (s *Server) presence(ctx context.Context, c endpoint.Caller, req presenceRequest) (presenceResponse, error) {
	if s.Presence == nil {
		return presenceResponse{State: ephemeral.Offline.String()}, nil
	}
	if c.UserID != req.UserID {
		shared, err := s.Rooms.Share(ctx, c.UserID, req.UserID)
		if err != nil {
			return presenceResponse{}, err
		}
		if !shared {
			return presenceResponse{}, mxerr.New(mxerr.Forbidden, "You are not allowed to see the presence of %s", req.UserID)
		}
	}
	status := s.Presence.Status(req.UserID)
	resp := presenceResponse{State: status.State.String(), Message: status.Message}
	if !status.Active.IsZero() {
		ago := max(0, time.Since(status.Active).Milliseconds())
		resp.LastActiveAgo = &ago
	}
	if status.State == ephemeral.Online {
		resp.Currently = &status.Currently
	}
	return resp, nil
}

// active takes in that the caller has done something that others see.
func (s *Server) active(c endpoint.Caller) {
	if s.Presence != nil {
		s.Presence.Active(c.UserID, c.DeviceID)
	}
}
