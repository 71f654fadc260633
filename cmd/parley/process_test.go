package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestMain lets tests run this binary as the program that it tests.
func TestMain(m *testing.M) {
	if os.Getenv("PARLEY_TEST_MAIN") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A process is the program in a process of its own.
type process struct {
	*exec.Cmd
	t   *testing.T
	log *bufio.Scanner // of what it writes to standard error
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "PARLEY_TEST_MAIN=1")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return &process{Cmd: cmd, t: t, log: bufio.NewScanner(out)}
}

// await reads the log until a message and returns its attribute.
func (p *process) await(message, attribute string) string {
	p.t.Helper()
	for p.log.Scan() {
		var line map[string]any
		if err := json.Unmarshal(p.log.Bytes(), &line); err != nil {
			p.t.Fatalf("the log is no JSON where nobody reads it: %s", p.log.Bytes())
		}
		if text, _ := line["msg"].(string); strings.Contains(text, message) {
			value, _ := line[attribute].(string)
			return value
		}
	}
	p.t.Fatalf("the log ended without %q", message)
	return ""
}

// rest reads the log to its end.
func (p *process) rest() string {
	var lines strings.Builder
	for p.log.Scan() {
		lines.WriteString(p.log.Text() + "\n")
	}
	return lines.String()
}

// end waits for the process and returns its exit status, -1 for a signal.
func (p *process) end() int {
	p.t.Helper()
	p.rest()
	p.Wait() // its error is the exit status
	return p.ProcessState.ExitCode()
}

func TestServeEndsWhenItIsTold(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			p := start(t, "serve", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir())
			url := p.await("listening", "url")
			resp, err := http.Get(url + "/health")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if err := p.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			p.await("stopping", "")
			if status := p.end(); status != 0 {
				t.Errorf("exit status %d", status)
			}
		})
	}
}

func TestASecondSignalEndsItAtOnce(t *testing.T) {
	p := start(t, "serve", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir())
	c, err := net.Dial("tcp", strings.TrimPrefix(p.await("listening", "url"), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// A request whose body does not come is what the end waits for. That the
	// server asks for the body says that it has begun.
	io.WriteString(c, "POST /_matrix/client/v3/login HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatal(line, err)
	}
	p.Process.Signal(syscall.SIGTERM)
	p.await("stopping", "")
	p.Process.Signal(syscall.SIGTERM)
	if status := p.end(); status != -1 {
		t.Errorf("exit status %d, want that of a signal", status)
	}
}

// Whoever registers with the token that the first start prints is the
// administrator, and the token is not printed again.
func TestTheFirstTokenMakesTheAdministrator(t *testing.T) {
	settings := []string{"--listen", "127.0.0.1:0", "--data-dir", t.TempDir()}
	p := start(t, append([]string{"serve"}, settings...)...)
	url := p.await("listening", "url") + "/_matrix/client/v3/register"
	token := p.await("there is no account yet", "token")
	auth := map[string]string{"type": "m.login.registration_token", "token": token}
	request := map[string]any{"username": "alice", "password": "correct horse battery"}
	_, first := post(t, url, request)
	auth["session"], _ = first["session"].(string)
	request["auth"] = auth
	status, answer := post(t, url, request)
	if status == http.StatusUnauthorized { // one stage after the other
		request["auth"] = map[string]string{"type": "m.login.dummy", "session": auth["session"]}
		status, answer = post(t, url, request)
	}
	if status != http.StatusOK || answer["user_id"] != "@alice:localhost" {
		t.Fatalf("registering: %d %v", status, answer)
	}
	var out strings.Builder
	if err := (&program{out: &out, err: io.Discard}).run(t.Context(), append([]string{"user", "list"}, settings...)); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(out.String(), "admin\n") {
		t.Errorf("the account is not an administrator's: %s", &out)
	}
	p.Process.Signal(syscall.SIGTERM)
	p.end()

	p = start(t, append([]string{"serve"}, settings...)...)
	p.await("listening", "url")
	p.Process.Signal(syscall.SIGTERM)
	if log := p.rest(); strings.Contains(log, "there is no account") {
		t.Errorf("the second start says\n%s", log)
	}
}

func post(t *testing.T, url string, body any) (status int, answer map[string]any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(url, "application/json", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// After kill -9 nothing is in the way of the next start.
func TestServeStartsAfterAKill(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		p := start(t, "serve", "--listen", "127.0.0.1:0", "--data-dir", dir)
		p.await("listening", "url")
		p.Process.Kill()
		if status := p.end(); status != -1 {
			t.Errorf("exit status %d", status)
		}
	}
}

func TestServeSaysWhyItDoesNotStart(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "parley.yaml")
	if err := os.WriteFile(config, []byte("server_name: Example.org\nlisten: nowhere\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "serve", "--config", config, "--data-dir", filepath.Join(dir, "data"))
	text := p.rest()
	if status := p.end(); status != 1 {
		t.Errorf("exit status %d", status)
	}
	for _, want := range []string{"parley.yaml:1: server_name", "parley.yaml:2: listen"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		t.Error("it has made files all the same")
	}
}
