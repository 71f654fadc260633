package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/account"
	"parley/internal/config"
	"parley/internal/csapi"
	"parley/internal/durable"
	"parley/internal/gateway"
	"parley/internal/push"
	"parley/internal/remote"
	"parley/internal/room"
	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// newPush makes what tells users of notifications, and what devices.
func (p *parts) newPush(db *store.DB, n Network, c config.Config) error {
	web := n.outbound(c)
	web.IdlePerHost = push.PerGateway
	p.gateways = remote.New(web)
	var local push.Local
	var webPush func(context.Context, gateway.Subscription, []byte, bool, string) error
	if c.Push.Gateway != config.PushGatewayOff {
		if err := p.newPushGateway(c); err != nil {
			return err
		}
		own, err := url.Parse(publicURL(c))
		if err != nil {
			return fmt.Errorf("the address of this server: %w", err)
		}
		local, webPush = ownGateway{p.pushGateway, own.Host}, p.pushGateway.WebPush
	}
	p.notified = push.NewHistory(p.rooms, p.data.Prepared, p.feed.Reads)
	var post *push.Post
	if p.mail != nil {
		page := func(ticket string) string { return publicURL(c) + csapi.UnsubscribePage(ticket) }
		post = &push.Post{Server: p.name, Send: p.mail.Send, Page: page}
	}
	p.push = push.NewSender(push.Parts{
		DB: db, Journal: p.journal, Rooms: p.rooms, Pushers: p.pushers, Receipts: p.receipts, History: p.notified,
		Settings: p.data.RulesOf, Defaults: p.data.Defaults, Wanted: p.wantedThreads(c), Ignored: p.data.Ignored, HidesInvite: p.feed.HidesInvite, Quiet: p.quiet,
		Web: p.gateways, Local: local, WebPush: webPush, Post: post, Log: p.log,
	})
	return nil
}

// wantedThreads says to which threads users subscribe, nil if that changes nothing.
func (p *parts) wantedThreads(c config.Config) func(context.Context, id.UserID, id.RoomID) (room.Wanted, error) {
	if !c.Threads.Subscriptions {
		return nil
	}
	return func(ctx context.Context, user id.UserID, roomID id.RoomID) (room.Wanted, error) {
		return p.threads.In(ctx, user, roomID)
	}
}

// newPushGateway makes this server a push gateway.
func (p *parts) newPushGateway(c config.Config) error {
	key, err := webPushKey(c.DataDir)
	if err != nil {
		return fmt.Errorf("the key for Web Push: %w", err)
	}
	o := gateway.Options{Web: p.gateways, Key: key, Contact: "postmaster@" + string(c.ServerName), Apps: make(map[string]gateway.App), Log: p.log}
	if own := publicURL(c); strings.HasPrefix(own, "https:") {
		o.Contact = own
	}
	apps, err := c.Push.List()
	if err != nil {
		return fmt.Errorf("push.apps: %w", err)
	}
	for appID, app := range apps {
		if o.Apps[appID], err = pushApp(app); err != nil {
			return fmt.Errorf("push.apps, %s: %w", appID, err)
		}
	}
	p.pushGateway = gateway.New(o)
	return nil
}

// pushApp reads the credentials of an app.
func pushApp(app config.PushApp) (a gateway.App, err error) {
	if app.FCM != nil {
		account, err := os.ReadFile(app.FCM.AccountFile)
		if err == nil {
			a.FCM, err = gateway.NewFCM(account)
		}
		return a, err
	}
	key, err := os.ReadFile(app.APNs.KeyFile)
	if err == nil {
		a.APNs, err = gateway.NewAPNs(app.APNs.Topic, key, app.APNs.KeyID, app.APNs.TeamID, app.APNs.Sandbox)
	}
	return a, err
}

// webPushKey reads the key in a data directory, or makes one if there is none.
func webPushKey(dir string) (*gateway.Key, error) {
	path := filepath.Join(dir, "webpush.key")
	content, err := readSecret(path)
	if err == nil {
		return gateway.ParseKey(strings.TrimSpace(content))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, err := gateway.NewKey()
	if err == nil {
		err = durable.WriteSecret(path, key.Private()+"\n")
	}
	return key, err
}

// ownGateway is this server's gateway, for its own users.
type ownGateway struct {
	*gateway.Gateway
	host string // of this server, empty if nobody can reach it
}

func (o ownGateway) Is(gatewayURL string) bool {
	u, err := url.Parse(gatewayURL)
	return err == nil && o.host != "" && strings.EqualFold(u.Host, o.host)
}

// newPushers keeps where users want to be told of notifications.
func (p *parts) newPushers(db *store.DB, c config.Config) *push.Pushers {
	ways := push.Ways{WebPush: c.Push.Gateway != config.PushGatewayOff}
	if p.mail != nil {
		ways.Owns = p.ownsAddress
	}
	return push.NewPushers(db, p.journal, ways)
}

// ownsAddress reports whether a mail address is one of a user's account.
func (p *parts) ownsAddress(ctx context.Context, user id.UserID, address string) (bool, error) {
	t, err := account.ParseEmail(address)
	if err != nil {
		return false, nil
	}
	owner, err := p.accounts.Owner(ctx, t)
	if errors.Is(err, mxerr.ThreePIDNotFound) {
		return false, nil
	}
	return owner == user, err
}

// quiet reports whether a user is to be told nothing for now.
func (p *parts) quiet(ctx context.Context, user id.UserID) (bool, error) {
	info, err := p.accounts.Info(ctx, user)
	if errors.Is(err, mxerr.NotFound) {
		return true, nil
	}
	return info.Locked || info.Suspended || info.Deactivated, err
}

// pushMetrics are the numbers of what is pushed.
func pushMetrics(s *push.Sender) (list []prometheus.Collector) {
	for result, value := range map[string]func(push.Stats) int64{
		"sent":      func(n push.Stats) int64 { return n.Sent },
		"count":     func(n push.Stats) int64 { return n.Counts },
		"mailed":    func(n push.Stats) int64 { return n.Letters },
		"dropped":   func(n push.Stats) int64 { return n.Dropped },
		"rejected":  func(n push.Stats) int64 { return n.Rejected },
		"refused":   func(n push.Stats) int64 { return n.Refused },
		"unreached": func(n push.Stats) int64 { return n.Unreached },
	} {
		list = append(list, prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "parley_pushes_total",
			Help: "What became of pushes: events and mere numbers of what is unread that gateways have taken, what was told by mail, events that were " +
				"read, old or too many, pushers that were rejected, and attempts that a gateway refused or that did not reach it.",
			ConstLabels: prometheus.Labels{"result": result},
		}, func() float64 { return float64(value(s.Stats())) }))
	}
	gauge := func(name, help string, value func(push.Stats) int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value(s.Stats())) })
	}
	return append(list,
		gauge("parley_pushers_waiting", "Pushers that have not got everything.", func(n push.Stats) int { return n.Waiting }),
		gauge("parley_push_gateways_away", "Push gateways that cannot be reached.", func(n push.Stats) int { return n.Away }),
	)
}
