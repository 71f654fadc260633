package csapi_test

import (
	"fmt"
	"strings"
	"testing"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

// related returns what /event says that relates to a named event.
func (s *scene) related(u *hstest.User, name string) canonjson.Value {
	s.Helper()
	return u.Must("GET", s.path("v3", "event", s.id(name)), nil).Get("unsigned").Get("m.relations")
}

// thread says of a thread what its last event is, how many there are, and whether
// the user has taken part, empty if there is none.
func (s *scene) thread(u *hstest.User, root string) string {
	s.Helper()
	return s.threadIn(s.related(u, root))
}

func (s *scene) threadIn(relations canonjson.Value) string {
	t := relations.Get("m.thread")
	if t == nil {
		return ""
	}
	return fmt.Sprintf("%s %s %s", s.names[text(t, "latest_event", "event_id")], t.Get("count"), t.Get("current_user_participated"))
}

// edit is the name of the event that replaces another, empty if none does.
func (s *scene) edit(u *hstest.User, name string) string {
	s.Helper()
	return s.names[text(s.related(u, name), "m.replace", "event_id")]
}

// later is the one of two events that was sent last or, if that was at the same
// time, has the greater ID.
func (s *scene) later(a, b string) string {
	s.Helper()
	at := func(name string) int64 {
		ts, _ := s.alice.Must("GET", s.path("v3", "event", s.id(name)), nil).Get("origin_server_ts").Int()
		return ts
	}
	if at(a) == at(b) && s.id(a) > s.id(b) {
		return a
	}
	return b
}

func (s *scene) ignore(u *hstest.User, other string) {
	s.Helper()
	u.Must("PUT", fmt.Sprintf("/_matrix/client/v3/user/%s/account_data/m.ignored_user_list", u.ID), `{"ignored_users":{`+other+`}}`)
}

func TestThreadsOfARoom(t *testing.T) {
	s := newScene(t)
	list := func(u *hstest.User, query string) canonjson.Value {
		t.Helper()
		return u.Must("GET", s.path("v1", "threads")+query, nil)
	}
	s.same("of a room without threads", list(s.alice, ""), `{"chunk":[]}`)
	for i := range 5 {
		s.say(s.alice, fmt.Sprint(i))
	}
	for i := range 5 {
		s.say(s.bob, fmt.Sprintf("in %d", i), "m.thread", fmt.Sprint(i))
	}
	s.say(s.bob, "bob's")
	s.say(s.alice, "in bob's", "m.thread", "bob's")
	s.say(s.bob, "again", "m.thread", "1")
	s.say(s.bob, "of nothing", "m.thread", "$nothing")
	s.send(s.bob, "quiet", "m.room.other", s.content("", "m.thread", "0")) // notifies nobody
	s.same("the latest first", s.brief(list(s.alice, "").Get("chunk")), "[0 1 bob's 4 3 2]")
	s.same("a few", s.brief(list(s.alice, "?limit=2").Get("chunk")), "[0 1]")
	s.same("with what is in them", s.threadIn(first(list(s.alice, "").Get("chunk")).Get("unsigned").Get("m.relations")), "quiet 2 true")
	s.same("what alice takes part in", s.brief(list(s.alice, "?include=participated").Get("chunk")), "[0 1 bob's 4 3 2]")
	s.carol.Must("POST", s.path("v3", "join"), `{}`)
	s.same("what carol takes part in", s.brief(list(s.carol, "?include=participated").Get("chunk")), "[]")
	s.say(s.carol, "carol's", "m.thread", "3")
	s.same("when she has said something", s.brief(list(s.carol, "?include=participated").Get("chunk")), "[3]")
	s.redact(s.alice, "carol's")
	s.same("when that is redacted", s.brief(list(s.carol, "?include=participated").Get("chunk")), "[]")
	s.same("the thread is where it was", s.brief(list(s.carol, "").Get("chunk")), "[0 1 bob's 4 3 2]")
	s.same("and what it was", s.thread(s.carol, "3"), "in 3 1 false")
	s.redact(s.alice, "in 2")
	s.redact(s.alice, "in 2")
	s.same("without events it is none", s.brief(list(s.carol, "").Get("chunk")), "[0 1 bob's 4 3]")
	s.redact(s.alice, "4")
	s.same("its root may be redacted", s.brief(list(s.carol, "").Get("chunk")), "[0 1 bob's 4 3]")

	var all []string
	for from := ""; ; {
		a := list(s.alice, "?limit=2"+from)
		all = append(all, s.brief(a.Get("chunk"))...)
		next := text(a, "next_batch")
		if next == "" {
			break
		}
		from = "&from=" + next
	}
	s.same("page by page", all, "[0 1 bob's 4 3]")
	s.refused("a bad token", s.alice, "GET", s.path("v1", "threads")+"?from=x", nil, 400, "M_INVALID_PARAM")
	s.refused("a bad limit", s.alice, "GET", s.path("v1", "threads")+"?limit=0", nil, 400, "M_INVALID_PARAM")
	s.refused("a bad choice", s.alice, "GET", s.path("v1", "threads")+"?include=none", nil, 400, "M_INVALID_PARAM")
}

func first(list canonjson.Value) canonjson.Value {
	for v := range list.Elements() {
		return v
	}
	return nil
}

func TestThreadsOfWhichSomebodySeesAPart(t *testing.T) {
	s := newScene(t)
	s.say(s.alice, "root")
	s.say(s.alice, "later")
	s.say(s.alice, "one", "m.thread", "root")
	s.bob.Must("POST", s.path("v3", "leave"), `{}`)
	s.say(s.alice, "two", "m.thread", "root")
	s.say(s.alice, "three", "m.thread", "later")
	s.say(s.alice, "edit", "m.replace", "one")
	s.say(s.alice, "ref", "m.reference", "one")
	list := s.bob.Must("GET", s.path("v1", "threads"), nil).Get("chunk")
	s.same("who has left", s.brief(list), "[root]")
	s.same("what he has seen of it", s.threadIn(first(list).Get("unsigned").Get("m.relations")), "one 1 false")
	s.same("of an event", s.related(s.bob, "one"), "")
	s.refused("who never was there", s.carol, "GET", s.path("v1", "threads"), nil, 403, "M_FORBIDDEN")
}

func TestRelationsOfIgnoredUsers(t *testing.T) {
	s := newScene(t)
	s.say(s.alice, "root")
	for _, name := range []string{"1", "2", "3"} {
		s.say(s.alice, "alice "+name, "m.reference", "root")
		s.say(s.bob, "bob "+name, "m.reference", "root")
	}
	list := func(query string) canonjson.Value {
		t.Helper()
		return s.alice.Must("GET", s.path("v1", "relations", s.id("root"))+query, nil)
	}
	s.same("before", s.brief(list("").Get("chunk")), "[bob 3 alice 3 bob 2 alice 2 bob 1 alice 1]")
	s.ignore(s.alice, `"@bob:a.test":{}`)
	s.same("without bob", s.brief(list("").Get("chunk")), "[alice 3 alice 2 alice 1]")
	var pages []string
	for from := ""; ; {
		a := list("?limit=1" + from)
		pages = append(pages, fmt.Sprint(s.brief(a.Get("chunk"))))
		next := text(a, "next_batch")
		if next == "" {
			break
		}
		from = "&from=" + next
	}
	s.same("page by page, some of them empty", pages, "[[] [alice 3] [] [alice 2] [] [alice 1]]")
}

func TestThreadsOfIgnoredUsers(t *testing.T) {
	s := newScene(t)
	s.say(s.alice, "root")
	s.say(s.bob, "bob's")
	s.say(s.bob, "bob alone", "m.thread", "root")
	s.say(s.alice, "alone", "m.thread", "bob's")
	s.say(s.alice, "one", "m.thread", "root")
	s.say(s.bob, "two", "m.thread", "root")
	s.send(s.bob, "bob refers", "m.other", s.content("", "m.reference", "root"))
	s.same("before", s.thread(s.alice, "root"), "two 3 true")
	s.ignore(s.alice, `"@bob:a.test":{}`)
	s.same("without bob", s.thread(s.alice, "root"), "one 1 true")
	if refs := s.related(s.alice, "root").Get("m.reference"); refs != nil {
		t.Errorf("bob refers to it: %s", refs)
	}
	list := s.alice.Must("GET", s.path("v1", "threads"), nil).Get("chunk")
	s.same("threads", s.brief(list), "[root bob's]")
	for e := range list.Elements() {
		if redacted := len(e.Get("content")) == len("{}"); redacted != (s.names[text(e, "event_id")] == "bob's") {
			t.Errorf("redacted: %v: %s", redacted, e)
		}
	}
	s.same("bob's view", s.thread(s.bob, "root"), "two 3 true")
}

func TestWhatRelatesToAnEventComesWithIt(t *testing.T) {
	s := newScene(t)
	s.say(s.alice, "plain")
	s.say(s.alice, "root")
	s.say(s.alice, "one", "m.thread", "root")
	s.say(s.bob, "two", "m.thread", "root")
	s.say(s.bob, "edit of two", "m.replace", "two")
	s.send(s.bob, "like", "m.reaction", s.content("", "m.annotation", "root", "+"))
	s.send(s.bob, "ref", "m.other", s.content("", "m.reference", "root"))
	s.send(s.bob, "ref 2", "m.other", s.content("", "m.reference", "root"))

	if got := s.related(s.alice, "plain"); got != nil {
		t.Errorf("something relates to nothing: %s", got)
	}
	all := s.related(s.alice, "root")
	s.same("the thread", s.threadIn(all), "two 2 true")
	s.same("the references", s.brief(all.Get("m.reference").Get("chunk")), "[ref ref 2]")
	if all.Get("m.annotation") != nil || all.Get("m.replace") != nil {
		t.Errorf("too much: %s", all)
	}
	latest := all.Get("m.thread").Get("latest_event")
	s.same("what relates to the last in the thread", s.names[text(latest, "unsigned", "m.relations", "m.replace", "event_id")], "edit of two")
	s.same("its body is as it was", text(latest, "content", "body"), "two")

	in := func(where string, list canonjson.Value) {
		t.Helper()
		for e := range list.Elements() {
			if s.names[text(e, "event_id")] == "root" {
				s.same(where, s.threadIn(e.Get("unsigned").Get("m.relations")), "two 2 true")
				return
			}
		}
		t.Errorf("%s: there is no root", where)
	}
	in("/messages", s.alice.Must("GET", s.path("v3", "messages")+"?dir=b&limit=50", nil).Get("chunk"))
	context := s.alice.Must("GET", s.path("v3", "context", s.id("one")), nil)
	in("/context before", context.Get("events_before"))
	in("/context", canonjson.Value("["+string(s.alice.Must("GET", s.path("v3", "context", s.id("root")), nil).Get("event"))+"]"))
	in("/threads", s.alice.Must("GET", s.path("v1", "threads"), nil).Get("chunk"))
	s.say(s.alice, "refers", "m.reference", "plain")
	relations := s.alice.Must("GET", s.path("v1", "relations", s.id("root"), "m.thread"), nil).Get("chunk")
	s.same("/relations", s.names[text(first(relations), "unsigned", "m.relations", "m.replace", "event_id")], "edit of two")
	sync := func(filter string) canonjson.Value {
		t.Helper()
		a := s.alice.Must("GET", "/_matrix/client/v3/sync?filter="+filter, nil)
		return a.Get("rooms").Get("join").Get(s.room).Get("timeline").Get("events")
	}
	in("/sync of a part", sync(`{"room":{"timeline":{"limit":10}}}`))
	if whole := string(sync(`{"room":{"timeline":{"limit":100}}}`)); strings.Contains(whole, "m.relations") {
		t.Errorf("/sync of everything puts together what the client gets: %s", whole)
	}
}

func TestEditsThatAreValid(t *testing.T) {
	s := newScene(t)
	s.say(s.alice, "m")
	s.same("none", s.edit(s.bob, "m"), "")
	s.say(s.alice, "first", "m.replace", "m")
	s.say(s.alice, "second", "m.replace", "m")
	last := s.later("first", "second")
	s.same("the last", s.edit(s.bob, "m"), last)
	s.say(s.bob, "bob's", "m.replace", "m")
	s.send(s.alice, "other type", "m.other", s.content("x", "m.replace", "m"))
	s.send(s.alice, "without content", "m.room.message", `{"m.relates_to":{"rel_type":"m.replace","event_id":"`+s.id("m")+`"}}`)
	s.name("state", text(s.alice.Must("PUT", s.path("v3", "state", "m.room.message"), s.content("x", "m.replace", "m")), "event_id"))
	s.same("what is not valid does not count", s.edit(s.bob, "m"), last)
	s.say(s.alice, "of an edit", "m.replace", "second")
	s.same("an edit is not edited", s.edit(s.bob, "second"), "")
	s.redact(s.alice, "second")
	s.same("one that is redacted does not count", s.edit(s.bob, "m"), "first")
	s.same("the content is as it was", text(s.bob.Must("GET", s.path("v3", "event", s.id("m")), nil), "content", "body"), "m")
	s.redact(s.alice, "m")
	s.same("what is redacted is not edited", s.edit(s.bob, "m"), "")
	s.same("not even what was an edit", s.edit(s.bob, "second"), "")

	s.send(s.alice, "secret", "m.room.encrypted", `{"ciphertext":"x"}`)
	s.send(s.alice, "secret edit", "m.room.encrypted", fmt.Sprintf(
		`{"ciphertext":"y","m.relates_to":{"rel_type":"m.replace","event_id":%q}}`, s.id("secret")))
	s.say(s.alice, "in the open", "m.replace", "secret")
	s.same("what is encrypted is edited by what is encrypted", s.edit(s.bob, "secret"), "secret edit")
	s.same("state is not edited", s.edit(s.bob, "state"), "")
}

func TestAnnotationsAreNotRepeated(t *testing.T) {
	s := newScene(t)
	s.say(s.alice, "m")
	s.say(s.alice, "n")
	react := func(to, key string) string { return s.content("", "m.annotation", to, key) }
	path := func(kind, txn string) string { return s.path("v3", "send", kind, txn) }
	s.send(s.bob, "like", "m.reaction", react("m", "+"))
	again := react("m", "+")
	s.refused("the same again", s.bob, "PUT", path("m.reaction", "t1"), again, 400, "M_DUPLICATE_ANNOTATION")
	s.same("the same request", text(s.bob.Must("PUT", path("m.reaction", "as like"), again), "event_id"), s.id("like"))
	s.send(s.bob, "with another key", "m.reaction", react("m", "-"))
	s.send(s.bob, "of another event", "m.reaction", react("n", "+"))
	s.send(s.bob, "of another type", "m.other", react("m", "+"))
	s.send(s.alice, "alice's", "m.reaction", again)
	s.send(s.bob, "without a key", "m.reaction", s.content("", "m.annotation", "m"))
	s.send(s.bob, "without a key again", "m.reaction", s.content("", "m.annotation", "m"))
	s.redact(s.bob, "like")
	s.send(s.bob, "after it was redacted", "m.reaction", again)
	s.refused("and again", s.bob, "PUT", path("m.reaction", "t2"), again, 400, "M_DUPLICATE_ANNOTATION")
	s.same("the list has them all", s.brief(s.bob.Must("GET", s.path("v1", "relations", s.id("m"), "m.annotation", "m.reaction"), nil).Get("chunk")),
		"[after it was redacted without a key again without a key alice's with another key]")
}

func TestAThreadBeginsFromWhatRelatesToNothing(t *testing.T) {
	s := newScene(t)
	s.say(s.alice, "root")
	s.say(s.alice, "in", "m.thread", "root")
	s.say(s.alice, "ref", "m.reference", "root")
	s.send(s.alice, "reply", "m.room.message", fmt.Sprintf(`{"body":"reply","m.relates_to":{"m.in_reply_to":{"event_id":%q}}}`, s.id("root")))
	for _, name := range []string{"in", "ref"} {
		s.refused("from "+name, s.bob, "PUT", s.path("v3", "send", "m.room.message", "from "+name), s.content("no", "m.thread", name), 400, "M_UNKNOWN")
	}
	s.say(s.bob, "under a reply", "m.thread", "reply")
	s.say(s.bob, "under what nobody knows", "m.thread", "$nothing")
	s.say(s.bob, "in too", "m.thread", "root")
}
