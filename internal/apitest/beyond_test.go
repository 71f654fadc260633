package apitest

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"parley/internal/hstest"
)

// beyondSteps are those of what the specification does not have, but clients use.
var beyondSteps = []step{
	{"alice", "POST createRoom", `{}`, "room=room_id"},
	{"alice", "PUT rooms/<room>/send/m.room.message/1", `{"body":"a thread","msgtype":"m.text"}`, "root=event_id"},

	{"alice", "PUT rooms/<room>/delayed_event/org.test/2", `{"delay_ms":600000,"content":{"x":1}}`, "delay=delay_id"},
	{"alice", "GET /_matrix/client/v1/delayed_events", "", ""},
	{"alice", "GET /_matrix/client/v1/delayed_events/<delay>", "", ""},
	{"alice", "POST /_matrix/client/v1/delayed_events/<delay>/restart", `{}`, ""},
	{"alice", "POST /_matrix/client/v1/delayed_events/<delay>/send", `{}`, ""},
	{"alice", "PUT rooms/<room>/delayed_event/org.test/3", `{"delay_ms":600000,"state_key":"x","content":{}}`, "delay=delay_id"},
	{"alice", "POST /_matrix/client/v1/delayed_events/<delay>/cancel", `{}`, ""},
	{"alice", "PUT /_matrix/client/unstable/org.matrix.msc4140/rooms/<room>/delayed_event/org.test/4", `{"delay_ms":600000,"content":{}}`, "delay=delay_id"},
	{"alice", "GET /_matrix/client/unstable/org.matrix.msc4140/delayed_events", "", ""},
	{"alice", "GET /_matrix/client/unstable/org.matrix.msc4140/delayed_events/<delay>", "", ""},
	{"alice", "POST /_matrix/client/unstable/org.matrix.msc4140/delayed_events/<delay>", `{"action":"restart"}`, ""},
	{"alice", "POST /_matrix/client/unstable/org.matrix.msc4140/delayed_events/<delay>/restart", `{}`, ""},
	{"alice", "POST /_matrix/client/unstable/org.matrix.msc4140/delayed_events/<delay>/send", `{}`, ""},
	{"alice", "PUT /_matrix/client/unstable/org.matrix.msc4140/rooms/<room>/delayed_event/org.test/5", `{"delay_ms":600000,"content":{}}`, "delay=delay_id"},
	{"alice", "POST /_matrix/client/unstable/org.matrix.msc4140/delayed_events/<delay>/cancel", `{}`, ""},

	{"alice", "PUT /_matrix/client/unstable/io.element.msc4306/rooms/<room>/thread/<root>/subscription", `{}`, ""},
	{"alice", "GET /_matrix/client/unstable/io.element.msc4306/rooms/<room>/thread/<root>/subscription", "", ""},
	{"alice", "GET /_matrix/client/unstable/io.element.msc4308/thread_subscriptions?dir=b", "", ""},
	{"alice", "DELETE /_matrix/client/unstable/io.element.msc4306/rooms/<room>/thread/<root>/subscription", "", ""},

	{"alice", "PUT user/@alice:a.test/account_data/org.test", `{"x":1}`, ""},
	{"alice", "DELETE /_matrix/client/unstable/org.matrix.msc3391/user/@alice:a.test/account_data/org.test", "", ""},
	{"alice", "PUT user/@alice:a.test/rooms/<room>/account_data/org.test", `{"x":1}`, ""},
	{"alice", "DELETE /_matrix/client/unstable/org.matrix.msc3391/user/@alice:a.test/rooms/<room>/account_data/org.test", "", ""},

	{"alice", "POST /_matrix/client/v4/sync", `{"lists":{"a":{"range":[0,9],"timeline_limit":1,"required_state":{"include":[{}]}}},"extensions":` + slidingExtensions + `}`, "pos=pos"},
	{"alice", "POST /_matrix/client/v4/sync", `{"pos":"<pos>","lists":{"a":{"range":[0,9],"timeline_limit":1,"required_state":{"include":[{}]}}}}`, ""},
	{"alice", "POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync", `{"lists":{"a":{"ranges":[[0,9]],"timeline_limit":1,"required_state":[["*","*"]]}},"extensions":` + slidingExtensions + `}`, ""},

	{"alice", "GET /_matrix/client/unstable/im.nheko.summary/summary/<room>", "", ""},
	{"alice", "GET /_matrix/client/unstable/im.nheko.summary/rooms/<room>/summary", "", ""},

	{"alice", "GET /_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms?user_id=@bob:a.test", "", ""},
}

// dehydratedSteps are those of MSC3814.
func dehydratedSteps() []step {
	const path = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device"
	dry := (&hstest.User{ID: "@alice:a.test", Device: "DRY"}).Keys()
	body := mustJSON(map[string]any{
		"device_id": "DRY", "device_data": map[string]any{"algorithm": "org.test"}, "initial_device_display_name": "Dry",
		"device_keys": dry.Sign(dry.Device()), "one_time_keys": dry.OneTime("A"), "fallback_keys": dry.Fallback("F"),
	})
	return []step{
		{"alice", "PUT " + path, string(body), "dry=device_id"},
		{"alice", "GET " + path, "", "dry=device_id"},
		{"bob", "PUT sendToDevice/org.test/dry", `{"messages":{"@alice:a.test":{"DRY":{"x":1}}}}`, ""},
		{"alice", "GET " + path + "/<dry>/events", "", ""},
		{"alice", "POST " + path + "/<dry>/events", `{}`, "next=next_batch"},
		{"alice", "POST " + path + "/<dry>/events", `{"next_batch":"<next>"}`, ""},
		{"alice", "DELETE " + path, "", ""},
	}
}

// rendezvousSteps are those of MSC4388, at one of its paths. Who reads and writes has no
// account yet.
func rendezvousSteps(path string) []step {
	return []step{
		{"alice", "GET " + path, "", ""},
		{"alice", "POST " + path, `{"data":"hello"}`, "meeting=id token=sequence_token"},
		{"", "GET " + path + "/<meeting>", "", ""},
		{"", "PUT " + path + "/<meeting>", `{"sequence_token":"<token>","data":"hi"}`, "token=sequence_token"},
		{"alice", "PUT " + path + "/<meeting>", `{"sequence_token":"<token>","data":"ho"}`, ""},
		{"alice", "DELETE " + path + "/<meeting>", "", ""},
	}
}

// TestWhatIsBeyondTheSpecificationIsAnsweredWell takes a tour of it. Pages of the server
// have scenes of their own.
func TestWhatIsBeyondTheSpecificationIsAnsweredWell(t *testing.T) {
	v := newTour(t)
	for _, s := range slices.Concat(beyondSteps, dehydratedSteps(),
		rendezvousSteps("/_matrix/client/v1/rendezvous"), rendezvousSteps("/_matrix/client/unstable/io.element.msc4388/rendezvous")) {
		v.stray(s)
	}
	v.meetInPlainText()
	for r := range v.Routes() {
		key := routeKey(r)
		proposed := slices.ContainsFunc([]string{"/_matrix/client/unstable/", "delayed_event", "/rendezvous", "/v4/"}, func(of string) bool { return strings.Contains(key, of) })
		if beyond[key] != "" && proposed && !strings.Contains(key, "/org.parley/") && !v.answered[key] {
			t.Errorf("%s is not on the tour: add a step for it", key)
		}
	}
}

// stray takes a step that need not be one of the specification.
func (v *tour) stray(s step) {
	v.t.Helper()
	replace := func(text string, escape func(string) string) string {
		return kept.ReplaceAllStringFunc(text, func(name string) string { return escape(v.kept[strings.Trim(name, "<>")]) })
	}
	method, path, _ := strings.Cut(replace(s.call, url.PathEscape), " ")
	if !strings.HasPrefix(path, "/") {
		path = "/_matrix/client/v3/" + path
	}
	status, answer := v.ask(s.who, method, path, replace(s.body, func(s string) string { return s }))
	if status != 200 {
		v.t.Errorf("%s of %s: got %d %s", s.call, s.who, status, answer)
		return
	}
	v.answers(method, path)
	for _, pair := range strings.Fields(s.keep) {
		name, member, _ := strings.Cut(pair, "=")
		v.kept[name] = text(answer, member)
	}
}

// answers takes down that a request was answered well.
func (v *tour) answers(method, path string) {
	bare, _, _ := strings.Cut(path, "?")
	for r := range v.Routes() {
		if r.Method == method && fits(r.Pattern, bare) {
			v.answered[routeKey(r)] = true
		}
	}
}

// meetInPlainText takes the steps of MSC4108 as it was in 2024, which are no JSON: what
// matters is in headers.
func (v *tour) meetInPlainText() {
	const path = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous"
	alice, nobody := v.users["alice"], &hstest.User{Server: v.Server}
	take := func(u *hstest.User, method, path string, status int, body string, header ...string) hstest.Reply {
		v.t.Helper()
		reply := u.Raw(method, path, []byte(body), header...)
		if reply.Status != status {
			v.t.Errorf("%s %s: got %d %s, want %d", method, path, reply.Status, reply.Body, status)
		}
		v.answers(method, path)
		return reply
	}
	begun := take(alice, "POST", path, 201, "hello", "Content-Type", "text/plain")
	_, one, _ := strings.Cut(begun.Get("url"), path)
	one = path + one
	read := take(nobody, "GET", one, 200, "")
	if tag := read.Header.Get("ETag"); string(read.Body) != "hello" || tag == "" || tag != begun.Header.Get("ETag") {
		v.t.Errorf("what was written is read as %q with the tags %q and %q", read.Body, begun.Header.Get("ETag"), tag)
	}
	written := take(nobody, "PUT", one, 202, "hi", "Content-Type", "text/plain", "If-Match", read.Header.Get("ETag"))
	if tag := written.Header.Get("ETag"); tag == "" || tag == read.Header.Get("ETag") {
		v.t.Errorf("what was written anew has the tag %q, and had %q", tag, read.Header.Get("ETag"))
	}
	take(alice, "DELETE", one, 204, "")
}

// fits reports whether a path is one of a pattern.
func fits(pattern, path string) bool {
	of, parts := strings.Split(pattern, "/"), strings.Split(path, "/")
	return slices.EqualFunc(of, parts, func(of, part string) bool { return strings.HasPrefix(of, "{") || of == part })
}
