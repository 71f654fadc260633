package ssapi

import (
	"context"

	"parley/internal/e2ee"
	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) userKeyRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("POST /_matrix/federation/v1/user/keys/query", signed(), s.queryUserKeys),
		endpoint.On("POST /_matrix/federation/v1/user/keys/claim", signed(), s.claimUserKeys),
	}
}

type queryUserKeysRequest struct {
	Users map[id.UserID][]id.DeviceID `json:"device_keys" required:"true"`
}

type queryUserKeysResponse struct {
	Devices     map[id.UserID]map[id.DeviceID]canonjson.Value `json:"device_keys"`
	Master      map[id.UserID]canonjson.Value                 `json:"master_keys"`
	SelfSigning map[id.UserID]canonjson.Value                 `json:"self_signing_keys"`
}

// queryUserKeys serves https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1userkeysquery
func (s *Server) queryUserKeys(ctx context.Context, _ endpoint.Caller, req queryUserKeysRequest) (queryUserKeysResponse, error) {
	resp := queryUserKeysResponse{
		Devices: make(map[id.UserID]map[id.DeviceID]canonjson.Value, len(req.Users)),
		Master:  make(map[id.UserID]canonjson.Value), SelfSigning: make(map[id.UserID]canonjson.Value),
	}
	users := make([]id.UserID, 0, len(req.Users))
	for user := range req.Users {
		if err := s.ownUser(user); err != nil {
			return resp, err
		}
		users = append(users, user)
	}
	found, err := s.Devices.Local(ctx, "", users)
	for user, keys := range found {
		resp.Devices[user] = keys.Only(req.Users[user]).Devices
		if keys.Master != nil {
			resp.Master[user] = keys.Master
		}
		if keys.SelfSigning != nil {
			resp.SelfSigning[user] = keys.SelfSigning
		}
	}
	return resp, err
}

// ownUser refuses users of other servers, who are for those to tell of.
func (s *Server) ownUser(user id.UserID) error {
	if user.Server() != s.Name {
		return mxerr.New(mxerr.InvalidParam, "%s is not a user of this server", user)
	}
	return nil
}

type claimUserKeysRequest struct {
	Wanted map[id.UserID]map[id.DeviceID]string `json:"one_time_keys" required:"true"`
}

type claimUserKeysResponse struct {
	Keys map[id.UserID]map[id.DeviceID]map[string]canonjson.Value `json:"one_time_keys"`
}

// claimUserKeys serves https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1userkeysclaim
func (s *Server) claimUserKeys(ctx context.Context, _ endpoint.Caller, req claimUserKeysRequest) (claimUserKeysResponse, error) {
	var wishes []e2ee.Wish
	for user, devices := range req.Wanted {
		if err := s.ownUser(user); err != nil {
			return claimUserKeysResponse{}, err
		}
		wishes = append(wishes, e2ee.WishesFor(user, devices)...)
	}
	got, err := s.Devices.ClaimLocal(ctx, wishes)
	return claimUserKeysResponse{e2ee.ByDevice(got)}, err
}
