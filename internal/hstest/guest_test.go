package hstest

import (
	"net/url"
	"testing"
	"testing/synctest"

	"parley/internal/config"
)

// guest makes an account of a guest.
func (s *Server) guest() *User {
	s.world.Helper()
	status, body := s.Do("POST", "/_matrix/client/v3/register?kind=guest", `{}`)
	return s.loggedIn(status, body, "")
}

// membership is what the user is to a room in the eyes of somebody in it.
func (u *User) membership(room string, of *User) string {
	u.world.Helper()
	content := u.Must("GET", "/_matrix/client/v3/rooms/"+url.PathEscape(room)+"/state/m.room.member/"+url.PathEscape(string(of.ID)), nil)
	text, _ := content.Get("membership").Text()
	return text
}

func TestGuestsLeaveWhenARoomDoesNotWantThemAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(t).Server("a.test", func(c *config.Config) { c.Registration.Guests = true })
		alice, bob, guest := a.Register("alice"), a.Register("bob"), a.guest()
		room := alice.createRoom()
		access := "/_matrix/client/v3/rooms/" + url.PathEscape(room) + "/state/m.room.guest_access"
		join := "/_matrix/client/v3/rooms/" + url.PathEscape(room) + "/join"
		member := "/_matrix/client/v3/rooms/" + url.PathEscape(room) + "/state/m.room.member/" + url.PathEscape(string(guest.ID))
		refused := func(what string) {
			for _, call := range [][3]string{{"POST", join, `{}`}, {"PUT", member, `{"membership":"join"}`}} {
				if status, body := guest.Do(call[0], call[1], call[2]); status != 403 || !body.Get("errcode").Is("M_GUEST_ACCESS_FORBIDDEN") {
					t.Errorf("%s: got %d %s", what, status, body)
				}
			}
		}
		refused("the room does not want guests")
		alice.Must("PUT", access, `{"guest_access":"can_join"}`)
		for _, u := range []*User{guest, bob} {
			u.Must("POST", join, `{}`)
		}
		guest.says(room, "hello")
		alice.Must("PUT", access, `{"guest_access":"can_join","more":1}`)
		synctest.Wait()
		if m := alice.membership(room, guest); m != "join" {
			t.Errorf("the guest is %q, though the room wants guests", m)
		}
		alice.Must("PUT", access, `{"guest_access":"forbidden"}`)
		synctest.Wait()
		if m := alice.membership(room, guest); m != "leave" {
			t.Errorf("the guest is %q", m)
		}
		if m := alice.membership(room, bob); m != "join" {
			t.Errorf("Bob is %q", m)
		}
		refused("the room does not want guests any more")
		a.Restart()
		if m := alice.membership(room, guest); m != "leave" {
			t.Errorf("after a restart the guest is %q", m)
		}
	})
}
