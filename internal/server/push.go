package server

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/config"
	"parley/internal/push"
	"parley/internal/remote"
	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// newPush makes what tells users of notifications.
func (p *parts) newPush(db *store.DB, n Network, c config.Config) {
	web := n.outbound(c)
	web.IdlePerHost = push.PerGateway
	p.gateways = remote.New(web)
	p.notified = push.NewHistory(p.rooms, p.data.Personal, p.feed.Reads)
	p.push = push.NewSender(push.Parts{
		DB: db, Journal: p.journal, Rooms: p.rooms, Pushers: p.pushers, Receipts: p.receipts, History: p.notified,
		Settings: p.data.RulesOf, Ignored: p.data.Ignored, HidesInvite: p.feed.HidesInvite, Quiet: p.quiet,
		Web: p.gateways, Log: p.log,
	})
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
		"dropped":   func(n push.Stats) int64 { return n.Dropped },
		"rejected":  func(n push.Stats) int64 { return n.Rejected },
		"refused":   func(n push.Stats) int64 { return n.Refused },
		"unreached": func(n push.Stats) int64 { return n.Unreached },
	} {
		list = append(list, prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "parley_pushes_total",
			Help: "What became of pushes: events and mere numbers of what is unread that gateways have taken, events that were " +
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
