package interop

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

// A reader is a device that syncs on and on, and keeps what was said to it and of
// whose devices it was told that they changed, or that they are no more of interest.
type reader struct {
	*user
	since         string
	said          []string
	changed, left map[string]bool
}

// follows makes somebody a reader, who has seen what there was.
func (u *user) follows() *reader {
	u.t.Helper()
	r := &reader{user: u}
	r.syncsOn()
	r.forgets()
	return r
}

func (r *reader) forgets() { r.changed, r.left = map[string]bool{}, map[string]bool{} }

// syncsOn syncs until no messages come any more.
func (r *reader) syncsOn() {
	r.t.Helper()
	if r.changed == nil {
		r.forgets()
	}
	for {
		target := path("sync") + "?timeout=0"
		if r.since != "" {
			target += "&since=" + r.since
		}
		answer := r.must("GET", target, nil)
		r.since = answer.text("next_batch")
		messages := answer.list("to_device", "events")
		for _, m := range messages {
			if m.text("type") == "org.example.said" {
				r.said = append(r.said, m.text("sender")+" "+m.text("content", "body"))
			}
		}
		for part, set := range map[string]map[string]bool{"changed": r.changed, "left": r.left} {
			users, _ := answer.at("device_lists", part).([]any)
			for _, u := range users {
				set[fmt.Sprint(u)] = true
			}
		}
		if len(messages) == 0 {
			return
		}
	}
}

// isTold waits for messages of somebody, each of which has to come once and in order.
func (r *reader) isTold(by *user, want ...string) {
	r.t.Helper()
	for i := range want {
		want[i] = by.id + " " + want[i]
	}
	until(r.t, fmt.Sprintf("%s %s is told %d things on %s", r.id, r.device, len(want), r.server), func() string {
		r.syncsOn()
		if len(r.said) >= len(want) {
			return ""
		}
		return fmt.Sprint("it was told ", r.said)
	})
	if !slices.Equal(r.said, want) {
		r.t.Errorf("%s %s was told on %s\n%q, want\n%q", r.id, r.device, r.server, r.said, want)
	}
	r.said = nil
}

// learns waits until somebody is told that another's devices changed.
func (r *reader) learns(of *user) {
	r.t.Helper()
	until(r.t, fmt.Sprintf("%s learns of the devices of %s on %s", r.id, of.id, r.server), func() string {
		r.syncsOn()
		if r.changed[of.id] {
			return ""
		}
		return fmt.Sprint("changed are ", slices.Collect(maps.Keys(r.changed)))
	})
	delete(r.changed, of.id)
}

// tells says something to a device of somebody, "*" for all.
func (u *user) tells(to *user, device, txn, body string) {
	u.t.Helper()
	u.must("PUT", path("sendToDevice", "org.example.said", txn), object{"messages": object{
		to.id: object{device: object{"body": body}},
	}})
}

// tellsMany says many things to a reader, and returns them. Something may happen after
// each.
func (u *user) tellsMany(to *reader, n int, after func(i int)) (said []string) {
	u.t.Helper()
	for i := range n {
		said = append(said, fmt.Sprint("are you there? ", i))
		u.tells(to.user, to.device, fmt.Sprint("a", i), said[i])
		after(i)
	}
	return said
}

// isToldAll waits until a reader was told all of that, and what is said then.
func (r *reader) isToldAll(by *user, said []string) {
	r.t.Helper()
	r.isTold(by, slices.Clone(said)...)
	by.tells(r.user, r.device, "last", "last")
	r.isTold(by, "last")
}

// stir has either server hear of the other: Synapse looks for those that are back
// once a minute otherwise.
func stir(room string, u ...*user) {
	for _, u := range u {
		u.t.Helper()
		u.says(room, "I am here")
	}
}

func TestDevicesAreSpokenTo(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		alice, bob := here.register(t, "alice"), there.register(t, "bob")
		phone, desk := bob.follows(), bob.logsIn().follows()
		carol := there.register(t, "carol").follows()
		alice.tells(bob, phone.device, "1", "to one")
		alice.tells(bob, "GONE", "2", "to none")
		alice.tells(bob, "*", "3", "to all")
		alice.tells(bob, "*", "3", "to all")
		alice.must("PUT", path("sendToDevice", "org.example.said", "4"), object{"messages": object{
			bob.id: object{phone.device: object{"body": "to the phone"}, desk.device: object{"body": "to the desk"}}, carol.id: object{"*": object{"body": "to carol"}},
		}})
		alice.tells(bob, "*", "5", "last")
		phone.isTold(alice, "to one", "to all", "to the phone", "last")
		desk.isTold(alice, "to all", "to the desk", "last")
		carol.isTold(alice, "to carol")
	})
}

func TestWhatIsSaidToADeviceComesOnceAfterServersWereAway(t *testing.T) {
	ends := map[string]func(*server, *testing.T){"stopped": (*server).mustStop, "killed": (*server).kill}
	for how, end := range ends {
		t.Run(how, func(t *testing.T) {
			eachWay(t, func(t *testing.T, here, there *server) {
				room, alice, someone := together(t, here, there, object{})
				bob := someone.follows()
				alice.tells(bob.user, bob.device, "0", "before")
				bob.isTold(alice, "before")
				end(there, t)
				said := alice.tellsMany(bob, 150, func(int) {})
				end(here, t)
				there.mustStart(t)
				here.mustStart(t)
				stir(room, alice, bob.user)
				bob.isToldAll(alice, said)
				agree(t, room, alice, bob.user)
			})
		})
	}
}

func TestAServerIsKilledWhileItIsToldThings(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		room, alice, someone := together(t, here, there, object{})
		bob := someone.follows()
		said := alice.tellsMany(bob, 90, func(i int) {
			switch i {
			case 30:
				there.kill(t)
				there.mustStart(t)
			case 60:
				here.kill(t)
				here.mustStart(t)
			}
		})
		stir(room, alice, bob.user)
		bob.isToldAll(alice, said)
		agree(t, room, alice, bob.user)
	})
}

// A server that hangs gets what was sent to it after the other has given up, and
// then again.
func TestAServerThatHangsIsToldThingsOnce(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		room, alice, someone := together(t, here, there, object{})
		bob, nobody := someone.follows(), there.register(t, "nobody")
		alice.tells(bob.user, bob.device, "0", "before")
		bob.isTold(alice, "before")
		there.hangs(t)
		var said []string
		told := alice.tellsMany(bob, 60, func(i int) {
			if i%3 == 0 {
				said = append(said, alice.says(room, fmt.Sprint("do you hear me? ", i)))
			}
		})
		for begin := time.Now(); time.Since(begin) < 40*time.Second; {
			answer := alice.must("POST", path("keys", "query"), object{"device_keys": object{nobody.id: []string{}}, "timeout": 10000})
			if len(answer.failures()) == 0 {
				t.Errorf("who hangs answers: %s", answer)
			}
		}
		there.goesOn(t)
		stir(room, bob.user)
		bob.isToldAll(alice, told)
		bob.reads(room, said[0])
		for _, e := range said {
			bob.seesEvent(room, e)
		}
		agree(t, room, alice, bob.user)
	})
}
