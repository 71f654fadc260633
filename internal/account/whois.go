package account

import (
	"context"

	"parley/matrix/id"
)

// Whois is from where the devices of a user came, as the specification has it.
type Whois struct {
	UserID  id.UserID                   `json:"user_id"`
	Devices map[id.DeviceID]WhoisDevice `json:"devices"`
}

// WhoisDevice is one device.
type WhoisDevice struct {
	Sessions [1]WhoisSession `json:"sessions"` // a device has one at a time
}

// WhoisSession is the session of a device.
type WhoisSession struct {
	Connections [1]WhoisConnection `json:"connections"` // the last
}

// WhoisConnection is when, from where and with which client a device was seen.
type WhoisConnection struct {
	IP        string `json:"ip,omitempty"`
	LastSeen  int64  `json:"last_seen"`
	UserAgent string `json:"user_agent,omitempty"`
}

// Whois tells from where the devices of a user came, or M_NOT_FOUND. Who may know
// is for the caller to say.
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3adminwhoisuserid
func (a *Accounts) Whois(ctx context.Context, user id.UserID) (Whois, error) {
	w := Whois{user, map[id.DeviceID]WhoisDevice{}}
	if _, err := a.Info(ctx, user); err != nil {
		return w, err
	}
	devices, err := a.Devices(ctx, user)
	for _, d := range devices {
		seen := WhoisConnection{d.SeenAddr, d.Seen.UnixMilli(), d.SeenAgent}
		w.Devices[d.ID] = WhoisDevice{[1]WhoisSession{{[1]WhoisConnection{seen}}}}
	}
	return w, err
}
