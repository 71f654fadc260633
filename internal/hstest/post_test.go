package hstest_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/hstest"
	"parley/matrix/id"
)

// profile asks for the profile of somebody on another server.
func profile(u *hstest.User, of id.UserID) int {
	status, _ := u.Do("GET", "/_matrix/client/v3/profile/"+string(of), nil)
	return status
}

func TestThePostDecidesWhatBecomesOfRequestsBetweenServers(t *testing.T) {
	for name, c := range map[string]struct {
		fate     hstest.Fate
		status   int
		arrivals int32
		took     time.Duration
	}{
		"as it is":       {hstest.Fate{}, 200, 1, 0},
		"lost":           {hstest.Fate{Lost: true}, 404, 0, 0},
		"slow":           {hstest.Fate{Delay: 3 * time.Second, Answer: 2 * time.Second}, 200, 1, 5 * time.Second},
		"arrives twice":  {hstest.Fate{Again: time.Second}, 200, 2, 0},
		"without answer": {hstest.Fate{AnswerLost: true}, 404, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var arrivals atomic.Int32
				var begun atomic.Bool
				w := hstest.New(t)
				w.Post(func(from, to id.ServerName, r *http.Request) hstest.Fate {
					if from != "a.test" || to != "b.test" || !begun.Load() || !strings.Contains(r.URL.Path, "/query/profile") {
						return hstest.Fate{}
					}
					return c.fate
				})
				w.Carried(func(_ id.ServerName, r *http.Request) {
					if strings.Contains(r.URL.Path, "/query/profile") {
						arrivals.Add(1)
					}
				})
				alice, bob := w.Server("a.test").Register("alice"), w.Server("b.test").Register("bob")
				begun.Store(true)
				start := time.Now()
				if got := profile(alice, bob.ID); got != c.status {
					t.Errorf("got %d, want %d", got, c.status)
				}
				if took := time.Since(start).Round(time.Second); took != c.took {
					t.Errorf("it took %v, want %v", took, c.took)
				}
				time.Sleep(2 * time.Second)
				if got := arrivals.Load(); c.fate.AnswerLost && got < c.arrivals || !c.fate.AnswerLost && got != c.arrivals {
					t.Errorf("it arrived %d times, want %d", got, c.arrivals)
				}
			})
		})
	}
}

func TestAClockIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := hstest.New(t)
		w.Skew("a.test", time.Hour)
		alice := w.Server("a.test").Register("alice")
		room, _ := alice.Must("POST", "/_matrix/client/v3/createRoom", `{}`).Get("room_id").Text()
		create := alice.Must("GET", "/_matrix/client/v3/rooms/"+room+"/state/m.room.create/?format=event", nil)
		if ts, _ := create.Get("origin_server_ts").Int(); time.UnixMilli(ts).Before(time.Now().Add(59 * time.Minute)) {
			t.Errorf("the room was made at %s", create)
		}
	})
}
