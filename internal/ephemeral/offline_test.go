package ephemeral

import (
	"testing"
	"time"

	"parley/matrix/id"
)

func TestWhoDoesNotComeBackAfterAStartIsOffline(t *testing.T) {
	meet(t, []id.UserID{alice, bob}, func(c *company) {
		x := c.onlooker("@x:a.test", 1)
		defer c.Sync(alice, "PHONE", Online)()
		c.after(returnTime - time.Second)
		x.sees("alice online now")
		c.after(10 * time.Second)
		x.sees("alice online", "bob offline")
		// One who comes for the first time has nothing to unlearn.
		for _, s := range c.See(Look{User: "@y:a.test", Rooms: x.rooms, Everything: true}) {
			if s.User == bob {
				t.Error("a new client is told that bob is offline")
			}
		}
		seen := c.See(Look{User: "@y:a.test", Rooms: x.rooms, Since: 12345, Anything: true})
		if len(seen) != 2 {
			t.Errorf("a client from before the start is told of %d users, want 2", len(seen))
		}
	})
}

func TestFewAreRememberedWhoAreOffline(t *testing.T) {
	meet(t, nil, func(c *company) {
		c.offline = 2
		x := c.onlooker("@x:a.test", 1, 2)
		for _, user := range []id.UserID{alice, bob, carol} {
			c.Sync(user, "PHONE", Online)()
			c.after(time.Minute)
		}
		c.Presence.mu.Lock()
		if len(c.people) != 2 || len(c.watch) != 0 || len(c.rooms) != 2 || c.rooms[inRoom(1)].people.Len() != 1 || c.floor == 0 {
			t.Errorf("%d people, %d watched, %d rooms, floor %d", len(c.people), len(c.watch), len(c.rooms), c.floor)
		}
		c.Presence.mu.Unlock()
		x.sees("bob offline", "carol offline")
		defer c.Sync(alice, "PHONE", Online)()
		c.after(5 * time.Second)
		x.sees("alice online now")
	})
}
