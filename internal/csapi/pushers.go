package csapi

import (
	"context"
	"net/http"
	"strings"

	"parley/internal/endpoint"
	"parley/internal/push"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) pusherRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v3/pushers", endpoint.Policy{Auth: endpoint.User}, s.pushers),
		endpoint.On("POST /_matrix/client/v3/pushers/ack", endpoint.Policy{Auth: endpoint.User, Class: classAuth}, s.activatePusher),
		endpoint.On("POST /_matrix/client/v3/pushers/set", endpoint.Policy{Auth: endpoint.User, Class: classWrite}, s.setPusher),
	}
}

type pushersResponse struct {
	Pushers []pusher `json:"pushers"`
}

type pusher struct {
	PushKey           string          `json:"pushkey"`
	Kind              string          `json:"kind"`
	AppID             string          `json:"app_id"`
	AppDisplayName    string          `json:"app_display_name"`
	DeviceDisplayName string          `json:"device_display_name"`
	ProfileTag        string          `json:"profile_tag,omitempty"`
	Lang              string          `json:"lang"`
	Data              canonjson.Value `json:"data"`
	Enabled           bool            `json:"org.matrix.msc3881.enabled"`
	DeviceID          id.DeviceID     `json:"org.matrix.msc3881.device_id,omitempty"`
	// Activated is of https://github.com/matrix-org/matrix-spec-proposals/pull/4174.
	Activated *bool `json:"activated,omitempty"`
}

// pushers serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushers
func (s *Server) pushers(ctx context.Context, c endpoint.Caller, _ endpoint.Empty) (pushersResponse, error) {
	list, err := s.Pushers.Of(ctx, c.UserID)
	resp := pushersResponse{[]pusher{}}
	for _, p := range list {
		shown := pusher{
			PushKey: p.Key, Kind: p.Kind, AppID: p.AppID, AppDisplayName: p.AppName, DeviceDisplayName: p.DeviceName,
			ProfileTag: p.ProfileTag, Lang: p.Lang, Data: p.Data, Enabled: p.Enabled, DeviceID: p.Device,
		}
		if p.Kind == push.KindWeb {
			shown.Activated = &p.Active
		}
		resp.Pushers = append(resp.Pushers, shown)
	}
	return resp, err
}

type setPusherRequest struct {
	PushKey string `json:"pushkey" required:"true"`
	// Kind is null to remove the pusher.
	Kind              canonjson.Value `json:"kind" required:"true"`
	AppID             string          `json:"app_id" required:"true"`
	AppDisplayName    *string         `json:"app_display_name"`
	DeviceDisplayName *string         `json:"device_display_name"`
	ProfileTag        string          `json:"profile_tag"`
	Lang              *string         `json:"lang"`
	Data              canonjson.Value `json:"data"`
	Append            bool            `json:"append"`
	// Enabled is of https://github.com/matrix-org/matrix-spec-proposals/pull/3881.
	Enabled *bool `json:"org.matrix.msc3881.enabled"`
}

// setPusher serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3pushersset
//
// The status is 201 for a pusher that has to be activated first.
func (s *Server) setPusher(ctx context.Context, c endpoint.Caller, req setPusherRequest) (endpoint.Reply[endpoint.Empty], error) {
	done := endpoint.Reply[endpoint.Empty]{}
	if req.Kind.Kind() == canonjson.Null {
		return done, s.Pushers.Remove(ctx, c.UserID, req.AppID, req.PushKey)
	}
	kind, ok := req.Kind.Text()
	if !ok {
		return done, mxerr.New(mxerr.BadJSON, "kind is a string or null")
	}
	if missing := req.missing(); len(missing) > 0 {
		return done, mxerr.New(mxerr.MissingParam, "Missing parameters: %s", strings.Join(missing, ", "))
	}
	p := push.Pusher{
		User: c.UserID, AppID: req.AppID, Key: req.PushKey, Kind: kind, AppName: *req.AppDisplayName, DeviceName: *req.DeviceDisplayName,
		ProfileTag: req.ProfileTag, Lang: *req.Lang, Data: req.Data, Enabled: req.Enabled == nil || *req.Enabled, Device: c.DeviceID,
	}
	waits, err := s.Pushers.Set(ctx, p, req.Append, c.AppService != "")
	if waits {
		done.Status = http.StatusCreated
	}
	return done, err
}

type activatePusherRequest struct {
	AppID string `json:"app_id" required:"true"`
	Token string `json:"ack_token" required:"true"`
}

// activatePusher is for a device of Web Push that has got what it was sent:
// https://github.com/matrix-org/matrix-spec-proposals/pull/4174
func (s *Server) activatePusher(ctx context.Context, c endpoint.Caller, req activatePusherRequest) (endpoint.Empty, error) {
	return endpoint.Empty{}, s.Pushers.Activate(ctx, c.UserID, req.AppID, req.Token)
}

// missing returns what only a pusher that is to be removed can be without.
func (r setPusherRequest) missing() (names []string) {
	for _, m := range []struct {
		name  string
		there bool
	}{
		{"app_display_name", r.AppDisplayName != nil},
		{"device_display_name", r.DeviceDisplayName != nil},
		{"lang", r.Lang != nil},
		{"data", r.Data != nil && r.Data.Kind() != canonjson.Null},
	} {
		if !m.there {
			names = append(names, m.name)
		}
	}
	return names
}
