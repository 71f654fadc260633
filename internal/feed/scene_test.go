package feed_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

// A client syncs as a user, with a filter, from where it was.
type client struct {
	testing.TB
	*hstest.User
	filter, since string
	query         string // more of it
}

// newClient has an open filter when it is empty.
func newClient(t testing.TB, u *hstest.User, filter string) *client {
	return &client{TB: t, User: u, filter: filter}
}

// sync asks what is new and keeps the token.
func (c *client) sync() answer {
	c.Helper()
	a := c.lose()
	c.since = text(a.Value, "next_batch")
	return a
}

// lose is sync for a client that does not get the answer.
func (c *client) lose() answer {
	c.Helper()
	query := url.Values{"filter": {c.filter}, "since": {c.since}}
	return answer{c.TB, c.User.Must("GET", "/_matrix/client/v3/sync?"+query.Encode()+c.query, nil)}
}

// An answer is one to a sync.
type answer struct {
	testing.TB
	canonjson.Value
}

// in returns what there is of a room in a section.
func (a answer) in(section, room string) canonjson.Value {
	return a.Get("rooms").Get(section).Get(room)
}

// has demands that a part of a room's section tells of these events, in brief
// and in order.
func (a answer) has(section, room, part string, want ...string) {
	a.Helper()
	same(a, section+" "+part, brief(a.in(section, room).Get(part)), want...)
}

func same(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func text(v canonjson.Value, name string) string {
	s, _ := v.Get(name).Text()
	return s
}

// brief says what events are: a message by its body, a member as "bob joins" or
// so, other state as its type, key and what it says.
func brief(part canonjson.Value) []string {
	var list []string
	for e := range part.Get("events").Elements() {
		content, key := e.Get("content"), text(e, "state_key")
		switch kind := text(e, "type"); kind {
		case "m.room.message":
			list = append(list, text(content, "body"))
		case "m.room.member":
			list = append(list, strings.TrimPrefix(strings.TrimSuffix(key, ":a.test"), "@")+" "+text(content, "membership"))
		case "m.room.redaction":
			list = append(list, "redaction")
		case "m.room.name", "m.room.topic":
			list = append(list, strings.TrimPrefix(kind, "m.room.")+" "+text(content, strings.TrimPrefix(kind, "m.room.")))
		default:
			list = append(list, strings.TrimPrefix(kind, "m.room."))
		}
	}
	return list
}

// A scene is a server with alice, bob and carol.
type scene struct {
	testing.TB
	server            *hstest.Server
	alice, bob, carol *hstest.User
	txns              int
}

func newScene(t *testing.T) *scene {
	s := &scene{TB: t, server: hstest.New(t).Server("a.test")}
	s.alice, s.bob, s.carol = s.server.Register("alice"), s.server.Register("bob"), s.server.Register("carol")
	return s
}

// room is one of alice's that everybody may enter, with a name, and some members.
func (s *scene) room(members ...*hstest.User) string {
	s.Helper()
	room := text(s.alice.Must("POST", "/_matrix/client/v3/createRoom", `{"preset":"public_chat","name":"room"}`), "room_id")
	for _, u := range members {
		s.join(u, room)
	}
	return room
}

func path(room string, rest ...string) string {
	p := "/_matrix/client/v3/rooms/" + url.PathEscape(room)
	for _, part := range rest {
		p += "/" + url.PathEscape(part)
	}
	return p
}

func (s *scene) join(u *hstest.User, room string) {
	s.Helper()
	u.Must("POST", path(room, "join"), `{}`)
}

func (s *scene) leave(u *hstest.User, room string) {
	s.Helper()
	u.Must("POST", path(room, "leave"), `{}`)
}

func (s *scene) to(u *hstest.User, room, what string, target *hstest.User) {
	s.Helper()
	u.Must("POST", path(room, what), fmt.Sprintf(`{"user_id":%q}`, target.ID))
}

// say sends messages and returns the ID of the last.
func (s *scene) say(u *hstest.User, room string, bodies ...string) (event string) {
	s.Helper()
	for _, body := range bodies {
		event = s.send(u, room, "m.room.message", fmt.Sprintf(`{"msgtype":"m.text","body":%q}`, body))
	}
	return event
}

func (s *scene) send(u *hstest.User, room, kind, content string) string {
	s.Helper()
	s.txns++
	return text(u.Must("PUT", path(room, "send", kind, fmt.Sprint(s.txns)), content), "event_id")
}

// put sends state with an empty key.
func (s *scene) put(u *hstest.User, room, kind, content string) string {
	s.Helper()
	return text(u.Must("PUT", path(room, "state", kind)+"/", content), "event_id")
}

func (s *scene) redact(u *hstest.User, room, event string) {
	s.Helper()
	s.txns++
	u.Must("PUT", path(room, "redact", event, fmt.Sprint(s.txns)), `{}`)
}

// before returns the messages before a point, newest first.
func (s *scene) before(u *hstest.User, room, from string, limit int) []string {
	s.Helper()
	v := u.Must("GET", path(room, "messages")+fmt.Sprintf("?dir=b&from=%s&limit=%d", from, limit), nil)
	return brief(canonjson.Value(`{"events":` + string(v.Get("chunk")) + `}`))
}
