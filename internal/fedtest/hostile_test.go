package fedtest

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/signing"
)

// siege is a villain in a room of alice's, and bob of a third server, who is in the
// room and in another one with alice.
type siege struct {
	*villain
	a, b       *hstest.Server
	alice, bob *hstest.User
	room       string
	elsewhere  string
	foothold   *foothold
}

func besieged(t *testing.T, version string, play func(s *siege)) {
	t.Helper()
	scene(t, func(st *stage) {
		s := &siege{villain: st.villain("evil.test"), a: st.Server("a.test"), b: st.Server("b.test")}
		s.alice, s.bob = s.a.Register("alice"), s.b.Register("bob")
		s.room = st.room(s.alice, fmt.Sprintf(`{"preset":"public_chat","room_version":%q}`, version))
		s.elsewhere = st.room(s.alice, fmt.Sprintf(`{"preset":"public_chat","room_version":%q}`, version))
		s.join(s.bob, s.room, "a.test")
		s.join(s.bob, s.elsewhere, "a.test")
		s.settle()
		s.foothold = s.enter(s.a, s.room)
		s.settle()
		play(s)
		s.goesOn()
	})
}

// goesOn fails unless alice and bob go on as if nothing was.
func (s *siege) goesOn() {
	s.Helper()
	for _, room := range []string{s.room, s.elsewhere} {
		hello := s.say(s.alice, room, "hello")
		s.settle()
		s.hears(s.bob, room, hello, "hello")
		answer := s.say(s.bob, room, "hello yourself")
		s.settle()
		s.hears(s.alice, room, answer, "hello yourself")
		s.agree(room, s.alice, s.bob)
	}
}

// shown returns what alice sees of a room's history.
func (s *siege) shown(room string) string {
	s.Helper()
	return string(s.alice.Must("GET", path("rooms", room, "messages")+"?dir=b&limit=50", nil).Get("chunk"))
}

func deep(levels int) string {
	return strings.Repeat(`{"a":`, levels) + "1" + strings.Repeat("}", levels)
}

// evil are events that must not be shown to anybody. What they say has the word
// secret in it.
var evil = map[string]func(s *siege) canonjson.Value{
	"a signature by another key": func(s *siege) canonjson.Value {
		other, _ := signing.NewKey(s.key.ID, []byte(strings.Repeat("x", 32)))
		e, _ := event.Complete(s.foothold.draft("secret"), s.foothold.rules, s.name, other)
		return e.JSON()
	},
	"no signature": func(s *siege) canonjson.Value {
		return s.complete(s.foothold, s.foothold.draft("secret")).JSON().With("signatures", canonjson.Value("{}"))
	},
	"a signature that is no text": func(s *siege) canonjson.Value {
		return s.complete(s.foothold, s.foothold.draft("secret")).JSON().With("signatures", canonjson.Value(`{"evil.test":{"ed25519:v":[1]}}`))
	},
	"the words of somebody of another server": func(s *siege) canonjson.Value {
		return s.complete(s.foothold, s.foothold.draft("secret").With("sender", canonjson.Text(string(s.alice.ID)))).JSON()
	},
	"a content that is not what was signed": func(s *siege) canonjson.Value {
		return s.complete(s.foothold, s.foothold.draft("said")).JSON().With("content", canonjson.Value(`{"body":"secret","msgtype":"m.text"}`))
	},
	"auth events of another room": func(s *siege) canonjson.Value {
		other := s.enter(s.a, s.elsewhere)
		return s.complete(s.foothold, s.foothold.draft("secret").With("auth_events", other.refs(other.create, other.state["m.room.power_levels "], other.join))).JSON()
	},
	"auth events that nobody has": func(s *siege) canonjson.Value {
		return s.complete(s.foothold, s.foothold.draft("secret").With("auth_events", canonjson.Value(`["$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]`))).JSON()
	},
	"no auth events": func(s *siege) canonjson.Value {
		return s.complete(s.foothold, s.foothold.draft("secret").With("auth_events", canonjson.Value(`[]`))).JSON()
	},
	"nothing that it follows": func(s *siege) canonjson.Value {
		return s.complete(s.foothold, s.foothold.draft("secret").With("prev_events", canonjson.Value(`[]`))).JSON()
	},
	"what nobody has before it": func(s *siege) canonjson.Value {
		return s.complete(s.foothold, s.foothold.draft("secret").With("prev_events", canonjson.Value(`["$BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]`))).JSON()
	},
	"a hundred thousand events before it": func(s *siege) canonjson.Value {
		return s.forged(s.foothold.draft("secret").With("prev_events", canonjson.Value("["+strings.Repeat(`"$a",`, 100_000)+`"$a"]`)))
	},
	"very deep JSON": func(s *siege) canonjson.Value {
		object := string(s.foothold.draft("secret"))
		return canonjson.Value(strings.Replace(object, `"body":`, `"abyss":`+deep(20_000)+`,"body":`, 1))
	},
	"more than an event may have": func(s *siege) canonjson.Value {
		return s.forged(s.foothold.draft("secret" + strings.Repeat("!", 70_000)))
	},
	"a list for a content": func(s *siege) canonjson.Value {
		return s.forged(s.foothold.draft("").With("content", canonjson.Value(`["secret"]`)))
	},
	"a depth that is none": func(s *siege) canonjson.Value {
		return s.forged(s.foothold.draft("secret").With("depth", canonjson.Value(`-1`)))
	},
	"a number for a type": func(s *siege) canonjson.Value {
		return s.forged(s.foothold.draft("secret").With("type", canonjson.Value(`1`)))
	},
	"another beginning of the room": func(s *siege) canonjson.Value {
		return s.complete(s.foothold, s.foothold.draft("").With("type", canonjson.Text("m.room.create")).With("state_key", canonjson.Text("")).
			With("content", canonjson.Value(`{"creator":"@mallory:evil.test","secret":1}`)).
			With("prev_events", canonjson.Value(`[]`)).With("auth_events", canonjson.Value(`[]`))).JSON()
	},
	"power that it does not have": func(s *siege) canonjson.Value {
		return s.complete(s.foothold, s.foothold.draft("").With("type", canonjson.Text("m.room.power_levels")).With("state_key", canonjson.Text("")).
			With("content", canonjson.Value(`{"secret":1,"users":{"@mallory:evil.test":100}}`))).JSON()
	},
	"the leave of somebody else": func(s *siege) canonjson.Value {
		return s.complete(s.foothold, s.foothold.draft("").With("type", canonjson.Text("m.room.member")).
			With("state_key", canonjson.Text(string(s.alice.ID))).With("content", canonjson.Value(`{"membership":"leave","reason":"secret"}`))).JSON()
	},
	"a room that it is not in": func(s *siege) canonjson.Value {
		return s.complete(s.foothold, s.foothold.draft("secret").With("room_id", canonjson.Text(s.elsewhere))).JSON()
	},
}

func TestEvilEventsAreNotShown(t *testing.T) {
	besieged(t, "10", func(s *siege) {
		state := s.state(s.alice, s.room)
		for name, make := range evil {
			want := 200
			if name == "very deep JSON" {
				want = 400 // nothing that is around it can be read either
			}
			if status, answer := s.push(s.a, []canonjson.Value{make(s)}, nil); status != want {
				t.Errorf("one with %s: got %d %s", name, status, answer)
			}
			time.Sleep(time.Minute)
			for _, room := range []string{s.room, s.elsewhere} {
				if shown := s.shown(room); strings.Contains(shown, "secret") {
					t.Errorf("after one with %s alice sees %s", name, shown)
				}
			}
			if got := s.state(s.alice, s.room); !maps.Equal(got, state) {
				t.Errorf("after one with %s the state is %v, was %v", name, got, state)
			}
		}
		good := s.complete(s.foothold, s.foothold.draft("a good one")).JSON()
		s.push(s.a, []canonjson.Value{good}, nil)
		if shown := s.shown(s.room); !strings.Contains(shown, "a good one") {
			t.Errorf("alice sees %s", shown)
		}
	})
}

func TestWhatIsSentAgainComesOnce(t *testing.T) {
	besieged(t, "10", func(s *siege) {
		pdu := s.complete(s.foothold, s.foothold.draft("once")).JSON()
		for range 3 {
			if status, answer := s.push(s.a, []canonjson.Value{pdu, pdu}, nil); status != 200 {
				t.Errorf("got %d %s", status, answer)
			}
		}
		s.settle()
		if n := strings.Count(s.shown(s.room), `"once"`); n != 1 {
			t.Errorf("alice sees it %d times", n)
		}
	})
}

func TestEDUsAboutOthersAreDropped(t *testing.T) {
	besieged(t, "10", func(s *siege) {
		hello := s.say(s.alice, s.room, "read me")
		since := text(s.sync(s.alice), "next_batch")
		var edus []canonjson.Value
		for _, edu := range []string{
			`{"edu_type":"m.typing","content":{"room_id":%[1]q,"typing":true,"user_id":"@bob:b.test"}}`,
			`{"edu_type":"m.typing","content":{"room_id":%[2]q,"typing":true,"user_id":"@mallory:evil.test"}}`,
			`{"edu_type":"m.typing","content":{"room_id":1,"typing":{},"user_id":[]}}`,
			`{"edu_type":"m.receipt","content":{%[1]q:{"m.read":{"@bob:b.test":{"data":{"ts":1},"event_ids":[%[3]q]}}}}}`,
			`{"edu_type":"m.receipt","content":{%[2]q:{"m.read":{"@mallory:evil.test":{"data":{"ts":1},"event_ids":[%[3]q]}}}}}`,
			`{"edu_type":"m.receipt","content":{%[1]q:[1,2,3],"":{},"x":null}}`,
			`{"edu_type":"m.presence","content":{"push":[{"presence":"online","user_id":"@bob:b.test","last_active_ago":1}]}}`,
			`{"edu_type":"m.presence","content":{"push":"x"}}`,
			`{"edu_type":"m.direct_to_device","content":{"sender":"@bob:b.test","type":"x","message_id":"1","messages":{"@alice:a.test":{"*":{"secret":1}}}}}`,
			`{"edu_type":"m.device_list_update","content":{"user_id":"@bob:b.test","device_id":"X","stream_id":1}}`,
			`{"edu_type":"m.signing_key_update","content":{"user_id":"@bob:b.test"}}`,
			`{"edu_type":7,"content":[]}`, `{}`, `{"edu_type":"m.unheard.of","content":` + deep(50) + `}`,
		} {
			if strings.Contains(edu, "%[") {
				edu = fmt.Sprintf(edu+"%[4]s", s.room, s.elsewhere, hello, "")
			}
			edus = append(edus, canonjson.Value(edu))
		}
		if status, answer := s.push(s.a, nil, edus); status != 200 {
			t.Errorf("got %d %s", status, answer)
		}
		s.settle()
		next := string(s.alice.Must("GET", path("sync")+"?since="+since, nil))
		for _, word := range []string{"m.typing", "m.receipt", "@mallory", "secret", `"@bob:b.test"`} {
			if strings.Contains(next, word) {
				t.Errorf("alice's sync has %s: %s", word, next)
			}
		}
	})
}

func TestRequestsWithBadSignaturesAreRefused(t *testing.T) {
	uri := "/_matrix/federation/v1/send/1"
	for name, change := range map[string]func(*siege){
		"keys that are not valid any more": func(s *siege) {
			s.answer("/_matrix/key/v2/server", s.keys(func(o canonjson.Value) canonjson.Value { return o.With("valid_until_ts", canonjson.Value("1000")) }))
		},
		"keys of another server": func(s *siege) {
			s.answer("/_matrix/key/v2/server", s.keys(func(o canonjson.Value) canonjson.Value { return o.With("server_name", canonjson.Text("b.test")) }))
		},
		"keys that it says were expired": func(s *siege) {
			s.answer("/_matrix/key/v2/server", s.keys(func(o canonjson.Value) canonjson.Value {
				return o.With("verify_keys", canonjson.Value("{}")).With("old_verify_keys", o.Get("verify_keys"))
			}))
		},
		"keys that are nothing": func(s *siege) {
			s.answer("/_matrix/key/v2/server", says(`{"verify_keys":{"ed25519:v":{"key":"!!"}}}`, 200))
		},
		"keys without an end":       func(s *siege) { s.answer("/_matrix/key/v2/server", endless) },
		"keys that are very deep":   func(s *siege) { s.answer("/_matrix/key/v2/server", says(deep(100_000), 200)) },
		"keys that come too slowly": func(s *siege) { s.answer("/_matrix/key/v2/server", slow) },
	} {
		t.Run(name, func(t *testing.T) {
			scene(t, func(st *stage) {
				s := &siege{villain: st.villain("evil.test"), a: st.Server("a.test")}
				change(s)
				if status, answer := s.ask(s.a, "PUT", uri, canonjson.Value(`{"edus":[],"origin":"evil.test","origin_server_ts":1,"pdus":[]}`)); status != 401 {
					t.Errorf("got %d %s, want 401", status, answer)
				}
			})
		})
	}
	scene(t, func(st *stage) {
		s := st.villain("evil.test")
		a := st.Server("a.test")
		for _, header := range []string{
			"", "X-Matrix", `X-Matrix origin="b.test",destination="a.test",key="ed25519:v",sig="AAAA"`,
			`X-Matrix origin="a.test",destination="a.test",key="ed25519:v",sig="AAAA"`, `X-Matrix origin="evil.test",key="` + strings.Repeat("x", 10_000) + `"`,
			"X-Matrix " + strings.Repeat(`origin="evil.test",`, 300),
		} {
			if status, answer := s.send(a, "PUT", uri, header, `{}`); status != 401 && status != 431 {
				t.Errorf("%.60s: got %d %s", header, status, answer)
			}
		}
	})
}

// endless answers without an end, until the other side has enough.
func endless(w http.ResponseWriter, r *http.Request) {
	io.WriteString(w, `{"pdus":[`)
	chunk := strings.Repeat(`{"a":"`+strings.Repeat("x", 1000)+`"},`, 64)
	for range 1 << 14 { // a gigabyte
		if _, err := io.WriteString(w, chunk); err != nil {
			return
		}
	}
}

// slow answers a byte in a minute.
func slow(w http.ResponseWriter, r *http.Request) {
	for {
		if _, err := io.WriteString(w, " "); err != nil {
			return
		}
		w.(http.Flusher).Flush()
		select {
		case <-time.After(time.Minute):
		case <-r.Context().Done():
			return
		}
	}
}

// answersOf are how a villain may answer what it is asked about a room.
func answersOf(s *siege) map[string]http.HandlerFunc {
	f := s.foothold
	secret := s.complete(f, f.draft("secret").With("auth_events", canonjson.Value("[]")))
	return map[string]http.HandlerFunc{
		"without an end": endless, "slowly": slow, "with a fault": says(`{}`, 500), "with no JSON": says(`<html>`, 200), "with another shape": says(`[1,2]`, 200),
		"with deep JSON":           says(`{"pdus":`+deep(100_000)+`}`, 200),
		"with nothing":             says(`{"events":[],"pdus":[],"pdu_ids":[],"auth_chain":[],"auth_chain_ids":[]}`, 200),
		"with what is not allowed": says(fmt.Sprintf(`{"events":[%[1]s],"pdus":[%[1]s],"pdu_ids":[%[2]q],"auth_chain":[%[1]s],"auth_chain_ids":[%[2]q]}`, secret.JSON(), secret.ID()), 200),
		"with a state that contradicts itself": says(fmt.Sprintf(`{"events":[],"pdus":[%[1]s,%[2]s],"pdu_ids":[%[3]q,%[4]q,%[3]q],"auth_chain":[],"auth_chain_ids":[]}`,
			f.join.JSON(), f.create.JSON(), f.join.ID(), f.create.ID()), 200),
		"with a hundred thousand names": says(`{"events":[],"pdus":[],"pdu_ids":[`+strings.TrimSuffix(strings.Repeat(`"$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",`, 100_000), ",")+`],"auth_chain_ids":[]}`, 200),
	}
}

func TestHostileAnswersHarmNobody(t *testing.T) {
	besieged(t, "10", func(s *siege) {
		for name, with := range answersOf(s) {
			s.answer("/_matrix/federation/v1", with)
			before := s.times("/_matrix/federation/v1")
			lost := s.complete(s.foothold, s.foothold.draft("never sent"))
			pdu := s.complete(s.foothold, s.foothold.draft("about one that is lost").With("prev_events", s.foothold.refs(lost))).JSON()
			if status, answer := s.push(s.a, []canonjson.Value{pdu}, nil); status != 200 {
				t.Errorf("%s: got %d %s", name, status, answer)
			}
			// At once, and while the server is at it.
			for range 3 {
				hello := s.say(s.alice, s.elsewhere, "meanwhile")
				s.settle()
				s.hears(s.bob, s.elsewhere, hello, "meanwhile")
			}
			time.Sleep(time.Hour)
			if s.times("/_matrix/federation/v1") == before {
				t.Errorf("%s: the villain was not asked", name)
			}
			if state := s.state(s.alice, s.room); state["m.room.member "+string(s.alice.ID)] == "" {
				t.Errorf("%s: the state is %v", name, state)
			}
			if shown := s.shown(s.room); strings.Contains(shown, "secret") {
				t.Errorf("%s: alice sees %s", name, shown)
			}
			var m runtime.MemStats
			runtime.GC()
			if runtime.ReadMemStats(&m); m.HeapAlloc > 1<<29 {
				t.Errorf("%s: %d MiB are in use", name, m.HeapAlloc>>20)
			}
		}
	})
}

func TestHistoryOfAVillainHarmsNobody(t *testing.T) {
	besieged(t, "10", func(s *siege) {
		for name, with := range answersOf(s) {
			s.answer("/_matrix/federation/v1/backfill", with)
			before := s.times("/_matrix/federation/v1/backfill")
			lost := s.complete(s.foothold, s.foothold.draft("never sent"))
			s.answer("/_matrix/federation/v1/state_ids", says(fmt.Sprintf(`{"pdu_ids":[%q,%q],"auth_chain_ids":[]}`, s.foothold.create.ID(), s.foothold.join.ID()), 200))
			pdu := s.complete(s.foothold, s.foothold.draft("behind a gap").With("prev_events", s.foothold.refs(lost))).JSON()
			if status, answer := s.push(s.a, []canonjson.Value{pdu}, nil); status != 200 {
				t.Errorf("%s: got %d %s", name, status, answer)
			}
			s.settle()
			if shown := s.shown(s.room); strings.Contains(shown, "secret") {
				t.Errorf("%s: alice sees %s", name, shown)
			}
			if s.times("/_matrix/federation/v1/backfill") == before {
				t.Errorf("%s: the villain was not asked", name)
			}
		}
	})
}

func TestCirclesInOldRoomsEnd(t *testing.T) {
	besieged(t, "1", func(s *siege) {
		f := s.foothold
		ids := []string{"$x:evil.test", "$y:evil.test"}
		var pdus []canonjson.Value
		for i, eventID := range ids {
			other := canonjson.Value(fmt.Sprintf(`[[%q,{"sha256":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]]`, ids[1-i]))
			pdus = append(pdus, s.complete(f, f.draft("secret").With("event_id", canonjson.Text(eventID)).With("prev_events", other).With("auth_events", other)).JSON())
		}
		all := fmt.Sprintf(`{"events":[%[1]s,%[2]s],"pdus":[%[1]s,%[2]s],"pdu_ids":["$x:evil.test","$y:evil.test"],"auth_chain":[%[1]s,%[2]s],"auth_chain_ids":["$x:evil.test","$y:evil.test"]}`, pdus[0], pdus[1])
		s.answer("/_matrix/federation/v1", says(all, 200))
		if status, answer := s.push(s.a, pdus, nil); status != 200 {
			t.Errorf("got %d %s", status, answer)
		}
		time.Sleep(10 * time.Minute)
		if s.times("/_matrix/federation/v1") == 0 {
			t.Error("the villain was not asked")
		}
		if shown := s.shown(s.room); strings.Contains(shown, "secret") {
			t.Errorf("alice sees %s", shown)
		}
	})
}

func TestAVillainLetsSomebodyIn(t *testing.T) {
	type change struct {
		name string
		make func(s *siege, state, chain string) string
	}
	says0 := func(answer string) func(*siege, string, string) string {
		return func(*siege, string, string) string { return answer }
	}
	changes := []change{
		{"without a state", says0(`{"state":[],"auth_chain":[],"event":null}`)},
		{"with no JSON", says0(`<html>`)},
		{"with a list", says0(`[]`)},
		{"with numbers", says0(`{"state":[1,2],"auth_chain":7}`)},
		{"with deep JSON", says0(`{"state":` + deep(100_000) + `}`)},
		{"with half of it", func(_ *siege, state, chain string) string {
			return `{"auth_chain":` + chain + `,"state":` + state[:len(state)/2]
		}},
		{"with two beginnings", func(s *siege, state, chain string) string {
			e := s.complete(s.foothold, s.foothold.draft("").With("type", canonjson.Text("m.room.create")).With("state_key", canonjson.Text("")).
				With("content", canonjson.Value(`{"creator":"@mallory:evil.test"}`)).
				With("prev_events", canonjson.Value(`[]`)).With("auth_events", canonjson.Value(`[]`)))
			return `{"auth_chain":` + chain + `,"state":` + strings.TrimSuffix(state, "]") + "," + string(e.JSON()) + "]}"
		}},
		{"with a forged state", func(s *siege, state, chain string) string {
			e := s.complete(s.foothold, s.foothold.draft("").With("type", canonjson.Text("m.room.power_levels")).With("state_key", canonjson.Text("")).
				With("content", canonjson.Value(`{"users":{"@mallory:evil.test":100}}`)))
			return `{"auth_chain":` + chain + `,"state":` + strings.TrimSuffix(state, "]") + "," + string(e.JSON()) + "]}"
		}},
	}
	besieged(t, "10", func(s *siege) {
		carol := s.Server("c.test").Register("carol")
		_, made := s.ask(s.a, "GET", "/_matrix/federation/v1/make_join/"+s.room+"/@mallory:evil.test?ver=10", nil)
		template := made.Get("event").With("sender", canonjson.Text(string(carol.ID))).With("state_key", canonjson.Text(string(carol.ID)))
		s.answer("/_matrix/federation/v1/make_join", says(string(canonjson.Value("{}").With("event", template).With("room_version", canonjson.Text("10"))), 200))
		var parts []string
		for _, e := range s.foothold.state {
			parts = append(parts, string(e.JSON()))
		}
		state := "[" + strings.Join(parts, ",") + "]"
		for _, c := range changes {
			s.answer("/_matrix/federation/v2/send_join", says(c.make(s, state, state), 200))
			// The villain is asked first. Then there is the server that made the room.
			before := s.times("/_matrix/federation/v2/send_join")
			s.join(carol, s.room, "evil.test")
			if s.times("/_matrix/federation/v2/send_join") == before {
				t.Errorf("%s: the villain was not asked", c.name)
			}
			if levels := carol.Must("GET", path("rooms", s.room, "state", "m.room.power_levels", ""), nil); strings.Contains(string(levels), "mallory") {
				t.Errorf("%s: carol believes %s", c.name, levels)
			}
			s.settle()
			carol.Must("POST", path("rooms", s.room, "leave"), `{}`)
			s.settle()
		}
	})
}

func TestNobodyComesIntoARoomThatIsNone(t *testing.T) {
	scene(t, func(st *stage) {
		s, carol := st.villain("evil.test"), st.Server("c.test").Register("carol")
		template := fmt.Sprintf(`{"auth_events":[],"content":{"membership":"join"},"depth":1,"prev_events":[],"room_id":"!hell:evil.test","sender":%[1]q,"state_key":%[1]q,"type":"m.room.member"}`, carol.ID)
		s.answer("/_matrix/federation/v1/make_join", says(`{"event":`+template+`,"room_version":"10"}`, 200))
		for _, answer := range []string{`{}`, `[]`, `{"state":[{}],"auth_chain":[{}]}`, `{"state":[` + template + `],"auth_chain":[]}`} {
			s.answer("/_matrix/federation/v2/send_join", says(answer, 200))
			status, said := carol.Do("POST", path("join", "!hell:evil.test"), `{}`)
			if status == 200 || status >= 500 {
				t.Errorf("%s: got %d %s", answer, status, said)
			}
		}
		for name, with := range map[string]http.HandlerFunc{"endless": endless, "slow": slow} {
			s.answer("/_matrix/federation/v1/make_join", with)
			if status, said := carol.Do("POST", path("join", "!hell:evil.test"), `{}`); status == 200 || status >= 500 {
				t.Errorf("%s: got %d %s", name, status, said)
			}
		}
	})
}
