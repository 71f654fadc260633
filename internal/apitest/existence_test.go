package apitest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"parley/internal/endpoint"
	"parley/internal/hstest"
)

// tellsRooms are the routes whose answer may depend on whether there is a room
// that the caller has nothing to do with, with the reason.
var tellsRooms = map[string]string{
	"POST /_matrix/client/v3/rooms/{}/join":         "who tries to join has to learn why it fails",
	"POST /_matrix/client/v3/join/{}":               "as above",
	"POST /_matrix/client/v3/knock/{}":              "as above",
	"GET /_matrix/client/v3/directory/list/room/{}": "the specification wants a 404 where there is no room",
	"PUT /_matrix/client/v3/directory/list/room/{}": "as above",
}

// ownCounts are how much the attacker has put into a backup by now.
var ownCounts = regexp.MustCompile(`"(count|etag)":"?[0-9]+"?`)

// TestNobodyLearnsOfRoomsAndEventsThatAreNotForThem compares what an attacker is
// told of what is not for him with what he is told of what does not exist.
func TestNobodyLearnsOfRoomsAndEventsThatAreNotForThem(t *testing.T) {
	s := newStage(t)
	who := s.attacker()
	v := &values{s: s, a: who}
	u := hstest.User{Server: s.Server, Token: who.token}
	for _, r := range s.routes {
		wildcards := r.Wildcards()
		room := slices.ContainsFunc(wildcards, func(n string) bool { return plain(n) == "roomid" || plain(n) == "roomidoralias" })
		if !room {
			continue
		}
		ask := func(roomID, eventID string) string {
			with := map[string]string{"roomID": roomID, "roomIDOrAlias": roomID, "eventID": eventID}
			query := v.query(s.queries(r), "", "")
			var body any
			if r.Method != "GET" {
				body = string(v.body(s.fields(r), eventsIn(s.fields(r), eventID)))
			}
			status, answer := u.Do(r.Method, v.target(r, with, nil, query), body)
			told := strings.NewReplacer(roomID, "ROOM", eventID, "EVENT").Replace(string(answer))
			return fmt.Sprint(status, " ", ownCounts.ReplaceAllString(told, ""))
		}
		const nowhere, never = "!unknown:a.test", "$unknown"
		event := slices.Contains(wildcards, "eventID")
		compare := func(what, is, isNot string) {
			if is != isNot {
				t.Errorf("%s: %s is told from what does not exist:\n\tis      %s\n\tis not  %s", routeKey(r), what, is, isNot)
			}
		}
		if key := routeKey(r); tellsRooms[key] == "" {
			compare("a room", ask(string(s.private), string(s.inPrivate)), ask(nowhere, never))
			compare("a room without its event", ask(string(s.private), never), ask(nowhere, never))
		}
		if event || len(eventsIn(s.fields(r), never)) > 0 {
			compare("an event of another room", ask(string(s.open), string(s.inPrivate)), ask(string(s.open), never))
			compare("an event of another room in his own", ask(string(who.own), string(s.inPrivate)), ask(string(who.own), never))
			if r.Method == "GET" {
				compare("an event before his time", ask(string(s.open), string(s.before)), ask(string(s.open), never))
				compare("an event after his time", ask(string(s.left), string(s.after)), ask(string(s.left), never))
			}
		}
	}
	for key := range tellsRooms {
		if !slices.ContainsFunc(s.routes, func(r endpoint.Route) bool { return routeKey(r) == key }) {
			t.Errorf("%s has a reason and is not served", key)
		}
	}
}

// eventsIn returns the members of a body that name events, with an ID.
func eventsIn(fields []field, eventID string) map[string]string {
	with := make(map[string]string)
	for _, f := range fields {
		switch f.name {
		case "event_id", "m.read", "m.read.private", "m.fully_read":
			with[f.name] = string(mustJSON(eventID))
		}
	}
	return with
}
