package fedtest

import (
	"fmt"
	"testing"

	"parley/internal/hstest"
)

// found returns the bodies of the messages that somebody finds, the latest first.
func (s *stage) found(u *hstest.User, term string) (bodies []string) {
	s.Helper()
	answer := u.Must("POST", path("search"), fmt.Sprintf(`{"search_categories":{"room_events":{"search_term":%q,"order_by":"recent"}}}`, term))
	for r := range answer.Get("search_categories").Get("room_events").Get("results").Elements() {
		bodies = append(bodies, text(r, "result", "content", "body"))
	}
	return bodies
}

func TestWhatIsFetchedOfThePastIsFound(t *testing.T) {
	scene(t, func(s *stage) {
		alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.say(alice, room, "old word")
		for i := range 30 {
			s.say(alice, room, fmt.Sprint("filler ", i))
		}
		s.join(bob, room, "a.test")
		s.settle()
		s.say(alice, room, "new word")
		s.settle()
		if got := fmt.Sprint(s.found(bob, "word")); got != "[new word]" {
			t.Errorf("before it is fetched, got %s", got)
		}
		s.history(bob, room, "", 20)
		if got := fmt.Sprint(s.found(bob, "word")); got != "[new word old word]" {
			t.Errorf("afterwards, got %s", got)
		}
	})
}

// people returns the IDs, and names, of those whom somebody finds.
func (s *stage) people(u *hstest.User, term string) (found []string) {
	s.Helper()
	answer := u.Must("POST", path("user_directory", "search"), map[string]any{"search_term": term})
	for r := range answer.Get("results").Elements() {
		found = append(found, text(r, "user_id")+" "+text(r, "display_name"))
	}
	return found
}

func TestUsersOfOtherServersAreFound(t *testing.T) {
	scene(t, func(s *stage) {
		a, b := s.Server("a.test"), s.Server("b.test")
		alice, bob, carol, dave := a.Register("alice"), b.Register("bob"), b.Register("carol"), a.Register("dave")
		want := func(name string, u *hstest.User, term, want string) {
			t.Helper()
			if got := fmt.Sprint(s.people(u, term)); got != want {
				t.Errorf("%s: got %s, want %s", name, got, want)
			}
		}
		// Two come one by one, and one was in a room before this server was.
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.join(bob, room, "a.test")
		s.settle()
		want("who has come into a room here", alice, "bo", "[@bob:b.test bob]")
		there := s.room(carol, `{"preset":"public_chat"}`)
		s.join(alice, there, "b.test")
		s.settle()
		want("who was in a room there", alice, "caro", "[@carol:b.test carol]")
		want("from where it is public", dave, "caro", "[@carol:b.test carol]")
		// What they call themselves in a room that is not for everybody is not told outside.
		private := s.room(alice, `{"preset":"private_chat"}`)
		alice.Must("POST", path("rooms", private, "invite"), map[string]string{"user_id": string(bob.ID)})
		s.settle()
		bob.Must("POST", path("rooms", private, "join"), `{}`)
		s.settle()
		s.set(bob, private, "m.room.member", string(bob.ID), `{"membership":"join","displayname":"Secret"}`)
		s.settle()
		want("the other name, from inside", alice, "secret", "[@bob:b.test Secret]")
		want("from outside", dave, "secret", "[]")
		want("the name for all", dave, "bob", "[@bob:b.test bob]")
		bob.Must("POST", path("rooms", room, "leave"), `{}`)
		bob.Must("POST", path("rooms", private, "leave"), `{}`)
		s.settle()
		want("who has left", alice, "bob", "[]")
	})
}
