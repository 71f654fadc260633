package appservice

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/alias"
	"parley/internal/devicelist"
	"parley/internal/ephemeral"
	"parley/internal/journal"
	"parley/internal/receipt"
	"parley/internal/remote"
	"parley/internal/room"
	"parley/internal/store"
	"parley/internal/todevice"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// Parts are what services stand on.
type Parts struct {
	// Server is the name of this server.
	Server id.ServerName
	// Dir and Files are where the registrations are, see [Load].
	Dir   string
	Files []string
	// QueryTokens says that services are told their hs_token in the URL, too.
	QueryTokens bool

	DB          *store.DB
	Journal     *journal.Journal
	Rooms       *room.Engine
	Aliases     *alias.Directory
	Receipts    *receipt.Book
	Board       *ephemeral.Board
	ToDevice    *todevice.Store
	DeviceLists *devicelist.Store
	// Client reaches the services, wherever the operator says that they are.
	Client *remote.Client
	// Show returns events as clients get them who were there.
	Show func(ctx context.Context, roomID id.RoomID, items []room.Item) ([]canonjson.Value, error)
	// Ensure makes the account of a user, unless there is one, and Known reports whether
	// there is one.
	Ensure func(ctx context.Context, user id.UserID) error
	Known  func(ctx context.Context, user id.UserID) (bool, error)
	// WithDevices returns the users who have devices, DevicesOf the devices of one, and
	// HasToken whether one has an access token.
	WithDevices func(ctx context.Context) ([]id.UserID, error)
	DevicesOf   func(ctx context.Context, user id.UserID) ([]id.DeviceID, error)
	HasToken    func(ctx context.Context, user id.UserID, device id.DeviceID) (bool, error)
	// KeysLeft returns how many one-time keys a device has, by algorithm, and the
	// algorithms of its fallback keys that were not used. KeysRef is the reference of
	// the device in the journal.
	KeysLeft func(ctx context.Context, user id.UserID, device id.DeviceID) (oneTime map[string]int64, unused []string, err error)
	KeysRef  func(device id.DeviceID) int64
	Log      *slog.Logger
}

// Services are the application services of a server. It is safe for concurrent use.
type Services struct {
	Parts
	set      atomic.Pointer[Set]
	equipped equipped
	// employed are the workers, to be looked at without a lock.
	employed atomic.Pointer[[]*worker]
	queries  atomic.Int64 // that are waited for

	reloading sync.Mutex // held by who takes over a set; guards what follows
	workers   map[string]*worker
	running   context.Context // nil: not yet, or not any more
}

// New returns services, of which none is registered before the first Reload.
func New(p Parts) *Services {
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	return &Services{Parts: p, workers: make(map[string]*worker)}
}

// Set returns the services that are registered at this moment.
func (s *Services) Set() *Set {
	if s == nil {
		return nil
	}
	return s.set.Load()
}

// staff returns the workers.
func (s *Services) staff() []*worker {
	if s == nil || s.employed.Load() == nil {
		return nil
	}
	return *s.employed.Load()
}

// Reload reads the registrations and takes them over. If there is anything wrong with
// them everything stays as it was, and the error says what. Services whose registration
// has not changed do not notice.
func (s *Services) Reload(ctx context.Context) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	set, err := Load(s.Dir, s.Files, s.Server)
	if err != nil {
		return err
	}
	for _, service := range set.list {
		if err := s.Ensure(ctx, service.Sender); err != nil {
			return fmt.Errorf("making %s, the sender of application service %s: %w", service.Sender, service.ID, err)
		}
	}
	s.set.Store(set)
	if err := s.equip(ctx, set); err != nil {
		return err
	}
	return s.employ(ctx, set)
}

// equip finds out which users of services have devices. Of who gets one meanwhile
// Devices tells: the set is there already.
func (s *Services) equip(ctx context.Context, set *Set) error {
	wanting := slices.DeleteFunc(slices.Clone(set.list), func(service *Service) bool { return !service.wantsDevices() })
	if len(wanting) == 0 {
		return nil
	}
	users, err := s.WithDevices(ctx)
	for _, user := range users {
		if slices.ContainsFunc(wanting, func(service *Service) bool { return service.Owns(user) }) {
			s.equipped.add(user)
		}
	}
	return err
}

// employ gives each service of a set a worker, and ends those of others. The caller
// holds reloading.
func (s *Services) employ(ctx context.Context, set *Set) error {
	defer func() {
		staff := slices.Collect(maps.Values(s.workers))
		s.employed.Store(&staff)
	}()
	for name, w := range s.workers {
		if is := set.ByID(name); is == nil || is.URL == "" || is.stamp != w.service.stamp {
			w.end()
			delete(s.workers, name)
		}
	}
	for _, service := range set.list {
		if service.URL == "" || s.workers[service.ID] != nil {
			continue
		}
		w, err := s.newWorker(ctx, service)
		if err != nil {
			return err
		}
		s.workers[service.ID] = w
		s.begin(w)
	}
	return nil
}

// begin lets a worker work, if it is time. The caller holds reloading.
func (s *Services) begin(w *worker) {
	if s.running == nil || w.stop != nil {
		return
	}
	ctx, cancel := context.WithCancel(s.running)
	done := make(chan struct{})
	go func() {
		w.run(ctx)
		close(done)
	}()
	w.stop = func() {
		cancel()
		<-done
	}
}

func (w *worker) end() {
	if w.stop != nil {
		w.stop()
	}
}

// tidyEvery is how often it is looked for services that are not registered any more.
const tidyEvery = time.Hour

// Run tells services what happens until the context ends. It must run once.
func (s *Services) Run(ctx context.Context) {
	s.reloading.Lock()
	s.running = ctx
	for _, w := range s.workers {
		s.begin(w)
	}
	s.reloading.Unlock()
	ticker := time.NewTicker(tidyEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		if err := s.tidy(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("forgetting application services", "err", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	s.reloading.Lock()
	defer s.reloading.Unlock()
	s.running = nil
	for _, w := range s.workers {
		w.end()
	}
}

// keepFor is how long a service that is not registered any more finds what it has
// missed when it is registered again.
const keepFor = 7 * 24 * time.Hour

// tidy forgets the services that are not registered for long.
func (s *Services) tidy(ctx context.Context) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	now := time.Now()
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		names, err := store.List[string](tx, "SELECT service FROM appservices")
		if err != nil {
			return err
		}
		for _, name := range names {
			if s.workers[name] != nil {
				continue
			}
			if _, err := tx.Exec("UPDATE appservices SET gone = $2 WHERE service = $1 AND gone IS NULL", name, now.UnixMilli()); err != nil {
				return err
			}
			gone, err := tx.Exec("DELETE FROM appservices WHERE service = $1 AND gone < $2", name, now.Add(-keepFor).UnixMilli())
			if err == nil && gone > 0 {
				err = journal.ForgetCursor(tx, cursorName(name))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("looking for application services that are gone: %w", err)
	}
	return nil
}

// worker returns who works for a service, nil if it is not told anything.
func (s *Services) worker(service *Service) *worker {
	for _, w := range s.staff() {
		if w.service.ID == service.ID {
			return w
		}
	}
	return nil
}

// Heard takes in that a service has shown to be there. It does not wait.
func (s *Services) Heard(service *Service) {
	if w := s.worker(service); w != nil {
		w.hear()
	}
}

// A Status is how a service does.
type Status struct {
	*Service
	// Told says that it is told what happens. Otherwise the rest is empty.
	Told bool
	// Behind is how far it is behind the journal.
	Behind int64
	// Down says that it does not take what it is told.
	Down bool
	// Transactions and Events are how many it has got since the start, and Failures how
	// often it did not take one.
	Transactions, Events, Failures int64
}

// Statuses returns how each service does, in the order of their IDs.
func (s *Services) Statuses() (list []Status) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	for _, service := range s.Set().All() {
		status := Status{Service: service}
		if w := s.workers[service.ID]; w != nil {
			status.Told, status.Down = true, w.stats.down.Load()
			status.Behind = max(0, int64(s.Journal.Head()-w.cursor.Position()))
			status.Transactions, status.Events, status.Failures = w.stats.transactions.Load(), w.stats.events.Load(), w.stats.failures.Load()
		}
		list = append(list, status)
	}
	slices.SortFunc(list, func(a, b Status) int { return cmp.Compare(a.ID, b.ID) })
	return list
}
