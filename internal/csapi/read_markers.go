package csapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/internal/receipt"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) readMarkerRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("POST /_matrix/client/v3/rooms/{roomID}/read_markers",
			endpoint.Policy{Auth: endpoint.User, Class: classWrite}, s.setReadMarkers),
	}
}

type readMarkersRequest struct {
	RoomID    id.RoomID  `path:"roomID"`
	FullyRead id.EventID `json:"m.fully_read"`
	Read      id.EventID `json:"m.read"`
	Private   id.EventID `json:"m.read.private"`
}

// setReadMarkers serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidread_markers
func (s *Server) setReadMarkers(ctx context.Context, c endpoint.Caller, req readMarkersRequest) (endpoint.Empty, error) {
	if err := s.mustBeJoined(ctx, c, req.RoomID); err != nil {
		return endpoint.Empty{}, err
	}
	s.active(c)
	for _, r := range []struct {
		kind    string
		eventID id.EventID
	}{{receipt.TypeRead, req.Read}, {receipt.TypePrivate, req.Private}} {
		if r.eventID == "" {
			continue
		}
		if err := s.putReceipt(ctx, c.UserID, req.RoomID, r.kind, r.eventID, ""); err != nil {
			return endpoint.Empty{}, err
		}
	}
	if req.FullyRead == "" {
		return endpoint.Empty{}, nil
	}
	return endpoint.Empty{}, s.setFullyRead(ctx, c.UserID, req.RoomID, req.FullyRead)
}

// setFullyRead moves the read marker to an event of the room.
func (s *Server) setFullyRead(ctx context.Context, user id.UserID, roomID id.RoomID, eventID id.EventID) error {
	_, ok, err := s.Rooms.Item(ctx, roomID, eventID)
	if err == nil && !ok {
		err = mxerr.New(mxerr.NotFound, "Room %s has no event %s", roomID, eventID)
	}
	if err != nil {
		return err
	}
	return s.AccountData.SetFullyRead(ctx, user, roomID, eventID)
}
