package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/endpoint"
	"parley/internal/memnet"
)

// A scene is a server on a network in memory, with routes beside its own.
type scene struct {
	*testing.T
	net    *memnet.Network
	server *running
	client *http.Client
}

// stage runs a scene in a bubble, in which waiting takes no time.
func stage(t *testing.T, routes []endpoint.Route, play func(*scene)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, defaults(t, dir))
		s.handler = withBodyDeadline(withOldPaths(endpoint.New(s.endpointConfig(), routes)))
		n := memnet.New()
		c := &scene{T: t, net: n, server: runOn(t, s, n.Listen("a.test"))}
		c.client = &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return n.Dial(ctx, "a.test") },
		}}
		defer c.client.CloseIdleConnections()
		play(c)
		c.server.stop()
		if err := <-c.server.done; err != nil {
			t.Error(err)
		}
	})
}

// get returns the status and the body of a response, 0 if there is none.
func (c *scene) get(path string) (int, string) {
	resp, err := c.client.Get("http://a.test" + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

type answer struct {
	status int
	body   string
	after  time.Duration
}

// ask sends a request and returns its answer when there is one.
func (c *scene) ask(path string) <-chan answer {
	done := make(chan answer, 1)
	begin := time.Now()
	go func() {
		status, body := c.get(path)
		done <- answer{status, body, time.Since(begin)}
	}()
	synctest.Wait()
	return done
}

var (
	nobody = endpoint.Policy{Auth: endpoint.None}
	waits  = endpoint.Policy{Auth: endpoint.None, Waits: true}
)

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func sleepy(policy endpoint.Policy, d time.Duration) []endpoint.Route {
	return []endpoint.Route{endpoint.On("GET /sleep", policy,
		func(ctx context.Context, _ endpoint.Caller, _ endpoint.Empty) (endpoint.Empty, error) {
			return endpoint.Empty{}, sleep(ctx, d)
		})}
}

func TestWhoWaitsForNewsIsAnsweredWhenTheServerStops(t *testing.T) {
	stage(t, sleepy(waits, time.Hour), func(c *scene) {
		answered := c.ask("/sleep")
		time.Sleep(time.Minute)
		c.server.stop()
		a := <-answered
		if a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "M_UNKNOWN") {
			t.Errorf("got %d %s, want that it may be tried again", a.status, a.body)
		}
		if a.after > time.Minute+time.Second {
			t.Errorf("the answer came after %v, want at once after a minute", a.after)
		}
	})
}

func TestOtherRequestsMayFinish(t *testing.T) {
	stage(t, sleepy(nobody, 5*time.Second), func(c *scene) {
		answered := c.ask("/sleep")
		c.server.stop()
		synctest.Wait()
		if status, body := c.get("/sleep"); status != 0 {
			t.Errorf("a request that came later got %d %s", status, body)
		}
		if a := <-answered; a.status != http.StatusOK {
			t.Errorf("got %d %s", a.status, a.body)
		}
	})
}

func TestWhatTakesTooLongIsCutOff(t *testing.T) {
	stage(t, sleepy(nobody, time.Hour), func(c *scene) {
		answered := c.ask("/sleep")
		begin := time.Now()
		c.server.stop()
		if err := <-c.server.done; err != nil {
			t.Error(err)
		}
		c.server.done <- nil
		if took := time.Since(begin); took < drainTime || took > drainTime+time.Second {
			t.Errorf("it took %v to stop, want %v", took, drainTime)
		}
		if a := <-answered; a.status == http.StatusOK {
			t.Errorf("got %d %s", a.status, a.body)
		}
	})
}

// In the middle of a long poll there must be nothing that ends it.
func TestAClientMayWaitForLong(t *testing.T) {
	stage(t, sleepy(waits, 5*time.Minute), func(c *scene) {
		if status, body := c.get("/sleep"); status != http.StatusOK {
			t.Errorf("got %d %s", status, body)
		}
	})
}

// slowReader gives a byte at a time.
type slowReader struct {
	every time.Duration
	left  int
}

func (r *slowReader) Read(p []byte) (int, error) {
	if r.left--; r.left < 0 {
		return 0, io.EOF
	}
	time.Sleep(r.every)
	p[0] = ' '
	return 1, nil
}

func TestABodyMustComeInTime(t *testing.T) {
	type request struct {
		Body []byte `body:"raw"`
	}
	routes := []endpoint.Route{endpoint.On("POST /read", nobody,
		func(ctx context.Context, _ endpoint.Caller, _ request) (endpoint.Empty, error) {
			// Once the body is there, there is time again.
			return endpoint.Empty{}, sleep(ctx, 2*time.Minute)
		})}
	for _, row := range []struct {
		name   string
		body   *slowReader
		status int
	}{
		{"slow and in time", &slowReader{time.Second, 20}, http.StatusOK},
		{"a byte a second", &slowReader{time.Second, 60}, http.StatusRequestTimeout},
	} {
		t.Run(row.name, func(t *testing.T) {
			stage(t, routes, func(c *scene) {
				resp, err := c.client.Post("http://a.test/read", "application/json", row.body)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != row.status {
					t.Errorf("got %d, want %d", resp.StatusCode, row.status)
				}
				time.Sleep(2 * row.body.every) // the client's last byte
			})
		})
	}
}

func TestOldPathsAreThoseOfToday(t *testing.T) {
	routes := []endpoint.Route{endpoint.Stream("GET /_matrix/client/v3/rooms/{room}/x", nobody,
		func(w http.ResponseWriter, r *http.Request, _ endpoint.Caller) error {
			_, err := io.WriteString(w, r.PathValue("room"))
			return err
		})}
	stage(t, routes, func(c *scene) {
		for _, row := range []struct {
			path, want string
		}{
			{"/_matrix/client/v3/rooms/!a:b/x", "!a:b"},
			{"/_matrix/client/r0/rooms/!a:b/x", "!a:b"},
			{"/_matrix/client/r0/rooms/!a%2Fr0%2F:b/x", "!a/r0/:b"},
			{"/_matrix/client/r0/rooms/%2F/x", "/"},
			{"/_matrix/client/r1/rooms/!a:b/x", ""},
			{"/_matrix%2Fclient/r0/rooms/!a:b/x", ""},
			{"/x/_matrix/client/r0/rooms/!a:b/x", ""},
		} {
			status, body := c.get(row.path)
			if got := status == http.StatusOK; got != (row.want != "") || got && body != row.want {
				t.Errorf("GET %s: got %d %q, want %q", row.path, status, body, row.want)
			}
		}
	})
}
