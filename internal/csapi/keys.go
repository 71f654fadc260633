package csapi

import (
	"context"

	"parley/internal/e2ee"
	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) keyRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("POST /_matrix/client/v3/keys/upload", endpoint.Policy{Auth: endpoint.UserOrGuest, Class: classWrite}, s.uploadKeys),
		endpoint.On("POST /_matrix/client/v3/keys/query", endpoint.Policy{Auth: endpoint.UserOrGuest, Class: classRead}, s.queryKeys),
		endpoint.On("POST /_matrix/client/v3/keys/claim", endpoint.Policy{Auth: endpoint.UserOrGuest, Class: classWrite}, s.claimKeys),
	}
}

type uploadKeysRequest struct {
	Device   canonjson.Value `json:"device_keys"`
	OneTime  canonjson.Value `json:"one_time_keys"`
	Fallback canonjson.Value `json:"fallback_keys"`
	// UnstableFallback is what fallback keys were called before they were part of
	// the specification.
	UnstableFallback canonjson.Value `json:"org.matrix.msc2732.fallback_keys"`
}

type uploadKeysResponse struct {
	Counts map[string]int64 `json:"one_time_key_counts"`
}

// uploadKeys serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysupload
func (s *Server) uploadKeys(ctx context.Context, c endpoint.Caller, req uploadKeysRequest) (uploadKeysResponse, error) {
	if c.DeviceID == "" {
		return uploadKeysResponse{}, mxerr.New(mxerr.InvalidParam, "Keys are of a device, and the request is of none")
	}
	u := e2ee.Upload{Device: req.Device, OneTime: req.OneTime, Fallback: req.Fallback, Tokenless: c.AppService != ""}
	if u.Fallback == nil {
		u.Fallback = req.UnstableFallback
	}
	if err := s.Keys.Upload(ctx, c.UserID, c.DeviceID, u); err != nil {
		return uploadKeysResponse{}, err
	}
	counts, err := s.Keys.Counts(ctx, c.UserID, c.DeviceID)
	if err != nil {
		return uploadKeysResponse{}, err
	}
	return uploadKeysResponse{counts.OneTime}, nil
}

type queryKeysRequest struct {
	Users   map[id.UserID][]id.DeviceID `json:"device_keys" required:"true"`
	Timeout uint64                      `json:"timeout"` // milliseconds
}

type queryKeysResponse struct {
	Devices     map[id.UserID]map[id.DeviceID]canonjson.Value `json:"device_keys"`
	Master      map[id.UserID]canonjson.Value                 `json:"master_keys"`
	SelfSigning map[id.UserID]canonjson.Value                 `json:"self_signing_keys"`
	UserSigning map[id.UserID]canonjson.Value                 `json:"user_signing_keys"`
	Failures    failures                                      `json:"failures"`
}

// failures are the servers that could not be asked.
type failures map[id.ServerName]failure

type failure struct {
	Status  int    `json:"status"`
	Message string `json:"message"`
}

func failuresOf(servers []id.ServerName) failures {
	list := make(failures, len(servers))
	for _, server := range servers {
		list[server] = failure{503, "The server cannot be reached, or does not answer in time"}
	}
	return list
}

// queryKeys serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysquery
func (s *Server) queryKeys(ctx context.Context, c endpoint.Caller, req queryKeysRequest) (queryKeysResponse, error) {
	a, err := s.Keys.Query(ctx, c.UserID, e2ee.Query{Users: req.Users, Timeout: req.Timeout})
	if err != nil {
		return queryKeysResponse{}, err
	}
	resp := queryKeysResponse{
		Devices: make(map[id.UserID]map[id.DeviceID]canonjson.Value, len(a.Users)),
		Master:  make(map[id.UserID]canonjson.Value), SelfSigning: make(map[id.UserID]canonjson.Value),
		UserSigning: make(map[id.UserID]canonjson.Value), Failures: failuresOf(a.Failures),
	}
	put := func(into map[id.UserID]canonjson.Value, user id.UserID, key canonjson.Value) {
		if key != nil {
			into[user] = key
		}
	}
	for user, keys := range a.Users {
		resp.Devices[user] = keys.Devices
		put(resp.Master, user, keys.Master)
		put(resp.SelfSigning, user, keys.SelfSigning)
		put(resp.UserSigning, user, keys.UserSigning)
	}
	return resp, nil
}

type claimKeysRequest struct {
	Wanted  map[id.UserID]map[id.DeviceID]string `json:"one_time_keys" required:"true"`
	Timeout uint64                               `json:"timeout"` // milliseconds
}

type claimKeysResponse struct {
	Keys     map[id.UserID]map[id.DeviceID]map[string]canonjson.Value `json:"one_time_keys"`
	Failures failures                                                 `json:"failures"`
}

// claimKeys serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysclaim
func (s *Server) claimKeys(ctx context.Context, _ endpoint.Caller, req claimKeysRequest) (claimKeysResponse, error) {
	got, failed, err := s.Keys.Claim(ctx, e2ee.Claim{Wanted: req.Wanted, Timeout: req.Timeout})
	return claimKeysResponse{e2ee.ByDevice(got), failuresOf(failed)}, err
}
