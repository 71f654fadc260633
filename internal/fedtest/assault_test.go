package fedtest

import (
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/xmatrix"
)

// quiet fails if memory has grown beyond what the scene needs.
func (s *siege) quiet(what string) {
	s.Helper()
	var m runtime.MemStats
	runtime.GC()
	if runtime.ReadMemStats(&m); m.HeapAlloc > 1<<29 {
		s.Errorf("%s: %d MB are in use", what, m.HeapAlloc>>20)
	}
}

// meanwhile fails unless others talk in another room as if nothing was.
func (s *siege) meanwhile(what string) {
	s.Helper()
	for range 3 {
		hello := s.say(s.alice, s.elsewhere, "meanwhile")
		s.settle()
		s.hears(s.bob, s.elsewhere, hello, "meanwhile")
		hello = s.say(s.bob, s.elsewhere, "likewise")
		s.settle()
		s.hears(s.alice, s.elsewhere, hello, "likewise")
	}
	s.quiet(what)
}

func TestWhatWasSignedForOneServerIsNotTakenByAnother(t *testing.T) {
	besieged(t, "10", func(s *siege) {
		body := canonjson.Value(`{"edus":[],"origin":"evil.test","origin_server_ts":1,"pdus":[]}`)
		request := xmatrix.Request{Method: "PUT", URI: "/_matrix/federation/v1/send/replay", Origin: s.name, Destination: s.a.Name, Content: body}
		header := request.Sign(s.key)
		if status, answer := s.send(s.a, "PUT", request.URI, header, string(body)); status != 200 {
			t.Errorf("got %d %s", status, answer)
		}
		for name, replay := range map[string]struct{ method, uri, body string }{
			"another path":   {"PUT", "/_matrix/federation/v1/send/other", string(body)},
			"another query":  {"PUT", request.URI + "?x=1", string(body)},
			"another body":   {"PUT", request.URI, `{"edus":[],"origin":"evil.test","origin_server_ts":2,"pdus":[]}`},
			"another method": {"GET", "/_matrix/federation/v1/publicRooms", ""},
		} {
			if status, answer := s.send(s.a, replay.method, replay.uri, header, replay.body); status != 401 {
				t.Errorf("%s: got %d %s", name, status, answer)
			}
		}
		if status, answer := s.send(s.b, "PUT", request.URI, header, string(body)); status != 401 {
			t.Errorf("another server: got %d %s", status, answer)
		}
	})
}

func TestWhoHasLeftIsNotHeard(t *testing.T) {
	for _, what := range []string{"leave", "kick", "ban"} {
		t.Run(what, func(t *testing.T) {
			besieged(t, "10", func(s *siege) {
				f := s.foothold
				before := s.complete(f, f.draft("before").With("prev_events", f.refs(f.join)))
				if what == "leave" {
					leave := f.draft("").With("type", canonjson.Text("m.room.member")).With("state_key", canonjson.Text(string(f.user))).With("content", canonjson.Value(`{"membership":"leave"}`))
					s.push(s.a, []canonjson.Value{s.complete(f, leave).JSON()}, nil)
				} else {
					s.alice.Must("POST", path("rooms", s.room, what), map[string]string{"user_id": string(f.user)})
				}
				s.settle()
				// One that claims to have been said before, and one that follows everything.
				s.push(s.a, []canonjson.Value{before.JSON(), s.complete(f, f.draft("after")).JSON()}, []canonjson.Value{
					canonjson.Value(fmt.Sprintf(`{"edu_type":"m.typing","content":{"room_id":%q,"typing":true,"user_id":%q}}`, s.room, f.user)),
				})
				time.Sleep(time.Minute)
				if shown := s.shown(s.room); strings.Contains(shown, "before") || strings.Contains(shown, "after") {
					t.Errorf("alice sees %s", shown)
				}
				if ephemeral(s.sync(s.alice), s.room, "m.typing").Get("user_ids") != nil && strings.Contains(string(s.sync(s.alice)), string(f.user)+`"]`) {
					t.Error("alice sees who is gone type")
				}
				// Nor does it get anything but what it might have had.
				last := s.say(s.alice, s.room, "among us")
				if status, answer := s.ask(s.a, "GET", "/_matrix/federation/v1/event/"+url.PathEscape(last), nil); status == 200 && strings.Contains(string(answer), "among us") {
					t.Errorf("it gets %s", answer)
				}
			})
		})
	}
}

// resets are events by which a villain would have the room be what it was, or was not.
var resets = map[string]func(s *siege) canonjson.Value{
	"power levels of long ago": func(s *siege) canonjson.Value {
		f := s.foothold
		return f.draft("").With("type", canonjson.Text("m.room.power_levels")).With("state_key", canonjson.Text("")).
			With("content", canonjson.Value(`{"users":{"@mallory:evil.test":100}}`)).
			With("prev_events", f.refs(f.state["m.room.member "+string(s.alice.ID)])).With("auth_events", f.refs(f.create, f.state["m.room.member "+string(s.alice.ID)]))
	},
	"a ban of everybody by who joined later": func(s *siege) canonjson.Value {
		return s.foothold.draft("").With("type", canonjson.Text("m.room.member")).With("state_key", canonjson.Text(string(s.bob.ID))).
			With("content", canonjson.Value(`{"membership":"ban"}`))
	},
	"join rules": func(s *siege) canonjson.Value {
		return s.foothold.draft("").With("type", canonjson.Text("m.room.join_rules")).With("state_key", canonjson.Text("")).
			With("content", canonjson.Value(`{"join_rule":"private"}`))
	},
	"an access control list": func(s *siege) canonjson.Value {
		return s.foothold.draft("").With("type", canonjson.Text("m.room.server_acl")).With("state_key", canonjson.Text("")).
			With("content", canonjson.Value(`{"allow":["evil.test"]}`))
	},
	"a tombstone": func(s *siege) canonjson.Value {
		return s.foothold.draft("").With("type", canonjson.Text("m.room.tombstone")).With("state_key", canonjson.Text("")).
			With("content", canonjson.Value(`{"body":"x","replacement_room":"!trap:evil.test"}`))
	},
	"state of somebody else": func(s *siege) canonjson.Value {
		return s.foothold.draft("").With("type", canonjson.Text("org.test")).With("state_key", canonjson.Text(string(s.alice.ID)))
	},
	"a depth beyond all others": func(s *siege) canonjson.Value {
		return s.foothold.draft("").With("type", canonjson.Text("m.room.name")).With("state_key", canonjson.Text("")).
			With("depth", canonjson.Value("9007199254740991")).With("content", canonjson.Value(`{"name":"secret"}`))
	},
	"the redaction of another's state": func(s *siege) canonjson.Value {
		return s.foothold.draft("").With("type", canonjson.Text("m.room.redaction")).With("redacts", canonjson.Text(string(s.foothold.state["m.room.power_levels "].ID()))).
			With("content", canonjson.Value(`{}`))
	},
}

func TestTheStateOfARoomIsNotTakenOver(t *testing.T) {
	for _, version := range []string{"1", "6", "10"} {
		t.Run("version "+version, func(t *testing.T) {
			besieged(t, version, func(s *siege) {
				state := s.state(s.alice, s.room)
				levels := string(s.alice.Must("GET", path("rooms", s.room, "state", "m.room.power_levels", ""), nil))
				for name, make := range resets {
					s.push(s.a, []canonjson.Value{s.complete(s.foothold, make(s)).JSON()}, nil)
					s.push(s.b, []canonjson.Value{s.complete(s.foothold, make(s)).JSON()}, nil)
					s.settle()
					got := s.state(s.alice, s.room)
					for place, eventID := range state {
						if got[place] != eventID {
							t.Errorf("%s: %s is %s now", name, place, got[place])
						}
					}
					if now := string(s.alice.Must("GET", path("rooms", s.room, "state", "m.room.power_levels", ""), nil)); now != levels {
						t.Errorf("%s: the levels are %s", name, now)
					}
				}
			})
		})
	}
}

// The depth of an event is what its server says. Events that follow one of the
// greatest depth go on.
func TestARoomGoesOnBehindTheGreatestDepth(t *testing.T) {
	besieged(t, "10", func(s *siege) {
		deep := s.complete(s.foothold, s.foothold.draft("how deep").With("depth", canonjson.Value("9007199254740991")))
		s.push(s.a, []canonjson.Value{deep.JSON()}, nil)
		s.push(s.b, []canonjson.Value{deep.JSON()}, nil)
		s.settle()
		for range 3 {
			hello := s.say(s.alice, s.room, "still here")
			s.settle()
			s.hears(s.bob, s.room, hello, "still here")
		}
	})
}

func TestATransactionOfTooMuchIsRefused(t *testing.T) {
	besieged(t, "10", func(s *siege) {
		pdu := s.complete(s.foothold, s.foothold.draft("secret")).JSON()
		for name, tt := range map[string]struct {
			pdus, edus []canonjson.Value
		}{
			"many events": {slices.Repeat([]canonjson.Value{pdu}, 51), nil},
			"many EDUs":   {nil, slices.Repeat([]canonjson.Value{canonjson.Value(`{"edu_type":"m.typing","content":{}}`)}, 101)},
		} {
			if status, answer := s.push(s.a, tt.pdus, tt.edus); status != 400 {
				t.Errorf("%s: got %d %s", name, status, answer)
			}
		}
		if status, _ := s.ask(s.a, "PUT", "/_matrix/federation/v1/send/big", canonjson.Value(`{"edus":[],"origin":"evil.test","pdus":[],"x":"`+strings.Repeat("x", 20<<20)+`"}`)); status != 413 {
			t.Errorf("one of 20 MB: got %d", status)
		}
		s.meanwhile("transactions of too much")
	})
}

func TestManyEventsThatLackSomethingHoldUpNobodyElse(t *testing.T) {
	besieged(t, "10", func(s *siege) {
		s.answer("/_matrix/federation/v1", slow)
		for range 4 {
			var pdus []canonjson.Value
			for i := range 50 {
				lost := s.complete(s.foothold, s.foothold.draft(fmt.Sprint("never sent ", i)))
				pdus = append(pdus, s.complete(s.foothold, s.foothold.draft("secret").With("prev_events", s.foothold.refs(lost))).JSON())
			}
			s.push(s.a, pdus, nil)
		}
		s.meanwhile("events that lack something")
		s.a.Restart()
		s.meanwhile("after a restart")
	})
}

// webs are answers to what is missing that lead nowhere.
func webs(s *siege) map[string]http.HandlerFunc {
	f := s.foothold
	return map[string]http.HandlerFunc{
		"always one more": func(w http.ResponseWriter, r *http.Request) {
			lost := s.complete(f, f.draft("lost"))
			next := s.complete(f, f.draft("secret").With("prev_events", f.refs(lost)))
			answer := fmt.Sprintf(`{"auth_chain":[],"auth_chain_ids":[%[2]q],"events":[%[1]s],"pdu_ids":[%[2]q],"pdus":[%[1]s]}`, string(next.JSON()), lost.ID())
			says(answer, 200)(w, r)
		},
		"ten thousand events": func(w http.ResponseWriter, r *http.Request) {
			pdu := string(s.complete(f, f.draft("secret").With("auth_events", canonjson.Value("[]"))).JSON())
			all := strings.TrimSuffix(strings.Repeat(pdu+",", 10_000), ",")
			says(`{"auth_chain":[`+all+`],"auth_chain_ids":[],"events":[`+all+`],"pdu_ids":[],"pdus":[`+all+`]}`, 200)(w, r)
		},
		"events of another room": func(w http.ResponseWriter, r *http.Request) {
			pdu := string(s.complete(f, f.draft("secret").With("room_id", canonjson.Text(s.elsewhere))).JSON())
			says(`{"auth_chain":[`+pdu+`],"auth_chain_ids":[],"events":[`+pdu+`],"pdu_ids":[],"pdus":[`+pdu+`]}`, 200)(w, r)
		},
		"to go elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://b.test:8448"+r.URL.Path, http.StatusTemporaryRedirect)
		},
	}
}

func TestAnswersThatLeadNowhereEnd(t *testing.T) {
	besieged(t, "10", func(s *siege) {
		for name, with := range webs(s) {
			for _, what := range []string{"get_missing_events", "state_ids", "state", "event", "event_auth", "backfill"} {
				s.answer("/_matrix/federation/v1/"+what, with)
			}
			lost := s.complete(s.foothold, s.foothold.draft("never sent"))
			pdu := s.complete(s.foothold, s.foothold.draft("about one that is lost").With("prev_events", s.foothold.refs(lost))).JSON()
			s.push(s.a, []canonjson.Value{pdu}, nil)
			s.meanwhile(name)
			time.Sleep(time.Hour)
			if shown := s.shown(s.room) + s.shown(s.elsewhere); strings.Contains(shown, "secret") {
				t.Errorf("%s: alice sees %s", name, shown)
			}
		}
	})
}

func TestInvitesThatAreNoneAreRefused(t *testing.T) {
	besieged(t, "10", func(s *siege) {
		f := s.foothold
		invite := func(change func(canonjson.Value) canonjson.Value) canonjson.Value {
			draft := f.draft("").With("type", canonjson.Text("m.room.member")).With("state_key", canonjson.Text(string(s.alice.ID))).
				With("content", canonjson.Value(`{"membership":"invite"}`)).With("room_id", canonjson.Text("!trap:evil.test"))
			return s.complete(f, change(draft)).JSON()
		}
		for name, change := range map[string]func(canonjson.Value) canonjson.Value{
			"of nobody":              func(o canonjson.Value) canonjson.Value { return o.With("state_key", canonjson.Text("@nobody:a.test")) },
			"of somebody elsewhere":  func(o canonjson.Value) canonjson.Value { return o.With("state_key", canonjson.Text("@bob:b.test")) },
			"in the name of another": func(o canonjson.Value) canonjson.Value { return o.With("sender", canonjson.Text(string(s.bob.ID))) },
			"that is a join": func(o canonjson.Value) canonjson.Value {
				return o.With("content", canonjson.Value(`{"membership":"join"}`))
			},
			"that is no membership": func(o canonjson.Value) canonjson.Value { return o.With("type", canonjson.Text("m.room.name")) },
			"into a room by another name": func(o canonjson.Value) canonjson.Value {
				return o.With("room_id", canonjson.Text("!other:evil.test"))
			},
		} {
			e := invite(change)
			id := text(e, "event_id")
			if parsed, err := event.Parse(e, f.rules); err == nil {
				id = string(parsed.ID())
			}
			body := canonjson.Value("{}").With("event", e).With("room_version", canonjson.Text("10")).With("invite_room_state", canonjson.Value("[]"))
			status, answer := s.ask(s.a, "PUT", "/_matrix/federation/v2/invite/"+url.PathEscape("!trap:evil.test")+"/"+url.PathEscape(id), body)
			if status == 200 || status >= 500 {
				t.Errorf("%s: got %d %s", name, status, answer)
			}
		}
		if rooms := s.sync(s.alice).Get("rooms").Get("invite"); strings.Contains(string(rooms), "trap") {
			t.Errorf("alice is invited: %s", rooms)
		}
		// One that is right is shown, and what it says of the room is cut to what is shown.
		e := invite(func(o canonjson.Value) canonjson.Value { return o })
		parsed, _ := event.Parse(e, f.rules)
		many := strings.TrimSuffix(strings.Repeat(`{"content":{"name":"`+strings.Repeat("x", 30_000)+`"},"sender":"@mallory:evil.test","state_key":"","type":"m.room.name"},`, 20), ",")
		body := canonjson.Value("{}").With("event", e).With("room_version", canonjson.Text("10")).With("invite_room_state", canonjson.Value("["+many+"]"))
		if status, answer := s.ask(s.a, "PUT", "/_matrix/federation/v2/invite/"+url.PathEscape("!trap:evil.test")+"/"+url.PathEscape(string(parsed.ID())), body); status != 200 {
			t.Errorf("got %d %s", status, answer)
		}
		if shown := s.sync(s.alice).Get("rooms").Get("invite").Get("!trap:evil.test"); shown == nil || len(shown) > 100_000 {
			t.Errorf("alice sees an invite of %d bytes", len(shown))
		}
		s.answer("/_matrix/federation/v1/make_leave", slow)
		s.alice.Must("POST", path("rooms", "!trap:evil.test", "leave"), `{}`)
	})
}

func TestTemplatesThatAreTrapsAreNotSigned(t *testing.T) {
	besieged(t, "10", func(s *siege) {
		carol := s.Server("c.test").Register("carol")
		good := canonjson.Value(fmt.Sprintf(`{"auth_events":[],"content":{"membership":"join"},"depth":1,"prev_events":[],"room_id":"!trap:evil.test","sender":%[1]q,"state_key":%[1]q,"type":"m.room.member"}`, carol.ID))
		for name, template := range map[string]canonjson.Value{
			"of another room":    good.With("room_id", canonjson.Text(s.room)),
			"of another user":    good.With("sender", canonjson.Text("@dave:c.test")).With("state_key", canonjson.Text("@dave:c.test")),
			"for another's join": good.With("state_key", canonjson.Text("@dave:c.test")),
			"of another type":    good.With("type", canonjson.Text("m.room.power_levels")),
			"of a list":          canonjson.Value(`[]`),
		} {
			s.answer("/_matrix/federation/v1/make_join", says(`{"event":`+string(template)+`,"room_version":"10"}`, 200))
			before := s.times("/_matrix/federation/v2/send_join")
			s.answer("/_matrix/federation/v2/send_join", says(`{}`, 200))
			if status, answer := carol.Do("POST", path("join", "!trap:evil.test"), `{}`); status == 200 || status >= 500 {
				t.Errorf("%s: got %d %s", name, status, answer)
			}
			if s.times("/_matrix/federation/v2/send_join") != before {
				t.Errorf("%s: it was signed and sent", name)
			}
		}
		for _, version := range []string{`"99"`, `1`, `null`, `"` + strings.Repeat("x", 1000) + `"`} {
			s.answer("/_matrix/federation/v1/make_join", says(`{"event":`+string(good)+`,"room_version":`+version+`}`, 200))
			if status, answer := carol.Do("POST", path("join", "!trap:evil.test"), `{}`); status == 200 || status >= 500 {
				t.Errorf("version %.20s: got %d %s", version, status, answer)
			}
		}
	})
}

// What somebody asks another server for, that server answers as it likes.
func TestAnswersToPeopleAreChecked(t *testing.T) {
	besieged(t, "10", func(s *siege) {
		asked := []string{
			path("profile", "@mallory:evil.test"), path("profile", "@mallory:evil.test", "displayname"), path("directory", "room", "#trap:evil.test"),
			path("publicRooms") + "?server=evil.test", "/_matrix/client/v1/rooms/" + s.room + "/hierarchy",
			"/_matrix/client/v1/room_summary/" + url.PathEscape("!trap:evil.test") + "?via=evil.test",
		}
		for name, with := range map[string]http.HandlerFunc{
			"endless": endless, "slow": slow, "a list": says(`[]`, 200), "deep": says(deep(50_000), 200), "a fault": says(`{}`, 500), "text": says(`<html>`, 200),
			"numbers":  says(`{"avatar_url":1,"chunk":7,"children":1,"displayname":[1],"room":2,"room_id":3,"servers":"x"}`, 200),
			"too long": says(`{"displayname":"`+strings.Repeat("x", 1<<20)+`","room_id":"!`+strings.Repeat("x", 1<<20)+`:evil.test","servers":[]}`, 200),
			"a logout": says(`{"errcode":"M_UNKNOWN_TOKEN","error":"go away","soft_logout":true}`, 401),
		} {
			s.answer("/_matrix/federation/v1", with)
			for _, uri := range asked {
				status, answer := s.alice.Do("GET", uri, nil)
				if status >= 500 || status == 401 || len(answer) > 1<<20 {
					t.Errorf("%s: %s: got %d and %d bytes: %.200s", name, uri, status, len(answer), answer)
				}
			}
			s.quiet(name)
		}
	})
}

// The clock of another server is what it is.
func TestClocksOfOthersMayBeWrong(t *testing.T) {
	for _, version := range []string{"1", "10", "12"} {
		t.Run("version "+version, func(t *testing.T) {
			besieged(t, version, func(s *siege) {
				for _, skew := range []time.Duration{-time.Hour, time.Hour, -1000 * time.Hour} {
					words := fmt.Sprint("at another time: ", skew)
					draft := s.foothold.draft(words).With("origin_server_ts", canonjson.Value(fmt.Sprint(time.Now().Add(skew).UnixMilli())))
					e := s.complete(s.foothold, draft)
					s.push(s.a, []canonjson.Value{e.JSON()}, nil)
					s.push(s.b, []canonjson.Value{e.JSON()}, nil)
					s.settle()
					for _, u := range []string{s.shown(s.room), string(s.bob.Must("GET", path("rooms", s.room, "messages")+"?dir=b&limit=50", nil))} {
						if !strings.Contains(u, words) {
							t.Errorf("%s: it is not shown", skew)
						}
					}
				}
				// Keys that are not valid at such a time do not count where they must be.
				future := s.complete(s.foothold, s.foothold.draft("from the next century").With("origin_server_ts", canonjson.Value("4102444800000")))
				s.push(s.a, []canonjson.Value{future.JSON()}, nil)
				s.push(s.b, []canonjson.Value{future.JSON()}, nil)
				s.settle()
				if shown := strings.Contains(s.shown(s.room), "next century"); shown != (version == "1") {
					t.Errorf("what is from the next century is shown: %t", shown)
				}
			})
		})
	}
}

func TestEventsThatComeInTheWrongOrder(t *testing.T) {
	besieged(t, "10", func(s *siege) {
		f := s.foothold
		var chain []*event.Event
		prev := f.join
		for i := range 20 {
			e := s.complete(f, f.draft(fmt.Sprint("step ", i)).With("prev_events", f.refs(prev)))
			chain, prev = append(chain, e), e
		}
		s.answer("/_matrix/federation/v1/get_missing_events", says(`{"events":`+list(chain[:19]...)+`}`, 200))
		for _, e := range slices.Backward(chain) {
			s.push(s.a, []canonjson.Value{e.JSON(), e.JSON()}, nil)
		}
		time.Sleep(time.Minute)
		shown := s.shown(s.room)
		for i := range 20 {
			if n := strings.Count(shown, fmt.Sprintf(`"step %d"`, i)); n != 1 {
				t.Errorf("step %d is shown %d times", i, n)
			}
		}
	})
}
