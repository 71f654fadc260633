package fedtest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// A tracker is a client that keeps device lists as clients do: it asks for whom a
// sync says that they have changed.
type tracker struct {
	*reader
	lists    map[string]string // by user
	outdated map[string]bool
}

// track begins with those whose devices the client wants to know.
func track(u *hstest.User, of *hstest.User) *tracker {
	return &tracker{&reader{User: u}, make(map[string]string), map[string]bool{string(of.ID): true}}
}

// follow syncs, and asks for what is outdated. What cannot be had stays so.
func (s *stage) follow(t *tracker) {
	s.Helper()
	s.reads(t.reader)
	for _, user := range t.left {
		delete(t.lists, user)
		delete(t.outdated, user)
	}
	for _, user := range t.changed {
		t.outdated[user] = true
	}
	for user := range maps.Clone(t.outdated) {
		if list, ok := s.devicesOf(t.User, user); ok {
			t.lists[user] = list
			delete(t.outdated, user)
		}
	}
}

// devicesOf returns the keys of a user, as another sees them.
func (s *stage) devicesOf(as *hstest.User, user string) (list string, ok bool) {
	s.Helper()
	answer := as.Must("POST", path("keys", "query"), fmt.Sprintf(`{"timeout":5000,"device_keys":{%q:[]}}`, user))
	var devices []string
	for device, keys := range answer.Get("device_keys").Get(user).Members() {
		devices = append(devices, device.String()+" "+text(keys, "keys", "ed25519:"+device.String()))
	}
	slices.Sort(devices)
	master := "no master key"
	if key := answer.Get("master_keys").Get(user); key != nil {
		master = string(key.Get("keys"))
	}
	return strings.Join(devices, ", ") + " and " + master, answer.Get("failures").Get(string(id.UserID(user).Server())) == nil
}

// knows fails unless a tracker has the devices of a user as they are.
func (s *stage) knows(t *tracker, of *hstest.User) {
	s.Helper()
	s.follow(t)
	want, _ := s.devicesOf(of, string(of.ID))
	if got := t.lists[string(of.ID)]; got != want {
		s.Errorf("%s has of %s: %s\nwant %s", t.ID, of.ID, got, want)
	}
}

func TestKeysOfOthersAreKnownAsTheyAre(t *testing.T) {
	scene(t, func(s *stage) {
		a, b := s.Server("a.test"), s.Server("b.test")
		alice := a.Register("alice")
		bob := track(b.Register("bob"), alice)
		alice.UploadKeys()
		room := s.room(alice, `{"preset":"public_chat"}`)
		s.join(bob.User, room, "a.test")
		s.settle()
		s.knows(bob, alice)
		var phones [5]*hstest.User
		var wg sync.WaitGroup
		for i := range phones {
			wg.Go(func() {
				phones[i] = alice.Login()
				phones[i].UploadKeys()
			})
		}
		wg.Wait()
		s.settle()
		s.knows(bob, alice)
		alice.Must("POST", path("keys", "device_signing", "upload"), alice.CrossSigning("1"))
		s.settle()
		s.knows(bob, alice)
		if !strings.Contains(bob.lists[string(alice.ID)], "and {") {
			t.Errorf("bob does not know her master key: %s", bob.lists[string(alice.ID)])
		}
		phones[2].Must("POST", path("logout"), `{}`)
		s.settle()
		s.knows(bob, alice)
		bob.Must("POST", path("rooms", room, "leave"), `{}`)
		s.settle()
		phones[3].Must("POST", path("logout"), `{}`)
		alice.Login().UploadKeys()
		s.settle()
		s.follow(bob)
		if list := bob.lists[string(alice.ID)]; list != "" {
			t.Errorf("who has left knows still: %s", list)
		}
		s.join(bob.User, room, "a.test")
		s.settle()
		s.knows(bob, alice)
	})
}

func TestKeysAreKnownInTheEndWhateverHappens(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			scene(t, func(s *stage) { s.change(rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

// change has alice's devices come and go under random faults, and in the end bob
// has to know them, and has to have been told once what they have said.
func (s *stage) change(random *rand.Rand) {
	servers := []*hstest.Server{s.Server("a.test"), s.Server("b.test")}
	alice := servers[0].Register("alice")
	bob := track(servers[1].Register("bob"), alice)
	alice.UploadKeys()
	room := s.room(alice, `{"preset":"public_chat"}`)
	s.join(bob.User, room, "a.test")
	s.settle()
	s.knows(bob, alice)
	phones := []*hstest.User{alice}
	var said, heard []string
	down, cut := make(map[int]bool), false
	for i := range 60 {
		switch which := random.IntN(2); random.IntN(9) {
		case 0, 1:
			if !down[0] {
				phone := alice.Login()
				phone.UploadKeys()
				phones = append(phones, phone)
			}
		case 2:
			if n := len(phones); n > 1 && !down[0] {
				phones[n-1].Must("POST", path("logout"), `{}`)
				phones = phones[:n-1]
			}
		case 3:
			if !down[0] {
				said = append(said, fmt.Sprint(i))
				s.tell(phones[random.IntN(len(phones))], fmt.Sprint(i), fmt.Sprint(i), address(bob.User))
			}
		case 4:
			if down[which] {
				servers[which].Start()
			} else {
				servers[which].Kill()
			}
			down[which] = !down[which]
		case 5:
			if !down[which] {
				servers[which].Restart()
			}
		case 6:
			name := string(servers[which].Name) + ":8448"
			if cut {
				s.Net.Mend("a.test:8448")
				s.Net.Mend("b.test:8448")
			} else {
				s.Net.Cut(name)
			}
			cut = !cut
		case 7:
			if !down[1] {
				s.follow(bob)
				heard = append(heard, bob.said...)
			}
		case 8:
			time.Sleep(time.Duration(random.IntN(3600)) * time.Second)
		}
	}
	for i, server := range servers {
		if down[i] {
			server.Start()
		}
	}
	s.Net.Mend("a.test:8448")
	s.Net.Mend("b.test:8448")
	time.Sleep(6 * time.Hour)
	s.knows(bob, alice)
	if heard = append(heard, bob.said...); !slices.Equal(heard, said) {
		s.Errorf("said %q, heard %q", said, heard)
	}
}

func edu(kind, content string) canonjson.Value {
	v, err := canonjson.Canonical([]byte(fmt.Sprintf(`{"edu_type":%q,"content":%s}`, kind, content)), canonjson.Lenient)
	if err != nil {
		panic(err)
	}
	return v
}

func TestHostileMessagesAndDeviceListsHurtNobody(t *testing.T) {
	besieged(t, "10", func(s *siege) {
		alice, bob := track(s.alice, s.bob), &reader{User: s.bob}
		s.bob.UploadKeys()
		s.settle()
		s.follow(alice)
		s.knows(alice, s.bob)
		s.reads(bob)
		own, user := s.foothold.user, "/_matrix/federation/v1/user/devices"
		device := func(user id.UserID, device string, stream int64, prev string) canonjson.Value {
			keys := fmt.Sprintf(`{"user_id":%q,"device_id":%q,"algorithms":[],"keys":{"ed25519:%s":"x"},"signatures":{}}`, user, device, device)
			return edu("m.device_list_update", fmt.Sprintf(`{"user_id":%q,"device_id":%q,"stream_id":%d,"prev_id":%s,"keys":%s}`, user, device, stream, prev, keys))
		}
		message := func(sender, to, kind, messageID, content string) canonjson.Value {
			return edu("m.direct_to_device", fmt.Sprintf(`{"sender":%q,"type":%q,"message_id":%q,"messages":{%q:{"*":%s}}}`, sender, kind, messageID, to, content))
		}
		var many []canonjson.Value
		for i := range 90 {
			many = append(many, device(own, fmt.Sprint("D", i), int64(1)<<50+int64(7*i), fmt.Sprintf("[%d]", i)))
		}
		s.answer(user, says(fmt.Sprintf(`{"user_id":%q,"stream_id":1,"devices":[{"device_id":"D"},7]}`, own), 200))
		for what, edus := range map[string][]canonjson.Value{
			"messages of others":     {message(string(s.bob.ID), string(s.alice.ID), "m.test", "1", `{}`), message("@x:c.test", string(s.alice.ID), "m.test", "2", `{}`)},
			"a huge message":         {message(string(own), string(s.alice.ID), "m.test", "3", `{"x":"`+strings.Repeat("x", 200_000)+`"}`)},
			"a message deep":         {message(string(own), string(s.alice.ID), "m.test", "4", `{"x":`+deep(50)+`}`+"")},
			"messages without sense": {edu("m.direct_to_device", `{"messages":[]}`), edu("m.direct_to_device", `{}`), edu("m.direct_to_device", `7`)},
			"a long type":            {message(string(own), string(s.alice.ID), strings.Repeat("x", 1000), "5", `{}`)},
			"devices of others":      {device(s.bob.ID, "X", 1, "[]"), device(s.alice.ID, "X", 1, "[]"), device("@x:c.test", "X", 1, "[]")},
			"numbers beyond sense":   many,
			"no numbers":             {edu("m.device_list_update", fmt.Sprintf(`{"user_id":%q,"device_id":"D","stream_id":"x"}`, own))},
			"keys of others":         {edu("m.signing_key_update", fmt.Sprintf(`{"user_id":%q,"master_key":{"user_id":%q,"usage":["master"],"keys":{}}}`, s.bob.ID, s.bob.ID))},
			"keys without sense":     {edu("m.signing_key_update", fmt.Sprintf(`{"user_id":%q,"master_key":[]}`, own)), edu("m.signing_key_update", `[]`)},
		} {
			if status, answer := s.push(s.a, nil, edus); status != http.StatusOK {
				s.Errorf("%s: got %d %s", what, status, answer)
			}
			s.settle()
		}
		said := s.reads(alice.reader)
		if len(said) > 1 { // the deep one is a message like others
			s.Errorf("alice was told %q", said)
		}
		s.knows(alice, s.bob)
		time.Sleep(24 * time.Hour)
		if n := s.times(user); n > 40 {
			s.Errorf("the list was asked for %d times", n)
		}
		s.expect(bob)
	})
}

func TestAHostileServerCannotFillADevicesQueueWithOneMessage(t *testing.T) {
	besieged(t, "10", func(s *siege) {
		alice := &reader{User: s.alice}
		s.reads(alice)
		content := fmt.Sprintf(`{"sender":%q,"type":"m.test","message_id":"1","messages":{%q:{"*":{"body":"hello"}}}}`, s.foothold.user, s.alice.ID)
		for range 5 {
			s.push(s.a, nil, []canonjson.Value{edu("m.direct_to_device", content), edu("m.direct_to_device", content)})
		}
		s.settle()
		s.expect(alice, "hello")
	})
}
