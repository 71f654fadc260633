package ssapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) queryRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/federation/v1/query/profile", signed(), s.queryProfile),
		endpoint.On("GET /_matrix/federation/v1/query/directory", signed(), s.queryDirectory),
		endpoint.On("GET /_matrix/federation/v1/query/{queryType}", signed(), s.query),
	}
}

type queryProfileRequest struct {
	UserID id.UserID `query:"user_id" required:"true"`
	Field  string    `query:"field"`
}

// queryProfile serves https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1queryprofile
func (s *Server) queryProfile(ctx context.Context, c endpoint.Caller, req queryProfileRequest) (canonjson.Value, error) {
	exists := req.UserID.Server() == s.Name
	var err error
	if exists {
		exists, err = s.Users.Exists(ctx, req.UserID)
	}
	if err != nil {
		return nil, err
	}
	if !exists {
		return nil, mxerr.New(mxerr.NotFound, "There is no profile of %s", req.UserID)
	}
	if err := s.mayLookUp(ctx, c.Server, req.UserID); err != nil {
		return nil, err
	}
	fields, err := s.Profiles.Get(ctx, req.UserID)
	if err != nil || req.Field == "" {
		return fields, err
	}
	one := canonjson.Value("{}")
	if value := fields.Get(req.Field); value != nil {
		one = one.With(req.Field, value)
	}
	return one, nil
}

// mayLookUp refuses a server that may not see a profile.
func (s *Server) mayLookUp(ctx context.Context, server id.ServerName, user id.UserID) error {
	if !s.Settings.ProfilesOfSharersOnly {
		return nil
	}
	may, err := s.Rooms.ShareWithServer(ctx, user, server)
	if err == nil && !may {
		may, err = s.Rooms.InPublic(ctx, user)
	}
	if err == nil && !may {
		err = mxerr.New(mxerr.Forbidden, "You may not see the profile of %s", user)
	}
	return err
}

type queryDirectoryRequest struct {
	Alias id.RoomAlias `query:"room_alias" required:"true"`
}

type queryDirectoryResponse struct {
	RoomID  id.RoomID       `json:"room_id"`
	Servers []id.ServerName `json:"servers"`
}

// queryDirectory serves https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1querydirectory
func (s *Server) queryDirectory(ctx context.Context, _ endpoint.Caller, req queryDirectoryRequest) (resp queryDirectoryResponse, err error) {
	if resp.RoomID, err = s.Resolve(ctx, req.Alias); err != nil {
		return resp, err
	}
	room, err := s.Rooms.Num(ctx, resp.RoomID)
	if err != nil {
		return resp, err
	}
	if resp.Servers, err = s.Rooms.ServersIn(ctx, room); len(resp.Servers) == 0 {
		resp.Servers = []id.ServerName{s.Name}
	}
	return resp, err
}

type queryRequest struct {
	Type string `path:"queryType"`
}

// query serves https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1queryquerytype
func (s *Server) query(context.Context, endpoint.Caller, queryRequest) (endpoint.Empty, error) {
	return endpoint.Empty{}, mxerr.New(mxerr.Unrecognized, "There are no such queries here")
}
