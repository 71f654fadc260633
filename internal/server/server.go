package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"parley/internal/account"
	"parley/internal/config"
	"parley/internal/csapi"
	"parley/internal/endpoint"
	"parley/internal/room"
	"parley/internal/schema"
	"parley/internal/ssapi"
	"parley/internal/store"
)

// Options of a server.
type Options struct {
	// Config is what the operator has set.
	Config config.Config
	// Log gets what there is to say. Nil: nobody does.
	Log *slog.Logger
	// Beside opens a server that another process may be running, for commands
	// that change something in its data. Run then does nothing in the background
	// but commit.
	Beside bool
	// Network, if not nil, is another one than the internet. It is for tests.
	Network *Network
	// Fault, if not nil, lets updates of the database fail, see
	// [store.DB.FailAt]. It is for tests.
	Fault func(store.Point) error
	// Grace is [room.Options.Grace], Now is [room.Options.Now].
	Grace time.Duration
	Now   func() time.Time
}

// A Server is a whole server. All of it is there from New on, but before Run
// nothing is committed.
type Server struct {
	config config.Config
	log    *slog.Logger

	lock *lock
	db   *store.DB

	parts

	metrics *metrics
	table   *endpoint.Table
	handler http.Handler
	// stopping ends when the server is to stop, and with it what waits.
	stopping context.Context
	stop     context.CancelFunc
}

// New opens a server. The context is for opening only.
func New(ctx context.Context, o Options) (*Server, error) {
	s := &Server{config: o.Config, log: o.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.stopping, s.stop = context.WithCancel(context.Background())
	err := makeDir(s.config.DataDir)
	if err == nil && !o.Beside {
		s.lock, err = lockDir(s.config.DataDir)
	}
	if err == nil {
		err = s.open(ctx, o)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if o.Beside {
		s.loops = nil
	}
	return s, nil
}

// open opens what is on disk, makes the parts and then what serves them.
func (s *Server) open(ctx context.Context, o Options) (err error) {
	var known bool
	if s.db, known, err = openDatabase(ctx, s.config, o.Fault); err != nil {
		return err
	}
	risks, err := s.db.Risks(ctx)
	if err != nil {
		return err
	}
	for _, risk := range risks {
		s.log.Warn(risk)
	}
	key, made, err := signingKey(s.config.DataDir)
	if err != nil {
		return err
	}
	if made && known {
		s.log.Warn("a new signing key was made, though the server is not new: if the old one still exists, stop and bring it back",
			"file", keyPath(s.config.DataDir), "key", key.ID)
	}
	n, err := s.network(o)
	if err != nil {
		return err
	}
	if s.parts, err = newParts(ctx, s.db, o, key, n, s.log); err != nil {
		return err
	}
	s.metrics = newMetrics(s.db, &s.parts)
	api, err := s.clientAPI(s.config)
	if err != nil {
		return err
	}
	s.table = endpoint.New(s.endpointConfig(), slices.Concat(api.Routes(), s.serverAPI(s.config).Routes(), s.adminAPI().Routes(), s.ownRoutes()))
	s.handler = withBodyDeadline(withOldPaths(s.table))
	return nil
}

// network is how the server reaches others.
func (s *Server) network(o Options) (Network, error) {
	if o.Network != nil {
		return *o.Network, nil
	}
	return internet(s.config)
}

func (s *Server) endpointConfig() endpoint.Config {
	c := endpoint.Config{
		Users:       csapi.Users(s.accounts, s.services),
		Servers:     ssapi.Servers(s.name, s.federation.ring, s.federation.health),
		QueryTokens: s.config.QueryTokens,
		// A reverse proxy is on the same machine, or in front of TLS that it
		// does not terminate.
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		Log:            s.log,
		NewRequestID:   requestIDs(),
		Observe:        s.observe,
		Stopping:       s.stopping,
		// Somebody has some devices, and some of these a second connection.
		MaxWaiting: 64,
	}
	if s.config.RateLimits.Enabled {
		c.Limits = csapi.Limits()
		maps.Copy(c.Limits, ssapi.Limits())
		c.Strangers = ssapi.ClassStranger
	}
	return c
}

// requestIDs counts, behind a prefix that tells one run of the server from the
// next.
func requestIDs() func() string {
	prefix := rand.Text()[:6] + "-"
	var last atomic.Uint64
	return func() string { return prefix + strconv.FormatUint(last.Add(1), 36) }
}

// openDatabase opens the database of a configuration, brings its tables up to
// date and makes sure that it is the server's. Known says that it was before.
func openDatabase(ctx context.Context, c config.Config, fault func(store.Point) error) (db *store.DB, known bool, err error) {
	migrations, err := schema.Migrations()
	if err != nil {
		return nil, false, err
	}
	if db, err = store.Open(ctx, databaseLocation(c)); err != nil {
		return nil, false, err
	}
	if fault != nil {
		db.FailAt(fault)
	}
	if err = db.Migrate(ctx, migrations); err == nil {
		known, err = rememberName(ctx, db, c.ServerName)
	}
	if err != nil {
		return nil, false, errors.Join(fmt.Errorf("opening the database: %w", err), db.Close())
	}
	return db, known, nil
}

// Accounts are the accounts of the server.
func (s *Server) Accounts() *account.Accounts { return s.accounts }

// Database is where everything is. It is for tests.
func (s *Server) Database() *store.DB { return s.db }

// Rooms are the rooms of the server. It is for tests.
func (s *Server) Rooms() *room.Engine { return s.rooms }

// TrimJournal removes all that it may of the journal, however young, see
// [journal.Journal.Trim]. It is for tests.
func (s *Server) TrimJournal(ctx context.Context) error {
	_, err := s.journal.Trim(ctx, s.journal.Head())
	return err
}

// Handler serves all that the server has to offer.
func (s *Server) Handler() http.Handler { return s.handler }

// Routes yields what the server serves, route by route.
func (s *Server) Routes() iter.Seq[endpoint.Route] { return s.table.Routes() }

// Close closes what New has opened. Run must have returned.
func (s *Server) Close() error {
	s.stop()
	s.parts.close()
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.release())
	}
	return errors.Join(errs...)
}
