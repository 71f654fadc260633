package fedtest

import "testing"

// TestWhoWaitsOutsideInVainIsToldOfBefore: a client that was away is told of a knock, or
// an invite, and not that its user had left the room before that, and what was until
// then. So it has to be told of it when the waiting is over, where nobody of its server
// is in the room.
func TestWhoWaitsOutsideInVainIsToldOfBefore(t *testing.T) {
	for _, by := range []string{"knock", "invite"} {
		t.Run(by, func(t *testing.T) {
			scene(t, func(s *stage) {
				alice, bob := s.Server("a.test").Register("alice"), s.Server("b.test").Register("bob")
				room := s.room(alice, `{"preset":"public_chat","name":"Old"}`)
				s.join(bob, room, "a.test")
				s.settle()
				since := text(s.sync(bob), "next_batch")
				s.set(alice, room, "m.room.name", "", `{"name":"New"}`)
				s.set(alice, room, "m.room.join_rules", "", `{"join_rule":"knock"}`)
				s.settle()
				bob.Must("POST", path("rooms", room, "leave"), `{}`)
				s.settle()
				if by == "knock" {
					bob.Must("POST", path("knock", room)+"?via=a.test", `{}`)
				} else {
					alice.Must("POST", path("rooms", room, "invite"), `{"user_id":"@bob:b.test"}`)
				}
				s.settle()
				waiting := bob.Must("GET", path("sync")+"?since="+since, nil)
				if waiting.Get("rooms").Get(by).Get(room) == nil {
					t.Fatalf("bob is told %s", waiting.Get("rooms"))
				}
				alice.Must("POST", path("rooms", room, "kick"), `{"user_id":"@bob:b.test"}`)
				s.settle()
				gone := bob.Must("GET", path("sync")+"?since="+text(waiting, "next_batch"), nil).Get("rooms").Get("leave").Get(room)
				names := map[string]bool{}
				for _, part := range []string{"state", "timeline"} {
					for e := range gone.Get(part).Get("events").Elements() {
						if e.Get("type").Is("m.room.name") {
							names[text(e, "content", "name")] = true
						}
					}
				}
				if !names["New"] {
					t.Errorf("in the end bob is told %s", gone)
				}
			})
		})
	}
}
