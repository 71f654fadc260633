package fedtest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

// query asks for the keys of somebody.
func (s *stage) query(by, of *hstest.User) canonjson.Value {
	s.Helper()
	return by.Must("POST", path("keys", "query"), map[string]any{"device_keys": map[string][]string{string(of.ID): {}}})
}

// claimed claims a key of somebody's device, and returns its name and the answer.
func (s *stage) claimed(by, of *hstest.User) (string, canonjson.Value) {
	s.Helper()
	answer := by.Must("POST", path("keys", "claim"), map[string]any{"one_time_keys": map[string]any{
		string(of.ID): map[string]string{string(of.Device): "signed_curve25519", "UNKNOWN": "signed_curve25519"},
	}})
	for name := range answer.Get("one_time_keys").Get(string(of.ID)).Get(string(of.Device)).Members() {
		return strings.TrimPrefix(name.String(), "signed_curve25519:"), answer
	}
	return "", answer
}

func TestKeysAreGivenToOtherServers(t *testing.T) {
	scene(t, func(s *stage) {
		alice, b := s.Server("a.test").Register("alice"), s.Server("b.test")
		bob, carol := b.Register("bob"), b.Register("carol")
		bob.UploadKeys("A", "B")
		bob.Must("POST", path("keys", "upload"), canonjson.Value("{}").With("fallback_keys", bob.Keys().Fallback("F")))
		bob.Must("POST", path("keys", "device_signing", "upload"), bob.CrossSigning("1"))
		bob.Must("PUT", path("devices", string(bob.Device)), `{"display_name":"Bob's secret phone"}`)

		got := s.query(alice, bob)
		keys := got.Get("device_keys").Get(string(bob.ID)).Get(string(bob.Device))
		if string(keys) != string(bob.Keys().Sign(bob.Keys().Device())) {
			t.Errorf("alice sees device keys %s", keys)
		}
		for _, usage := range []string{"master", "self_signing"} {
			key := got.Get(usage + "_keys").Get(string(bob.ID))
			if string(key) != string(bob.CrossSigning("1").Get(usage+"_key")) {
				t.Errorf("alice sees %s key %s", usage, key)
			}
		}
		if key := got.Get("user_signing_keys").Get(string(bob.ID)); key != nil {
			t.Errorf("alice sees user-signing key %s", key)
		}

		alice.Must("POST", path("keys", "device_signing", "upload"), alice.CrossSigning("1"))
		master := bob.CrossKey("master", "1")
		signed := alice.CrossKey("user_signing", "1").Sign(master.Cross("master"))
		answer := alice.Must("POST", path("keys", "signatures", "upload"), map[string]any{string(bob.ID): map[string]any{master.Public(): signed}})
		if string(answer) != `{"failures":{}}` {
			t.Errorf("alice's signature: got %s", answer)
		}
		for viewer, want := range map[*hstest.User]string{alice: string(signed.Get("signatures")), carol: ""} {
			if got := string(s.query(viewer, bob).Get("master_keys").Get(string(bob.ID)).Get("signatures")); got != want {
				t.Errorf("%s sees signatures %s", viewer.ID, got)
			}
		}

		for _, want := range []struct {
			by  *hstest.User
			key string
		}{{alice, "AB"}, {carol, "AB"}, {alice, "F"}, {carol, "F"}} {
			if key, answer := s.claimed(want.by, bob); key == "" || !strings.Contains(want.key, key) {
				t.Errorf("%s gets %s, want a key of %s", want.by.ID, answer, want.key)
			}
		}
		if left := string(bob.Must("GET", path("sync"), nil).Get("device_unused_fallback_key_types")); left != "[]" {
			t.Errorf("bob has %s left", left)
		}
	})
}

func TestAServerThatIsAwayIsAFailure(t *testing.T) {
	scene(t, func(s *stage) {
		alice, b := s.Server("a.test").Register("alice"), s.Server("b.test")
		bob, carol := b.Register("bob"), s.Server("c.test").Register("carol")
		bob.UploadKeys("A")
		carol.UploadKeys("B")
		b.Kill()
		both := map[string]any{"device_keys": map[string][]string{string(bob.ID): {}, string(carol.ID): {}, "@x:nowhere.test": {}}}
		began := time.Now()
		answer := alice.Must("POST", path("keys", "query"), both)
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("it took %v", took)
		}
		if answer.Get("failures").Get("b.test") == nil || answer.Get("failures").Get("nowhere.test") == nil || answer.Get("failures").Get("c.test") != nil {
			t.Errorf("got failures %s", answer.Get("failures"))
		}
		if answer.Get("device_keys").Get(string(carol.ID)).Get(string(carol.Device)) == nil || answer.Get("device_keys").Get(string(bob.ID)) != nil {
			t.Errorf("got %s", answer)
		}
		if key, answer := s.claimed(alice, bob); key != "" || answer.Get("failures").Get("b.test") == nil {
			t.Errorf("got %s", answer)
		}
		b.Start()
		time.Sleep(time.Minute)
		if key, answer := s.claimed(alice, bob); key != "A" {
			t.Errorf("got %s when it was back", answer)
		}
	})
}

func TestAServerThatIsStartedAnewGivesItsKeys(t *testing.T) {
	for _, row := range []struct {
		name string
		away time.Duration // before alice asks
		back time.Duration // after she began to, below 0: before, unnoticed
		want string
	}{
		{"it is back while it is asked", 0, 2 * time.Second, "A"},
		{"it is back unnoticed", 0, -1, "A"},
		{"it was away for hours and is back unnoticed", 3 * time.Hour, -1, ""},
		{"it takes too long", 0, time.Minute, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			scene(t, func(s *stage) {
				alice, b := s.Server("a.test").Register("alice"), s.Server("b.test")
				bob := b.Register("bob")
				room := s.room(alice, `{"preset":"public_chat"}`)
				s.join(bob, room, "a.test")
				bob.UploadKeys("A")
				s.settle()
				b.Kill()
				s.say(alice, room, "are you there?")
				synctest.Wait() // until it is known that nobody is
				time.Sleep(row.away)
				back := make(chan struct{})
				if row.back < 0 {
					b.Start()
					close(back)
				} else {
					go func() {
						time.Sleep(row.back)
						b.Start()
						close(back)
					}()
				}
				began := time.Now()
				if key, answer := s.claimed(alice, bob); key != row.want {
					t.Errorf("got %s", answer)
				}
				if took := time.Since(began); took > 11*time.Second || row.away > 0 && took > time.Second {
					t.Errorf("it took %v", took)
				}
				<-back
			})
		})
	}
}

func TestServersAskForTheirOwnUsersOfNobodyElse(t *testing.T) {
	scene(t, func(s *stage) {
		a, b := s.Server("a.test"), s.Server("b.test")
		a.Register("alice").UploadKeys("A")
		for _, row := range []struct {
			uri, body string
			want      int
		}{
			{"query", `{"device_keys":{"@alice:a.test":[]}}`, 200},
			{"query", `{"device_keys":{"@nobody:a.test":["X"]}}`, 200},
			{"query", `{"device_keys":{"@alice:c.test":[]}}`, 400},
			{"query", `{"device_keys":[]}`, 400},
			{"query", `{}`, 400},
			{"claim", `{"one_time_keys":{"@alice:a.test":{"X":"signed_curve25519","Y":"rot13"}}}`, 200},
			{"claim", `{"one_time_keys":{"@alice:c.test":{"X":"signed_curve25519"}}}`, 400},
			{"claim", `{"one_time_keys":{"@alice:a.test":{"X":1}}}`, 400},
			{"claim", `{}`, 400},
		} {
			status, answer := b.Ask(a, "POST", "/_matrix/federation/v1/user/keys/"+row.uri, canonjson.Value(row.body))
			if status != row.want {
				t.Errorf("%s %s: got %d %s", row.uri, row.body, status, answer)
			}
		}
	})
}
