package csapi

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"parley/internal/receipt"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// notified goes through all that notified a user, page by page, and returns what
// show makes of it.
func (s *socialScene) notified(user, query string, show func(canonjson.Value) string) (list []string) {
	s.t.Helper()
	from := ""
	for {
		page := s.get(user, "GET notifications?"+query+from, "")
		for n := range page.Get("notifications").Elements() {
			list = append(list, show(n))
		}
		next, ok := page.Get("next_token").Text()
		if !ok {
			return list
		}
		if from == "&from="+url.QueryEscape(next) {
			s.t.Fatalf("the page after %s is the same again", from)
		}
		from = "&from=" + url.QueryEscape(next)
	}
}

func body(n canonjson.Value) string {
	content := n.Get("event").Get("content")
	if m, ok := content.Get("membership").Text(); ok {
		return m
	}
	return content.Get("body").String()
}

func (s *socialScene) mention(roomID id.RoomID, user id.UserID, text string, mentions string) id.EventID {
	s.t.Helper()
	content := canonjson.Value(`{"m.mentions":`+mentions+`,"msgtype":"m.text"}`).With("body", canonjson.Text(text))
	sent, err := s.Rooms.Send(s.ctx, roomID, room.Draft{Type: "m.room.message", Sender: user, Content: content})
	if err != nil {
		s.t.Fatal(err)
	}
	return sent.EventID
}

func TestNotifications(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		one := s.create(room.NewRoom{Preset: room.PublicChat})
		s.text(one, userAlice, "before bob")
		s.move(one, userBob, userBob, "join")
		two := s.create(room.NewRoom{Preset: room.PublicChat, Name: "two"}, userBob)
		s.text(one, userAlice, "a")
		s.text(two, userAlice, "b")
		s.text(one, userBob, "his own")
		mention := s.mention(two, userAlice, "c", `{"user_ids":["@bob:a.test"]}`)
		s.put(two, "m.room.name", "", `{"name":"no message"}`)
		s.mention(one, userAlice, "d", `{"room":true}`)
		redacted := s.text(two, userAlice, "e")
		if _, err := s.Rooms.Send(s.ctx, two, room.Draft{Type: "m.room.redaction", Sender: userAlice, Redacts: redacted, Content: canonjson.Value(`{"redacts":"` + string(redacted) + `"}`)}); err != nil {
			t.Fatal(err)
		}
		s.create(room.NewRoom{Preset: room.PublicChat, Invites: []id.UserID{userBob}})
		gone := s.create(room.NewRoom{Preset: room.PublicChat}, userBob)
		s.text(gone, userAlice, "not there any more")
		s.move(gone, userBob, userBob, "leave")
		if err := s.Receipts.Put(s.ctx, two, receipt.Receipt{User: userBob, Type: receipt.TypeRead, EventID: mention}); err != nil {
			t.Fatal(err)
		}
		want := []string{"invite", "", "d", "c", "b", "a"}
		for _, limit := range []string{"", "limit=1", "limit=2", "limit=5", "limit=6", "limit=9999"} {
			if got := s.notified("bob", limit, body); !slices.Equal(got, want) {
				t.Errorf("by %q: got %q, want %q", limit, got, want)
			}
		}
		for _, limit := range []string{"", "&limit=1"} {
			if got := s.notified("bob", "only=highlight"+limit, body); !slices.Equal(got, []string{"d", "c"}) {
				t.Errorf("highlights by %q: got %q", limit, got)
			}
		}
		read := func(n canonjson.Value) string { return body(n) + string(n.Get("read")) }
		if got := strings.Join(s.notified("bob", "", read), " "); got != "invitefalse false dfalse ctrue btrue atrue" {
			t.Errorf("read are %s", got) // of the first room he has read what was before he spoke
		}
		first := s.get("bob", "GET notifications?only=highlight&limit=1", "")
		for n := range first.Get("notifications").Elements() {
			if string(n.Get("actions")) != `["notify",{"set_tweak":"highlight"}]` || !n.Get("room_id").Is(string(one)) ||
				string(n.Get("ts")) != string(n.Get("event").Get("origin_server_ts")) || n.Get("event").Get("room_id") != nil {
				t.Errorf("got %s", n)
			}
		}
		if got := s.notified("alice", "", body); !slices.Equal(got, []string{"his own"}) {
			t.Errorf("alice got %q", got)
		}
		if got := s.notified("carol", "", body); got != nil {
			t.Errorf("carol, who is nowhere, got %q", got)
		}
		s.try([]socialCall{
			{"no limit at all", "bob", "GET notifications?limit=0", "", mxerr.InvalidParam, 0},
			{"only something else", "bob", "GET notifications?only=x", "", mxerr.InvalidParam, 0},
			{"a token of somebody", "bob", "GET notifications?from=x", "", mxerr.InvalidParam, 0},
			{"a token of the future", "bob", "GET notifications?from=n1_epoch_999999", "", mxerr.InvalidParam, 0},
			{"a token from before everything", "bob", "GET notifications?from=n1_epoch_0", "", mxerr.InvalidParam, 0},
			{"the first", "bob", "GET notifications?from=n1_epoch_1", "", "", 0},
			{"a guest", "guest", "GET notifications", "", mxerr.GuestAccessForbidden, 0},
		})
	})
}

func TestNotificationsAreByTheUsersRules(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		quiet := s.create(room.NewRoom{Preset: room.PublicChat}, userBob)
		loud := s.create(room.NewRoom{Preset: room.PublicChat}, userBob)
		s.text(quiet, userAlice, "psst")
		s.text(loud, userAlice, "cake, please")
		s.mention(quiet, userAlice, "you", `{"user_ids":["@bob:a.test"]}`)
		s.text(loud, userAlice, "no")
		for _, step := range []struct {
			call, body string
			want       []string
		}{
			{"PUT pushrules/global/room/" + string(quiet), `{"actions":[]}`, []string{"no", "you", "cake, please"}},
			{"PUT pushrules/global/underride/.m.rule.message/enabled", `{"enabled":false}`, []string{"no", "you", "cake, please"}}, // they are two
			{"PUT pushrules/global/underride/.m.rule.room_one_to_one/enabled", `{"enabled":false}`, []string{"you"}},
			{"PUT pushrules/global/content/cake", `{"actions":["notify"],"pattern":"cake"}`, []string{"you", "cake, please"}},
			{"PUT pushrules/global/override/mute", `{"actions":[],"conditions":[{"kind":"event_match","key":"room_id","pattern":"` + string(quiet) + `"}]}`, []string{"cake, please"}},
			{"PUT pushrules/global/override/.m.rule.master/enabled", `{"enabled":true}`, nil},
		} {
			s.try([]socialCall{{step.call, "bob", step.call, step.body, "", 0}})
			if got := s.notified("bob", "limit=1", body); !slices.Equal(got, step.want) {
				t.Errorf("after %s: got %q, want %q", step.call, got, step.want)
			}
		}
	})
}

// TestNotificationsOfManyRooms: the pages have everything once and in order though
// a request looks at some of it only.
func TestNotificationsOfManyRooms(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		var want []string
		var rooms []id.RoomID
		for range 70 {
			rooms = append(rooms, s.create(room.NewRoom{Preset: room.PublicChat}, userBob))
		}
		for i := range 60 {
			for k, roomID := range rooms {
				if (i+k)%9 == 0 {
					s.put(roomID, "m.room.topic", "", fmt.Sprintf(`{"topic":"%d"}`, i))
				}
				if k == 0 || i == 0 {
					text := fmt.Sprintf("%d in %d", i, k)
					s.text(roomID, userAlice, text)
					want = append(want, text)
				}
			}
		}
		slices.Reverse(want)
		for _, limit := range []string{"limit=500", "limit=7"} {
			if got := s.notified("bob", limit, body); !slices.Equal(got, want) {
				t.Errorf("by %s: got %d, want %d", limit, len(got), len(want))
			}
		}
		if got := s.notified("bob", "only=highlight", body); got != nil {
			t.Errorf("got %q", got)
		}
	})
}

// TestCountsFollowTheRules: whoever sets a rule is told what is unread by it, in the
// rooms where nothing else happened, too.
func TestCountsFollowTheRules(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		roomID := s.create(room.NewRoom{Preset: room.PublicChat}, userBob, "@carol:a.test")
		s.text(roomID, userAlice, "tea")
		s.mention(roomID, userAlice, "you", `{"user_ids":["@bob:a.test"]}`)
		s.text(roomID, userAlice, "cake")
		token := ""
		for _, step := range []struct{ call, body, want string }{
			{"", "", `{"highlight_count":1,"notification_count":3}`},
			{"PUT pushrules/global/room/" + string(roomID), `{"actions":[]}`, `{"highlight_count":1,"notification_count":1}`},
			{"PUT pushrules/global/content/cake", `{"actions":["notify"],"pattern":"cake"}`, `{"highlight_count":1,"notification_count":2}`},
			{"PUT pushrules/global/override/.m.rule.master/enabled", `{"enabled":true}`, `{"highlight_count":0,"notification_count":0}`},
			{"PUT pushrules/global/override/.m.rule.master/enabled", `{"enabled":false}`, `{"highlight_count":1,"notification_count":2}`},
			{"DELETE pushrules/global/room/" + string(roomID), "", `{"highlight_count":1,"notification_count":3}`},
		} {
			if step.call != "" {
				s.try([]socialCall{{step.call, "bob", step.call, step.body, "", 0}})
			}
			got := s.get("bob", "GET sync?since="+url.QueryEscape(token), "")
			token = got.Get("next_batch").String()
			counts := got.Get("rooms").Get("join").Get(string(roomID)).Get("unread_notifications")
			if string(counts) != step.want {
				t.Errorf("after %s: got %s in %s, want %s", step.call, counts, got, step.want)
			}
		}
	})
}
