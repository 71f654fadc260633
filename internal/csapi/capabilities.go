package csapi

import (
	"context"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/internal/profile"
	"parley/matrix/roomver"
)

func (s *Server) capabilitiesRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v3/capabilities", endpoint.Policy{Auth: endpoint.User, Class: classRead}, s.capabilities),
	}
}

type capabilitiesResponse struct {
	Capabilities capabilities `json:"capabilities"`
}

type capabilities struct {
	ChangePassword booleanCapability `json:"m.change_password"`
	RoomVersions   roomVersions      `json:"m.room_versions"`
	ProfileFields  profileFields     `json:"m.profile_fields"`
	SetDisplayname booleanCapability `json:"m.set_displayname"`
	SetAvatarURL   booleanCapability `json:"m.set_avatar_url"`
	ThreePID       booleanCapability `json:"m.3pid_changes"`
	GetLoginToken  booleanCapability `json:"m.get_login_token"`
	Moderation     *moderation       `json:"m.account_moderation,omitempty"`
	Delayed        *delayLimits      `json:"m.delayed_events,omitempty"`
	DelayedBefore  *delayLimits      `json:"org.matrix.msc4140.delayed_events,omitempty"`
	WebPush        *webPush          `json:"m.webpush,omitempty"`
}

type moderation struct {
	Suspend bool `json:"suspend"`
	Lock    bool `json:"lock"`
}

// webPush is https://github.com/matrix-org/matrix-spec-proposals/pull/4174
type webPush struct {
	Enabled bool   `json:"enabled"`
	Key     string `json:"vapid"` // the public key of this server
}

// delayLimits are https://github.com/matrix-org/matrix-spec-proposals/pull/4140
type delayLimits struct {
	MaxDelay     int64 `json:"max_delay_ms"`
	MaxScheduled int   `json:"max_scheduled"`
}

type booleanCapability struct {
	Enabled bool `json:"enabled"`
}

type profileFields struct {
	Enabled    bool     `json:"enabled"`
	Allowed    []string `json:"allowed,omitempty"`
	Disallowed []string `json:"disallowed,omitempty"`
}

type roomVersions struct {
	Default   roomver.Version            `json:"default"`
	Available map[roomver.Version]string `json:"available"`
}

// capabilities serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3capabilities
func (s *Server) capabilities(ctx context.Context, c endpoint.Caller, _ endpoint.Empty) (capabilitiesResponse, error) {
	versions := roomVersions{Default: roomver.Default, Available: map[roomver.Version]string{}}
	for rules := range roomver.Known() {
		versions.Available[rules.Version] = "stable"
		if rules.Unstable {
			versions.Available[rules.Version] = "unstable"
		}
	}
	confirms, err := s.canConfirm(ctx, c.UserID)
	if err != nil {
		return capabilitiesResponse{}, err
	}
	fields := s.Settings.ProfileFields
	changeable := profileFields{Enabled: fields.Allowed == nil || len(fields.Allowed) > 0, Allowed: fields.Allowed}
	if fields.Allowed == nil {
		changeable.Disallowed = fields.Disallowed
	}
	resp := capabilitiesResponse{capabilities{
		ChangePassword: booleanCapability{confirms},
		RoomVersions:   versions,
		ProfileFields:  changeable,
		SetDisplayname: booleanCapability{fields.mayChange(profile.Displayname)},
		SetAvatarURL:   booleanCapability{fields.mayChange(profile.AvatarURL)},
		ThreePID:       booleanCapability{s.Accounts.Supports(account.Email) || s.Accounts.Supports(account.MSISDN)},
		GetLoginToken:  booleanCapability{s.Settings.LoginTokens && (confirms || c.AppService != "")},
	}}
	if s.PushGateway != nil {
		resp.Capabilities.WebPush = &webPush{true, s.PushGateway.Key().Public()}
	}
	if s.Delayed != nil && s.Delayed.MaxScheduled > 0 {
		limits := &delayLimits{s.Delayed.MaxDelay.Milliseconds(), s.Delayed.MaxScheduled}
		resp.Capabilities.Delayed, resp.Capabilities.DelayedBefore = limits, limits
	}
	if c.Admin {
		resp.Capabilities.Moderation = &moderation{Suspend: true, Lock: true}
	}
	return resp, nil
}
