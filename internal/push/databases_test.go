package push_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/internal/hstest"
	"parley/internal/store/storetest"
)

// TestPushingOnBothDatabases goes once through what is read and written for it.
func TestPushingOnBothDatabases(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		w := hstest.New(t)
		told := make(chan string, 100)
		var status atomic.Int64
		status.Store(200)
		w.SecureSite("push.test", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.WriteHeader(int(status.Load()))
			if strings.Contains(string(body), "goodbye") {
				io.WriteString(w, `{"rejected":["bob"]}`)
			}
			told <- string(body)
		}))
		s := &scene{T: t, w: w, a: w.Server("a.test", hstest.Database(location))}
		s.alice, s.bob = s.a.Register("alice"), s.a.Register("bob")
		s.room = s.create(s.alice, `{"preset":"public_chat"}`)
		s.bob.Must("POST", "/_matrix/client/v3/join/"+string(s.room), nil)
		s.bob.Must("PUT", "/_matrix/client/v3/pushrules/global/content/word", `{"pattern":"word","actions":["notify"]}`)
		s.phone(s.bob, "bob")
		// await waits until the gateway is told something, perhaps once more something else.
		await := func(want string) {
			t.Helper()
			for late := time.After(30 * time.Second); ; {
				select {
				case body := <-told:
					if strings.Contains(body, want) {
						return
					}
				case <-late:
					t.Fatalf("the gateway was not told %s", want)
				}
			}
		}
		last := s.say(s.alice, "hello")
		await(`"unread":1`)
		s.read(s.bob, last, "m.read")
		await(`"counts":{"unread":0}`)
		status.Store(500)
		s.say(s.alice, "lost")
		await("lost")
		time.Sleep(1500 * time.Millisecond) // until it is stored that it lags behind
		s.a.Kill()
		for len(told) > 0 {
			<-told
		}
		status.Store(200)
		s.a.Start()
		await("lost")
		s.say(s.alice, "goodbye")
		await("goodbye")
		for range 100 {
			if list := s.bob.Must("GET", "/_matrix/client/v3/pushers", nil); string(list) == `{"pushers":[]}` {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Error("the pusher is still there")
	})
}
