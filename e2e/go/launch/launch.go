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

	binary string
	args   []string // of serve
	env    []string // besides this process's environment
	dir    string   // its data and its log, removed by Stop

	command *exec.Cmd     // the process at the moment, nil while the server is down
	ended   chan struct{} // closed when the process has ended
	err     error         // of the process; read after ended is closed
}

// Start starts the binary and returns when it answers requests. The process
// gets this one's environment without the variables that are meant for tests,
// so PARLEY_DATABASE and the like have their effect, and some more variables.
func Start(ctx context.Context, binary string, env ...string) (*Server, error) {
	dir, err := newDir()
	if err != nil {
		return nil, err
	}
	return start(ctx, &Server{binary: binary, dir: dir, args: []string{"--listen", "127.0.0.1:0"}, env: env})
}

// Settle has a server keep its address when it is started again.
func (s *Server) Settle() {
	_, address, _ := strings.Cut(s.URL, "://")
	s.args = []string{"--listen", address}
}

// Reload sends a server SIGHUP, and returns when its log says what came of it.
func (s *Server) Reload(ctx context.Context) error {
	before := len(s.Log())
	if err := s.command.Process.Signal(syscall.SIGHUP); err != nil {
		return fmt.Errorf("having the server reload: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		switch log := s.Log()[before:]; {
		case strings.Contains(log, "were read anew"):
			return nil
		case strings.Contains(log, "stay as they were"):
			return errors.New(log)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the server to reload: %w", ctx.Err())
		}
	}
}

func newDir() (string, error) {
	dir, err := os.MkdirTemp("", "parley-e2e-")
	if err != nil {
		return "", fmt.Errorf("making a directory for the server: %w", err)
	}
	return dir, nil
}

// start removes what there is of a server that does not start.
func start(ctx context.Context, s *Server) (*Server, error) {
	if err := s.Up(ctx); err != nil {
		os.RemoveAll(s.dir)
		return nil, err
	}
	return s, nil
}

// Up starts a server that is down, and returns when it answers requests.
func (s *Server) Up(ctx context.Context) error {
	if s.command != nil {
		return errors.New("the server is up already")
	}
	if err := s.begin(); err != nil {
		return fmt.Errorf("starting %s: %w", s.binary, err)
	}
	if err := s.answers(ctx); err != nil {
		err = fmt.Errorf("waiting for %s to answer: %w\n%s", s.binary, err, s.Log())
		s.Kill()
		return err
	}
	return nil
}

func (s *Server) begin() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	c := exec.Command(s.binary, append([]string{"serve", "--data-dir", filepath.Join(s.dir, "data")}, s.args...)...)
	c.Env = append(environment(), "PARLEY_REGISTRATION_MODE=open", "PARLEY_REGISTRATION_GUESTS=true", "PARLEY_RATE_LIMITS_ENABLED=false")
	c.Env = append(c.Env, s.env...)
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	s.command, s.ended = c, ended
	go func() {
		s.err = c.Wait()
		close(ended)
	}()
	return nil
}

// Kill ends the process as a crash would. The data remain.
func (s *Server) Kill() {
	if s.command == nil {
		return
	}
	s.command.Process.Kill()
	<-s.ended
	s.command = nil
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

// Down asks the server to end; its data remain. It is an error if it does not
// end in time, or not with the status 0.
func (s *Server) Down() error {
	if s.command == nil {
		return nil
	}
	defer func() { s.command = nil }()
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
	return nil
}

// Stop is the end of the server and of its data. It is an error too if the
// server has logged a fault.
func (s *Server) Stop() error {
	defer os.RemoveAll(s.dir)
	if err := s.Down(); err != nil {
		return err
	}
	if faults := s.faults(); faults != nil {
		return fmt.Errorf("the server had faults:\n%s", strings.Join(faults, "\n"))
	}
	return nil
}
