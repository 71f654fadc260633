package server

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"parley/internal/endpoint"
	"parley/internal/store"
	"parley/matrix/mxerr"
)

// metrics are the numbers of one server. Those of requests appear with the first
// request to a route.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	page     http.Handler
}

func newMetrics(db *store.DB, p *parts) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parley_http_requests_total",
			Help: "Requests that were answered, by route and status. Canceled ones were not.",
		}, []string{"method", "route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "parley_http_request_duration_seconds",
			Help:    "How long requests took, waiting for news included.",
			Buckets: []float64{0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60},
		}, []string{"method", "route"}),
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.requests, m.duration, newServiceMetrics(p.services),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "parley_journal_head",
			Help: "The position of the last entry of the journal.",
		}, func() float64 { return float64(p.journal.Head()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "parley_to_device_dropped_total",
			Help: "Messages to devices, or to those of a server, that were dropped because too many waited.",
		}, func() float64 { return float64(p.toDevice.Dropped()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "parley_database_statements_total",
			Help: "Statements that were given to the database.",
		}, func() float64 { return float64(db.Statements()) }),
	)
	registry.MustRegister(mediaMetrics(p.media)...)
	registry.MustRegister(pushMetrics(p.push)...)
	registry.MustRegister(searchMetrics(p.search)...)
	m.page = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return m
}

// observe is called after each request.
func (s *Server) observe(o endpoint.Observation) {
	method, route := o.Method, o.Route
	if route == "" {
		method, route = "", "none" // a client can make up any method
	}
	status := strconv.Itoa(o.Status)
	if o.Canceled {
		status = "canceled"
	}
	s.metrics.requests.WithLabelValues(method, route, status).Inc()
	s.metrics.duration.WithLabelValues(method, route).Observe(o.Duration.Seconds())
	if s.log.Enabled(context.Background(), slog.LevelDebug) {
		s.logAccess(o, status)
	}
}

func (s *Server) logAccess(o endpoint.Observation, status string) {
	attrs := []any{"method", o.Method, "route", o.Route, "status", status, "bytes", o.Bytes,
		"duration", o.Duration, "request", o.Caller.RequestID, "addr", o.Caller.Addr}
	if o.Caller.UserID != "" {
		attrs = append(attrs, "user", o.Caller.UserID)
	}
	if o.Caller.Server != "" {
		attrs = append(attrs, "origin", o.Caller.Server)
	}
	s.log.Debug("request", attrs...)
}

// ownRoutes are those that are no Matrix.
func (s *Server) ownRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.Stream("GET /health", endpoint.Policy{Auth: endpoint.None}, health),
		endpoint.Stream("GET /_parley/metrics", endpoint.Policy{Auth: endpoint.None}, s.showMetrics),
	}
}

// health says that the server answers, and no more.
func health(w http.ResponseWriter, _ *http.Request, _ endpoint.Caller) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err := w.Write([]byte("OK\n"))
	return err
}

// showMetrics serves the machine itself only: how busy a server is, and with
// what, is nobody else's business. A request that a proxy on this machine passes
// on says so in a header.
func (s *Server) showMetrics(w http.ResponseWriter, r *http.Request, c endpoint.Caller) error {
	for _, name := range [...]string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "Via"} {
		if r.Header.Get(name) != "" {
			return notHere()
		}
	}
	if !c.Addr.IsLoopback() {
		return notHere()
	}
	s.metrics.page.ServeHTTP(w, r)
	return nil
}

func notHere() error {
	return mxerr.New(mxerr.Forbidden, "Metrics are served to the machine itself only")
}
