package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/appservice"
)

// serviceMetrics are the numbers of application services, of which there are others
// after each reload.
type serviceMetrics struct {
	services *appservice.Services

	up, behind, transactions, events, failures *prometheus.Desc
}

func newServiceMetrics(services *appservice.Services) serviceMetrics {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("parley_appservice_"+name, help, []string{"appservice"}, nil)
	}
	return serviceMetrics{
		services:     services,
		up:           desc("up", "Whether an application service has taken the last transaction that it was sent."),
		behind:       desc("behind", "How many entries of the journal were not looked at yet for an application service."),
		transactions: desc("transactions_total", "Transactions that an application service has taken."),
		events:       desc("events_total", "Events of rooms that were put into transactions for an application service."),
		failures:     desc("failures_total", "How often an application service did not take a transaction."),
	}
}

// Describe makes it a [prometheus.Collector].
func (m serviceMetrics) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{m.up, m.behind, m.transactions, m.events, m.failures} {
		descs <- desc
	}
}

// Collect makes it a [prometheus.Collector].
func (m serviceMetrics) Collect(metrics chan<- prometheus.Metric) {
	for _, s := range m.services.Statuses() {
		if !s.Told {
			continue
		}
		up := 1.0
		if s.Down {
			up = 0
		}
		put := func(desc *prometheus.Desc, kind prometheus.ValueType, value float64) {
			metrics <- prometheus.MustNewConstMetric(desc, kind, value, s.ID)
		}
		put(m.up, prometheus.GaugeValue, up)
		put(m.behind, prometheus.GaugeValue, float64(s.Behind))
		put(m.transactions, prometheus.CounterValue, float64(s.Transactions))
		put(m.events, prometheus.CounterValue, float64(s.Events))
		put(m.failures, prometheus.CounterValue, float64(s.Failures))
	}
}
