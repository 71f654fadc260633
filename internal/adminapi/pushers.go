package adminapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/internal/push"
	"parley/matrix/canonjson"
)

type pushersResponse struct {
	Pushers []pusher `json:"pushers"`
	Total   int      `json:"total"`
}

type pusher struct {
	AppID             string          `json:"app_id"`
	AppDisplayName    string          `json:"app_display_name"`
	DeviceDisplayName string          `json:"device_display_name"`
	Kind              string          `json:"kind"`
	Lang              string          `json:"lang"`
	ProfileTag        string          `json:"profile_tag"`
	PushKey           string          `json:"pushkey"`
	Data              canonjson.Value `json:"data"`
	Health            *pusherHealth   `json:"org.parley.health,omitempty"`
}

// pusherHealth is beyond the API of Synapse: why somebody is told nothing is what
// administrators are asked most about pushers.
type pusherHealth struct {
	Enabled  bool   `json:"enabled"`
	Active   bool   `json:"active"`
	Waiting  int    `json:"waiting"`
	Failures int    `json:"failures"`
	Sent     int64  `json:"last_sent_ts,omitempty"`
	Trouble  string `json:"last_error,omitempty"`
}

// pushers serves https://element-hq.github.io/synapse/latest/admin_api/user_admin_api.html#list-all-pushers
func (s *Server) pushers(ctx context.Context, _ endpoint.Caller, req userRequest) (pushersResponse, error) {
	list, err := s.Pushers.Of(ctx, req.UserID)
	resp := pushersResponse{[]pusher{}, len(list)}
	health := s.Push.Health(req.UserID)
	for _, p := range list {
		shown := pusher{
			AppID: p.AppID, AppDisplayName: p.AppName, DeviceDisplayName: p.DeviceName, Kind: p.Kind, Lang: p.Lang, ProfileTag: p.ProfileTag,
			PushKey: p.Key, Data: p.Data,
		}
		if h, ok := health[push.Name{AppID: p.AppID, Key: p.Key}]; ok {
			shown.Health = &pusherHealth{Enabled: p.Enabled, Active: p.Active, Waiting: h.Waiting, Failures: h.Failures, Trouble: h.Trouble}
			if !h.Sent.IsZero() {
				shown.Health.Sent = h.Sent.UnixMilli()
			}
		}
		resp.Pushers = append(resp.Pushers, shown)
	}
	return resp, err
}
