package feed_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

// A slider is a client of sliding sync on one connection.
type slider struct {
	testing.TB
	*hstest.User
	unstable bool
	pos      string
	body     map[string]any
}

// all is a list of all rooms.
func all(limit int, include ...[2]string) map[string]any {
	return map[string]any{"timeline_limit": limit, "required_state": required(include...)}
}

func required(include ...[2]string) map[string]any {
	var list []map[string]any
	for _, pair := range include {
		one := map[string]any{}
		if pair[0] != "*" {
			one["type"] = pair[0]
		}
		if pair[1] != "*" {
			one["state_key"] = pair[1]
		}
		list = append(list, one)
	}
	return map[string]any{"include": list}
}

func newSlider(t testing.TB, u *hstest.User, lists map[string]any) *slider {
	return &slider{TB: t, User: u, body: map[string]any{"lists": lists}}
}

// slide asks what is new and keeps the position.
func (c *slider) slide() slid {
	c.Helper()
	a := c.lose()
	c.pos = text(a.Value, "pos")
	return a
}

// lose is slide for a client that does not get the answer.
func (c *slider) lose() slid {
	c.Helper()
	status, v := c.try()
	if status != 200 {
		c.Fatalf("sliding: %d %s", status, v)
	}
	return slid{c.TB, v}
}

func (c *slider) try() (int, canonjson.Value) {
	c.Helper()
	body, path := maps.Clone(c.body), "/_matrix/client/v4/sync"
	if c.unstable {
		path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?pos=" + url.QueryEscape(c.pos)
		if wait, ok := body["timeout"]; ok {
			path += fmt.Sprint("&timeout=", wait)
			delete(body, "timeout")
		}
	} else if c.pos != "" {
		body["pos"] = c.pos
	}
	text, err := json.Marshal(body)
	if err != nil {
		c.Fatal(err)
	}
	status, v, err := c.User.Try("POST", path, string(text))
	if err != nil {
		c.Fatal(err)
	}
	return status, v
}

// A slid is an answer of sliding sync.
type slid struct {
	testing.TB
	canonjson.Value
}

func (a slid) room(roomID string) canonjson.Value { return a.Get("rooms").Get(roomID) }

// rooms demands that the answer tells of these rooms.
func (a slid) rooms(want ...string) {
	a.Helper()
	var got []string
	for name := range a.Get("rooms").Members() {
		id, _ := name.Text()
		got = append(got, id)
	}
	slices.Sort(got)
	slices.Sort(want)
	same(a, "rooms", got, want...)
}

// has demands that a part of what is told of a room has these events, in brief.
func (a slid) has(roomID, part string, want ...string) {
	a.Helper()
	got := brief(canonjson.Value(`{"events":` + string(orEmpty(a.room(roomID).Get(part))) + `}`))
	if part == "required_state" {
		slices.Sort(got)
		slices.Sort(want)
	}
	same(a, part, got, want...)
}

func orEmpty(v canonjson.Value) canonjson.Value {
	if v == nil {
		return canonjson.Value(`[]`)
	}
	return v
}

func (a slid) count(list string, want int64) {
	a.Helper()
	if got, _ := a.Get("lists").Get(list).Get("count").Int(); got != want {
		a.Errorf("count of %s: got %d, want %d", list, got, want)
	}
}

// is demands that a member of what is told of a room has a value, as JSON; empty for
// none.
func (a slid) is(roomID, name, want string) {
	a.Helper()
	if got := string(a.room(roomID).Get(name)); got != want {
		a.Errorf("%s: got %s, want %s", name, got, want)
	}
}

func TestSlidingWindowHasTheRoomsWhereSomethingHappenedLast(t *testing.T) {
	s := newScene(t)
	var rooms []string
	for range 5 {
		rooms = append(rooms, s.room())
	}
	list := all(1, [2]string{"m.room.name", ""})
	list["range"] = []int{0, 1}
	c := newSlider(t, s.alice, map[string]any{"top": list})
	a := c.slide()
	a.rooms(rooms[3], rooms[4])
	a.count("top", 5)
	a.is(rooms[4], "initial", "true")
	a.is(rooms[4], "name", `"room"`)
	a.is(rooms[4], "membership", `"join"`)
	a.is(rooms[4], "lists", `["top"]`)
	a.is(rooms[4], "joined_count", "1")
	a.is(rooms[4], "limited", "true")
	a.is(rooms[4], "num_live", "0")
	a.has(rooms[4], "required_state", "name room")

	c.slide().rooms() // nothing is new
	s.say(s.alice, rooms[0], "up")
	a = c.slide()
	a.rooms(rooms[0])
	a.has(rooms[0], "timeline", "up")
	a.is(rooms[0], "initial", "true")
	a.is(rooms[0], "num_live", "1")

	s.say(s.alice, rooms[3], "below") // which is not in the window any more, and then is
	s.say(s.alice, rooms[1], "above")
	s.say(s.alice, rooms[2], "above, too")
	c.slide().rooms(rooms[1], rooms[2])
	list["range"] = []int{0, 9}
	a = c.slide()
	a.rooms(rooms[3])
	a.has(rooms[3], "timeline", "below")
	a.is(rooms[3], "initial", "")
	a.is(rooms[3], "required_state", "")
	c.slide().rooms()
}

func TestSlidingAnswersThatAreLostComeAgain(t *testing.T) {
	s := newScene(t)
	room := s.room()
	c := newSlider(t, s.alice, map[string]any{"all": all(5)})
	c.lose().rooms(room)
	c.slide().rooms(room)
	other := s.room()
	s.say(s.alice, room, "one")
	first := c.lose()
	first.rooms(room, other)
	again := c.slide()
	again.rooms(room, other)
	again.has(room, "timeline", "one")
	again.is(other, "initial", "true")
	c.slide().rooms()

	s.server.Stop()
	s.server.Start()
	s.say(s.alice, other, "two")
	a := c.slide()
	a.rooms(other)
	a.has(other, "timeline", "two")
	a.is(other, "initial", "")
}

func TestSlidingPositionsOfOthersAreUnknown(t *testing.T) {
	s := newScene(t)
	s.room()
	c := newSlider(t, s.alice, map[string]any{"all": all(5)})
	c.slide()
	for name, change := range map[string]func(c *slider){
		"another user":       func(c *slider) { c.User = s.bob },
		"another connection": func(c *slider) { c.body["conn_id"] = "x" },
		"nonsense":           func(c *slider) { c.pos = "s12_3" },
		"another epoch":      func(c *slider) { c.pos = strings.Replace(c.pos, "s1_", "s1_X", 1) },
		"the future":         func(c *slider) { p := strings.Split(c.pos, "_"); p[5] = "99999999"; c.pos = strings.Join(p, "_") },
		"another version":    func(c *slider) { p := strings.Split(c.pos, "_"); p[1] = "1"; c.pos = strings.Join(p, "_") },
	} {
		other := *c
		other.body = maps.Clone(c.body)
		change(&other)
		if status, v := other.try(); status != 400 || text(v, "errcode") != "M_UNKNOWN_POS" {
			t.Errorf("%s: got %d %s, want 400 M_UNKNOWN_POS", name, status, v)
		}
	}
	c.slide()
}
