package csapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

func (s *Server) accountDataRoutes() []endpoint.Route {
	read := endpoint.Policy{Auth: endpoint.User}
	write := endpoint.Policy{Auth: endpoint.User, Class: classWrite}
	const proposed = "DELETE /_matrix/client/unstable/org.matrix.msc3391/user/{userID}/"
	return []endpoint.Route{
		endpoint.On(proposed+"account_data/{type}", write, s.deleteAccountData),
		endpoint.On(proposed+"rooms/{roomID}/account_data/{type}", write, s.deleteAccountData),
		endpoint.On("GET /_matrix/client/v3/user/{userID}/account_data/{type}", read, s.accountData),
		endpoint.On("PUT /_matrix/client/v3/user/{userID}/account_data/{type}", write, s.putAccountData),
		endpoint.On("GET /_matrix/client/v3/user/{userID}/rooms/{roomID}/account_data/{type}", read, s.accountData),
		endpoint.On("PUT /_matrix/client/v3/user/{userID}/rooms/{roomID}/account_data/{type}", write, s.putAccountData),
	}
}

type accountDataRequest struct {
	UserID id.UserID `path:"userID"`
	RoomID id.RoomID `path:"roomID,optional"`
	Type   string    `path:"type"`
}

// accountData serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3useruseridaccount_datatype
// and https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3useruseridroomsroomidaccount_datatype
func (s *Server) accountData(ctx context.Context, c endpoint.Caller, req accountDataRequest) (canonjson.Value, error) {
	if err := own(c, req.UserID); err != nil {
		return nil, err
	}
	return s.AccountData.Get(ctx, c.UserID, req.RoomID, req.Type)
}

type putAccountDataRequest struct {
	accountDataRequest
	Content canonjson.Value `body:"raw" required:"true"`
}

// putAccountData serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3useruseridaccount_datatype
// and https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3useruseridroomsroomidaccount_datatype
func (s *Server) putAccountData(ctx context.Context, c endpoint.Caller, req putAccountDataRequest) (endpoint.Empty, error) {
	if err := own(c, req.UserID); err != nil {
		return endpoint.Empty{}, err
	}
	return endpoint.Empty{}, s.AccountData.Put(ctx, c.UserID, req.RoomID, req.Type, req.Content)
}

// deleteAccountData is https://github.com/matrix-org/matrix-spec-proposals/pull/3391
func (s *Server) deleteAccountData(ctx context.Context, c endpoint.Caller, req accountDataRequest) (endpoint.Empty, error) {
	if err := own(c, req.UserID); err != nil {
		return endpoint.Empty{}, err
	}
	return endpoint.Empty{}, s.AccountData.Delete(ctx, c.UserID, req.RoomID, req.Type)
}
