package interop

import (
	"fmt"
	"slices"
	"testing"
)

// What is of the moment: who types, who has read, who is online.

// syncs is all that somebody gets to see who has just come.
func (u *user) syncs() object {
	u.t.Helper()
	return u.must("GET", path("sync")+"?timeout=0", nil)
}

// ephemeral waits for something in what a sync has of the moment in a room.
func (u *user) ephemeral(room, what string, there func(events []object) bool) {
	u.t.Helper()
	until(u.t, fmt.Sprintf("%s sees %s on %s", u.id, what, u.server), func() string {
		joined := u.syncs().at("rooms", "join", room)
		in, _ := joined.(map[string]any)
		events := object(in).list("ephemeral", "events")
		if there(events) {
			return ""
		}
		return fmt.Sprint(events)
	})
}

func typing(who *user, does bool) func(events []object) bool {
	return func(events []object) bool {
		for _, e := range events {
			users, _ := e.at("content", "user_ids").([]any)
			if e.text("type") == "m.typing" && slices.Contains(users, any(who.id)) {
				return does
			}
		}
		return !does
	}
}

func TestOthersSeeWhoTypes(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		room, alice, bob := together(t, here, there, object{})
		for _, u := range [][2]*user{{alice, bob}, {bob, alice}} {
			u[0].must("PUT", path("rooms", room, "typing", u[0].id), object{"typing": true, "timeout": 30000})
			u[1].ephemeral(room, u[0].id+" type", typing(u[0], true))
			u[0].must("PUT", path("rooms", room, "typing", u[0].id), object{"typing": false})
			u[1].ephemeral(room, u[0].id+" type no more", typing(u[0], false))
		}
		agree(t, room, alice, bob)
	})
}

func TestOthersSeeWhoHasRead(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		room, alice, bob := together(t, here, there, object{})
		for _, u := range [][2]*user{{alice, bob}, {bob, alice}} {
			said, inThread := u[1].says(room, "read this"), u[1].says(room, "and this")
			u[0].hears(room, inThread, "and this")
			u[0].must("POST", path("rooms", room, "receipt", "m.read", said), object{})
			u[1].ephemeral(room, "that "+u[0].id+" has read", func(events []object) bool {
				return slices.ContainsFunc(events, func(e object) bool { return e.at("content", said, "m.read", u[0].id) != nil })
			})
			u[0].must("POST", path("rooms", room, "receipt", "m.read", inThread), object{"thread_id": "main"})
			u[1].ephemeral(room, "that "+u[0].id+" has read on", func(events []object) bool {
				return slices.ContainsFunc(events, func(e object) bool {
					in, _ := e.at("content", inThread, "m.read", u[0].id).(map[string]any)
					return in["thread_id"] == "main"
				})
			})
		}
		agree(t, room, alice, bob)
	})
}

func TestOthersSeeWhoIsOnline(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		room, alice, bob := together(t, here, there, object{})
		for _, u := range [][2]*user{{alice, bob}, {bob, alice}} {
			for _, message := range []string{"at work", "at home"} {
				u[0].must("PUT", path("presence", u[0].id, "status"), object{"presence": "online", "status_msg": message})
				until(t, fmt.Sprintf("%s sees that %s is %s on %s", u[1].id, u[0].id, message, u[1].server), func() string {
					events := u[1].syncs().list("presence", "events")
					if slices.ContainsFunc(events, func(e object) bool {
						return e.text("sender") == u[0].id && e.text("content", "status_msg") == message && e.text("content", "presence") == "online"
					}) {
						return ""
					}
					return fmt.Sprint(events)
				})
			}
		}
		agree(t, room, alice, bob)
	})
}
