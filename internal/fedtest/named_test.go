package fedtest

import (
	"fmt"
	"net/url"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/roomver"
)

func TestARequestNamesTheEventThatItBrings(t *testing.T) {
	for _, version := range []roomver.Version{"1", "11"} {
		scene(t, func(s *stage) {
			a, v := s.Server("a.test"), s.villain("evil.test")
			alice := a.Register("alice")
			f := &foothold{id: "!den:evil.test"}
			f.rules, _ = roomver.Lookup(version)
			refs := `["$some"]`
			if version == "1" {
				refs = `[["$some:evil.test",{"sha256":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]]`
			}
			invite := v.complete(f, canonjson.Value("{}").
				With("type", canonjson.Text("m.room.member")).With("room_id", canonjson.Text(f.id)).
				With("sender", canonjson.Text("@mallory:evil.test")).With("state_key", canonjson.Text(string(alice.ID))).
				With("content", canonjson.Value(`{"membership":"invite"}`)).With("depth", canonjson.Value("5")).
				With("origin_server_ts", canonjson.Value("1")).
				With("prev_events", canonjson.Value(refs)).With("auth_events", canonjson.Value(refs)))
			other := "$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
			if version == "1" {
				other = "$other:evil.test"
			}
			body := canonjson.Value(fmt.Sprintf(`{"event":%s,"invite_room_state":[],"room_version":%q}`, invite.JSON(), version))
			for _, tt := range []struct {
				eventID string
				status  int
			}{{other, 400}, {string(invite.ID()), 200}} {
				uri := "/_matrix/federation/v2/invite/" + url.PathEscape(f.id) + "/" + url.PathEscape(tt.eventID)
				if status, answer := v.ask(a, "PUT", uri, body); status != tt.status {
					t.Errorf("version %s: an invite that is named %s gets %d %s", version, tt.eventID, status, answer)
				}
			}
			if !section(s, alice, "invite", f.id) {
				t.Error("alice is not invited")
			}
		})
	}
}
