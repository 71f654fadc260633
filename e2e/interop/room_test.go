package interop

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync"
	"testing"
)

// together makes a room of a version with somebody of each server in it.
func together(t *testing.T, here, there *server, request object) (room string, alice, bob *user) {
	t.Helper()
	alice, bob = here.register(t, "alice"), there.register(t, "bob")
	request["preset"] = "public_chat"
	room = alice.creates(request)
	bob.joins(room, here)
	alice.seesMember(room, bob, "join")
	return room, alice, bob
}

func TestEventsAreRedacted(t *testing.T) {
	for _, version := range []string{"1", "3", "9", "11", "12"} {
		t.Run("version "+version, func(t *testing.T) {
			eachWay(t, func(t *testing.T, here, there *server) {
				room, alice, bob := together(t, here, there, object{"room_version": version})
				mine, yours := alice.says(room, "a slip of alice"), bob.says(room, "a slip of bob")
				bob.hears(room, mine, "a slip of alice")
				alice.hears(room, yours, "a slip of bob")
				alice.redacts(room, mine)
				alice.redacts(room, yours)
				again := bob.says(room, "another slip of bob")
				alice.hears(room, again, "another slip of bob")
				bob.redacts(room, again)
				for _, e := range []string{mine, yours, again} {
					alice.hears(room, e, "")
					bob.hears(room, e, "")
				}
				topic := alice.sets(room, "m.room.topic", "", object{"topic": "a slip"})
				bob.sees(room, "m.room.topic", "", "topic", "a slip")
				alice.redacts(room, topic)
				bob.sees(room, "m.room.topic", "", "topic", "")
				agree(t, room, alice, bob)
			})
		})
	}
}

func TestPeopleChangeTheirNames(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		room, alice, bob := together(t, here, there, object{})
		for _, u := range []*user{alice, bob} {
			u.must("PUT", path("profile", u.id, "displayname"), object{"displayname": "The Great"})
			u.must("PUT", path("profile", u.id, "avatar_url"), object{"avatar_url": "mxc://example.org/great"})
		}
		for _, of := range []*user{alice, bob} {
			for _, u := range []*user{alice, bob} {
				u.sees(room, "m.room.member", of.id, "displayname", "The Great")
				u.sees(room, "m.room.member", of.id, "avatar_url", "mxc://example.org/great")
			}
		}
		agree(t, room, alice, bob)
		for _, u := range [][2]*user{{alice, bob}, {bob, alice}} {
			if p := u[0].must("GET", path("profile", u[1].id), nil); p.text("displayname") != "The Great" {
				t.Errorf("the profile of %s on %s is %s", u[1].id, u[0].server, p)
			}
			if status, answer := u[0].do("GET", path("profile", "@nobody:"+u[1].name), nil); status != 404 {
				t.Errorf("the profile of nobody on %s is %d %s", u[0].server, status, answer)
			}
		}
	})
}

func TestARoomIsFoundByItsAlias(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		alice, bob := here.register(t, "alice"), there.register(t, "bob")
		name := fmt.Sprint("plan", registered.Add(1))
		alias := "#" + name + ":" + here.name
		room := alice.creates(object{"preset": "public_chat", "visibility": "public", "room_alias_name": name, "name": name, "topic": "the plan"})
		found := bob.must("GET", path("directory", "room", alias), nil)
		if servers, _ := found["servers"].([]any); found.text("room_id") != room || !slices.Contains(servers, any(here.name)) {
			t.Errorf("the alias stands for %s", found)
		}
		if status, answer := bob.do("GET", path("directory", "room", "#nothing:"+here.name), nil); status != 404 {
			t.Errorf("an alias of nothing is %d %s", status, answer)
		}
		listed := bob.must("GET", path("publicRooms")+"?server="+url.QueryEscape(here.name), nil)
		if !slices.ContainsFunc(listed.list("chunk"), func(r object) bool { return r.text("room_id") == room && r.text("topic") == "the plan" }) {
			t.Errorf("the directory has %s", listed)
		}
		listed = bob.must("POST", path("publicRooms")+"?server="+url.QueryEscape(here.name), object{"filter": object{"generic_search_term": name}})
		if chunk := listed.list("chunk"); len(chunk) != 1 || chunk[0].text("room_id") != room {
			t.Errorf("the directory finds %s", listed)
		}
		joined := bob.must("POST", path("join", alias), object{})
		if joined.text("room_id") != room {
			t.Errorf("joined %s, want %s", joined, room)
		}
		alice.seesMember(room, bob, "join")
		agree(t, room, alice, bob)
	})
}

func TestARoomIsUpgraded(t *testing.T) {
	for _, to := range []string{"10", "12"} {
		t.Run("to version "+to, func(t *testing.T) {
			eachWay(t, func(t *testing.T, here, there *server) {
				room, alice, bob := together(t, here, there, object{"room_version": "9", "name": "the plan"})
				next := alice.must("POST", path("rooms", room, "upgrade"), object{"new_version": to}).text("replacement_room")
				bob.sees(room, "m.room.tombstone", "", "replacement_room", next)
				bob.joins(next, here)
				bob.sees(next, "m.room.name", "", "name", "the plan")
				alice.seesMember(next, bob, "join")
				alice.hears(next, bob.says(next, "here I am"), "here I am")
				agree(t, room, alice, bob)
				agree(t, next, alice, bob)
			})
		})
	}
}

func TestAServerIsShutOutAndLetInAgain(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		room, alice, bob := together(t, here, there, object{})
		carol := there.register(t, "carol")
		host, _, _ := net.SplitHostPort(there.name)
		bob.seesEvent(room, alice.sets(room, "m.room.server_acl", "", object{"allow": []string{"*"}, "deny": []string{host}, "allow_ip_literals": true}))
		// Their server knows nothing against it, and lets them join by itself.
		carol.must("POST", path("join", room)+via([]*server{here}), object{})
		unheard := bob.says(room, "nobody hears me")
		if status, _ := alice.do("GET", path("rooms", room, "event", unheard), nil); status == 200 {
			t.Error("a server that is shut out is heard")
		}
		bob.seesEvent(room, alice.sets(room, "m.room.server_acl", "", object{"allow": []string{"*"}, "allow_ip_literals": true}))
		alice.hears(room, bob.says(room, "hello again"), "hello again")
		alice.hears(room, unheard, "nobody hears me")
		alice.seesMember(room, carol, "join")
		agree(t, room, alice, bob)
	})
}

func TestASpaceIsWalked(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		alice, bob := here.register(t, "alice"), there.register(t, "bob")
		space := func(u *user, name string) string {
			return u.creates(object{"preset": "public_chat", "name": name, "creation_content": object{"type": "m.space"}})
		}
		outer, inner := space(alice, "outer"), space(alice, "inner")
		room, secret := alice.creates(object{"preset": "public_chat", "name": "room"}), alice.invitesOnly("10")
		for _, link := range [][2]string{{outer, inner}, {inner, room}, {inner, secret}} {
			alice.sets(link[0], "m.space.child", link[1], object{"via": []string{here.name}})
		}
		bob.joins(outer, here)
		found := bob.must("GET", "/_matrix/client/v1/rooms/"+url.PathEscape(outer)+"/hierarchy", nil).list("rooms")
		var rooms []string
		for _, r := range found {
			rooms = append(rooms, r.text("room_id"))
		}
		if want := []string{outer, inner, room}; !slices.Equal(rooms, want) {
			t.Errorf("%s walks %v, want %v", there, rooms, want)
		}
		summary := bob.must("GET", "/_matrix/client/v1/room_summary/"+url.PathEscape(room)+"?via="+url.QueryEscape(here.name), nil)
		if summary.text("name") != "room" || summary.text("join_rule") != "public" {
			t.Errorf("%s says of the room %s", there, summary)
		}
		agree(t, outer, alice, bob)
	})
}

func TestManyCome(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		room, alice, bob := together(t, here, there, object{})
		many := make([]*user, 15)
		for i := range many {
			many[i] = there.register(t, "one")
		}
		var coming sync.WaitGroup
		for i, u := range many {
			coming.Go(func() {
				u.do("POST", path("join", room)+via([]*server{here}), object{})
				u.do("PUT", path("rooms", room, "send", "m.room.message", "hello"), object{"msgtype": "m.text", "body": "hello"})
			})
			if i%3 == 0 {
				coming.Go(func() { alice.says(room, "welcome") })
			}
		}
		coming.Wait()
		for _, u := range many {
			alice.seesMember(room, u, "join")
		}
		agree(t, room, alice, bob)
	})
}
