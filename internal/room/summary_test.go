package room

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// compareSummary holds the summary that a server keeps against the state that its
// view of the room has.
func (s *simulation) compareSummary(i int) {
	s.t.Helper()
	got, err := s.nodes[i].Summary(ctx, s.roomID)
	if err != nil {
		s.t.Fatal(err)
	}
	v := s.views[i]
	want := summaryOf(func(eventType string) *event.Event {
		e := v.state[event.Tuple{Type: eventType}]
		if e != nil && v.redacted(e) {
			e = e.Redacted()
		}
		return e
	})
	want.RoomID, want.Version = s.roomID, s.rules.Version
	want.Joined, _ = counts(v.state)
	if !reflect.DeepEqual(got, want) {
		s.t.Fatalf("server %d: the summary is\n%+v, want\n%+v", i, got, want)
	}
}

func TestASummaryFollowsTheState(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		roomID := n.create(NewRoom{Version: "10", Preset: PublicChat, Name: "Pub", Topic: "Beer", Alias: "#pub:a.test"})
		want := Summary{
			RoomID: roomID, Version: "10", Joined: 1, Name: "Pub", Topic: "Beer", CanonicalAlias: "#pub:a.test", JoinRule: "public",
		}
		var named Sent
		for _, step := range []struct {
			name   string
			does   func()
			change func(s *Summary)
		}{
			{"as it was created", func() {}, func(*Summary) {}},
			{"a message is not in it", func() { n.send(roomID, message(alice, "hello")) }, func(*Summary) {}},
			{"who joins is counted", func() { n.send(roomID, join(bob)) }, func(s *Summary) { s.Joined = 2 }},
			{"a name", func() { named = n.send(roomID, state(alice, "m.room.name", "", `{"name":"Bar\u0000"}`)) },
				func(s *Summary) { s.Name = "Bar\x00" }},
			{"the name of something in the room", func() { n.send(roomID, state(alice, "m.room.name", "x", `{"name":"Table"}`)) }, func(*Summary) {}},
			{"a name that is redacted", func() { n.send(roomID, redaction(alice, named.EventID)) }, func(s *Summary) { s.Name = "" }},
			{"another join rule, and what is redacted stays so", func() {
				n.send(roomID, state(alice, event.TypeJoinRules, "", `{"allow":[`+
					`{"room_id":"!one:a.test","type":"m.room_membership"},{"room_id":"!two:a.test","type":"m.other"},`+
					`{"room_id":"!three:b.test","type":"m.room_membership"},{"type":"m.room_membership"}],"join_rule":"restricted"}`))
			}, func(s *Summary) { s.JoinRule, s.Allowed = "restricted", []id.RoomID{"!one:a.test", "!three:b.test"} }},
			{"visibility", func() {
				n.send(roomID, state(alice, event.TypeHistoryVisibility, "", `{"history_visibility":"world_readable"}`))
			}, func(s *Summary) { s.WorldReadable = true }},
			{"guests", func() { n.send(roomID, state(alice, "m.room.guest_access", "", `{"guest_access":"can_join"}`)) },
				func(s *Summary) { s.GuestCanJoin = true }},
			{"encryption", func() { n.send(roomID, state(alice, "m.room.encryption", "", `{"algorithm":"m.megolm.v1.aes-sha2"}`)) },
				func(s *Summary) { s.Encryption = "m.megolm.v1.aes-sha2" }},
			{"avatar", func() { n.send(roomID, state(alice, "m.room.avatar", "", `{"url":"mxc://a.test/x"}`)) },
				func(s *Summary) { s.AvatarURL = "mxc://a.test/x" }},
			{"a topic of several forms", func() {
				n.send(roomID, state(alice, "m.room.topic", "", `{"m.topic":{"m.text":[`+
					`{"body":"<b>new</b>","mimetype":"text/html"},{"body":"new"}]},"topic":"old"}`))
			}, func(s *Summary) { s.Topic = "new" }},
		} {
			step.does()
			step.change(&want)
			if got, err := n.Summary(ctx, roomID); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: got\n%+v, %v, want\n%+v", step.name, got, err, want)
			}
		}
		if s, err := n.Summary(ctx, "!none:a.test"); !errors.Is(err, mxerr.NotFound) {
			t.Errorf("of no room: %v, %v", s, err)
		}
	})
}

// TestTheLargestSummaryIsKept: what a room says of itself can be as long as
// events can be, and have whatever JSON can have.
func TestTheLargestSummaryIsKept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		topic := strings.Repeat("\x00ü\n%_\\", 4000)
		roomID := n.create(NewRoom{Topic: "short"})
		n.send(roomID, state(alice, "m.room.topic", "", string(object("topic", canonjson.Text(topic)))))
		if s, err := n.Summary(ctx, roomID); err != nil || s.Topic != topic {
			t.Errorf("got a topic of %d bytes, %v, want %d", len(s.Topic), err, len(topic))
		}
	})
}
