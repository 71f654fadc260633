// Package launch starts the server that scenes are played against, as a process
// of its own with a data directory of its own, and ends it.
package launch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// patience is how long a server may take to answer its first request, and
	// to end.
	patience = 30 * time.Second
	interval = 10 * time.Millisecond
)

// A Server is a process of parley that answers at URL. Anybody may register
// there, as often as they like.
type Server struct {
	URL string

	command *exec.Cmd
	dir     string        // its data and its log, removed by Stop
	ended   chan struct{} // closed when the process has ended
	err     error         // of the process; read after ended is closed
}

// Start starts the binary and returns when it answers requests. The process
// gets this one's environment without the variables that are meant for tests,
// so PARLEY_DATABASE and the like have their effect.
func Start(ctx context.Context, binary string) (*Server, error) {
	dir, err := os.MkdirTemp("", "parley-e2e-")
	if err != nil {
		return nil, fmt.Errorf("making a directory for the server: %w", err)
	}
	s, err := start(binary, dir)
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("starting %s: %w", binary, err)
	}
	if err := s.answers(ctx); err != nil {
		err = fmt.Errorf("waiting for %s to answer: %w\n%s", binary, err, s.Log())
		s.command.Process.Kill()
		<-s.ended
		os.RemoveAll(dir)
		return nil, err
	}
	return s, nil
}

func start(binary, dir string) (*Server, error) {
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c := exec.Command(binary, "serve", "--data-dir", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0")
	c.Env = append(environment(), "PARLEY_REGISTRATION_MODE=open", "PARLEY_REGISTRATION_GUESTS=true", "PARLEY_RATE_LIMITS_ENABLED=false")
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		return nil, err
	}
	s := &Server{command: c, dir: dir, ended: make(chan struct{})}
	go func() {
		s.err = c.Wait()
		close(s.ended)
	}()
	return s, nil
}

// environment leaves out what the server would refuse as variables that it does
// not know.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "PARLEY_E2E_") || strings.HasPrefix(v, "PARLEY_TEST_")
	})
}

func (s *Server) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if s.URL == "" {
			s.URL = s.listens()
		}
		err := errors.New("its log does not say where it listens")
		if s.URL != "" {
			err = s.versions(ctx)
		}
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.ended:
			return fmt.Errorf("it ended: %w", either(s.err, errors.New("with status 0")))
		case <-ctx.Done():
			return err
		}
	}
}

// listens is where the server's log says that it listens, if it does already.
func (s *Server) listens() string {
	for line := range strings.Lines(s.Log()) {
		var entry struct{ Msg, URL string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "listening" {
			return entry.URL
		}
	}
	return ""
}

func either(err, otherwise error) error {
	if err == nil {
		return otherwise
	}
	return err
}

func (s *Server) versions(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/_matrix/client/versions", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("/_matrix/client/versions was answered with %s", answer.Status)
	}
	return nil
}

// Log is what the server has printed.
func (s *Server) Log() string {
	log, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(log))
}

// faults are the lines of the log in which the server says that something went
// wrong in it.
func (s *Server) faults() []string {
	var faults []string
	for line := range strings.Lines(s.Log()) {
		var entry struct{ Level string }
		if json.Unmarshal([]byte(line), &entry) != nil || entry.Level == "ERROR" { // a panic is no JSON
			faults = append(faults, strings.TrimSpace(line))
		}
	}
	return faults
}

// Stop asks the server to end, and removes its data. It is an error if the
// server does not end in time or with the status 0, or if it logged a fault.
func (s *Server) Stop() error {
	defer os.RemoveAll(s.dir)
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		<-s.ended
		return fmt.Errorf("the server had ended before it was told to: %w\n%s", either(s.err, err), s.Log())
	}
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.command.Process.Kill()
		<-s.ended
		return fmt.Errorf("the server did not end within %v of SIGTERM\n%s", patience, s.Log())
	}
	if s.err != nil {
		return fmt.Errorf("the server was told to end, and it ended with %w\n%s", s.err, s.Log())
	}
	if faults := s.faults(); faults != nil {
		return fmt.Errorf("the server had faults:\n%s", strings.Join(faults, "\n"))
	}
	return nil
}
