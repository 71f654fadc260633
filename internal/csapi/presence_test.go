package csapi

import (
	"strings"
	"testing"
	"time"

	"parley/internal/room"
	"parley/matrix/mxerr"
)

func TestPresenceIsSetAndShown(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		s.create(room.NewRoom{Preset: room.PublicChat}, userBob)
		const alices = "presence/@alice:a.test/status"
		s.try([]socialCall{
			{"online", "alice", "PUT " + alices, `{"presence":"online","status_msg":"cake"}`, "", 0},
			{"no message", "alice", "PUT " + alices, `{"presence":"online","status_msg":null}`, "", 0},
			{"a message that is none", "alice", "PUT " + alices, `{"presence":"online","status_msg":42}`, mxerr.InvalidParam, 0},
			{"a long message", "alice", "PUT " + alices, `{"presence":"online","status_msg":"` + strings.Repeat("x", 1025) + `"}`, mxerr.InvalidParam, 0},
			{"a state that there is not", "alice", "PUT " + alices, `{"presence":"asleep"}`, mxerr.InvalidParam, 0},
			{"no state", "alice", "PUT " + alices, `{}`, mxerr.MissingParam, 0},
			{"somebody else's", "bob", "PUT " + alices, `{"presence":"online"}`, mxerr.Forbidden, 0},
			{"of no user", "bob", "GET presence/alice/status", ``, mxerr.InvalidParam, 0},
			{"of somebody with whom there is no room", "carol", "GET " + alices, ``, mxerr.Forbidden, 0},
			{"of nobody", "carol", "GET presence/@nobody:a.test/status", ``, mxerr.Forbidden, 0},
			{"without a token", "", "GET " + alices, ``, mxerr.MissingToken, 0},
			{"guests say nothing", "guest", "PUT presence/@guest:a.test/status", `{"presence":"online"}`, mxerr.GuestAccessForbidden, 0},
			{"at last", "alice", "PUT " + alices, `{"presence":"online","status_msg":"tea"}`, "", 0},
		})
		time.Sleep(time.Second)
		for user, want := range map[string]string{
			"alice": `{"currently_active":true,"last_active_ago":1000,"presence":"online","status_msg":"tea"}`,
			"bob":   `{"currently_active":true,"last_active_ago":1000,"presence":"online","status_msg":"tea"}`,
		} {
			if got := s.get(user, "GET "+alices, ``); string(got) != want {
				t.Errorf("%s sees %s, want %s", user, got, want)
			}
		}
		if got := s.get("alice", "GET presence/@bob:a.test/status", ``); string(got) != `{"presence":"offline"}` {
			t.Errorf("bob is %s", got)
		}
	})
}
