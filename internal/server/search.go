package server

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/search"
	"parley/internal/store"
)

// newSearch makes the index of messages. If there is to be none, nothing is left of one.
func (p *parts) newSearch(ctx context.Context, db *store.DB, enabled bool) error {
	index := search.New(search.Parts{DB: db, Journal: p.journal, Rooms: p.rooms, Ignored: p.data.Ignored, Log: p.log})
	if !enabled {
		return index.Remove(ctx)
	}
	p.search = index
	p.loops = append(p.loops, index.Run)
	return nil
}

// searchMetrics are of the index of messages, nil if there is none.
func searchMetrics(x *search.Index) []prometheus.Collector {
	if x == nil {
		return nil
	}
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "parley_search_behind",
			Help: "Entries of the journal that the index of messages has not looked at yet.",
		}, func() float64 { return float64(x.Progress().Behind) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "parley_search_left",
			Help: "Numbers of events from before the index of messages that it has not gone through yet.",
		}, func() float64 { p := x.Progress(); return float64(p.Total - p.Done) }),
	}
}
