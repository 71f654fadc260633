package interop

import (
	"fmt"
	"testing"
)

func TestDevicesOfOthersAreKnown(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		room, alice, bob := together(t, here, there, object{})
		reader, stranger := alice.follows(), here.register(t, "stranger").follows()
		alice.knows(bob)
		reader.forgets()

		bob.uploads("", "A")
		reader.learns(bob)
		alice.knows(bob, bob)
		desk := bob.logsIn()
		desk.uploads("", "A")
		reader.learns(bob)
		alice.knows(bob, bob, desk)

		reader.syncsOn()
		reader.forgets()
		desk.must("PUT", path("devices", desk.device), object{"display_name": "the desk"})
		if there == synapse { // the names of devices stay on parley
			reader.learns(bob)
			alice.namedAs(desk, "the desk")
		}

		desk.must("POST", path("logout"), object{})
		reader.learns(bob)
		alice.knows(bob, bob)
		if name := alice.asks(bob).at("device_keys", bob.id, bob.device, "unsigned", "device_display_name"); name != nil && there == parley {
			t.Errorf("the name of a device is shown to another server: %v", name)
		}
		stranger.syncsOn()
		if len(stranger.changed) > 0 {
			t.Errorf("who shares no room learns of %v", stranger.changed)
		}
		stranger.knows(bob, bob) // who asks is told
		agree(t, room, alice, bob)
	})
}

// namedAs waits until somebody sees the name of another's device.
func (u *user) namedAs(device *user, name string) {
	u.t.Helper()
	until(u.t, fmt.Sprintf("%s sees the device %s of %s as %q on %s", u.id, device.device, device.id, name, u.server), func() string {
		answer := u.asks(device)
		if answer.at("device_keys", device.id, device.device, "unsigned", "device_display_name") == name {
			return ""
		}
		return answer.String()
	})
}

func TestCrossSigningKeysAreReplaced(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		room, alice, bob := together(t, here, there, object{})
		reader := alice.follows()
		bob.uploads("", "A")
		alice.knows(bob, bob)
		for _, generation := range []string{"1", "2"} {
			reader.syncsOn()
			reader.forgets()
			bob.crossSigns(generation)
			reader.learns(bob)
			alice.knowsCross(bob, generation)

			bob.signsOwn(generation)
			reader.learns(bob)
			alice.seesSignature(bob, bob.crossKey("self_signing", generation))
		}

		// What alice says of bob's key is hers alone.
		alice.crossSigns("1")
		master := bob.crossKey("master", "2")
		signed := alice.crossKey("user_signing", "1").signs(master.cross("master"))
		if answer := alice.must("POST", path("keys", "signatures", "upload"), object{bob.id: object{master.public(): signed}}); len(answer.failures()) > 0 {
			t.Errorf("%s vouches for %s: %s", alice.id, bob.id, answer)
		}
		of := []string{"master_keys", bob.id, "signatures", alice.id}
		if answer := alice.asks(bob); answer.at(of...) == nil {
			t.Errorf("%s does not see the own signature: %s", alice.id, answer)
		}
		if answer := here.register(t, "carol").asks(bob); answer.at(of...) != nil {
			t.Errorf("the signature is seen by another: %s", answer)
		}
		if answer := bob.asks(bob); answer.at(of...) != nil {
			t.Errorf("the signature is seen by %s: %s", bob.id, answer)
		}
		agree(t, room, alice, bob)
	})
}

func (o object) failures() map[string]any {
	failures, _ := o["failures"].(map[string]any)
	return failures
}

// seesSignature waits until a device is signed with another key than its own.
func (u *user) seesSignature(device *user, by signer) {
	u.t.Helper()
	until(u.t, fmt.Sprintf("%s sees that the device %s of %s is signed with %s on %s", u.id, device.device, device.id, by.name, u.server), func() string {
		answer := u.asks(device)
		if answer.at("device_keys", device.id, device.device, "signatures", device.id, "ed25519:"+by.name) != nil {
			return ""
		}
		return answer.String()
	})
}

func TestDevicesThatChangedWhileAServerWasAwayAreKnownLater(t *testing.T) {
	ends := map[string]func(*server, *testing.T){"stopped": (*server).mustStop, "killed": (*server).kill}
	for how, end := range ends {
		t.Run(how, func(t *testing.T) {
			eachWay(t, func(t *testing.T, here, there *server) {
				room, alice, bob := together(t, here, there, object{})
				bob.uploads("", "A")
				old := bob.logsIn()
				old.uploads("", "A")
				alice.knows(bob, bob, old)
				reader := alice.follows()
				end(here, t)
				old.must("POST", path("logout"), object{})
				devices := []*user{bob}
				for range 25 {
					d := bob.logsIn()
					d.uploads("", "A")
					devices = append(devices, d)
				}
				bob.crossSigns("1")
				bob.crossSigns("2")
				bob.signsOwn("2")
				end(there, t)
				there.mustStart(t)
				here.mustStart(t)
				stir(room, alice, bob)
				reader.learns(bob)
				alice.knows(bob, devices...)
				alice.knowsCross(bob, "2")
				alice.seesSignature(bob, bob.crossKey("self_signing", "2"))
				for _, d := range devices {
					if alice.claims(d) != "A" {
						t.Errorf("no key of %s is claimed", d.device)
					}
				}
				agree(t, room, alice, bob)
			})
		})
	}
}

func TestWhoseDevicesAreOfInterestFollowsTheRooms(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		alice, bob, carol := here.register(t, "alice"), there.register(t, "bob"), there.register(t, "carol")
		bob.uploads("", "A")
		alice.uploads("", "A")
		mine, yours := alice.follows(), bob.follows()
		room, other := alice.creates(object{"preset": "public_chat"}), alice.creates(object{"preset": "public_chat"})
		for _, r := range []string{room, other} {
			carol.joins(r, here) // of a room that none of its users is in Synapse forgets who is left there
		}
		bob.joins(room, here)
		mine.learns(bob)
		yours.learns(alice)
		alice.knows(bob, bob)
		bob.knows(alice, alice)
		bob.joins(other, here)
		alice.seesMember(other, bob, "join")
		for _, r := range []*reader{mine, yours} {
			r.syncsOn()
			r.forgets()
		}
		bob.acts("leave", room, nil)
		alice.seesMember(room, bob, "leave")
		mine.syncsOn()
		yours.syncsOn()
		if mine.left[bob.id] || yours.left[alice.id] {
			t.Errorf("they are told to forget each other, but share a room")
		}
		bob.acts("leave", other, nil)
		alice.seesMember(other, bob, "leave")
		mine.forsakes(bob)
		yours.forsakes(alice)

		// What changed meanwhile is known when they meet again.
		desk := bob.logsIn()
		desk.uploads("", "A")
		bob.crossSigns("1")
		mine.forgets()
		yours.forgets()
		bob.joins(room, here)
		mine.learns(bob)
		yours.learns(alice)
		alice.knows(bob, bob, desk)
		alice.knowsCross(bob, "1")
		agree(t, room, alice, bob, carol)
	})
}

// forsakes waits until somebody is told that another's devices are no more of
// interest.
func (r *reader) forsakes(of *user) {
	r.t.Helper()
	until(r.t, fmt.Sprintf("%s is told on %s to forget the devices of %s", r.id, r.server, of.id), func() string {
		r.syncsOn()
		if r.left[of.id] {
			return ""
		}
		return fmt.Sprint("left are ", r.left)
	})
}

func TestADeviceIsKnownBeforeWhatItSays(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		room, alice, bob := together(t, here, there, object{})
		reader := alice.follows()
		alice.knows(bob)
		reader.syncsOn()
		reader.forgets()
		for i := range 3 {
			desk := bob.logsIn()
			desk.uploads("", "A")
			desk.tells(alice, "*", "1", fmt.Sprint("from desk ", i))
			reader.isTold(desk, fmt.Sprint("from desk ", i))
			if there == parley { // Synapse sends the message first
				reader.learned(bob)
			} else {
				reader.learns(bob)
			}
			if answer := alice.asks(bob); answer.at("device_keys", bob.id, desk.device) == nil && there == parley {
				t.Errorf("the device %s is not in %s", desk.device, answer)
			}
			alice.knowsAlso(desk)
		}
		agree(t, room, alice, bob)
	})
}

// learned fails if somebody was not told that another's devices changed.
func (r *reader) learned(of *user) {
	r.t.Helper()
	if !r.changed[of.id] {
		r.t.Errorf("%s was not told of the devices of %s on %s before they spoke", r.id, of.id, r.server)
	}
	delete(r.changed, of.id)
}

func TestTheDevicesOfAClosedAccountAreGone(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		room, alice, bob := together(t, here, there, object{})
		carol := there.register(t, "carol")
		carol.joins(room, here)
		bob.uploads("", "A")
		alice.knows(bob, bob)
		reader := alice.follows()
		_, challenge := bob.do("POST", path("account", "deactivate"), object{})
		bob.must("POST", path("account", "deactivate"), object{"auth": bob.auth(challenge)})
		alice.seesMember(room, bob, "leave")
		reader.forsakes(bob)
		alice.knows(bob)
		if name := alice.claims(bob); name != "" {
			t.Errorf("got the key %q of a closed account", name)
		}
		agree(t, room, alice, carol)
	})
}

func TestKeysOfManyAreAskedForAtOnce(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		alice := here.register(t, "alice")
		wanted, gone := object{}, "@nobody:127.0.0.1:1"
		var many []*user
		for i := range 24 {
			of := there
			if i%3 == 0 {
				of = here
			}
			u := of.register(t, "one")
			u.uploads("", "A")
			many = append(many, u)
			wanted[u.id] = []string{}
		}
		wanted[gone] = []string{}
		answer := alice.must("POST", path("keys", "query"), object{"device_keys": wanted, "timeout": 10000})
		for _, u := range many {
			if answer.at("device_keys", u.id, u.device) == nil {
				t.Errorf("there are no keys of %s", u.id)
			}
		}
		if answer.failures()["127.0.0.1:1"] == nil {
			t.Errorf("a server that is not there is no failure: %v", answer.failures())
		}
	})
}
