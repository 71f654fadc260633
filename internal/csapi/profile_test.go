package csapi

import (
	"strings"
	"testing"
	"testing/synctest"

	"parley/internal/room"
	"parley/matrix/mxerr"
)

func TestProfilesAreShownAndChanged(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		roomID := s.create(room.NewRoom{Preset: room.PublicChat}, userBob)
		const bobs = "profile/@bob:a.test"
		s.try([]socialCall{
			{"nothing yet", "", "GET " + bobs, ``, "", 0},
			{"no displayname yet", "", "GET " + bobs + "/displayname", ``, mxerr.NotFound, 0},
			{"nobody", "", "GET profile/@nobody:a.test", ``, mxerr.NotFound, 0},
			{"nobody's displayname", "", "GET profile/@nobody:a.test/displayname", ``, mxerr.NotFound, 0},
			{"somebody elsewhere", "", "GET profile/@bob:b.test", ``, mxerr.NotFound, 0},
			{"no user", "", "GET profile/bob", ``, mxerr.InvalidParam, 0},
			{"a displayname", "bob", "PUT " + bobs + "/displayname", `{"displayname":"Bob"}`, "", 0},
			{"an avatar", "bob", "PUT " + bobs + "/avatar_url", `{"avatar_url":"mxc://a.test/bob"}`, "", 0},
			{"a time zone", "bob", "PUT " + bobs + "/m.tz", `{"m.tz":"Europe/Berlin"}`, "", 0},
			{"a field of another name", "bob", "PUT " + bobs + "/displayname", `{"avatar_url":"mxc://a.test/bob"}`, mxerr.MissingParam, 0},
			{"a field that cannot be", "bob", "PUT " + bobs + "/shoe", `{"shoe":42}`, mxerr.InvalidParam, 0},
			{"a number", "bob", "PUT " + bobs + "/displayname", `{"displayname":42}`, mxerr.BadJSON, 0},
			{"a long name", "bob", "PUT " + bobs + "/a." + strings.Repeat("b", 300), `{}`, mxerr.MissingParam, 0},
			{"of another", "alice", "PUT " + bobs + "/displayname", `{"displayname":"Fool"}`, mxerr.Forbidden, 0},
			{"deleting another's", "alice", "DELETE " + bobs + "/displayname", ``, mxerr.Forbidden, 0},
			{"suspended", "suspended", "PUT profile/@suspended:a.test/displayname", `{"displayname":"S"}`, mxerr.UserSuspended, 0},
			{"a guest", "guest", "PUT profile/@guest:a.test/displayname", `{"displayname":"G"}`, "", 0},
			{"without a token", "", "PUT " + bobs + "/displayname", `{"displayname":"Bob"}`, mxerr.MissingToken, 0},
		})
		synctest.Wait()
		shows := func(call, want string) {
			t.Helper()
			if got := s.get("", call, ""); string(got) != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		shows("GET "+bobs, `{"avatar_url":"mxc://a.test/bob","displayname":"Bob","m.tz":"Europe/Berlin"}`)
		shows("GET "+bobs+"/displayname", `{"displayname":"Bob"}`)
		want := `{"avatar_url":"mxc://a.test/bob","displayname":"Bob","membership":"join"}`
		if got := s.member(roomID, userBob); string(got) != want {
			t.Errorf("the room shows %s, want %s", got, want)
		}
		s.try([]socialCall{
			{"deleting", "bob", "DELETE " + bobs + "/avatar_url", ``, "", 0},
			{"deleting again", "bob", "DELETE " + bobs + "/avatar_url", ``, "", 0},
			{"emptying", "bob", "PUT " + bobs + "/displayname", `{"displayname":""}`, "", 0},
		})
		synctest.Wait()
		shows("GET "+bobs, `{"m.tz":"Europe/Berlin"}`)
		if got := s.member(roomID, userBob); string(got) != `{"membership":"join"}` {
			t.Errorf("the room shows %s", got)
		}
	})
}
