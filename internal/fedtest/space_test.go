package fedtest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"parley/internal/hstest"
)

// space makes a space of rooms, by the server names through which each is found.
func (s *stage) space(by *hstest.User, name string, children map[string]string) string {
	s.Helper()
	space := s.room(by, fmt.Sprintf(`{"preset":"public_chat","name":%q,"creation_content":{"type":"m.space"}}`, name))
	for child, via := range children {
		s.set(by, space, "m.space.child", child, fmt.Sprintf(`{"via":[%q]}`, via))
	}
	return space
}

// tree returns the names of the rooms that somebody sees of a space.
func (s *stage) tree(u *hstest.User, space, query string) []string {
	s.Helper()
	all := names(u.Must("GET", "/_matrix/client/v1/rooms/"+space+"/hierarchy"+query, nil).Get("rooms"))
	slices.Sort(all)
	return all
}

func TestASpaceHasRoomsOfOtherServers(t *testing.T) {
	scene(t, func(s *stage) {
		a, b, c := s.Server("a.test"), s.Server("b.test"), s.Server("c.test")
		alice, bob, carol := a.Register("alice"), b.Register("bob"), c.Register("carol")
		far := s.room(carol, `{"preset":"public_chat","name":"Far"}`)
		tea := s.room(bob, `{"preset":"public_chat","name":"Tea","topic":"hot"}`)
		private := s.room(bob, `{"preset":"private_chat","name":"Private"}`)
		below := s.space(bob, "Below", map[string]string{tea: "b.test", private: "b.test", far: "c.test"})
		own := s.room(alice, `{"preset":"private_chat","name":"Own"}`)
		hidden := s.room(a.Register("dave"), `{"preset":"private_chat","name":"Hidden"}`)
		space := s.space(alice, "Space", map[string]string{below: "b.test", own: "a.test", hidden: "a.test", "!gone:nowhere.test": "nowhere.test"})
		want := []string{"Below", "Far", "Own", "Space", "Tea"}
		if got := s.tree(alice, space, ""); !slices.Equal(got, want) {
			t.Errorf("alice sees %s, want %s", got, want)
		}
		// A page of it is remembered, whoever is down now.
		b.Kill()
		var paged []string
		for from := "?limit=2"; from != ""; {
			page := alice.Must("GET", "/_matrix/client/v1/rooms/"+space+"/hierarchy"+from, nil)
			paged = append(paged, names(page.Get("rooms"))...)
			from = ""
			if next := text(page, "next_batch"); next != "" {
				from = "?limit=2&from=" + next
			}
		}
		slices.Sort(paged)
		if !slices.Equal(paged, want) {
			t.Errorf("in pages alice sees %s, want %s", paged, want)
		}
		time.Sleep(10 * time.Minute)
		if got, want := s.tree(alice, space, ""), []string{"Own", "Space"}; !slices.Equal(got, want) {
			t.Errorf("while b.test is down alice sees %s, want %s", got, want)
		}
		b.Start()
		time.Sleep(3 * time.Hour)
		if got := s.tree(alice, space, ""); !slices.Equal(got, want) {
			t.Errorf("later alice sees %s, want %s", got, want)
		}
		if got, want := s.tree(alice, space, "?max_depth=1"), []string{"Below", "Own", "Space"}; !slices.Equal(got, want) {
			t.Errorf("of what is near alice sees %s, want %s", got, want)
		}
	})
}

func TestASpaceOfAnotherServerIsSeen(t *testing.T) {
	scene(t, func(s *stage) {
		a, b := s.Server("a.test"), s.Server("b.test")
		alice, bob := a.Register("alice"), b.Register("bob")
		// What only members of the space may join is seen by its members.
		space := s.room(bob, `{"preset":"public_chat","name":"Space","room_version":"11","creation_content":{"type":"m.space"}}`)
		members := s.room(bob, fmt.Sprintf(`{"preset":"private_chat","name":"Members","room_version":"11","initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"restricted","allow":[{"type":"m.room_membership","room_id":%q}]}}]}`, space))
		private := s.room(bob, `{"preset":"private_chat","name":"Private","room_version":"11"}`)
		for _, room := range []string{members, private} {
			s.set(bob, space, "m.space.child", room, `{"via":["b.test"],"suggested":true}`)
		}
		if got := s.tree(alice, space, ""); !slices.Equal(got, []string{"Space"}) {
			t.Errorf("alice, who is not in it, sees %s", got)
		}
		s.join(alice, space, "b.test")
		s.settle()
		time.Sleep(10 * time.Minute)
		if got := s.tree(alice, space, ""); !slices.Equal(got, []string{"Members", "Space"}) {
			t.Errorf("alice, who is in it, sees %s", got)
		}
		bob.Must("POST", path("rooms", private, "invite"), map[string]string{"user_id": string(alice.ID)})
		s.settle()
		time.Sleep(10 * time.Minute)
		if got := s.tree(alice, space, "?suggested_only=true"); !slices.Equal(got, []string{"Members", "Private", "Space"}) {
			t.Errorf("alice, who is invited to all, sees %s", got)
		}
		// Another user of her server may not see what she was invited to.
		erin := a.Register("erin")
		s.join(erin, space)
		if got := s.tree(erin, space, ""); !slices.Equal(got, []string{"Members", "Space"}) {
			t.Errorf("erin sees %s", got)
		}
	})
}

func TestARoomOfAnotherServerIsSummed(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
		room := s.room(bob, `{"preset":"public_chat","name":"Tea","topic":"hot","room_alias_name":"tea"}`)
		private := s.room(bob, `{"preset":"private_chat","name":"Private"}`)
		for _, name := range []string{room + "?via=b.test", "%23tea:b.test"} {
			got := alice.Must("GET", "/_matrix/client/v1/room_summary/"+name, nil)
			if text(got, "name") != "Tea" || text(got, "topic") != "hot" || text(got, "room_version") != "12" || text(got, "membership") != "leave" {
				t.Errorf("%s: alice sees %s", name, got)
			}
		}
		for _, name := range []string{private + "?via=b.test", "!unknown:b.test", "!unknown:a.test?via=nowhere.test"} {
			if status, answer := alice.Do("GET", "/_matrix/client/v1/room_summary/"+name, nil); status != 404 {
				t.Errorf("%s: alice gets %d %s", name, status, answer)
			}
		}
		if status, answer := s.Server("c.test").Do("GET", "/_matrix/client/v1/room_summary/"+room+"?via=b.test", nil); status != 404 {
			t.Errorf("nobody gets %d %s", status, answer)
		}
	})
}

func TestServersAreToldOfRoomsThatTheyMayKnow(t *testing.T) {
	scene(t, func(s *stage) {
		a, b := s.Server("a.test"), s.Server("b.test")
		alice := a.Register("alice")
		private := s.room(alice, `{"preset":"private_chat","name":"Private"}`)
		open := s.room(alice, `{"preset":"public_chat","name":"Open"}`)
		closed := s.room(alice, `{"preset":"public_chat","name":"Closed","initial_state":[{"type":"m.room.server_acl","content":{"allow":["*"],"deny":["b.test"]}}]}`)
		space := s.space(alice, "Space", map[string]string{private: "a.test", open: "a.test", "!unknown:b.test": "b.test"})
		status, answer := b.Ask(a, "GET", "/_matrix/federation/v1/hierarchy/"+space, nil)
		if got := names(answer.Get("children")); status != 200 || len(got) != 1 || got[0] != "Open" {
			t.Errorf("got %d %s", status, answer)
		}
		if hidden := string(answer.Get("inaccessible_children")); hidden != `["`+private+`"]` {
			t.Errorf("inaccessible are %s", hidden)
		}
		for _, room := range []string{private, closed, "!unknown:a.test"} {
			if status, answer := b.Ask(a, "GET", "/_matrix/federation/v1/hierarchy/"+room, nil); status != 404 {
				t.Errorf("%s: got %d %s", room, status, answer)
			}
		}
	})
}
