package openapi

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// good are headers of a response that is right.
func good() http.Header {
	return http.Header{
		"Content-Type":                 {"application/json"},
		"Access-Control-Allow-Origin":  {"*"},
		"Access-Control-Allow-Methods": {"GET, POST, PUT, DELETE, OPTIONS"},
		"Access-Control-Allow-Headers": {"X-Requested-With, Content-Type, Authorization"},
	}
}

const (
	anEvent = `{"type":"m.room.message","sender":"@a:a.test","event_id":"$e","origin_server_ts":1,"content":{"any":{"thing":1}}`
	aRoom   = `{"next_batch":"1","rooms":{"join":{"!r:a.test":`
)

func TestCheck(t *testing.T) {
	c := New()
	const v3 = "/_matrix/client/v3/"
	for _, tt := range []struct {
		name, call string
		status     int
		body       string
		want       string // a part of what is wrong, empty: nothing
	}{
		{"what is right", "GET /_matrix/client/versions", 200, `{"versions":["v1.19"]}`, ""},
		{"a member is missing", "GET /_matrix/client/versions", 200, `{}`, "/: missing property 'versions'"},
		{"a member of a wrong type", "GET /_matrix/client/versions", 200, `{"versions":[1]}`, "/versions/0: got number, want string"},
		{"a member is null", "GET " + v3 + "account/whoami", 200, `{"user_id":"@a:a.test","device_id":null}`, "/device_id: got null, want string"},
		{"a slip in the name of a member", "GET " + v3 + "account/whoami", 200, `{"user_id":"@a:a.test","deviceid":"x"}`, "/deviceid: the specification does not know this member"},
		{"an identifier that is none", "GET " + v3 + "account/whoami", 200, `{"user_id":"@a"}`, "/user_id: '@a' is not valid mx-user-id"},
		{"the old name of v3", "GET /_matrix/client/r0/account/whoami", 200, `{}`, "user_id"},
		{"no JSON", "GET " + v3 + "account/whoami", 200, `x`, "the body is no JSON"},
		{"a status that is not documented", "GET " + v3 + "account/whoami", 202, `{}`, "GET " + v3 + "account/whoami: 202: the status is not documented"},
		{"a path with a wildcard", "PUT " + v3 + "rooms/!r:a.test/send/m.x%2Fy/t", 200, `{"event_id":1}`, "/send/{eventType}/{txnId}: 200: /event_id"},
		{"a state event without its key", "PUT " + v3 + "rooms/!r:a.test/state/m.x", 200, `{}`, "event_id"},
		{"a literal comes before a wildcard", "GET " + v3 + "pushrules/global/", 200, `{"x":1}`, "GET " + v3 + "pushrules/global/: 200"},
		{"the content of an event", "GET " + v3 + "rooms/!r:a.test/state/m.x/", 200, `{"x":1}`, ""},
		{"a client event", "GET " + v3 + "rooms/!r:a.test/event/$e", 200, anEvent + `,"room_id":"!r:a.test","unsigned":{"age":1}}`, ""},
		{"an event without its room", "GET " + v3 + "rooms/!r:a.test/event/$e", 200, anEvent + `}`, "missing property 'room_id'"},
		{"an event as servers see it", "GET " + v3 + "rooms/!r:a.test/event/$e", 200, anEvent + `,"room_id":"!r:a.test","depth":1}`, "/depth: the spec"},
		{"something within an event", "GET " + v3 + "rooms/!r:a.test/event/$e", 200, anEvent + `,"room_id":"!r:a.test","unsigned":{"x":1}}`, "/unsigned/x: the spec"},
		{"an event whose thread is counted wrongly", "GET " + v3 + "rooms/!r:a.test/event/$e", 200, anEvent + `,"room_id":"!r:a.test","unsigned":{"m.relations":{"m.thread":{"count":0}}}}`, "/unsigned/m.relations/m.thread: missing properties"},
		{"an event that was edited", "GET " + v3 + "rooms/!r:a.test/event/$e", 200, anEvent + `,"room_id":"!r:a.test","unsigned":{"m.relations":{"m.replace":` + anEvent + `}}}}`, ""},
		{"a sync", "GET " + v3 + "sync", 200, aRoom + `{"timeline":{"events":[` + anEvent + `}]}}}}}`, ""},
		{"a sync without the place it leads to", "GET " + v3 + "sync", 200, `{}`, "missing property 'next_batch'"},
		{"an event of a sync without sender", "GET " + v3 + "sync", 200, aRoom + `{"timeline":{"events":[{"type":"x","event_id":"$e","origin_server_ts":1,"content":{}}]}}}}}`, "/rooms/join/!r:a.test/timeline/events/0: missing property 'sender'"},
		{"an event of a sync whose filter cuts it", "GET " + v3 + `sync?filter={"event_fields":["type"]}`, 200, aRoom + `{"timeline":{"events":[{"type":"x"}]}}}}}`, ""},
		{"a room under a name that is none", "GET " + v3 + "sync", 200, `{"next_batch":"1","rooms":{"join":{"x":{}}}}`, "/rooms/join/x: the spec"},
		{"who is typing", "GET " + v3 + "sync", 200, aRoom + `{"ephemeral":{"events":[{"type":"m.typing","content":{"users":[]}}]}}}}}`, "the content of m.typing: /: missing property 'user_ids'"},
		{"what others keep", "GET " + v3 + "sync", 200, `{"next_batch":"1","account_data":{"events":[{"type":"m.direct","content":{"x":1}}]}}`, ""},
		{"a refusal", "GET " + v3 + "sync", 401, `{"errcode":"M_MISSING_TOKEN","error":"x"}`, ""},
		{"a refusal that has no code", "GET " + v3 + "sync", 401, `{"error":"x"}`, "missing property 'errcode'"},
		{"a refusal whose code does not exist", "GET " + v3 + "sync", 400, `{"errcode":"M_OOPS","error":"x"}`, `the errcode is "M_OOPS"`},
		{"a refusal that says nothing", "GET " + v3 + "sync", 400, `{"errcode":"M_UNKNOWN"}`, "does not say anything"},
		{"a refusal whose status is not documented", "GET " + v3 + "sync", 409, `{"errcode":"M_UNKNOWN","error":"x"}`, "the status is not documented"},
		{"another server is to blame", "POST " + v3 + "rooms/!r:a.test/invite", 502, `{"errcode":"M_BAD_STATUS","error":"x","status":500}`, ""},
		{"nobody is to blame", "POST " + v3 + "rooms/!r:a.test/invite", 502, `{"errcode":"M_UNKNOWN","error":"x"}`, "the status is not documented"},
		{"no other server is asked", "POST " + v3 + "rooms/!r:a.test/join", 502, `{"errcode":"M_BAD_STATUS","error":"x"}`, "the status is not documented"},
		{"a fault", "GET " + v3 + "sync", 500, `{"errcode":"M_UNKNOWN","error":"x"}`, "the status is not documented"},
		{"a refusal of what does not exist", "GET " + v3 + "nothing", 404, `{"errcode":"M_UNRECOGNIZED","error":"x"}`, ""},
		{"a refusal of what does not exist, in plain text", "GET " + v3 + "nothing", 404, `not found`, "no JSON"},
		{"authentication where that is meant to be", "POST " + v3 + "account/password", 401, `{"flows":[{"stages":["x"]}],"session":"x","params":{}}`, ""},
		{"authentication that is broken", "POST " + v3 + "account/password", 401, `{"flows":[{}]}`, "/flows/0: missing property 'stages'"},
		{"authentication where that is not meant to be", "POST " + v3 + "createRoom", 401, `{"flows":[]}`, "nothing to authenticate for"},
		{"a page for people", "GET " + v3 + "auth/m.login.dummy/fallback/web", 404, `<p>No.</p>`, ""},
		{"what is not of the API", "GET /health", 299, `x`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			method, target, _ := strings.Cut(tt.call, " ")
			path, query, _ := strings.Cut(target, "?")
			got := c.Check(Response{Method: method, Path: path, Query: query, Status: tt.status, Header: good(), Body: []byte(tt.body)})
			if tt.want == "" && len(got) > 0 || tt.want != "" && !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, tt.want) }) {
				t.Errorf("%s %d %s: got %q, want %q", tt.call, tt.status, tt.body, got, tt.want)
			}
		})
	}
}

func TestHeadersAreChecked(t *testing.T) {
	c := New()
	for name, want := range map[string]string{
		"Content-Type":                 `Content-Type is ""`,
		"Access-Control-Allow-Origin":  `Access-Control-Allow-Origin is ""`,
		"Access-Control-Allow-Methods": "Access-Control-Allow-Methods lacks PUT",
		"Access-Control-Allow-Headers": "Access-Control-Allow-Headers lacks Authorization",
	} {
		header := good()
		header.Del(name)
		got := c.Check(Response{Method: "GET", Path: "/_matrix/client/versions", Status: 200, Header: header, Body: []byte(`{"versions":[]}`)})
		if !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("without %s: got %q, want %s", name, got, want)
		}
	}
}

// TestEverySchemaCanBeAsked compiles all of them, and wants reasons for what there
// is.
func TestEverySchemaCanBeAsked(t *testing.T) {
	c := New()
	for key, statuses := range c.operations {
		for status, kinds := range statuses {
			if kinds[jsonType] != nil {
				c.schema("operations", key, status, jsonType)
			}
		}
	}
	for name := range c.events {
		c.schema("events", name)
	}
	for _, key := range slices.Concat(slices.Collect(maps.Keys(loose)), slices.Collect(maps.Keys(additional)), slices.Collect(maps.Keys(asks))) {
		if c.operations[key] == nil {
			t.Errorf("%s is an exception and does not exist", key)
		}
	}
}
