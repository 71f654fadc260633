package fedtest

import (
	"net/url"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

// stage is a scene with servers in it.
type stage struct {
	*hstest.World
	asks *villain
	txns int
}

// scene plays in virtual time: sleeping costs nothing, and lets servers do what
// they have begun.
func scene(t *testing.T, play func(s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { play(&stage{World: hstest.New(t)}) })
}

// settle lets the servers do what is to be done.
func (s *stage) settle() {
	time.Sleep(3 * time.Second)
	synctest.Wait()
}

func path(parts ...string) string {
	p := "/_matrix/client/v3"
	for _, part := range parts {
		p += "/" + url.PathEscape(part)
	}
	return p
}

func text(v canonjson.Value, names ...string) string {
	for _, name := range names {
		v = v.Get(name)
	}
	s, _ := v.Text()
	return s
}

// room lets somebody make a room; the settings are as of createRoom.
func (s *stage) room(by *hstest.User, settings string) string {
	s.Helper()
	return text(by.Must("POST", path("createRoom"), settings), "room_id")
}

func (s *stage) join(u *hstest.User, room string, via ...string) {
	s.Helper()
	query := url.Values{"via": via, "server_name": via}
	u.Must("POST", path("join", room)+"?"+query.Encode(), `{}`)
}

func (s *stage) say(u *hstest.User, room, body string) string {
	s.Helper()
	s.txns++
	content := canonjson.Value("{}").With("body", canonjson.Text(body)).With("msgtype", canonjson.Text("m.text"))
	return text(u.Must("PUT", path("rooms", room, "send", "m.room.message", strconv.Itoa(s.txns)), string(content)), "event_id")
}

func (s *stage) set(u *hstest.User, room, eventType, key, content string) {
	s.Helper()
	u.Must("PUT", path("rooms", room, "state", eventType, key), content)
}

// hears fails unless somebody can read an event.
func (s *stage) hears(u *hstest.User, room, eventID, body string) {
	s.Helper()
	got := u.Must("GET", path("rooms", room, "event", eventID), nil)
	if text(got, "content", "body") != body {
		s.Errorf("%s hears %s, want %q", u.ID, got, body)
	}
}

// sync returns what somebody sees who has just come.
func (s *stage) sync(u *hstest.User) canonjson.Value {
	s.Helper()
	return u.Must("GET", path("sync"), nil)
}

// state returns a room's state as somebody sees it, by event IDs.
func (s *stage) state(u *hstest.User, room string) map[string]string {
	s.Helper()
	state := make(map[string]string)
	for e := range u.Must("GET", path("rooms", room, "state"), nil).Elements() {
		state[text(e, "type")+" "+text(e, "state_key")] = text(e, "event_id")
	}
	return state
}

// agree fails unless all see the same state of a room.
func (s *stage) agree(room string, users ...*hstest.User) {
	s.Helper()
	want := s.state(users[0], room)
	for _, u := range users[1:] {
		got := s.state(u, room)
		for place, eventID := range want {
			if got[place] != eventID {
				s.Errorf("%s is %s for %s and %s for %s", place, eventID, users[0].ID, got[place], u.ID)
			}
		}
		if len(got) != len(want) {
			s.Errorf("the state has %d events for %s and %d for %s", len(want), users[0].ID, len(got), u.ID)
		}
	}
}
