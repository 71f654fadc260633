package csapi_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

// A scene is a server with alice, bob and carol, and a room of alice's in which
// bob is, too. Events have names: those of their bodies.
type scene struct {
	testing.TB
	alice, bob, carol *hstest.User
	room              string
	events            map[string]string // the IDs of events by name
	names             map[string]string // and the other way round
}

func newScene(t testing.TB) *scene {
	server := hstest.New(t).Server("a.test")
	s := &scene{
		TB: t, alice: server.Register("alice"), bob: server.Register("bob"), carol: server.Register("carol"),
		events: make(map[string]string), names: make(map[string]string),
	}
	s.room = text(s.alice.Must("POST", "/_matrix/client/v3/createRoom", `{"preset":"public_chat"}`), "room_id")
	s.bob.Must("POST", s.path("v3", "join"), `{}`)
	return s
}

func text(v canonjson.Value, names ...string) string {
	for _, name := range names {
		v = v.Get(name)
	}
	s, _ := v.Text()
	return s
}

// path is that of something in the room.
func (s *scene) path(version string, rest ...string) string {
	p := "/_matrix/client/" + version + "/rooms/" + url.PathEscape(s.room)
	for _, part := range rest {
		p += "/" + url.PathEscape(part)
	}
	return p
}

// say sends a message that relates to a named event as parts say: a type of
// relations, a name, and a key.
func (s *scene) say(u *hstest.User, body string, parts ...string) {
	s.Helper()
	s.send(u, body, "m.room.message", s.content(body, parts...))
}

func (s *scene) content(body string, parts ...string) string {
	content := canonjson.Value(fmt.Sprintf(`{"body":%q,"msgtype":"m.text"}`, body))
	if len(parts) == 0 {
		return string(content)
	}
	relates := canonjson.Value("{}").With("rel_type", canonjson.Text(parts[0])).With("event_id", canonjson.Text(s.id(parts[1])))
	if len(parts) > 2 {
		relates = relates.With("key", canonjson.Text(parts[2]))
	}
	if parts[0] == "m.replace" {
		content = content.With("m.new_content", canonjson.Value(fmt.Sprintf(`{"body":%q}`, "new "+body)))
	}
	return string(content.With("m.relates_to", relates))
}

// id is the ID of a named event, or the name where there is none such.
func (s *scene) id(name string) string {
	if eventID, ok := s.events[name]; ok {
		return eventID
	}
	return name
}

func (s *scene) send(u *hstest.User, name, kind, content string) {
	s.Helper()
	s.name(name, text(u.Must("PUT", s.path("v3", "send", kind, "as "+name), content), "event_id"))
}

func (s *scene) name(name, eventID string) { s.events[name], s.names[eventID] = eventID, name }

func (s *scene) redact(u *hstest.User, name string) {
	s.Helper()
	u.Must("PUT", s.path("v3", "redact", s.id(name), "redact "+name), `{}`)
}

// chunk returns the names of the events in a list.
func (s *scene) brief(list canonjson.Value) []string {
	names := []string{}
	for e := range list.Elements() {
		eventID := text(e, "event_id")
		name, ok := s.names[eventID]
		if !ok {
			name = text(e, "type")
		}
		names = append(names, name)
	}
	return names
}

func (s *scene) same(what string, got any, want any) {
	s.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		s.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// refused demands that a request is refused with a code.
func (s *scene) refused(what string, u *hstest.User, method, path string, body any, status int, code string) {
	s.Helper()
	got, answer := u.Do(method, path, body)
	if got != status || text(answer, "errcode") != code {
		s.Errorf("%s: got %d %s, want %d %s", what, got, answer, status, code)
	}
}

func TestWhatRelatesToAnEventIsListed(t *testing.T) {
	s := newScene(t)
	s.say(s.alice, "root")
	s.say(s.bob, "one", "m.thread", "root")
	s.send(s.bob, "like", "m.reaction", s.content("", "m.annotation", "root", "+"))
	s.say(s.alice, "two", "m.thread", "root")
	s.say(s.bob, "edit", "m.replace", "one")
	s.say(s.alice, "about edit", "m.reference", "edit")
	s.say(s.alice, "too deep", "m.reference", "about edit")
	s.say(s.alice, "gone", "m.thread", "root")
	s.say(s.alice, "under gone", "m.reference", "gone")
	s.send(s.bob, "secret", "m.room.encrypted", s.content("", "m.thread", "root"))
	s.redact(s.alice, "gone")
	for _, row := range []struct {
		name, path string
		want       string
	}{
		{"all, the last first", "", "[secret two like one]"},
		{"all, the first first", "?dir=f", "[one like two secret]"},
		{"of a type of relations", "/m.thread", "[secret two one]"},
		{"of a type of relations that nothing has", "/m.other", "[]"},
		{"of a type of events", "/m.thread/m.room.message", "[two one]"},
		{"of an encrypted type", "/m.thread/m.room.encrypted", "[secret]"},
		{"a few", "?limit=2", "[secret two]"},
		{"a few of the first", "?limit=2&dir=f", "[one like]"},
		{"directly only", "?recurse=false", "[secret two like one]"},
		{"what relates to that, too, to a depth of three", "?recurse=true", "[secret about edit edit two like one]"},
		{"that in order", "?recurse=true&dir=f", "[one like two edit about edit secret]"},
		{"a few of them", "?recurse=true&limit=3", "[secret about edit edit]"},
		{"a few of the first of them", "?recurse=true&limit=4&dir=f", "[one like two edit]"},
		{"through such events only", "/m.thread?recurse=true", "[secret two one]"},
	} {
		a := s.bob.Must("GET", s.path("v1", "relations", s.id("root"))+row.path, nil)
		s.same(row.name, s.brief(a.Get("chunk")), row.want)
		depth, _ := a.Get("recursion_depth").Int()
		if want := int64(strings.Count(row.path, "recurse=false") + 3*strings.Count(row.path, "recurse=true")); depth != want {
			t.Errorf("%s: the depth is %d, want %d", row.name, depth, want)
		}
	}
	s.same("of a redacted event", s.brief(s.bob.Must("GET", s.path("v1", "relations", s.id("gone")), nil).Get("chunk")), "[under gone]")
}

func TestRelationsAreListedPageByPage(t *testing.T) {
	s := newScene(t)
	s.say(s.alice, "root")
	var all []string
	for i := range 23 {
		name := fmt.Sprint(i)
		s.say(s.alice, name, "m.thread", "root")
		all = append(all, name)
		if i%3 == 0 {
			s.say(s.bob, "on "+name, "m.reference", name)
			all = append(all, "on "+name)
		}
	}
	s.say(s.bob, "late on 0", "m.reference", "0")
	all = append(all, "late on 0")
	for _, dir := range []string{"b", "f"} {
		var got []string
		path := s.path("v1", "relations", s.id("root")) + "?recurse=true&limit=4&dir=" + dir
		a := s.alice.Must("GET", path, nil)
		if a.Get("prev_batch") != nil {
			t.Errorf("the first page has a prev_batch: %s", a)
		}
		for {
			got = append(got, s.brief(a.Get("chunk"))...)
			next := text(a, "next_batch")
			if next == "" {
				break
			}
			a = s.alice.Must("GET", path+"&from="+next, nil)
			s.same("prev_batch", text(a, "prev_batch"), next)
		}
		if dir == "b" {
			slices.Reverse(got)
		}
		s.same("all pages "+dir, got, all)
	}
	page := func(query string) canonjson.Value {
		return s.alice.Must("GET", s.path("v1", "relations", s.id("root"), "m.thread")+query, nil)
	}
	first := text(page("?limit=3"), "next_batch")
	second := text(page("?limit=3&from="+first), "next_batch")
	s.same("between two tokens", s.brief(page("?from="+first+"&to="+second).Get("chunk")), "[19 18 17]")
	s.same("forwards", s.brief(page("?dir=f&from="+second+"&to="+first).Get("chunk")), "[17 18 19]")
	s.same("between them the wrong way round", s.brief(page("?from="+second+"&to="+first).Get("chunk")), "[]")
	sync := s.alice.Must("GET", "/_matrix/client/v3/sync", nil)
	s.say(s.alice, "after", "m.thread", "root")
	s.same("from a token of sync", s.brief(page("?dir=f&from="+text(sync, "next_batch")).Get("chunk")), "[after]")
}

func TestRelationsThatAreNobodysBusiness(t *testing.T) {
	s := newScene(t)
	s.say(s.alice, "root")
	s.say(s.alice, "before", "m.thread", "root")
	s.bob.Must("POST", s.path("v3", "leave"), `{}`)
	s.say(s.alice, "after", "m.thread", "root")
	s.say(s.alice, "on before", "m.reference", "before")
	s.say(s.alice, "later root")
	list := func(name, query string) string { return s.path("v1", "relations", s.id(name)) + query }
	s.same("who has left", s.brief(s.bob.Must("GET", list("root", "?recurse=true"), nil).Get("chunk")), "[before]")
	s.refused("an event after leaving", s.bob, "GET", list("later root", ""), nil, 404, "M_NOT_FOUND")
	s.refused("an event of nobody's", s.alice, "GET", list("$none", ""), nil, 404, "M_NOT_FOUND")
	s.refused("a room of others", s.carol, "GET", list("root", ""), nil, 404, "M_NOT_FOUND")
	s.refused("a bad token", s.alice, "GET", list("root", "?from=x"), nil, 400, "M_INVALID_PARAM")
	s.refused("a token beyond all places", s.alice, "GET", list("root", "?from=t1_9223372036854775807"), nil, 400, "M_INVALID_PARAM")
	s.refused("a bad end", s.alice, "GET", list("root", "?to=x"), nil, 400, "M_INVALID_PARAM")
	s.refused("a bad limit", s.alice, "GET", list("root", "?limit=0"), nil, 400, "M_INVALID_PARAM")
	s.refused("a bad direction", s.alice, "GET", list("root", "?dir=x"), nil, 400, "M_INVALID_PARAM")
}
