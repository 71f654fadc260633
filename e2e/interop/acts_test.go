package interop

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// What people do. It has to succeed, or the scene ends.

func (u *user) creates(request object) (room string) {
	u.t.Helper()
	return u.must("POST", path("createRoom"), request).text("room_id")
}

// joins joins a room, by another server if that is named.
func (u *user) joins(room string, by ...*server) {
	u.t.Helper()
	u.must("POST", path("join", room)+via(by), object{})
}

func via(by []*server) string {
	query := url.Values{}
	for _, s := range by {
		query.Add("server_name", s.name)
		query.Add("via", s.name)
	}
	return "?" + query.Encode()
}

func (u *user) knocks(room string, by *server) {
	u.t.Helper()
	u.must("POST", path("knock", room)+via([]*server{by}), object{"reason": "let me in"})
}

// acts is what somebody does to another's membership, or to the own.
func (u *user) acts(act, room string, on *user) {
	u.t.Helper()
	body := object{}
	if on != nil {
		body["user_id"] = on.id
	}
	u.must("POST", path("rooms", room, act), body)
}

// may is whether somebody is let do something to another's membership.
func (u *user) may(act, room string, on *user) bool {
	u.t.Helper()
	body := object{}
	if on != nil {
		body["user_id"] = on.id
	}
	status, _ := u.do("POST", path("rooms", room, act), body)
	return status == 200
}

func (u *user) says(room, text string) (eventID string) {
	u.t.Helper()
	txn := fmt.Sprint("t", registered.Add(1))
	return u.must("PUT", path("rooms", room, "send", "m.room.message", txn), object{"msgtype": "m.text", "body": text}).text("event_id")
}

func (u *user) redacts(room, eventID string) {
	u.t.Helper()
	u.must("PUT", path("rooms", room, "redact", eventID, fmt.Sprint("t", registered.Add(1))), object{"reason": "a slip"})
}

func (u *user) sets(room, eventType, key string, content object) (eventID string) {
	u.t.Helper()
	return u.must("PUT", path("rooms", room, "state", eventType, key), content).text("event_id")
}

// gives gives somebody a power level.
func (u *user) gives(room string, to *user, level int) (eventID string) {
	u.t.Helper()
	levels := u.must("GET", path("rooms", room, "state", "m.room.power_levels", ""), nil)
	users, _ := levels["users"].(map[string]any)
	if users == nil {
		users = make(map[string]any)
	}
	users[to.id] = level
	levels["users"] = users
	return u.sets(room, "m.room.power_levels", "", levels)
}

// What people see, sooner or later.

func (u *user) hears(room, eventID, text string) {
	u.t.Helper()
	until(u.t, fmt.Sprintf("%s hears %q on %s", u.id, text, u.server), func() string {
		status, e := u.do("GET", path("rooms", room, "event", eventID), nil)
		if status != 200 || e.text("content", "body") != text {
			return fmt.Sprint(status, " ", e)
		}
		return ""
	})
}

func (u *user) seesEvent(room, eventID string) {
	u.t.Helper()
	until(u.t, fmt.Sprintf("%s sees %s on %s", u.id, eventID, u.server), func() string {
		status, e := u.do("GET", path("rooms", room, "event", eventID), nil)
		if status != 200 {
			return fmt.Sprint(status, " ", e)
		}
		return ""
	})
}

// sees waits for a value in the content of a state event.
func (u *user) sees(room, eventType, key, field, value string) {
	u.t.Helper()
	until(u.t, fmt.Sprintf("%s sees %s %q %s=%q on %s", u.id, eventType, key, field, value, u.server), func() string {
		status, content := u.do("GET", path("rooms", room, "state", eventType, key), nil)
		if got, _ := content[field].(string); got != value {
			return fmt.Sprint(status, " ", content)
		}
		return ""
	})
}

func (u *user) seesMember(room string, of *user, membership string) {
	u.t.Helper()
	u.sees(room, "m.room.member", of.id, "membership", membership)
}

// finds waits until a sync has the room in a part, and returns what it has of it.
func (u *user) finds(room, part string) (found object) {
	u.t.Helper()
	until(u.t, fmt.Sprintf("%s finds %s in the part %s of a sync of %s", u.id, room, part, u.server), func() string {
		filter := url.QueryEscape(`{"room":{"include_leave":true}}`)
		rooms := u.must("GET", path("sync")+"?timeout=0&filter="+filter, nil)
		in, ok := rooms.at("rooms", part, room).(map[string]any)
		if !ok {
			return fmt.Sprint(object{"rooms": rooms["rooms"]})
		}
		found = in
		return ""
	})
	return found
}

// loses waits until a sync does not have the room in a part any more. That it is in
// the part leave then is left open: a server that is not in the room knows little.
func (u *user) loses(room, part string) {
	u.t.Helper()
	until(u.t, fmt.Sprintf("%s loses %s from the part %s of a sync of %s", u.id, room, part, u.server), func() string {
		rooms := u.must("GET", path("sync")+"?timeout=0", nil)
		if rooms.at("rooms", part, room) == nil {
			return ""
		}
		return fmt.Sprint(object{"rooms": rooms["rooms"]})
	})
}

// state is the room's state as somebody sees it, by event IDs.
func (u *user) state(room string) map[string]string {
	u.t.Helper()
	state := make(map[string]string)
	for _, e := range u.must("GET", path("rooms", room, "state"), nil).list("") {
		state[e.text("type")+" "+e.text("state_key")] = e.text("event_id")
	}
	return state
}

// agree waits until all see the same state of a room.
func agree(t *testing.T, room string, users ...*user) {
	t.Helper()
	until(t, "the servers agree on "+room, func() string {
		var differences []string
		want := users[0].state(room)
		for _, u := range users[1:] {
			got := u.state(room)
			places := maps.Clone(want)
			maps.Copy(places, got)
			for _, place := range slices.Sorted(maps.Keys(places)) {
				if want[place] != got[place] {
					differences = append(differences, fmt.Sprintf("%s is %q for %s and %q for %s", place, want[place], users[0].id, got[place], u.id))
				}
			}
		}
		return strings.Join(differences, "\n")
	})
}

// eachWay plays a scene with either server as the one where it begins.
func eachWay(t *testing.T, play func(t *testing.T, here, there *server)) {
	for _, s := range [][2]*server{{parley, synapse}, {synapse, parley}} {
		t.Run("begun on "+s[0].program, func(t *testing.T) { play(t, s[0], s[1]) })
	}
}
