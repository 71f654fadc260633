package loadgen

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"parley/matrix/id"
)

// Own is the server that a scenario starts itself, and ends.
type Own struct {
	// Program is the command that runs it, which takes its settings from the
	// environment as parley does.
	Program []string
	// Database is its own, which has to be empty, as a URL; "" is what it uses by
	// itself.
	Database string
}

func (o Own) check() error {
	if len(o.Program) == 0 {
		return errors.New("there is no command that runs the server")
	}
	return nil
}

// measured is a server that the generator runs in a process of its own, so that its
// memory is its own. It keeps its data when it is started anew.
type measured struct {
	name     id.ServerName
	dir      string   // has its data, and goes with it
	program  []string // the command that runs it
	settings []string // as environment variables
	progress func(format string, args ...any)

	process *exec.Cmd
	ended   chan struct{} // closed when all of its log was read
	target  Target
	g       *Generator
	user    account
}

// benchServer is the name of the measured server. Nobody looks for it: it asks
// others first, and is answered.
const benchServer id.ServerName = "bench.test"

const registrationSecret = "bench"

// newMeasured returns a server that is not running, and trusts an authority where
// there is one. It leaves nothing behind when it was ended.
func newMeasured(own Own, authority []byte, progress func(string, ...any)) (*measured, error) {
	dir, err := os.MkdirTemp("", "parley-bench-")
	if err != nil {
		return nil, err
	}
	m := &measured{name: benchServer, dir: dir, program: own.Program, progress: progress}
	m.settings = []string{
		"PARLEY_SERVER_NAME=" + string(benchServer),
		"PARLEY_DATA_DIR=" + filepath.Join(dir, "data"),
		"PARLEY_LISTEN=127.0.0.1:0",
		"PARLEY_REGISTRATION_SHARED_SECRET=" + registrationSecret,
		"PARLEY_RATE_LIMITS_ENABLED=false",
	}
	if own.Database != "" {
		m.settings = append(m.settings, "PARLEY_DATABASE="+own.Database)
	}
	if authority == nil {
		return m, nil
	}
	m.settings = append(m.settings, "PARLEY_FEDERATION_EXTRA_CA="+m.authorityFile(), "PARLEY_FEDERATION_ALLOW_PRIVATE_NETWORKS=true")
	if err := os.WriteFile(m.authorityFile(), authority, 0o600); err != nil {
		return nil, errors.Join(err, m.end())
	}
	return m, nil
}

// startMeasured starts a server that is alone. It is to be ended.
func startMeasured(ctx context.Context, own Own, progress func(string, ...any)) (*measured, error) {
	m, err := newMeasured(own, nil, progress)
	if err != nil {
		return nil, err
	}
	if err := m.start(ctx); err != nil {
		return nil, errors.Join(err, m.end())
	}
	return m, nil
}

// authorityFile is the file with the certificate of who vouches for the neighbours.
func (m *measured) authorityFile() string { return filepath.Join(m.dir, "authority.pem") }

// start runs the server until it listens. It ends with the context at the latest.
func (m *measured) start(ctx context.Context) error {
	m.process = exec.CommandContext(ctx, m.program[0], m.program[1:]...)
	m.process.Env = append(os.Environ(), m.settings...)
	log, err := m.process.StderrPipe()
	if err != nil {
		return err
	}
	if err := m.process.Start(); err != nil {
		return fmt.Errorf("starting the server: %w", err)
	}
	m.ended = make(chan struct{})
	urls := make(chan string, 1)
	go m.read(log, urls)
	select {
	case url := <-urls:
		m.target, err = Aim(ctx, url, false)
	case <-m.ended:
		err = errors.New("the server does not listen")
	}
	if err == nil {
		m.g, err = New(Options{Target: m.target, SharedSecret: registrationSecret, NoPassword: true, Processes: []int{m.process.Process.Pid}, Progress: m.progress})
	}
	if err != nil {
		return err
	}
	return m.do(ctx, "GET", "/_matrix/client/versions", nil, nil) // it has begun when it answers
}

// read reads the log, and passes on what is worth it.
func (m *measured) read(log io.Reader, urls chan<- string) {
	defer close(m.ended)
	in := bufio.NewReader(log)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var entry struct{ Level, Msg, URL string }
		if json.Unmarshal(line, &entry) == nil && entry.Level == "INFO" {
			if entry.URL != "" {
				select {
				case urls <- entry.URL:
				default: // it listens elsewhere, too
				}
			}
			continue
		}
		m.progress("the server says: %s", bytes.TrimSpace(line))
	}
}

// stop ends the server. Stopping it again does nothing.
func (m *measured) stop() error {
	if m.process == nil || m.process.Process == nil {
		return nil
	}
	err := m.process.Process.Signal(syscall.SIGTERM)
	<-m.ended
	err = errors.Join(err, m.process.Wait())
	m.process = nil
	if err != nil {
		return fmt.Errorf("ending the server: %w", err)
	}
	return nil
}

// end stops the server and removes its data.
func (m *measured) end() error { return errors.Join(m.stop(), os.RemoveAll(m.dir)) }

// again stops the server and starts it: it has no connections then, and has used no
// memory yet.
func (m *measured) again(ctx context.Context) error {
	if err := m.stop(); err != nil {
		return err
	}
	return m.start(ctx)
}

// enter starts the server and registers the user who joins rooms.
func (m *measured) enter(ctx context.Context) error {
	if err := m.start(ctx); err != nil {
		return err
	}
	users, err := m.g.newUsers(ctx, 1)
	if err == nil {
		m.user = users[0]
	}
	return err
}

// resident is the most memory that the server has had resident since it started, and
// how much of what is resident now is pages of files, its database above all; 0 where
// the system does not tell.
// https://man7.org/linux/man-pages/man5/proc_pid_status.5.html
func (m *measured) resident() (most, files int64) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(m.process.Process.Pid) + "/status")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
		switch name {
		case "VmHWM":
			most = n << 10
		case "RssFile":
			files = n << 10
		}
	}
	return most, files
}

// statements is how many the server has given to its database.
func (m *measured) statements(ctx context.Context) (int64, error) {
	return m.metric(ctx, "parley_database_statements_total")
}

// entries is how many the server's journal has.
func (m *measured) entries(ctx context.Context) (int64, error) {
	return m.metric(ctx, "parley_journal_head")
}

// metric is one of those that the server tells.
func (m *measured) metric(ctx context.Context, name string) (int64, error) {
	c := newClient(m.target)
	defer c.hangUp()
	r, err := c.do(ctx, []byte(m.target.head("GET", "/_parley/metrics", "", -1)), setupPatience)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(r.body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return int64(n), err
		}
	}
	return 0, fmt.Errorf("the server does not tell %s", name)
}

// rest waits until the server asks its database for nothing, but not for ever: after
// a start there may be something left to do.
func (m *measured) rest(ctx context.Context) error {
	const step, most = 500 * time.Millisecond, 60
	last := int64(-1)
	for range most {
		n, err := m.statements(ctx)
		if err != nil || n == last {
			return err
		}
		last = n
		if err := pause(ctx, step); err != nil {
			return err
		}
	}
	return nil
}

// do makes a call as the user.
func (m *measured) do(ctx context.Context, method, path string, body, result any) error {
	c := newClient(m.target)
	defer c.hangUp()
	return call{method: method, path: path, token: m.user.Token, body: body, result: result}.do(ctx, c)
}

// join joins a room through its first server.
func (m *measured) join(ctx context.Context, f *farRoom) error {
	return m.do(ctx, "POST", path("/_matrix/client/v3/join/%s", string(f.id))+"?server_name="+path("%s", string(f.servers[0])), map[string]any{}, nil)
}

// say sends a message.
func (m *measured) say(ctx context.Context, f *farRoom, txn, body string) (id.EventID, error) {
	var sent struct {
		EventID id.EventID `json:"event_id"`
	}
	err := m.do(ctx, "PUT", path("/_matrix/client/v3/rooms/%s/send/m.room.message/%s", string(f.id), txn),
		map[string]string{"msgtype": "m.text", "body": body}, &sent)
	return sent.EventID, err
}

// whole waits until the server tells of all members of a room.
func (m *measured) whole(ctx context.Context, f *farRoom) error {
	c := newClient(m.target)
	defer c.hangUp()
	request := []byte(m.target.head("GET", path("/_matrix/client/v3/rooms/%s/joined_members", string(f.id)), m.user.Token, -1))
	for {
		r, err := c.do(ctx, request, setupPatience)
		switch {
		case err != nil:
			return err
		case r.status == 200:
			if n := bytes.Count(r.body, []byte(`"@`)); n < len(f.members) {
				return fmt.Errorf("of %d members the server tells of %d", len(f.members), n)
			}
			return nil
		case r.status != 429: // it is asked again at once: that waits as well
			return newRefusal(r)
		}
	}
}

// awaitEvent waits until the user can read an event.
func (m *measured) awaitEvent(ctx context.Context, f *farRoom, eventID id.EventID, patience time.Duration) error {
	c := newClient(m.target)
	defer c.hangUp()
	request := []byte(m.target.head("GET", path("/_matrix/client/v3/rooms/%s/event/%s", string(f.id), string(eventID)), m.user.Token, -1))
	for began := time.Now(); ; {
		r, err := c.do(ctx, request, setupPatience)
		if err != nil || r.status == 200 {
			return err
		}
		if time.Since(began) > patience {
			return fmt.Errorf("the server does not have the event %s: %w", eventID, newRefusal(r))
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}
