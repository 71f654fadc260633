package apitest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/hstest"
)

// bounds is a server with a user on it, in a bubble.
type bounds struct {
	world *hstest.World
	a     *hstest.Server
	alice *hstest.User
}

func inBubble(t *testing.T, f func(t *testing.T, b *bounds)) {
	synctest.Test(t, func(t *testing.T) {
		w := hstest.New(t)
		a := w.Server("a.test", withEverything)
		f(t, &bounds{w, a, a.Register("alice")})
	})
}

// as is the header that tells who asks.
func as(u *hstest.User) []string { return []string{"Authorization: Bearer " + u.Token} }

// TestSyncsWaitNoLongerThanTheyMay asks to wait for ever, and gets to know after
// a while that there is no news.
func TestSyncsWaitNoLongerThanTheyMay(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bounds) {
		since := text(b.alice.Must("GET", "/_matrix/client/v3/sync?set_presence=offline", nil), "next_batch")
		w := &wire{net: b.world.Net}
		defer w.close()
		for _, timeout := range []string{"86400000", "18446744073709551615"} {
			r := request{method: "GET", target: "/_matrix/client/v3/sync?set_presence=offline&since=" + since + "&timeout=" + timeout, header: as(b.alice)}
			rep, err := w.send(t.Context(), r, time.Hour)
			if err != nil || rep.status != 200 {
				t.Errorf("timeout %s: got %d %s, %v", timeout, rep.status, rep.body, err)
			}
			if rep.took < time.Minute || rep.took > 5*time.Minute+time.Second {
				t.Errorf("timeout %s: the answer came after %v", timeout, rep.took)
			}
		}
	})
}

// TestAUserCannotWaitWithoutEnd makes one user wait with many requests.
func TestAUserCannotWaitWithoutEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bounds) {
		const most = 64
		bob := b.a.Register("bob")
		wait := func(u *hstest.User, ctx context.Context) <-chan int {
			since := text(u.Must("GET", "/_matrix/client/v3/sync?set_presence=offline", nil), "next_batch")
			status := make(chan int, 1)
			go func() {
				conn, err := b.world.Net.Dial(t.Context(), "a.test")
				if err != nil {
					t.Error(err)
					return
				}
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				w := &wire{conn: conn, r: bufio.NewReader(conn)}
				rep, _ := w.send(t.Context(), request{method: "GET", header: as(u),
					target: "/_matrix/client/v3/sync?timeout=600000&since=" + since}, time.Hour)
				status <- rep.status
			}()
			synctest.Wait()
			return status
		}
		first, goAway := context.WithCancel(t.Context())
		waiting := []<-chan int{wait(b.alice, first)}
		for range most - 1 {
			waiting = append(waiting, wait(b.alice, t.Context()))
		}
		// Who does not wait for news is answered as ever, except that a sync
		// might.
		b.alice.Must("GET", "/_matrix/client/v3/account/whoami", nil)
		status, body := b.alice.Do("GET", "/_matrix/client/v3/sync", nil)
		if status != http.StatusTooManyRequests || text(body, "errcode") != "M_LIMIT_EXCEEDED" || body.Get("retry_after_ms") == nil {
			t.Errorf("one more: got %d %s, want M_LIMIT_EXCEEDED", status, body)
		}
		waiting = append(waiting, wait(bob, t.Context()))
		goAway()
		synctest.Wait()
		waiting = append(waiting, wait(b.alice, t.Context()))
		for i, w := range waiting[1:] {
			if status := <-w; status != 200 {
				t.Errorf("waiting %d: got %d", i+1, status)
			}
		}
	})
}

// TestWhoDoesNotSendIsCutOff sends half of a body, and half of a header.
func TestWhoDoesNotSendIsCutOff(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bounds) {
		for name, tt := range map[string]struct {
			text string
			want int // status, 0: none
		}{
			"half of a header": {"GET /_matrix/client/v3/sync HTTP/1.1\r\nHost: a.test\r\nX: ", 0},
			"nothing":          {"", 0},
			"half of a body": {"POST /_matrix/client/v3/createRoom HTTP/1.1\r\nHost: a.test\r\nAuthorization: Bearer " + b.alice.Token +
				"\r\nContent-Length: 100\r\n\r\n{\"name\":", http.StatusRequestTimeout},
			"half of a body that is not for anybody": {"POST /_matrix/client/v3/createRoom HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\n{", http.StatusUnauthorized},
		} {
			conn, err := b.world.Net.Dial(t.Context(), "a.test")
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			conn.SetDeadline(start.Add(time.Hour))
			if _, err := io.WriteString(conn, tt.text); err != nil {
				t.Fatal(err)
			}
			status := 0
			r := bufio.NewReader(conn)
			if resp, err := http.ReadResponse(r, nil); err == nil {
				status = resp.StatusCode
				io.Copy(io.Discard, resp.Body)
			}
			io.Copy(io.Discard, r) // until the connection ends
			if took := time.Since(start); status != tt.want || took > 3*time.Minute {
				t.Errorf("%s: got status %d and the end after %v, want %d and an end", name, status, took, tt.want)
			}
			conn.Close()
		}
	})
}

// TestWhoDoesNotReadIsCutOff asks for much and does not read it.
func TestWhoDoesNotReadIsCutOff(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bounds) {
		path := "/_matrix/client/v3/user/" + string(b.alice.ID) + "/account_data/org.test"
		b.alice.Must("PUT", path, `{"x":"`+strings.Repeat("x", 900_000)+`"}`)
		conn, err := b.world.Net.Dial(t.Context(), "a.test")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a.test\r\nAuthorization: Bearer %s\r\n\r\n", path, b.alice.Token)
		time.Sleep(2 * time.Minute)
		conn.SetDeadline(time.Now().Add(time.Hour))
		n, err := io.Copy(io.Discard, conn)
		if n > 100_000 || err != nil {
			t.Errorf("after two minutes there were %d bytes to read, %v", n, err)
		}
	})
}

// TestFiltersDoNotFillTheMemory has a user make filters of the largest size, and
// use each of them.
func TestFiltersDoNotFillTheMemory(t *testing.T) {
	s := hstest.New(t).Server("a.test")
	alice := s.Register("alice")
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range 100 {
		var types strings.Builder
		for j := range 1900 { // there may be 2000
			fmt.Fprintf(&types, `"%028d",`, i*10_000+j)
		}
		body := `{"room":{"timeline":{"types":[` + types.String() + `"*"]}}}`
		filter := text(alice.Must("POST", "/_matrix/client/v3/user/@alice:a.test/filter", body), "filter_id")
		alice.Must("GET", "/_matrix/client/v3/sync?filter="+filter, nil)
	}
	if grown := int64(heap() - before); grown > 20<<20 {
		t.Errorf("100 filters take %d MB", grown>>20)
	} else {
		t.Logf("100 filters take %d kB", grown>>10)
	}
}
