package interop

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// startTime is how long a server may take to answer its first request, and to
// end.
const startTime = time.Minute

// A server is a program that others reach by its name, and is another process
// after it was stopped and started.
type server struct {
	program string  // "parley"
	name    string  // of the Matrix server, with the port
	url     string  // where clients reach it
	dir     string  // its data and its log
	people  []*user // see crowd

	command func() *exec.Cmd
	log     string // what it prints
	process *exec.Cmd
	ended   chan struct{} // closed when the process has ended
	err     error         // of the process; read after ended is closed
}

func (s *server) String() string { return s.program }

// start returns when the server answers requests.
func (s *server) start() error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.process, s.ended = s.command(), make(chan struct{})
	s.process.Stdout, s.process.Stderr, s.process.Dir = log, log, s.dir
	if err := s.process.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", s, err)
	}
	go func(process *exec.Cmd, ended chan struct{}) {
		s.err = process.Wait()
		close(ended)
	}(s.process, s.ended)
	if err := s.answers(); err != nil {
		s.process.Process.Kill()
		return fmt.Errorf("waiting for %s to answer: %w; what it prints is in %s", s, err, s.log)
	}
	return nil
}

func (s *server) answers() error {
	timeout := time.After(startTime)
	for {
		answer, err := (&http.Client{Timeout: startTime}).Get(s.url + "/_matrix/client/versions")
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(answer.Status)
		}
		select {
		case <-time.After(interval):
		case <-s.ended:
			return fmt.Errorf("it ended: %v", s.err)
		case <-timeout:
			return err
		}
	}
}

// stop ends the process as an operator would.
func (s *server) stop() error {
	if s.process == nil {
		return nil
	}
	s.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
		return nil
	case <-time.After(startTime):
		s.process.Process.Kill()
		return fmt.Errorf("%s did not end within %v", s, startTime)
	}
}

// faults are the lines of the log in which parley says that something went wrong
// in it.
func (s *server) faults() []string {
	log, err := os.ReadFile(s.log)
	if err != nil {
		return []string{err.Error()}
	}
	var faults []string
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, `"level":"ERROR"`) || strings.HasPrefix(line, "panic: ") {
			faults = append(faults, strings.TrimSpace(line))
		}
	}
	return faults
}

// freeAddress is one of the loopback interface at which nobody listens.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// newServer makes the directory, the addresses and the certificate of a server
// that has yet to be started.
func newServer(program, host, dir string, a *authority) (s *server, tls string, err error) {
	s = &server{program: program, dir: filepath.Join(dir, program)}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, "", err
	}
	if tls, err = freeAddress(); err != nil {
		return nil, "", err
	}
	client, err := freeAddress()
	if err != nil {
		return nil, "", err
	}
	_, port, _ := net.SplitHostPort(tls)
	s.name, s.url, s.log = net.JoinHostPort(host, port), "http://"+client, filepath.Join(s.dir, "log")
	return s, tls, a.vouch(host, s.file("cert.pem"), s.file("key.pem"))
}

func (s *server) file(name string) string { return filepath.Join(s.dir, name) }
