package adminapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// noticeRoutes serve https://element-hq.github.io/synapse/latest/admin_api/server_notices.html
func (s *Server) noticeRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("POST /_synapse/admin/v1/send_server_notice", policy(), s.sendNotice),
		endpoint.On("PUT /_synapse/admin/v1/send_server_notice/{txnID}", policy(), s.sendNotice),
	}
}

type noticeRequest struct {
	TxnID    string          `path:"txnID,optional"`
	UserID   id.UserID       `json:"user_id" required:"true"`
	Content  canonjson.Value `json:"content" required:"true"`
	Type     string          `json:"type"`
	StateKey *string         `json:"state_key"`
}

type noticeResponse struct {
	EventID id.EventID `json:"event_id"`
}

func (s *Server) sendNotice(ctx context.Context, c endpoint.Caller, req noticeRequest) (noticeResponse, error) {
	switch {
	case s.Notify == nil:
		return noticeResponse{}, mxerr.New(mxerr.Unknown, "There are no server notices here: notices.localpart is not set").WithStatus(400)
	case req.Content.Kind() != canonjson.Object:
		return noticeResponse{}, mxerr.New(mxerr.BadJSON, "content is not an object")
	case len(req.TxnID) > 255:
		return noticeResponse{}, mxerr.New(mxerr.InvalidParam, "The transaction ID has more than 255 bytes")
	}
	info, err := s.Accounts.Info(ctx, req.UserID)
	if err == nil && info.Deactivated {
		err = mxerr.New(mxerr.NotFound, "The account %s was deactivated", req.UserID)
	}
	if err != nil {
		return noticeResponse{}, err
	}
	if req.Type == "" {
		req.Type = "m.room.message"
	}
	var txn room.Transaction
	if req.TxnID != "" {
		txn = room.Transaction{Device: c.DeviceID, ID: req.TxnID}
	}
	eventID, err := s.Notify(ctx, req.UserID, req.Type, req.StateKey, req.Content, txn)
	return noticeResponse{eventID}, err
}
