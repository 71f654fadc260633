package remote_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/memnet"
	"parley/internal/remote"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/signing"
	"parley/matrix/xmatrix"
)

// internet is a network of servers and what is needed to ask them.
type internet struct {
	*testing.T
	net       *memnet.Network
	authority *memnet.Authority
	records   records
	dials     atomic.Int64
}

func newInternet(t *testing.T) *internet {
	return &internet{T: t, net: memnet.New(), authority: memnet.NewAuthority(), records: make(records)}
}

func (in *internet) key() signing.Key {
	key, err := signing.NewKey("ed25519:k", bytes.Repeat([]byte{9}, 32))
	if err != nil {
		in.Fatal(err)
	}
	return key
}

// asker returns our side.
func (in *internet) asker() *remote.Servers {
	s := remote.NewServers(health(in.T, storetest.Open(in.T, in.TempDir()+"/parley.db")), remote.ServersOptions{
		Server: "here.test", Key: in.key(), Resolver: in.records, Roots: in.authority.Pool(), Agent: "test",
		Dial: func(ctx context.Context, _, addr string) (net.Conn, error) {
			in.dials.Add(1)
			return in.net.Dial(ctx, addr)
		},
	})
	in.Cleanup(s.Close)
	return s
}

// serve lets a server listen at an address with a certificate for a host.
func (in *internet) serve(addr, certHost string, h http.HandlerFunc) (stop func()) {
	l := in.net.Listen(addr)
	server := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	config := &tls.Config{Certificates: []tls.Certificate{in.authority.Certificate(certHost)}, NextProtos: []string{"http/1.1"}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(tls.NewListener(l, config))
	}()
	stop = sync.OnceFunc(func() {
		server.Close()
		l.Sever()
		<-done
	})
	in.Cleanup(stop)
	return stop
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func ask(server id.ServerName) remote.Call {
	return remote.Call{Server: server, Method: "GET", Path: "/_matrix/federation/v1/version"}
}

func TestRequestsAreSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // or a connection is not kept if the machine is slow
		in := newInternet(t)
		calls := make(map[string]remote.Call)
		in.serve("there.test:8448", "there.test", func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			signed := xmatrix.Request{Method: r.Method, URI: r.RequestURI, Origin: "here.test", Destination: "there.test"}
			if len(body) > 0 {
				signed.Content = body
			}
			credentials, err := xmatrix.Parse(r.Header.Get("Authorization"))
			if err == nil {
				err = signed.Verify(credentials, in.key().Public())
			}
			fmt.Fprintf(w, `{"host":%q,"uri":%q,"signed":%t}`, r.Host, r.RequestURI, err == nil)
		})
		calls["a GET"] = ask("there.test")
		calls["a PUT"] = remote.Call{
			Server: "there.test", Method: "PUT", Path: remote.Path("/_matrix/federation/v1/send", "a/b ü?"),
			Query: url.Values{"ver": {"1", "é&"}}, Body: canonjson.Value(`{"a":1}`),
		}
		s := in.asker()
		for name, call := range calls {
			got, err := s.Do(t.Context(), call)
			if err != nil {
				t.Fatal(err)
			}
			if !got.Get("signed").True() || !got.Get("host").Is("there.test") {
				t.Errorf("%s came as %s", name, got)
			}
		}
		call := ask("there.test")
		call.Unsigned = true
		if got, err := s.Do(t.Context(), call); err != nil || got.Get("signed").True() {
			t.Errorf("an unsigned one came as %s, %v", got, err)
		}
		if n := in.dials.Load(); n > 2 { // one for /.well-known
			t.Errorf("%d connections were made", n)
		}
	})
}

func TestOnlyTheServerItselfIsTalkedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInternet(t)
		ok := answer(200, `{}`)
		in.serve("impostor.test:8448", "another.test", ok)
		in.serve("1.2.3.4:8448", "1.2.3.4", ok)
		in.serve("srv.test:1", "delegated.test", ok)
		in.records["_matrix-fed._tcp.delegated.test"] = []*net.SRV{{Target: "dead.test", Port: 1}, {Target: "srv.test.", Port: 1}}
		in.records["_matrix-fed._tcp.hijacked.test"] = []*net.SRV{{Target: "srv.test.", Port: 1}}
		in.serve("redirecting.test:8448", "redirecting.test", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://1.2.3.4:8448/", http.StatusTemporaryRedirect)
		})
		s := in.asker()
		for server, good := range map[id.ServerName]bool{
			"1.2.3.4": true, "delegated.test": true, "impostor.test": false, "hijacked.test": false, "redirecting.test": false, "nobody.test": false,
		} {
			_, err := s.Do(t.Context(), ask(server))
			if (err == nil) != good {
				t.Errorf("%s: %v", server, err)
			}
			if down := !s.Health().Retry(server).IsZero(); down == good {
				t.Errorf("%s is said to be down: %t", server, down)
			}
		}
	})
}

func TestRefusalsAreTold(t *testing.T) {
	in := newInternet(t)
	for status, body := range map[int]string{
		403: `{"errcode":"M_FORBIDDEN","error":"No","more":1}`, 404: `not found`, 500: `{"errcode":"M_UNKNOWN"}`, 502: `<html>`, 400: `{"errcode":"M_X","error":"` + strings.Repeat("x", 100<<10) + `"}`,
	} {
		in.serve(fmt.Sprintf("a%d.test:8448", status), fmt.Sprintf("a%d.test", status), answer(status, body))
	}
	s := in.asker()
	for status, want := range map[int]struct {
		code mxerr.Code
		down bool
	}{403: {mxerr.Forbidden, false}, 404: {"", true}, 500: {mxerr.Unknown, true}, 502: {"", true}, 400: {"", true}} {
		server := id.ServerName(fmt.Sprintf("a%d.test", status))
		_, err := s.Do(t.Context(), ask(server))
		refusal, ok := errors.AsType[*remote.Refusal](err)
		if !ok || refusal.Status != status || refusal.Code != want.code || want.code != "" && !errors.Is(err, want.code) {
			t.Errorf("%d: got %v", status, err)
		}
		if down := !s.Health().Retry(server).IsZero(); down != want.down {
			t.Errorf("%d: the server is said to be down: %t", status, down)
		}
	}
}

func TestADeadServerIsLeftAloneUntilItIsHeardOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInternet(t)
		s := in.asker()
		try := func(call remote.Call) error {
			_, err := s.Do(t.Context(), call)
			return err
		}
		if err := try(ask("there.test")); err == nil || errors.Is(err, remote.ErrDown) {
			t.Fatalf("at first: %v", err)
		}
		if err := try(ask("there.test")); !errors.Is(err, remote.ErrDown) {
			t.Fatalf("at once again: %v", err)
		}
		in.serve("there.test:8448", "there.test", answer(200, `{}`))
		if err := try(ask("there.test")); !errors.Is(err, remote.ErrDown) {
			t.Fatalf("at once again: %v", err)
		}
		s.Health().Heard(t.Context(), "there.test")
		if err := try(ask("there.test")); err != nil {
			t.Fatalf("after it was heard of: %v", err)
		}
	})
}

func TestWhoInsistsIsNotPutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInternet(t)
		s := in.asker()
		s.Do(t.Context(), ask("there.test"))
		in.serve("there.test:8448", "there.test", answer(200, `{}`))
		call := ask("there.test")
		call.Insist = true
		if _, err := s.Do(t.Context(), call); err != nil {
			t.Fatal(err)
		}
		if !s.Health().Retry("there.test").IsZero() {
			t.Error("it answered and is said to be down")
		}
	})
}

func TestKeysAreAskedForAgainWhereThatMayHelp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInternet(t)
		for _, row := range []struct {
			name   string
			first  []int // how it answers before it answers well
			before int   // failures of which it is known
			asked  int
			ok     bool
		}{
			{"a server that is there", nil, 0, 1, true},
			{"a server whose proxy is there before it", []int{502, 503, 504}, 0, 4, true},
			{"a server that was away for seconds", nil, 3, 1, true},
			{"a server that was away for seconds, and is not quite there", []int{502}, 3, 2, true},
			{"a server that was away for hours", nil, 11, 0, false},
			{"a server that has faults", []int{500}, 0, 1, false},
			{"a server that is no server", []int{404}, 0, 1, false},
			{"a server that is busy", []int{429}, 0, 1, false},
			{"a server that is away", []int{502, 502, 502, 502, 502, 502, 502}, 0, 6, false},
		} {
			var asked int
			stop := in.serve("there.test:8448", "there.test", func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet { // of /.well-known
					w.WriteHeader(404)
					return
				}
				if asked++; asked <= len(row.first) {
					w.WriteHeader(row.first[asked-1])
				}
				io.WriteString(w, `{}`)
			})
			s := in.asker()
			for range row.before {
				time.Sleep(time.Until(s.Health().Retry("there.test")))
				s.Health().Failed("there.test", time.Now())
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			_, err := s.ClaimKeys(ctx, "there.test", nil)
			cancel()
			if asked != row.asked || (err == nil) != row.ok {
				t.Errorf("%s: it was asked %d times, and then %v", row.name, asked, err)
			}
			stop()
		}
		began := time.Now()
		if _, err := in.asker().ClaimKeys(t.Context(), "nobody.test", nil); err == nil || time.Since(began) > 10*time.Second {
			t.Errorf("nobody, for %v: %v", time.Since(began), err)
		}
	})
}

func TestAnswersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInternet(t)
		in.serve("endless.test:8448", "endless.test", func(w http.ResponseWriter, r *http.Request) {
			for {
				if _, err := io.WriteString(w, strings.Repeat(" ", 1<<10)); err != nil {
					return
				}
			}
		})
		in.serve("slow.test:8448", "slow.test", func(w http.ResponseWriter, r *http.Request) {
			for range 120 { // longer than anybody waits
				time.Sleep(time.Second)
				io.WriteString(w, " ")
				w.(http.Flusher).Flush()
			}
		})
		in.serve("silent.test:8448", "silent.test", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		in.serve("exact.test:8448", "exact.test", answer(200, `{"a":12345}`))
		s := in.asker()
		call := ask("endless.test")
		call.Limit = 100 << 10
		if _, err := s.Do(t.Context(), call); !errors.Is(err, remote.ErrTooLarge) {
			t.Errorf("an endless answer: %v", err)
		}
		for _, server := range []id.ServerName{"slow.test", "silent.test"} {
			start := time.Now()
			if _, err := s.Do(t.Context(), ask(server)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", server, err)
			}
			if took := time.Since(start); took > time.Minute {
				t.Errorf("%s: it took %s", server, took)
			}
		}
		for limit, want := range map[int64]error{11: nil, 10: remote.ErrTooLarge} {
			call := ask("exact.test")
			call.Limit = limit
			if _, err := s.Do(t.Context(), call); !errors.Is(err, want) {
				t.Errorf("11 bytes where %d may be: %v", limit, err)
			}
		}
	})
}

func TestASlowServerHasFewOfThePlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInternet(t)
		var now, most atomic.Int64
		in.serve("slow.test:8448", "slow.test", func(w http.ResponseWriter, r *http.Request) {
			for n := now.Add(1); ; {
				if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
					break
				}
			}
			time.Sleep(time.Second)
			now.Add(-1)
			io.WriteString(w, `{}`)
		})
		in.serve("fast.test:8448", "fast.test", answer(200, `{}`))
		s := in.asker()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if _, err := s.Do(t.Context(), ask("slow.test")); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		start := time.Now()
		if _, err := s.Do(t.Context(), ask("fast.test")); err != nil || time.Since(start) > 100*time.Millisecond {
			t.Errorf("the other took %s: %v", time.Since(start), err)
		}
		wg.Wait()
		if most.Load() > 16 {
			t.Errorf("%d requests at once", most.Load())
		}
	})
}
