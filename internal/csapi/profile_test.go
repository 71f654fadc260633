package csapi

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/internal/room"
	"parley/matrix/id"
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
			{"a time zone that is none", "bob", "PUT " + bobs + "/m.tz", `{"m.tz":1}`, mxerr.BadJSON, 0},
			{"an empty time zone", "bob", "PUT " + bobs + "/m.tz", `{"m.tz":""}`, mxerr.InvalidParam, 0},
			{"a long name of a field", "bob", "PUT " + bobs + "/a." + strings.Repeat("b", 300), `{"a.` + strings.Repeat("b", 300) + `":1}`, mxerr.KeyTooLarge, 0},
			{"a large profile", "bob", "PUT " + bobs + "/a.b", `{"a.b":"` + strings.Repeat("b", 64<<10) + `"}`, mxerr.ProfileTooLarge, 0},
			{"null is a value", "bob", "PUT " + bobs + "/a.b", `{"a.b":null}`, "", 0},
			{"which is there", "", "GET " + bobs + "/a.b", ``, "", 0},
			{"until it is deleted", "bob", "DELETE " + bobs + "/a.b", ``, "", 0},
			{"and not any more", "", "GET " + bobs + "/a.b", ``, mxerr.NotFound, 0},
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

func TestFieldsOfProfilesMayBeFixed(t *testing.T) {
	for _, tt := range []struct {
		name         string
		fields       ProfileFields
		refused      []string
		capabilities string
	}{
		{"all may change", ProfileFields{}, nil, `{"enabled":true} true true`},
		{"some may not", ProfileFields{Disallowed: []string{"displayname"}}, []string{"displayname"}, `{"disallowed":["displayname"],"enabled":true} false true`},
		{"some may", ProfileFields{Allowed: []string{"m.tz", "displayname"}, Disallowed: []string{"m.tz"}}, []string{"avatar_url"}, `{"allowed":["m.tz","displayname"],"enabled":true} true false`},
		{"none may", ProfileFields{Allowed: []string{}}, []string{"displayname", "avatar_url", "m.tz"}, `{"enabled":false} false false`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			playSocial(t, func(s *socialScene) {
				s.Settings.ProfileFields = tt.fields
				var calls []socialCall
				for _, field := range []string{"displayname", "avatar_url", "m.tz"} {
					want := mxerr.Code("")
					if slices.Contains(tt.refused, field) {
						want = mxerr.Forbidden
					}
					calls = append(calls,
						socialCall{field, "bob", "PUT profile/@bob:a.test/" + field, `{"` + field + `":"mxc://a.test/x"}`, want, 0},
						socialCall{"deleting " + field, "bob", "DELETE profile/@bob:a.test/" + field, ``, want, 0})
				}
				s.try(calls)
				if _, err := s.Accounts.Create(s.ctx, account.NewAccount{Localpart: "bob"}); err != nil {
					t.Fatal(err)
				}
				c := s.get("bob", "GET capabilities", "").Get("capabilities")
				got := fmt.Sprintf("%s %s %s", c.Get("m.profile_fields"), c.Get("m.set_displayname").Get("enabled"), c.Get("m.set_avatar_url").Get("enabled"))
				if got != tt.capabilities {
					t.Errorf("got %s, want %s", got, tt.capabilities)
				}
			})
		})
	}
}

func TestProfilesMayBeForSharersOnly(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		s.Settings.ProfilesOfSharersOnly = true
		s.table = endpoint.New(endpoint.Config{Users: someCallers()}, s.Routes())
		const bobs = "GET profile/@bob:a.test"
		look := func(name, user string, want mxerr.Code) {
			t.Helper()
			s.try([]socialCall{{name, user, bobs, ``, want, 0}})
		}
		look("one's own", "bob", "")
		look("a stranger", "carol", mxerr.Forbidden)
		look("nobody", "", mxerr.Forbidden)
		s.try([]socialCall{{"of nobody", "carol", "GET profile/@nobody:a.test/displayname", ``, mxerr.Forbidden, 0}})
		roomID := s.create(room.NewRoom{Preset: room.PrivateChat, Invites: []id.UserID{userBob}})
		look("who has invited", "alice", mxerr.Forbidden)
		if _, err := s.Rooms.Join(s.ctx, roomID, room.Move{Sender: userBob}); err != nil {
			t.Fatal(err)
		}
		look("who shares a room", "alice", "")
		look("who does not", "carol", mxerr.Forbidden)
		s.create(room.NewRoom{Preset: room.PublicChat}, userBob)
		look("anybody, of who is in a public room", "carol", "")
		look("and without an account", "", "")
	})
}
