package appservice

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"parley/matrix/id"
)

// Parts are what services stand on.
type Parts struct {
	// Server is the name of this server.
	Server id.ServerName
	// Dir and Files are where the registrations are, see [Load].
	Dir   string
	Files []string
	// Ensure makes the account of a user, unless there is one.
	Ensure func(ctx context.Context, user id.UserID) error
	Log    *slog.Logger
}

// Services are the application services of a server. It is safe for concurrent use.
type Services struct {
	Parts
	set atomic.Pointer[Set]

	reloading sync.Mutex // held by who takes over a set
}

// New returns services, of which none is registered before the first Reload.
func New(p Parts) *Services {
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	return &Services{Parts: p}
}

// Set returns the services that are registered at this moment.
func (s *Services) Set() *Set {
	if s == nil {
		return nil
	}
	return s.set.Load()
}

// Reload reads the registrations and takes them over. If there is anything wrong with
// them everything stays as it was, and the error says what.
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
	return nil
}
