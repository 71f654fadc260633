package csapi

import (
	"strings"
	"testing"

	"parley/internal/report"
	"parley/internal/room"
	"parley/matrix/mxerr"
)

func TestWhoMayReportWhat(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		roomID := s.create(room.NewRoom{Preset: room.PublicChat}, "@bob:a.test")
		eventID := s.say(roomID, "@alice:a.test")
		before := s.create(room.NewRoom{Preset: room.PublicChat, State: []room.Draft{visibilityDraft("joined")}})
		hidden := s.say(before, "@alice:a.test")
		if _, err := s.Rooms.Join(s.ctx, before, room.Move{Sender: "@bob:a.test"}); err != nil {
			t.Fatal(err)
		}
		event := "POST rooms/" + string(roomID) + "/report/"
		s.try([]socialCall{
			{"an event of a room that one is in", "bob", event + string(eventID), `{"reason":"bad"}`, "", 0},
			{"without a reason", "bob", event + string(eventID), `{}`, "", 0},
			{"a reason that is no text", "bob", event + string(eventID), `{"reason":1}`, mxerr.BadJSON, 0},
			{"an event of a room that one is not in", "carol", event + string(eventID), `{"reason":"bad"}`, mxerr.NotFound, 0},
			{"an event that there is not", "bob", event + "$none", `{"reason":"bad"}`, mxerr.NotFound, 0},
			{"an event that one may not see", "bob", "POST rooms/" + string(before) + "/report/" + string(hidden), `{"reason":"bad"}`, mxerr.NotFound, 0},
			{"an event of a room that there is not", "bob", "POST rooms/!none:a.test/report/$none", `{"reason":"bad"}`, mxerr.NotFound, 0},
			{"a room that one is not in", "carol", "POST rooms/" + string(roomID) + "/report", `{"reason":"bad room"}`, "", 0},
			{"a room that there is not", "carol", "POST rooms/!none:a.test/report", `{"reason":""}`, "", 0},
			{"a room without a reason", "carol", "POST rooms/" + string(roomID) + "/report", `{}`, mxerr.MissingParam, 0},
			{"a user", "carol", "POST users/@bob:a.test/report", `{"reason":"bad user"}`, "", 0},
			{"a user who is not there", "carol", "POST users/@nobody:a.test/report", `{"reason":"bad user"}`, "", 0},
			{"a user of another server", "carol", "POST users/@bob:b.test/report", `{"reason":"bad user"}`, "", 0},
			{"a user without a reason", "carol", "POST users/@bob:a.test/report", `{}`, mxerr.MissingParam, 0},
			{"a user with too much of a reason", "carol", "POST users/@bob:a.test/report", `{"reason":"` + strings.Repeat("x", 20000) + `"}`, mxerr.TooLarge, 0},
			{"as a guest", "guest", "POST users/@bob:a.test/report", `{"reason":"bad user"}`, mxerr.GuestAccessForbidden, 0},
		})
		list, total, err := s.Reports.List(s.ctx, report.Query{Kind: report.Event, Limit: 10, Oldest: true})
		if err != nil || total != 2 {
			t.Fatalf("reports of events: got %d, %v", total, err)
		}
		got := list[0]
		if got.Reporter != "@bob:a.test" || got.Room != roomID || got.Event != eventID || got.User != "@alice:a.test" || got.Reason != "bad" {
			t.Errorf("got %+v", got)
		}
	})
}

func visibilityDraft(v string) room.Draft {
	key := ""
	return room.Draft{Type: "m.room.history_visibility", StateKey: &key, Content: []byte(`{"history_visibility":"` + v + `"}`)}
}
