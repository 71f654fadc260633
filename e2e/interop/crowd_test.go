package interop

import (
	"fmt"
	"net/url"
	"sync"
	"testing"
)

// crowdSize is how many are in a large room: so many that either server leaves
// them out of its answer to a join, if the other lets it.
const crowdSize = 300

// crowd is the users of a server who are in large rooms. They come once for all
// scenes.
func (s *server) crowd(t *testing.T) []*user {
	t.Helper()
	if s.people == nil {
		s.people = make([]*user, crowdSize)
		each(s.people, func(i int, _ *user) { s.people[i] = s.register(t, "one") })
	}
	people := make([]*user, crowdSize)
	for i, u := range s.people {
		mine := *u
		mine.t = t
		people[i] = &mine
	}
	return people
}

// each does something for people, for some of them at a time.
func each(people []*user, do func(i int, u *user)) {
	places := make(chan struct{}, 8)
	var all sync.WaitGroup
	for i, u := range people {
		places <- struct{}{}
		all.Go(func() {
			do(i, u)
			<-places
		})
	}
	all.Wait()
}

// crowded makes a large room, of alice and the crowd of a server.
func crowded(t *testing.T, here *server) (room string, alice *user, crowd []*user) {
	t.Helper()
	alice, crowd = here.register(t, "alice"), here.crowd(t)
	room = alice.creates(object{"preset": "public_chat", "name": "the square"})
	each(crowd, func(_ int, u *user) { u.joins(room) })
	return room, alice, crowd
}

// counts waits until somebody sees so many members who are there.
func (u *user) counts(room string, members int) {
	u.t.Helper()
	until(u.t, fmt.Sprintf("%s sees %d members of %s on %s", u.id, members, room, u.server), func() string {
		status, answer := u.do("GET", path("rooms", room, "joined_members"), nil)
		joined, _ := answer["joined"].(map[string]any)
		if status != 200 || len(joined) != members {
			return fmt.Sprint(status, ": ", len(joined))
		}
		return ""
	})
}

// glances looks at a room as a client does that wants no more members than it
// shows. The room has to be there at once.
func (u *user) glances(room string) object {
	u.t.Helper()
	filter := url.QueryEscape(`{"room":{"state":{"lazy_load_members":true}}}`)
	in, ok := u.must("GET", path("sync")+"?timeout=0&filter="+filter, nil).at("rooms", "join", room).(map[string]any)
	if !ok {
		u.t.Errorf("%s has joined %s, but does not see it on %s", u.id, room, u.server)
	}
	return in
}

func TestALargeRoomIsOfUseAtOnceAndWholeLater(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		room, alice, crowd := crowded(t, here)
		bob, carol := there.register(t, "bob"), there.register(t, "carol")
		reader := bob.follows()
		before := alice.says(room, "before you came")

		bob.joins(room, here)
		here.hangs(t) // so that nobody tells of the members meanwhile
		mine := bob.says(room, "here I am")
		seen := bob.glances(room)
		bob.sees(room, "m.room.name", "", "name", "the square")
		if !has(append(seen.list("state", "events"), seen.list("timeline", "events")...), "m.room.name", "", "name", "the square") {
			t.Errorf("%s does not see the name of the room in %s", bob.id, seen)
		}
		here.goesOn(t)
		carol.joins(room, here)
		yours := alice.says(room, "welcome")
		crowd[1].acts("leave", room, nil)
		alice.acts("ban", room, crowd[2])
		crowd[3].must("PUT", path("profile", crowd[3].id, "displayname"), object{"displayname": "Somebody"})
		key := crowd[4].logsIn()
		key.uploads("", "A")

		bob.hears(room, yours, "welcome")
		alice.hears(room, mine, "here I am")
		bob.reads(room, before)
		bob.counts(room, crowdSize+1)
		carol.counts(room, crowdSize+1)
		bob.sees(room, "m.room.member", crowd[3].id, "displayname", "Somebody")
		agree(t, room, alice, bob, carol)
		reader.learns(crowd[4])
		bob.knowsAlso(key)
		alice.hears(room, carol.says(room, "me too"), "me too")
		agree(t, room, alice, bob, carol)
	})
}

// knowsAlso waits until somebody has the keys of a device of another, who may have
// others.
func (u *user) knowsAlso(device *user) {
	u.t.Helper()
	until(u.t, fmt.Sprintf("%s knows the device %s of %s on %s", u.id, device.device, device.id, u.server), func() string {
		answer := u.asks(device)
		if answer.at("device_keys", device.id, device.device) == nil {
			return answer.String()
		}
		return ""
	})
}

func TestAServerIsKilledBeforeItKnowsAllMembers(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		room, alice, _ := crowded(t, here)
		bob := there.register(t, "bob")
		bob.joins(room, here)
		there.kill(t)
		yours := alice.says(room, "where are you?")
		there.mustStart(t)
		mine := bob.says(room, "here I am")
		alice.hears(room, mine, "here I am")
		bob.reads(room, yours)
		bob.counts(room, crowdSize+2)
		agree(t, room, alice, bob)
	})
}

func TestTheServerThatKnowsTheMembersGoesAway(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		room, alice, _ := crowded(t, here)
		bob := there.register(t, "bob")
		bob.joins(room, here)
		here.kill(t)
		mine := bob.says(room, "is anybody there?")
		bob.glances(room)
		here.mustStart(t)
		if there == synapse { // it asks once whoever was in the room, and again when it starts
			there.mustStop(t)
			there.mustStart(t)
		}
		stir(room, alice, bob)
		alice.reads(room, mine)
		bob.counts(room, crowdSize+2)
		agree(t, room, alice, bob)
	})
}

func TestWhoLeavesALargeRoomAtOnceComesBack(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		room, alice, _ := crowded(t, here)
		bob, carol := there.register(t, "bob"), there.register(t, "carol")
		bob.joins(room, here)
		if there == synapse { // while it is out of the room it is refused what it misses, and it does not ask again soon
			bob.counts(room, crowdSize+2)
		}
		bob.acts("leave", room, nil)
		alice.seesMember(room, bob, "leave")
		bob.loses(room, "join")
		bob.joins(room, here)
		alice.hears(room, bob.says(room, "here I am again"), "here I am again")

		carol.joins(room, here)
		alice.acts("ban", room, carol)
		carol.finds(room, "leave")
		if carol.may("join", room, nil) {
			t.Errorf("%s joins though they are banned", carol.id)
		}
		bob.counts(room, crowdSize+2)
		bob.seesMember(room, carol, "ban")
		agree(t, room, alice, bob)
	})
}
