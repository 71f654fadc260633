package push

import (
	"crypto/sha256"
	"encoding/binary"
	"net/url"
	"strings"
	"unicode/utf8"

	"parley/internal/gateway"
	"parley/internal/journal"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// The kinds of pushers.
const (
	KindHTTP  = "http"  // a push gateway is asked to tell the user's device
	KindEmail = "email" // the user gets mail
	// KindWeb is a subscription to Web Push: the pushkey is its public key.
	// https://github.com/matrix-org/matrix-spec-proposals/pull/4174
	KindWeb = "webpush"
)

// emailApp is the app_id of all pushers of kind email.
const emailApp = "m.email"

// gatewayPath is the path of the URL of every push gateway.
const gatewayPath = "/_matrix/push/v1/notify"

// A Pusher is where a user wants to be told of notifications. A user has one for an
// AppID and a Key.
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3pushersset
type Pusher struct {
	User  id.UserID
	AppID string
	Key   string // the pushkey: for its gateway the device, or a mail address
	Kind  string

	AppName, DeviceName, ProfileTag, Lang string
	Data                                  canonjson.Value // an object
	// Enabled is false while the user wants it to be quiet.
	// https://github.com/matrix-org/matrix-spec-proposals/pull/3881
	Enabled bool
	// Device is the device that set it, and with which it goes; empty for one of an
	// application service that named none, and for one by mail, which goes with the
	// address.
	Device id.DeviceID

	// Active is false as long as a device of Web Push has not shown that it gets what is
	// sent to it.
	Active bool

	token   string           // by which it shows that, empty if it did
	expires int64            // until when, in milliseconds since 1970
	changed int64            // when it was set so, in milliseconds since 1970
	pos     journal.Position // of the last change
	ticket  string           // whoever has it can remove the pusher, if it is by mail
	behind  journal.Position // 0: it is as far as all others
}

// pusherKey names a pusher.
type pusherKey struct {
	user       id.UserID
	appID, key string
}

func (p Pusher) name() pusherKey { return pusherKey{p.User, p.AppID, p.Key} }

// same reports whether two pushers are set the same.
func (p Pusher) same(q Pusher) bool {
	return p.name() == q.name() && p.Kind == q.Kind && p.AppName == q.AppName && p.DeviceName == q.DeviceName &&
		p.ProfileTag == q.ProfileTag && p.Lang == q.Lang && string(p.Data) == string(q.Data) && p.Enabled == q.Enabled && p.Device == q.Device
}

// handle is a number by which pushers with one app_id and pushkey are found, and
// hardly any others.
func handle(appID, key string) int64 {
	sum := sha256.Sum256([]byte(appID + "\x00" + key))
	return int64(binary.BigEndian.Uint64(sum[:]) >> 8)
}

func scopeOf(appID, key string) journal.Scope {
	return journal.NewScope(journal.ScopePushers, handle(appID, key))
}

// url is where a pusher of kind http sends to.
func (p Pusher) url() string {
	text, _ := p.Data.Get("url").Text()
	return text
}

// subscription is that of a pusher of kind webpush.
func (p Pusher) subscription() gateway.Subscription {
	auth, _ := p.Data.Get("auth").Text()
	return gateway.Subscription{Endpoint: p.url(), Key: p.Key, Auth: auth}
}

// brief reports whether the gateway is told which event it is and no more of it.
func (p Pusher) brief() bool { return p.Data.Get("format").Is("event_id_only") }

// How long what is said of a pusher may be.
const (
	mostKey   = 512  // bytes
	mostAppID = 64   // characters
	mostName  = 1000 // bytes
	mostData  = 16 << 10
	mostURL   = 2000
)

// checkName refuses what names no pusher.
func checkName(appID, key string) error {
	switch {
	case key == "" || len(key) > mostKey:
		return mxerr.New(mxerr.InvalidParam, "A pushkey has from 1 to %d bytes", mostKey)
	case appID == "" || utf8.RuneCountInString(appID) > mostAppID:
		return mxerr.New(mxerr.InvalidParam, "An app_id has from 1 to %d characters", mostAppID)
	case strings.Contains(key, "\x00") || strings.Contains(appID, "\x00"):
		return mxerr.New(mxerr.InvalidParam, "There is a NUL in the pushkey or in the app_id")
	}
	return nil
}

// check refuses a pusher that makes no sense.
func (p Pusher) check() error {
	if err := checkName(p.AppID, p.Key); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"app_display_name": p.AppName, "device_display_name": p.DeviceName, "profile_tag": p.ProfileTag, "lang": p.Lang,
	} {
		if len(text) > mostName || strings.Contains(text, "\x00") {
			return mxerr.New(mxerr.InvalidParam, "%s has at most %d bytes and no NUL", name, mostName)
		}
	}
	if p.Data.Kind() != canonjson.Object || len(p.Data) > mostData {
		return mxerr.New(mxerr.InvalidParam, "data is an object of at most %d bytes", mostData)
	}
	switch p.Kind {
	case KindHTTP:
		return checkURL(p.Data.Get("url"))
	case KindWeb:
		if err := p.subscription().Check(); err != nil {
			return mxerr.New(mxerr.InvalidParam, "This is no subscription to Web Push: %v", err)
		}
		return nil
	case KindEmail:
		if p.AppID != emailApp {
			return mxerr.New(mxerr.InvalidParam, "The app_id of a pusher of kind email is %s", emailApp)
		}
		return nil
	}
	return mxerr.New(mxerr.InvalidParam, "There are no pushers of this kind")
}

// checkURL refuses what is no URL of a push gateway.
func checkURL(v canonjson.Value) error {
	text, ok := v.Text()
	if !ok {
		return mxerr.New(mxerr.MissingParam, "data has no url")
	}
	u, err := url.Parse(text)
	if err != nil || len(text) > mostURL || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" || u.EscapedPath() != gatewayPath {
		return mxerr.New(mxerr.InvalidParam, "The url of a push gateway begins with https:// and has the path %s", gatewayPath)
	}
	return nil
}
