package interop

import "testing"

var versions = []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"}

func TestARoomOfEveryVersionIsJoined(t *testing.T) {
	for _, version := range versions {
		t.Run("version "+version, func(t *testing.T) {
			eachWay(t, func(t *testing.T, here, there *server) {
				alice, bob := here.register(t, "alice"), there.register(t, "bob")
				room := alice.creates(object{"preset": "public_chat", "room_version": version, "name": "the plan"})
				bob.joins(room, here)
				alice.seesMember(room, bob, "join")
				bob.sees(room, "m.room.name", "", "name", "the plan")
				bob.hears(room, alice.says(room, "hello"), "hello")
				alice.hears(room, bob.says(room, "here I am"), "here I am")
				agree(t, room, alice, bob)
			})
		})
	}
}
