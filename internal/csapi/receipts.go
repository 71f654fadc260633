package csapi

import (
	"context"
	"time"

	"parley/internal/accountdata"
	"parley/internal/endpoint"
	"parley/internal/receipt"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) receiptRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("POST /_matrix/client/v3/rooms/{roomID}/receipt/{receiptType}/{eventID}",
			endpoint.Policy{Auth: endpoint.User, Class: classWrite}, s.sendReceipt),
	}
}

type receiptRequest struct {
	RoomID  id.RoomID       `path:"roomID"`
	Type    string          `path:"receiptType"`
	EventID id.EventID      `path:"eventID"`
	Thread  canonjson.Value `json:"thread_id"`
}

// sendReceipt serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidreceiptreceipttypeeventid
func (s *Server) sendReceipt(ctx context.Context, c endpoint.Caller, req receiptRequest) (endpoint.Empty, error) {
	thread, ok := req.Thread.Text()
	switch {
	case req.Thread != nil && !ok, ok && thread == "":
		return endpoint.Empty{}, mxerr.New(mxerr.InvalidParam, "thread_id has to be a string that is not empty")
	case req.Thread != nil && req.Type == accountdata.FullyRead:
		return endpoint.Empty{}, mxerr.New(mxerr.InvalidParam, "%s has no thread_id", accountdata.FullyRead)
	}
	if err := s.mustBeJoined(ctx, c, req.RoomID); err != nil {
		return endpoint.Empty{}, err
	}
	s.active(c)
	if req.Type == accountdata.FullyRead {
		return endpoint.Empty{}, s.setFullyRead(ctx, c.UserID, req.RoomID, req.EventID)
	}
	return endpoint.Empty{}, s.putReceipt(ctx, c.UserID, req.RoomID, req.Type, req.EventID, thread)
}

func (s *Server) putReceipt(ctx context.Context, user id.UserID, roomID id.RoomID, kind string, eventID id.EventID, thread string) error {
	return s.Receipts.Put(ctx, roomID, receipt.Receipt{
		User: user, Type: kind, Thread: thread, EventID: eventID, TS: time.Now().UnixMilli(),
	})
}
