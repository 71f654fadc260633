package fedtest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// list is a JSON array of events, ids one of their IDs.
func list(events ...*event.Event) string {
	var parts []string
	for _, e := range events {
		parts = append(parts, string(e.JSON()))
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func ids(events ...*event.Event) string {
	var parts []string
	for _, e := range events {
		parts = append(parts, fmt.Sprintf("%q", e.ID()))
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// stateWith is the state of the room as a villain knows it, less some places, and
// more events.
func (f *foothold) stateWith(less string, more ...*event.Event) (state []*event.Event) {
	for place, e := range f.state {
		if place != less {
			state = append(state, e)
		}
	}
	return append(state, more...)
}

// unheard is an event that says what is not news, for others to cite.
func (s *siege) unheard() *event.Event {
	f := s.foothold
	draft := f.draft("").With("type", canonjson.Text("m.room.member")).With("state_key", canonjson.Text(string(f.user))).
		With("content", canonjson.Value(`{"displayname":"Mallory","membership":"join"}`)).
		With("auth_events", f.refs(f.create, f.state["m.room.power_levels "], f.join, f.state["m.room.join_rules "]))
	return s.complete(f, draft)
}

func TestWhatLackedSomethingComesWhenThatHasCome(t *testing.T) {
	besieged(t, "10", func(s *siege) {
		f := s.foothold
		renamed := s.unheard()
		early := s.complete(f, f.draft("allowed by what comes later").With("auth_events", f.refs(f.create, f.state["m.room.power_levels "], renamed)))
		s.push(s.a, []canonjson.Value{early.JSON()}, nil)
		time.Sleep(5 * time.Minute)
		if strings.Contains(s.shown(s.room), "allowed by") {
			t.Error("alice sees what nothing allows")
		}
		s.push(s.a, []canonjson.Value{renamed.JSON()}, nil)
		s.settle()
		if !strings.Contains(s.shown(s.room), "allowed by") {
			t.Error("alice does not see what is allowed now")
		}
	})
}

func TestWhatCannotBeReceivedDoesNotBlockWhatFollows(t *testing.T) {
	besieged(t, "10", func(s *siege) {
		f := s.foothold
		bad := s.complete(f, f.draft("allowed by nothing").With("auth_events", f.refs(f.create, f.state["m.room.power_levels "], s.unheard())))
		middle := s.complete(f, f.draft("in the middle").With("prev_events", f.refs(bad)))
		last := s.complete(f, f.draft("the last word").With("prev_events", f.refs(middle)))
		s.answer("/_matrix/federation/v1/get_missing_events", says(`{"events":`+list(bad, middle)+`}`, 200))
		state := f.stateWith("", f.join)
		s.answer("/_matrix/federation/v1/state_ids", says(`{"auth_chain_ids":[],"pdu_ids":`+ids(state...)+`}`, 200))
		s.push(s.a, []canonjson.Value{last.JSON()}, nil)
		s.settle()
		shown := s.shown(s.room)
		if strings.Contains(shown, "allowed by nothing") || !strings.Contains(shown, "the last word") {
			t.Errorf("alice sees %s", shown)
		}
	})
}

// Who brings the event of another server, and lies about the state before it, cannot
// have it be rejected.
func TestNobodyCanHaveTheEventsOfOthersRejected(t *testing.T) {
	besieged(t, "10", func(s *siege) {
		f := s.foothold
		var got []canonjson.Value
		s.answer("/_matrix/federation/v1/send", func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			s.mu.Lock()
			for pdu := range canonjson.Value(body).Get("pdus").Elements() {
				got = append(got, pdu)
			}
			s.mu.Unlock()
			says(`{"pdus":{}}`, 200)(w, r)
		})
		s.Net.Cut("a.test:8448")
		s.say(s.bob, s.room, "first")
		second := s.say(s.bob, s.room, "second")
		s.settle()
		s.answer("/_matrix/federation/v1/get_missing_events", says(`{"events":[]}`, 200))
		stale := f.stateWith("m.room.member "+string(s.bob.ID), f.join)
		s.answer("/_matrix/federation/v1/state_ids", says(`{"auth_chain_ids":[],"pdu_ids":`+ids(stale...)+`}`, 200))
		s.Net.Mend("a.test:8448")
		s.mu.Lock()
		pdu := got[len(got)-1]
		s.mu.Unlock()
		e, err := event.Parse(pdu, f.rules)
		if err != nil || e.ID() != id.EventID(second) {
			t.Fatalf("the villain has %s, %v, want %s", pdu, err, second)
		}
		s.push(s.a, []canonjson.Value{pdu}, nil)
		time.Sleep(3 * time.Hour)
		s.hears(s.alice, s.room, second, "second")
		if s.times("/_matrix/federation/v1/state_ids") == 0 {
			t.Error("the villain was not asked")
		}
	})
}
