package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"parley/internal/cache"
	"parley/internal/remote"
	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

// Options of a gateway.
type Options struct {
	Web *remote.Client
	// Key signs what is sent to Web Push, and Contact is a URL of who runs this server,
	// for those who run push services.
	Key     *Key
	Contact string
	// Apps are those that are reached through APNs or FCM, by their app_id.
	Apps map[string]App
	Log  *slog.Logger
}

// An App has one of both.
type App struct {
	APNs *APNs
	FCM  *FCM
}

// Gateway passes on to devices what they are to be told. It is safe for concurrent
// use.
type Gateway struct {
	o         Options
	endpoints *cache.Cache[string, endpoint]

	mu   sync.Mutex // guards what follows
	busy map[string]int
	all  int
}

// Bounds of requests: to one host and altogether at a time, and of the time that one
// takes.
const (
	perHost = 32
	atOnce  = 256
	askTime = 12 * time.Second
)

// New returns a gateway.
func New(o Options) *Gateway {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Gateway{o: o, endpoints: cache.New[string](1<<20, endpoint.weight), busy: make(map[string]int)}
}

// Key is the key by which push services know this server.
func (g *Gateway) Key() *Key { return g.o.Key }

// errRejected says that a pushkey is not known, or not any more.
var errRejected = errors.New("the pushkey is rejected")

// A Refused is the answer of a service that is there and has not done what it was
// asked for.
type Refused struct {
	Host   string // empty: the one that was asked
	Status int
	Pause  time.Duration // for how long it wants to be left alone
}

func (r *Refused) Error() string {
	if r.Host == "" {
		return fmt.Sprintf("the gateway answers %d", r.Status)
	}
	return fmt.Sprintf("%s answers %d", r.Host, r.Status)
}

// mostDevices is how many devices a notification may be for.
const mostDevices = 20

// A device is one that is to be told something.
type device struct {
	appID, key string
	data       canonjson.Value
	whole      canonjson.Value
}

// Notify tells devices of a notification, the object of that name in
// https://spec.matrix.org/v1.19/push-gateway-api/#post_matrixpushv1notify, and returns
// the pushkeys that are rejected. An error is M_BAD_JSON for what makes no sense, a
// *Refused, or says that a service could not be reached: some of the devices have not
// been told.
func (g *Gateway) Notify(ctx context.Context, n canonjson.Value) (rejected []string, err error) {
	devices, err := devicesOf(n)
	if err != nil {
		return nil, err
	}
	rejected = []string{}
	for _, d := range devices {
		switch failed := g.tell(ctx, n.Without("devices"), d); {
		case errors.Is(failed, errRejected):
			rejected = append(rejected, d.key)
		case failed != nil:
			err = failed
		}
	}
	return rejected, err
}

func devicesOf(n canonjson.Value) (list []device, err error) {
	if n.Kind() != canonjson.Object || n.Get("devices").Kind() != canonjson.Array {
		return nil, mxerr.New(mxerr.BadJSON, "notification has to be an object with devices")
	}
	for v := range n.Get("devices").Elements() {
		appID, isApp := v.Get("app_id").Text()
		key, isKey := v.Get("pushkey").Text()
		if !isApp || !isKey {
			return nil, mxerr.New(mxerr.BadJSON, "Each device has to have an app_id and a pushkey")
		}
		list = append(list, device{appID, key, v.Get("data"), v})
	}
	if len(list) > mostDevices {
		return nil, mxerr.New(mxerr.TooLarge, "A notification can be for %d devices at most", mostDevices)
	}
	return list, nil
}

// tell tells one device.
func (g *Gateway) tell(ctx context.Context, n canonjson.Value, d device) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	app, known := g.o.Apps[d.appID]
	switch {
	case known && app.APNs != nil:
		return g.apns(ctx, app.APNs, n, d)
	case known:
		return g.fcm(ctx, app.FCM, n, d)
	case d.data.Get("endpoint") != nil:
		endpoint, _ := d.data.Get("endpoint").Text()
		auth, _ := d.data.Get("auth").Text()
		return g.WebPush(ctx, Subscription{endpoint, d.key, auth}, Payload(n, d.data), urgent(n), topic(n, d.data))
	case strings.HasPrefix(d.key, "https://") || strings.HasPrefix(d.key, "http://"):
		return g.unified(ctx, n, d)
	}
	return errRejected
}

// Host is whom a device is reached through, so that those whom it takes long to reach
// hold nobody else up.
func (g *Gateway) Host(appID, key string, data canonjson.Value) string {
	if app, known := g.o.Apps[appID]; known {
		if app.APNs != nil {
			return app.APNs.host
		}
		return fcmHost
	}
	target := key
	if endpoint, ok := data.Get("endpoint").Text(); ok {
		target = endpoint
	}
	if u, err := url.Parse(target); err == nil {
		return strings.ToLower(u.Host)
	}
	return ""
}

// urgent reports whether a device is to be woken up.
func urgent(n canonjson.Value) bool { return !n.Get("prio").Is("low") }

// ask makes a request, unless too many are under way.
func (g *Gateway) ask(ctx context.Context, r remote.Request) (remote.Response, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return remote.Response{}, remote.ErrURL
	}
	leave, err := g.enter(u.Host)
	if err != nil {
		return remote.Response{}, err
	}
	defer leave()
	r.MaxBody = 64 << 10
	return g.o.Web.Do(ctx, r)
}

// enter counts a request, or refuses it. What it returns ends it.
func (g *Gateway) enter(host string) (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all >= atOnce || g.busy[host] >= perHost {
		return nil, &Refused{host, http.StatusTooManyRequests, 10 * time.Second}
	}
	g.all++
	g.busy[host]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.all--
		if g.busy[host]--; g.busy[host] == 0 {
			delete(g.busy, host)
		}
	}, nil
}

// outcome is what an answer means: those with one of some statuses reject the pushkey.
func outcome(target string, resp remote.Response, rejecting ...int) error {
	if resp.Status >= 200 && resp.Status <= 299 {
		return nil
	}
	for _, status := range rejecting {
		if resp.Status == status {
			return errRejected
		}
	}
	host := target
	if u, err := url.Parse(target); err == nil {
		host = u.Host
	}
	return &Refused{host, resp.Status, RetryAfter(resp.Header)}
}

// RetryAfter is how long a server wants to be left alone, by its answer.
func RetryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 24*3600)) * time.Second
}
