// Package hstest gives tests whole servers: the same parts as in the binary, on a
// network in memory, with SQLite in a directory of the test. Scenes read as
// sentences:
//
//	w := hstest.New(t)
//	a := w.Server("a.test")
//	alice := a.Register("alice")
//	alice.Must("POST", "/_matrix/client/v3/createRoom", `{}`)
//	a.Restart()
//
// Everybody may register, and nobody is told to wait, unless the test sets it
// otherwise. A server that logs a fault fails the test: whatever a client sends,
// it is not to cause one. So does a response that is not as the specification has
// it ([parley/internal/openapi]), except in benchmarks.
//
// Servers reach each other directly, or by a post ([World.Post]) that loses, delays and
// repeats what they ask each other; their clocks may be wrong ([World.Skew]).
//
// A world may be made inside of a bubble of testing/synctest. All its servers must
// be in there, too, and with SQLite: sockets to PostgreSQL do not belong there.
package hstest

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/internal/config"
	"parley/internal/memnet"
	"parley/internal/openapi"
	"parley/internal/server"
	"parley/internal/store"
	"parley/internal/termlog"
	"parley/matrix/id"
)

// A World is servers that can reach each other, and their clients.
type World struct {
	testing.TB
	Net *memnet.Network
	// Authority issues the certificates of the servers.
	Authority *memnet.Authority
	client    *http.Client
	post      *post                   // nil: servers connect to each other directly
	spec      func() *openapi.Checker // nil: responses are not checked

	mu           sync.Mutex // guards what follows
	certificates map[id.ServerName]tls.Certificate
	skew         map[id.ServerName]time.Duration
	sites        map[string]netip.Addr
}

// New returns a world without servers.
func New(t testing.TB) *World {
	w := &World{TB: t, Net: memnet.New(), Authority: memnet.NewAuthority(), certificates: make(map[id.ServerName]tls.Certificate), skew: make(map[id.ServerName]time.Duration)}
	if _, measures := t.(*testing.B); !measures {
		w.spec = sync.OnceValue(openapi.New)
	}
	transport := &http.Transport{DialContext: w.dialClients, MaxIdleConnsPerHost: 1000}
	w.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return w
}

// dialClients connects to where a server serves clients, whatever the port.
func (w *World) dialClients(ctx context.Context, _, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return w.Net.Dial(ctx, host)
}

// dial returns what connects a server to others.
func (w *World) dial(from id.ServerName) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		return w.Net.DialFrom(ctx, string(from), address)
	}
}

// certificate returns that of a server.
func (w *World) certificate(name id.ServerName) tls.Certificate {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, ok := w.certificates[name]
	if !ok {
		c = w.Authority.Certificate(string(name))
		w.certificates[name] = c
	}
	return c
}

// Skew has the clock of a server go wrong by some time from its next start on.
func (w *World) Skew(name id.ServerName, by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.skew[name] = by
}

func (w *World) clock(name id.ServerName) func() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	by := w.skew[name]
	return func() time.Time { return time.Now().Add(by) }
}

// secured returns a listener with the certificate of a server.
func (w *World) secured(name id.ServerName, l net.Listener) net.Listener {
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{w.certificate(name)}})
}

// noRecords is a domain name system without SRV records.
type noRecords struct{}

func (noRecords) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", nil, &net.DNSError{Err: "no such host", IsNotFound: true}
}

// A Server is a server that runs, and is another one after Restart.
type Server struct {
	*server.Server
	Name   id.ServerName
	Config config.Config

	world    *World
	dead     atomic.Pointer[atomic.Bool] // of the process: nothing is committed any more
	doom     atomic.Int64                // after how many commits it dies; 0: it does not
	ending   atomic.Pointer[atomic.Bool] // of the process: it was told to end
	listener *memnet.Listener
	secure   *memnet.Listener // for other servers; nil if there is a post
	stop     context.CancelFunc
	done     chan error
}

// Server starts a server. What set changes of its settings it keeps over
// restarts. The end of the test ends it.
func (w *World) Server(name id.ServerName, set ...func(*config.Config)) *Server {
	w.Helper()
	settings, _, err := config.Load(nil, []string{"--server-name", string(name), "--data-dir", w.TempDir()})
	if err != nil {
		w.Fatal(err)
	}
	settings.Registration.Mode = config.RegistrationOpen
	settings.RateLimits.Enabled = false
	for _, f := range set {
		f(&settings)
	}
	s := &Server{Name: name, Config: settings, world: w}
	if w.post != nil {
		w.post.serve(name)
	}
	s.start()
	w.Cleanup(func() {
		if s.stop != nil {
			s.Stop()
		}
	})
	return s
}

// Database has a server use a database for tests that [storetest.EachLocation]
// names. If that is SQLite, it uses its own.
func Database(location string) func(*config.Config) {
	return func(c *config.Config) {
		if strings.HasPrefix(location, "postgres") {
			c.Database = config.Secret(location)
		}
	}
}

func (s *Server) start() {
	t := s.world
	t.Helper()
	dead := new(atomic.Bool)
	opened, err := server.New(t.Context(), server.Options{
		Config:  s.Config,
		Network: &server.Network{Dial: t.dial(s.Name), Resolver: noRecords{}, Roots: t.Authority.Pool(), Web: t.web, Own: t.dial(s.Name)},
		Grace:   50 * time.Millisecond,
		Now:     t.clock(s.Name),
		Log:     slog.New(faults{slog.Handler(termlog.New(t.Output(), termlog.Options{Level: slog.LevelWarn})), t, dead}),
		Fault: func(p store.Point) error {
			if p == store.AfterCommit && s.doom.Load() > 0 && s.doom.Add(-1) == 0 {
				dead.Store(true)
			}
			if dead.Load() {
				return errors.New("the server was killed")
			}
			return nil
		},
	})
	if err != nil {
		t.Fatalf("starting %s: %v", s.Name, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.Server, s.listener = opened, t.Net.Listen(string(s.Name))
	s.dead.Store(dead)
	s.ending.Store(new(atomic.Bool))
	listeners := []net.Listener{s.listener}
	if t.post == nil {
		s.secure = t.Net.Listen(string(s.Name) + ":8448")
		listeners = append(listeners, t.secured(s.Name, s.secure))
	}
	s.stop, s.done = stop, make(chan error, 1)
	go func() { s.done <- opened.Run(ctx, listeners...) }()
}

// Stop ends the server as its operator would.
func (s *Server) Stop() {
	s.world.Helper()
	s.end()
}

// Kill ends the server as kill -9 would: connections break, and what is not
// committed by now never is.
func (s *Server) Kill() {
	s.world.Helper()
	s.doom.Store(0)
	s.dead.Load().Store(true)
	s.listener.Sever()
	if s.secure != nil {
		s.secure.Sever()
	}
	s.end()
}

// DiesAfter has the server commit so many more updates and nothing more, as if it was
// killed then. That has to be followed by Restart, which also ends the wait for
// those that did not come.
func (s *Server) DiesAfter(commits int) { s.doom.Store(int64(commits)) }

// Start starts a server that was ended.
func (s *Server) Start() {
	s.world.Helper()
	s.start()
}

// Restart kills the server and starts it again.
func (s *Server) Restart() {
	s.world.Helper()
	s.Kill()
	s.Start()
}

func (s *Server) end() {
	s.world.Helper()
	s.ending.Load().Store(true)
	s.stop()
	s.stop = nil
	// A listener that is severed fails the server, perhaps before it was told
	// to stop.
	if err := <-s.done; err != nil && !s.dead.Load().Load() {
		s.world.Errorf("%s ended: %v", s.Name, err)
	}
	// Or a client would find out with its next request only.
	s.world.client.CloseIdleConnections()
	if err := s.Close(); err != nil {
		s.world.Errorf("closing %s: %v", s.Name, err)
	}
}

// faults is a log that fails the test when there is a fault, unless the server
// is dead.
type faults struct {
	slog.Handler
	t    testing.TB
	dead *atomic.Bool
}

func (f faults) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelError {
		return f.Handler.Handle(ctx, r)
	}
	if f.dead.Load() {
		return nil
	}
	var line strings.Builder
	err := termlog.New(&line, termlog.Options{}).Handle(ctx, r)
	f.t.Errorf("a fault in the server: %s", strings.TrimSpace(line.String()))
	return err
}

func (f faults) WithAttrs(attrs []slog.Attr) slog.Handler {
	f.Handler = f.Handler.WithAttrs(attrs)
	return f
}

func (f faults) WithGroup(name string) slog.Handler {
	f.Handler = f.Handler.WithGroup(name)
	return f
}
