package csapi

import (
	"context"
	"errors"

	"parley/internal/endpoint"
	"parley/internal/report"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) reportRoutes() []endpoint.Route {
	policy := endpoint.Policy{Auth: endpoint.User, Class: classReport, BodyLimit: 128 << 10}
	return []endpoint.Route{
		endpoint.On("POST /_matrix/client/v3/rooms/{roomID}/report", policy, s.reportRoom),
		endpoint.On("POST /_matrix/client/v3/rooms/{roomID}/report/{eventID}", policy, s.reportEvent),
		endpoint.On("POST /_matrix/client/v3/users/{userID}/report", policy, s.reportUser),
	}
}

type reportRoomRequest struct {
	RoomID id.RoomID `path:"roomID"`
	Reason string    `json:"reason" required:"true"`
}

// reportRoom serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidreport
//
// A room that this server does not know is reported like any other, so that the
// answer tells nobody which rooms there are. Users see such rooms in directories
// of other servers and in invites.
func (s *Server) reportRoom(ctx context.Context, c endpoint.Caller, req reportRoomRequest) (endpoint.Empty, error) {
	return endpoint.Empty{}, s.Reports.File(ctx, report.Report{Kind: report.Room, Reporter: c.UserID, Room: req.RoomID, Reason: req.Reason})
}

type reportEventRequest struct {
	RoomID  id.RoomID  `path:"roomID"`
	EventID id.EventID `path:"eventID"`
	Reason  string     `json:"reason"`
}

// reportEvent serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidreporteventid
//
// Who is not in the room, and who may not see the event, is told what is told of
// an event that does not exist.
func (s *Server) reportEvent(ctx context.Context, c endpoint.Caller, req reportEventRequest) (endpoint.Empty, error) {
	missing := mxerr.New(mxerr.NotFound, "There is no such event, or you are not in its room")
	if err := s.mustBeJoined(ctx, c, req.RoomID); errors.Is(err, mxerr.Forbidden) {
		return endpoint.Empty{}, missing
	} else if err != nil {
		return endpoint.Empty{}, err
	}
	_, it, err := s.seenEvent(ctx, c, req.RoomID, req.EventID)
	if errors.Is(err, mxerr.NotFound) {
		return endpoint.Empty{}, missing
	}
	if err != nil {
		return endpoint.Empty{}, err
	}
	return endpoint.Empty{}, s.Reports.File(ctx, report.Report{
		Kind: report.Event, Reporter: c.UserID, Room: req.RoomID, Event: req.EventID, User: it.Event.Sender(), Reason: req.Reason,
	})
}

type reportUserRequest struct {
	UserID id.UserID `path:"userID"`
	Reason string    `json:"reason" required:"true"`
}

// reportUser serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3usersuseridreport
//
// As with rooms, the answer does not depend on whether there is such a user.
func (s *Server) reportUser(ctx context.Context, c endpoint.Caller, req reportUserRequest) (endpoint.Empty, error) {
	return endpoint.Empty{}, s.Reports.File(ctx, report.Report{Kind: report.User, Reporter: c.UserID, User: req.UserID, Reason: req.Reason})
}
