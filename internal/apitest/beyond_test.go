package apitest

import (
	"net/url"
	"slices"
	"strings"
	"testing"
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
}

// TestWhatIsBeyondTheSpecificationIsAnsweredWell takes a tour of it. Dehydrated devices,
// what devices say to each other before a login, and pages of the server have scenes of
// their own.
func TestWhatIsBeyondTheSpecificationIsAnsweredWell(t *testing.T) {
	v := newTour(t)
	for _, s := range beyondSteps {
		v.stray(s)
	}
	for r := range v.Routes() {
		key := routeKey(r)
		elsewhere := slices.ContainsFunc([]string{"msc3814", "rendezvous", "msc2666", "/org.parley/"}, func(of string) bool { return strings.Contains(key, of) })
		proposed := strings.Contains(key, "/_matrix/client/unstable/") || strings.Contains(key, "delayed_event") || strings.Contains(key, "/v4/")
		if beyond[key] != "" && proposed && !elsewhere && !v.answered[key] {
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
	bare, _, _ := strings.Cut(path, "?")
	for r := range v.Routes() {
		if r.Method == method && fits(r.Pattern, bare) {
			v.answered[routeKey(r)] = true
		}
	}
	if name, member, ok := strings.Cut(s.keep, "="); ok {
		v.kept[name] = text(answer, member)
	}
}

// fits reports whether a path is one of a pattern.
func fits(pattern, path string) bool {
	of, parts := strings.Split(pattern, "/"), strings.Split(path, "/")
	return slices.EqualFunc(of, parts, func(of, part string) bool { return strings.HasPrefix(of, "{") || of == part })
}
