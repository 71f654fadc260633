package csapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/internal/todevice"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) toDeviceRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("PUT /_matrix/client/v3/sendToDevice/{eventType}/{txnID}",
			endpoint.Policy{Auth: endpoint.UserOrGuest, Class: classWrite, BodyLimit: toDeviceLimit}, s.sendToDevice),
		endpoint.On("GET /_matrix/client/v3/keys/changes", endpoint.Policy{Auth: endpoint.User, Class: classRead}, s.keyChanges),
	}
}

// toDeviceLimit is how many bytes go to devices at once. Clients that share the
// keys of a room speak to hundreds.
const toDeviceLimit = 4 << 20

type toDeviceRequest struct {
	Type     string          `path:"eventType"`
	TxnID    string          `path:"txnID"`
	Messages canonjson.Value `json:"messages" required:"true"`
}

// sendToDevice serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3sendtodeviceeventtypetxnid
func (s *Server) sendToDevice(ctx context.Context, c endpoint.Caller, req toDeviceRequest) (endpoint.Empty, error) {
	m := todevice.Message{Sender: c.UserID, Type: req.Type, To: make(map[id.UserID]map[id.DeviceID]canonjson.Value)}
	if !m.Address(req.Messages) {
		return endpoint.Empty{}, mxerr.New(mxerr.InvalidParam, "messages is not an object of users, of devices, of objects, or has too many")
	}
	return endpoint.Empty{}, s.ToDevice.Send(ctx, m, todevice.Transaction{Device: c.DeviceID, ID: req.TxnID})
}

type keyChangesRequest struct {
	From string `query:"from" required:"true"`
	To   string `query:"to" required:"true"`
}

type keyChangesResponse struct {
	Changed []id.UserID `json:"changed"`
	Left    []id.UserID `json:"left"`
}

// keyChanges serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3keyschanges
func (s *Server) keyChanges(ctx context.Context, c endpoint.Caller, req keyChangesRequest) (keyChangesResponse, error) {
	d, err := s.Feed.DeviceChanges(ctx, c.UserID, req.From, req.To)
	resp := keyChangesResponse{[]id.UserID{}, []id.UserID{}}
	resp.Changed, resp.Left = append(resp.Changed, d.Changed...), append(resp.Left, d.Left...)
	return resp, err
}
