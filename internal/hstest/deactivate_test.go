package hstest

import (
	"net/url"
	"testing"
	"testing/synctest"

	"parley/matrix/id"
)

func (u *User) deactivate(body string) {
	u.world.Helper()
	const path = "/_matrix/client/v3/account/deactivate"
	status, challenge := u.Do("POST", path, body)
	if status != 401 {
		u.world.Fatalf("got %d %s", status, challenge)
	}
	session, _ := challenge.Get("session").Text()
	u.Must("POST", path, map[string]any{"auth": map[string]any{
		"type": "m.login.password", "session": session, "password": u.Password,
		"identifier": map[string]string{"type": "m.id.user", "user": u.ID.Localpart()},
	}})
}

func TestWhoIsDeactivatedIsGoneFromEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(t).Server("a.test")
		alice, bob := a.Register("alice"), a.Register("bob")
		in := "/_matrix/client/v3/rooms/"
		joined, left := alice.createRoom(), alice.createRoom()
		room := func(body string) string {
			id, _ := alice.Must("POST", "/_matrix/client/v3/createRoom", body).Get("room_id").Text()
			return id
		}
		invited := room(`{"preset":"private_chat","invite":["@bob:a.test"]}`)
		knocked := room(`{"initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"knock"}}]}`)
		for _, r := range []string{joined, left} {
			bob.Must("POST", in+url.PathEscape(r)+"/join", `{}`)
		}
		bob.Must("POST", in+url.PathEscape(left)+"/leave", `{}`)
		bob.Must("POST", "/_matrix/client/v3/knock/"+url.PathEscape(knocked), `{}`)
		bob.says(joined, "hello")
		bob.Must("PUT", "/_matrix/client/v3/profile/"+string(bob.ID)+"/displayname", `{"displayname":"Bob"}`)
		bob.Must("PUT", "/_matrix/client/v3/user/"+string(bob.ID)+"/account_data/org.test", `{"a":1}`)
		bob.Must("PUT", "/_matrix/client/v3/pushrules/global/content/mine", `{"actions":["notify"],"pattern":"x"}`)
		bob.Must("PUT", "/_matrix/client/v3/directory/room/%23bob:a.test", `{"room_id":"`+joined+`"}`)
		synctest.Wait()

		bob.deactivate(`{"erase":true}`)
		synctest.Wait()
		for room, was := range map[string]string{joined: "join", left: "leave", invited: "invite", knocked: "knock"} {
			if m := alice.membership(room, bob); m != "leave" {
				t.Errorf("Bob is %q in the room of the %s", m, was)
			}
		}
		if p := alice.Must("GET", "/_matrix/client/v3/profile/"+string(bob.ID), nil); string(p) != `{}` {
			t.Errorf("the profile is %s", p)
		}
		alice.Must("GET", "/_matrix/client/v3/directory/room/%23bob:a.test", nil)
		for what, do := range map[string]func() (int, []byte){
			"the token": func() (int, []byte) { s, b := bob.Do("GET", "/_matrix/client/v3/account/whoami", nil); return s, b },
			"the name": func() (int, []byte) {
				s, b := a.Do("GET", "/_matrix/client/v3/register/available?username=bob", nil)
				return s, b
			},
		} {
			if status, body := do(); status != 401 && status != 400 {
				t.Errorf("%s is still good: %d %s", what, status, body)
			}
		}
		erased, err := a.Accounts().Erased(t.Context(), []id.UserID{bob.ID, alice.ID})
		if err != nil || !erased[bob.ID] || erased[alice.ID] {
			t.Errorf("erased are %v, %v", erased, err)
		}
	})
}

func TestWhatACrashPreventedIsDoneAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(t).Server("a.test")
		alice, bob := a.Register("alice"), a.Register("bob")
		var rooms []string
		for range 20 {
			room := alice.createRoom()
			bob.Must("POST", "/_matrix/client/v3/rooms/"+url.PathEscape(room)+"/join", `{}`)
			rooms = append(rooms, room)
		}
		bob.deactivate(`{}`)
		a.Restart()
		synctest.Wait()
		for i, room := range rooms {
			if m := alice.membership(room, bob); m != "leave" {
				t.Errorf("in room %d Bob is %q", i, m)
			}
		}
	})
}
