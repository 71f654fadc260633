package push

import (
	"context"
	"net/http"
	"slices"
	"time"

	"parley/internal/gateway"
	"parley/internal/remote"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// notice is the body of a request to a gateway.
// https://spec.matrix.org/v1.19/push-gateway-api/#post_matrixpushv1notify
type notice struct {
	Notification notification `json:"notification"`
}

type notification struct {
	EventID      id.EventID      `json:"event_id,omitempty"`
	RoomID       id.RoomID       `json:"room_id,omitempty"`
	Type         string          `json:"type,omitempty"`
	Sender       id.UserID       `json:"sender,omitempty"`
	SenderName   string          `json:"sender_display_name,omitempty"`
	RoomName     string          `json:"room_name,omitempty"`
	RoomAlias    string          `json:"room_alias,omitempty"`
	UserIsTarget bool            `json:"user_is_target,omitempty"`
	Prio         string          `json:"prio,omitempty"`
	Content      canonjson.Value `json:"content,omitempty"`
	Counts       counts          `json:"counts"`
	Devices      []device        `json:"devices"`
}

type counts struct {
	Unread *int64 `json:"unread,omitempty"`
}

type device struct {
	AppID     string          `json:"app_id"`
	PushKey   string          `json:"pushkey"`
	PushKeyTS int64           `json:"pushkey_ts"` // in seconds
	Data      canonjson.Value `json:"data"`
	Tweaks    canonjson.Value `json:"tweaks,omitempty"`
}

func (p Pusher) device() device {
	return device{AppID: p.AppID, PushKey: p.Key, PushKeyTS: p.changed / 1000, Data: p.Data.Without("url")}
}

// notifying tells a pusher of an event.
func notifying(p Pusher, n note, unread int64) notice {
	d := p.device()
	w := notification{EventID: n.event.ID(), RoomID: n.roomID, Prio: priority(n)}
	if unread > 0 {
		w.Counts.Unread = &unread
	}
	if !p.brief() {
		if d.Tweaks = n.result.Tweaks; d.Tweaks == nil {
			d.Tweaks = canonjson.Value(`{}`)
		}
		w.Type, w.Sender, w.SenderName, w.RoomName, w.RoomAlias = n.event.Type(), n.event.Sender(), n.sender, n.roomName, n.roomAlias
		w.UserIsTarget = n.event.IsState(event.TypeMember, string(p.User))
		w.Content = n.event.Content()
	}
	w.Devices = []device{d}
	return notice{w}
}

// counting tells a pusher how much is unread. The specification leaves out numbers
// that are zero; but gateways take that for nothing having been said, and the badge
// would stay.
func counting(p Pusher, unread int64) notice {
	return notice{notification{Prio: "low", Counts: counts{Unread: &unread}, Devices: []device{p.device()}}}
}

// priority says whether a device is to be woken up for an event. Of what is encrypted
// only the device can know.
func priority(n note) string {
	if n.result.Highlight || n.result.Sound != "" || n.event.Type() == "m.room.encrypted" {
		return "high"
	}
	return "low"
}

// askTime is how long a gateway may take for an answer.
const askTime = 15 * time.Second

// mostAnswer is how many bytes the answer of a gateway may have.
const mostAnswer = 64 << 10

// ask asks the gateway of a pusher to tell the device something.
func (s *Sender) ask(ctx context.Context, p Pusher, n notice) error {
	body, err := canonjson.Marshal(n)
	if err != nil {
		return faultOf(err)
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var rejected []string
	switch {
	case p.Kind == KindWeb:
		return s.webPush(ctx, p, gateway.Payload(body.Get("notification"), p.Data), n.Notification.Prio != "low")
	case s.Local != nil && s.Local.Is(p.url()):
		rejected, err = s.Local.Notify(ctx, body.Get("notification"))
	default:
		rejected, err = s.askWeb(ctx, p.url(), body)
	}
	if err == nil && slices.Contains(rejected, p.Key) {
		err = errRejected
	}
	return err
}

// webPush sends something to a subscription to Web Push.
func (s *Sender) webPush(ctx context.Context, p Pusher, message []byte, urgent bool) error {
	err := s.WebPush(ctx, p.subscription(), message, urgent, "")
	if gateway.IsRejected(err) {
		err = errRejected
	}
	return err
}

// askWeb asks a gateway, and returns which pushkeys it rejects.
func (s *Sender) askWeb(ctx context.Context, target string, body []byte) (rejected []string, err error) {
	resp, err := s.Web.Do(ctx, remote.Request{
		Method: http.MethodPost, URL: target, Body: body, MaxBody: mostAnswer,
		Header: http.Header{"Content-Type": {"application/json"}, "User-Agent": {"parley"}},
	})
	if err != nil {
		return nil, err
	}
	if resp.Status < 200 || resp.Status > 299 {
		return nil, &gateway.Refused{Status: resp.Status, Pause: gateway.RetryAfter(resp.Header)}
	}
	// One that answers otherwise has taken it all the same.
	if answer, err := canonjson.Canonical(resp.Body, canonjson.Lenient); err == nil {
		for v := range answer.Get("rejected").Elements() {
			key, _ := v.Text()
			rejected = append(rejected, key)
		}
	}
	return rejected, nil
}
