package fedtest

import (
	"crypto/ed25519"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/signing"
)

// warden is a policy server: a villain that signs what does not say spam. Its key for
// that is another one than its own.
type warden struct {
	*villain
	*foothold
	policy signing.Key
}

const signPath = "/_matrix/policy/v1/sign"

// guarded has a room of alice's with bob of another server in it, and a policy server.
func guarded(t *testing.T, version string, play func(s *stage, w *warden, alice, bob *hstest.User)) {
	t.Helper()
	scene(t, func(s *stage) {
		a := s.Server("a.test")
		alice, bob := a.Register("alice"), s.Server("b.test").Register("bob")
		key, err := signing.NewKey("ed25519:policy_server", []byte(strings.Repeat("p", 32)))
		if err != nil {
			t.Fatal(err)
		}
		w := &warden{villain: s.villain("policy.test"), policy: key}
		room := s.room(alice, fmt.Sprintf(`{"preset":"public_chat","room_version":%q}`, version))
		s.join(bob, room, "a.test")
		w.foothold = w.enter(a, room)
		w.answer(signPath, w.sign)
		s.settle()
		w.employ(alice, w.policy.Public())
		s.settle()
		play(s, w, alice, bob)
	})
}

// employ makes the warden the policy server of the room.
func (w *warden) employ(by *hstest.User, key ed25519.PublicKey) {
	w.Helper()
	w.set(by, w.id, "m.room.policy", "", fmt.Sprintf(`{"via":%q,"public_keys":{"ed25519":%q}}`, w.name, signing.EncodeBase64(key)))
}

func (w *warden) sign(out http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	pdu, err := canonjson.Canonical(body, canonjson.Strict)
	e, wrong := event.Parse(pdu, w.rules)
	switch {
	case err != nil || wrong != nil || r.Method != http.MethodPost || e.Type() == "m.room.policy":
		says(`{"errcode":"M_BAD_JSON","error":"not an event"}`, 400)(out, r)
	case strings.Contains(string(body), "spam"):
		says(`{"errcode":"M_FORBIDDEN","error":"no adverts here","org.example.rule":7}`, 400)(out, r)
	default:
		signature := e.Sign(w.name, w.policy).JSON().Get("signatures").Get(string(w.name)).Get(string(w.policy.ID))
		says(fmt.Sprintf(`{%q:{%q:%s}}`, w.name, w.policy.ID, string(signature)), 200)(out, r)
	}
}

// signedBy reports whether an event as a server has it has the warden's signature.
func (w *warden) signedBy(server, asked *hstest.Server, eventID string) bool {
	w.Helper()
	status, answer := server.Ask(asked, "GET", "/_matrix/federation/v1/event/"+eventID, nil)
	if status != 200 {
		w.Errorf("asking %s for %s: got %d %s", asked.Name, eventID, status, answer)
	}
	for pdu := range answer.Get("pdus").Elements() {
		return pdu.Get("signatures").Get(string(w.name)).Get(string(w.policy.ID)) != nil
	}
	return false
}

// seen reports whether somebody sees words in the room.
func (w *warden) seen(by *hstest.User, words string) bool {
	w.Helper()
	return strings.Contains(string(by.Must("GET", path("rooms", w.id, "messages")+"?dir=b&limit=50", nil).Get("chunk")), words)
}

func TestWhatIsSentIsSignedByThePolicyServer(t *testing.T) {
	for _, version := range []string{"1", "5", "10", "12"} {
		t.Run("version "+version, func(t *testing.T) {
			guarded(t, version, func(s *stage, w *warden, alice, bob *hstest.User) {
				before := w.times(signPath)
				for i, u := range []*hstest.User{alice, bob} {
					hello := s.say(u, w.id, "hello")
					s.settle()
					for _, other := range []*hstest.User{alice, bob} {
						s.hears(other, w.id, hello, "hello")
					}
					if asked := w.times(signPath) - before; asked != i+1 {
						t.Errorf("the policy server was asked %d times for %d events", asked, i+1)
					}
					if !w.signedBy(alice.Server, bob.Server, hello) || !w.signedBy(bob.Server, alice.Server, hello) {
						t.Errorf("the event of %s lacks the signature", u.ID)
					}
				}
				s.set(alice, w.id, "m.room.topic", "", `{"topic":"clean"}`)
				s.settle()
				s.agree(w.id, alice, bob)
			})
		})
	}
}

func TestWhatThePolicyServerRefusesIsNotSent(t *testing.T) {
	guarded(t, "10", func(s *stage, w *warden, alice, bob *hstest.User) {
		send := path("rooms", w.id, "send", "m.room.message", "1")
		status, answer := alice.Do("PUT", send, `{"msgtype":"m.text","body":"spam"}`)
		if status != 400 || !answer.Get("errcode").Is("M_FORBIDDEN") || !answer.Get("error").Is("no adverts here") || string(answer.Get("org.example.rule")) != "7" {
			t.Errorf("alice gets %d %s, want what the policy server says", status, answer)
		}
		s.settle()
		if w.seen(alice, "spam") || w.seen(bob, "spam") {
			t.Error("it is sent all the same")
		}
		// The same request may succeed later, and counts once.
		first := alice.Must("PUT", send, `{"msgtype":"m.text","body":"sorry"}`)
		second := alice.Must("PUT", send, `{"msgtype":"m.text","body":"sorry"}`)
		if text(first, "event_id") != text(second, "event_id") {
			t.Errorf("sent twice: %s, %s", first, second)
		}
		if said := alice.Must("GET", path("rooms", w.id, "event", text(first, "event_id")), nil); text(said, "unsigned", "transaction_id") != "1" {
			t.Errorf("alice's client does not know its own event: %s", said)
		}
	})
}

func TestNothingIsSentWhileThePolicyServerIsSilent(t *testing.T) {
	for name, with := range map[string]http.HandlerFunc{
		"slow": slow, "endless": endless, "a fault": says(`{}`, 500), "nothing": says(`{}`, 200), "a list": says(`[1]`, 200),
		"a signature that is none":        says(`{"policy.test":{"ed25519:policy_server":"AAAA"}}`, 200),
		"the signature of something else": says(`{"policy.test":{"ed25519:policy_server":"`+strings.Repeat("A", 86)+`"}}`, 200),
		"what ends sessions":              says(`{"errcode":"M_UNKNOWN_TOKEN","error":"log out","soft_logout":true}`, 401),
		"no policy server":                says(`{"errcode":"M_UNRECOGNIZED","error":"what?"}`, 404),
	} {
		t.Run(name, func(t *testing.T) {
			guarded(t, "10", func(s *stage, w *warden, alice, bob *hstest.User) {
				other := s.room(alice, `{"preset":"public_chat"}`)
				s.join(bob, other, "a.test")
				w.answer(signPath, with)
				status, answer := alice.Do("PUT", path("rooms", w.id, "send", "m.room.message", "1"), `{"msgtype":"m.text","body":"lost"}`)
				if status != 403 && status != 404 || answer.Get("errcode").Is("M_UNKNOWN_TOKEN") {
					t.Errorf("alice gets %d %s", status, answer)
				}
				hello := s.say(alice, other, "elsewhere")
				s.settle()
				s.hears(bob, other, hello, "elsewhere")
				// The room can do without it at any time.
				s.set(alice, w.id, "m.room.policy", "", `{}`)
				free := s.say(alice, w.id, "free")
				s.settle()
				s.hears(bob, w.id, free, "free")
				if w.seen(bob, "lost") {
					t.Error("it was sent all the same")
				}
			})
		})
	}
}

func TestThePolicyServerIsAskedAboutWhatComesWithoutItsSignature(t *testing.T) {
	for _, version := range []string{"1", "10", "12"} {
		t.Run("version "+version, func(t *testing.T) {
			guarded(t, version, func(s *stage, w *warden, alice, bob *hstest.User) {
				evil := s.villain("evil.test")
				w.answer(signPath, w.sign)
				f := evil.enter(alice.Server, w.id)
				s.settle()
				forged, _ := signing.NewKey(w.policy.ID, []byte(strings.Repeat("f", 32)))
				good, bad := evil.complete(f, f.draft("well meant")), evil.complete(f, f.draft("this is spam"))
				for _, pdu := range []canonjson.Value{good.Sign(w.name, forged).JSON(), bad.JSON(), bad.Sign(w.name, forged).JSON()} {
					if status, answer := evil.push(alice.Server, []canonjson.Value{pdu}, nil); status != 200 {
						t.Errorf("got %d %s", status, answer)
					}
				}
				s.settle()
				if !w.seen(alice, "well meant") || w.seen(alice, "this is spam") {
					t.Error("alice sees what the policy server refuses, or not what it signs")
				}
				if !w.signedBy(bob.Server, alice.Server, string(good.ID())) {
					t.Error("the signature is not kept")
				}
				asked := w.times(signPath)
				evil.push(alice.Server, []canonjson.Value{bad.JSON()}, nil)
				s.settle()
				if w.times(signPath) != asked {
					t.Error("the policy server is asked again about what it has refused")
				}
				hello := s.say(alice, w.id, "we go on")
				s.settle()
				s.hears(bob, w.id, hello, "we go on")
				s.agree(w.id, alice, bob)
			})
		})
	}
}

func TestWhatComesWhileThePolicyServerIsDownIsNotShown(t *testing.T) {
	guarded(t, "10", func(s *stage, w *warden, alice, bob *hstest.User) {
		evil := s.villain("evil.test")
		f := evil.enter(alice.Server, w.id)
		other := s.room(alice, `{"preset":"public_chat"}`)
		s.join(bob, other, "a.test")
		s.settle()
		w.answer(signPath, slow)
		evil.push(alice.Server, []canonjson.Value{evil.complete(f, f.draft("unheard")).JSON()}, nil)
		// What has its signature does not wait for the policy server to come back, and
		// neither do other rooms.
		for range 3 {
			hello := s.say(bob, other, "meanwhile")
			s.settle()
			s.hears(alice, other, hello, "meanwhile")
		}
		time.Sleep(time.Hour)
		if w.seen(alice, "unheard") {
			t.Error("alice sees it")
		}
	})
}

func TestAPolicyServerThatIsNotInTheRoomHasNoSay(t *testing.T) {
	guarded(t, "10", func(s *stage, w *warden, alice, bob *hstest.User) {
		w.answer(signPath, w.sign)
		alice.Must("POST", path("rooms", w.id, "kick"), map[string]string{"user_id": string(w.user)})
		s.settle()
		before := w.times(signPath)
		hello := s.say(alice, w.id, "spam for all")
		s.settle()
		s.hears(bob, w.id, hello, "spam for all")
		if w.times(signPath) != before {
			t.Error("it was asked")
		}
		for _, content := range []string{`{}`, `{"via":1}`, `{"via":"b.test"}`, `{"via":"b.test","public_keys":{"ed25519":1}}`, `{"via":"b.test","public_keys":{"ed25519":"AAAA"}}`} {
			s.set(alice, w.id, "m.room.policy", "", content)
			s.say(alice, w.id, "more spam")
		}
	})
}

func TestWhoComesInIsLookedAtByThePolicyServer(t *testing.T) {
	guarded(t, "10", func(s *stage, w *warden, alice, bob *hstest.User) {
		c := s.Server("c.test")
		carol := c.Register("carol")
		s.join(carol, w.id, "a.test")
		s.settle()
		s.agree(w.id, alice, bob, carol)
		hello := s.say(carol, w.id, "hello")
		s.settle()
		s.hears(bob, w.id, hello, "hello")
		spammer := s.Server("spam.test").Register("spammer")
		if status, answer := spammer.Do("POST", path("join", w.id)+"?via=a.test", `{}`); status != 403 {
			t.Errorf("the spammer gets %d %s", status, answer)
		}
		s.settle()
		s.agree(w.id, alice, bob, carol)
	})
}

func TestAPolicyServerThatChangesItsKeyIsAskedAnew(t *testing.T) {
	guarded(t, "10", func(s *stage, w *warden, alice, bob *hstest.User) {
		s.say(alice, w.id, "by the old key")
		w.policy, _ = signing.NewKey(w.policy.ID, []byte(strings.Repeat("q", 32)))
		if status, _ := alice.Do("PUT", path("rooms", w.id, "send", "m.room.message", "x"), `{"msgtype":"m.text","body":"between"}`); status != 403 {
			t.Errorf("got %d for an event that is signed with a key of which the room does not know", status)
		}
		w.employ(alice, w.policy.Public())
		hello := s.say(alice, w.id, "by the new key")
		s.settle()
		s.hears(bob, w.id, hello, "by the new key")
	})
}

func TestAGuardedRoomIsUpgraded(t *testing.T) {
	guarded(t, "10", func(s *stage, w *warden, alice, bob *hstest.User) {
		next := text(alice.Must("POST", path("rooms", w.id, "upgrade"), `{"new_version":"12"}`), "replacement_room")
		s.settle()
		tomb := bob.Must("GET", path("rooms", w.id, "state", "m.room.tombstone", ""), nil)
		if text(tomb, "replacement_room") != next {
			t.Errorf("bob sees %s", tomb)
		}
		s.agree(w.id, alice, bob)
		s.join(bob, next, "a.test")
	})
}

func TestAnInviteIntoAGuardedRoomIsSigned(t *testing.T) {
	guarded(t, "10", func(s *stage, w *warden, alice, bob *hstest.User) {
		carol := s.Server("c.test").Register("carol")
		alice.Must("POST", path("rooms", w.id, "invite"), map[string]string{"user_id": string(carol.ID)})
		s.settle()
		invite := s.state(bob, w.id)["m.room.member "+string(carol.ID)]
		if invite == "" || !w.signedBy(alice.Server, bob.Server, invite) {
			t.Errorf("the invite %s lacks the signature", invite)
		}
		status, answer := alice.Do("POST", path("rooms", w.id, "invite"), map[string]string{"user_id": string(carol.ID), "reason": "spam"})
		if status != 400 || !answer.Get("error").Is("no adverts here") {
			t.Errorf("got %d %s", status, answer)
		}
	})
}

// TestWhatIsSentLaterIsSignedByThePolicyServer when its time comes, and what that
// refuses is an error of the delayed event; both are known after a restart.
func TestWhatIsSentLaterIsSignedByThePolicyServer(t *testing.T) {
	guarded(t, "10", func(s *stage, w *warden, alice, bob *hstest.User) {
		later := func(txn, body string) string {
			return text(alice.Must("PUT", path("rooms", w.id, "delayed_event", "m.room.message", txn), `{"delay_ms":60000,"content":{"msgtype":"m.text","body":"`+body+`"}}`), "delay_id")
		}
		of := func(delayID string) canonjson.Value {
			return alice.Must("GET", "/_matrix/client/v1/delayed_events/"+delayID, nil)
		}
		hello, spam := later("1", "hello"), later("2", "spam")
		time.Sleep(2 * time.Minute)
		s.settle()
		sent := text(of(hello), "event_id")
		if sent == "" || !w.signedBy(bob.Server, alice.Server, sent) {
			t.Fatalf("the event is %s, without the signature", of(hello))
		}
		s.hears(bob, w.id, sent, "hello")
		if refused := of(spam); text(refused, "error", "errcode") != "M_FORBIDDEN" || refused.Get("event_id") != nil || w.seen(alice, "spam") {
			t.Errorf("what is refused is %s", refused)
		}
		alice.Server.Restart()
		time.Sleep(5 * time.Minute)
		if again := text(of(hello), "event_id"); again != sent || w.times(signPath) > 20 {
			t.Errorf("after a restart the event is %s, not %s", again, sent)
		}
	})
}
