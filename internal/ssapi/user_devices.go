package ssapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) userDeviceRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/federation/v1/user/devices/{userID}", signed(), s.userDevices),
	}
}

type userDevicesRequest struct {
	UserID id.UserID `path:"userID"`
}

// userDevices serves https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1userdevicesuserid
func (s *Server) userDevices(ctx context.Context, _ endpoint.Caller, req userDevicesRequest) (canonjson.Value, error) {
	exists := req.UserID.Server() == s.Name
	var err error
	if exists {
		exists, err = s.Users.Exists(ctx, req.UserID)
	}
	if err != nil {
		return nil, err
	}
	if !exists {
		return nil, mxerr.New(mxerr.NotFound, "There are no devices of %s", req.UserID)
	}
	return s.DeviceLists.UserDevices(ctx, req.UserID)
}
