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

func (c *slider) set(name string, value any) { c.body[name] = value }

// list returns what is asked for in the list "all".
func (c *slider) list() map[string]any {
	return c.body["lists"].(map[string]any)["all"].(map[string]any)
}

func (c *slider) extend(names ...string) {
	extensions := make(map[string]any)
	for _, name := range names {
		extensions[name] = map[string]any{"enabled": true}
	}
	c.set("extensions", extensions)
}

func TestSlidingTimelineGrowsWithTheLimit(t *testing.T) {
	s := newScene(t)
	room := s.room()
	s.say(s.alice, room, "a", "b", "c", "d")
	c := newSlider(t, s.alice, map[string]any{"all": all(2)})
	a := c.slide()
	a.has(room, "timeline", "c", "d")
	c.list()["timeline_limit"] = 4
	a = c.slide()
	a.has(room, "timeline", "a", "b", "c", "d")
	a.is(room, "expanded_timeline", "true")
	a.is(room, "initial", "")
	a.is(room, "num_live", "0")
	c.list()["timeline_limit"] = 1
	c.slide().rooms()
	s.say(s.alice, room, "e")
	c.slide().has(room, "timeline", "e")
	c.list()["timeline_limit"] = 3 // which the client has
	c.slide().rooms()
	c.list()["timeline_limit"] = 1
	s.say(s.alice, room, "f", "g")
	a = c.slide()
	a.has(room, "timeline", "g")
	a.is(room, "limited", "true")
	c.list()["timeline_limit"] = 3
	c.slide().has(room, "timeline", "e", "f", "g")

	c.unstable, c.pos = true, ""
	c.list()["ranges"], c.list()["required_state"] = [][]int{{0, 9}}, [][]string{}
	c.slide()
	c.list()["timeline_limit"] = 5
	c.slide().is(room, "unstable_expanded_timeline", "true")
}

func TestSlidingStateGrowsWithWhatIsAskedFor(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	s.put(s.alice, room, "m.room.topic", `{"topic":"news"}`)
	c := newSlider(t, s.alice, map[string]any{"all": all(1, [2]string{"m.room.name", ""})})
	c.slide().has(room, "required_state", "name room")
	c.list()["required_state"] = required([2]string{"m.room.topic", ""}, [2]string{"m.room.name", ""})
	a := c.slide()
	a.has(room, "required_state", "topic news")
	a.is(room, "timeline", "")
	c.slide().rooms()
	c.list()["required_state"] = required([2]string{"m.room.name", ""})
	c.slide().rooms()
	s.put(s.alice, room, "m.room.topic", `{"topic":"old news"}`)
	c.slide().is(room, "required_state", "")
	c.list()["required_state"] = required([2]string{"m.room.member", "*"}, [2]string{"m.room.topic", ""})
	c.slide().has(room, "required_state", "topic old news", "alice join", "bob join")
	c.list()["required_state"] = map[string]any{
		"include": []map[string]string{{}}, "exclude": []map[string]string{{"type": "m.room.member"}, {"type": "m.room.topic"}, {"type": "m.room.power_levels"}},
	}
	c.slide().has(room, "required_state", "name room", "create", "guest_access", "history_visibility", "join_rules")
}

func TestSlidingMembersAreLoadedLazily(t *testing.T) {
	for _, unstable := range []bool{false, true} {
		t.Run(fmt.Sprint("unstable=", unstable), func(t *testing.T) {
			s := newScene(t)
			room := s.room(s.bob, s.carol)
			s.say(s.bob, room, "hello")
			list := map[string]any{"timeline_limit": 1}
			if unstable {
				list["ranges"] = [][]int{{0, 19}}
				list["required_state"] = [][]string{{"m.room.member", "$LAZY"}, {"m.room.member", "$ME"}}
			} else {
				list["required_state"] = map[string]any{
					"include": []map[string]string{{"type": "m.room.member", "state_key": string(s.alice.ID)}}, "lazy_members": true,
				}
			}
			c := newSlider(t, s.alice, map[string]any{"all": list})
			c.unstable = unstable
			c.slide().has(room, "required_state", "alice join", "bob join")
			s.say(s.bob, room, "again")
			c.slide().has(room, "required_state")
			s.say(s.carol, room, "so do I")
			c.lose().has(room, "required_state", "carol join")
			c.slide().has(room, "required_state", "carol join")
			s.say(s.carol, room, "and again")
			c.slide().has(room, "required_state")
			s.say(s.bob, room, "one", "two") // of which one is left out: what the client had is not to be relied on
			c.slide().has(room, "required_state", "bob join")
			s.leave(s.carol, room)
			a := c.slide()
			a.has(room, "required_state", "carol leave")
			a.is(room, "joined_count", "2")
		})
	}
}

func TestSlidingMembersThatBeginToBeLoadedLazilyGoWithAllEventsThatTheClientHas(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob, s.carol)
	s.say(s.carol, room, "first")
	s.say(s.bob, room, "then")
	c := newSlider(t, s.alice, map[string]any{"all": all(2)})
	c.slide().has(room, "timeline", "first", "then")
	lazily := required()
	lazily["lazy_members"] = true
	c.list()["timeline_limit"], c.list()["required_state"] = 1, lazily
	c.slide().has(room, "required_state", "bob join", "carol join")
	c.list()["timeline_limit"] = 2
	c.slide().rooms()
}

func TestSlidingInvitesAndKnocksComeWithStrippedState(t *testing.T) {
	s := newScene(t)
	room := s.room()
	c := newSlider(t, s.bob, map[string]any{"all": all(1, [2]string{"*", "*"})})
	c.slide().count("all", 0)
	s.to(s.alice, room, "invite", s.bob)
	a := c.slide()
	a.count("all", 1)
	a.is(room, "membership", `"invite"`)
	a.is(room, "initial", "true")
	for _, name := range []string{"name", "timeline", "required_state", "joined_count", "heroes", "prev_batch"} {
		a.is(room, name, "")
	}
	if got := string(a.room(room).Get("stripped_state")); !strings.Contains(got, `"m.room.name"`) || !strings.Contains(got, `"membership":"invite"`) {
		t.Errorf("stripped state: %s", got)
	}
	s.say(s.alice, room, "you do not see this")
	c.slide().rooms()
	s.leave(s.bob, room)
	a = c.slide()
	a.is(room, "membership", `"leave"`)
	a.has(room, "timeline", "bob leave")
	if got := brief(canonjson.Value(`{"events":` + string(a.room(room).Get("stripped_state")) + `}`)); !slices.Equal(got, []string{"bob leave"}) {
		t.Errorf("stripped state after declining: %q", got)
	}
	anew := newSlider(t, s.bob, c.body["lists"].(map[string]any)) // which has nothing to do with it
	anew.set("conn_id", "anew")
	anew.slide().rooms()

	s.put(s.alice, room, "m.room.join_rules", `{"join_rule":"knock"}`)
	s.bob.Must("POST", "/_matrix/client/v3/knock/"+url.PathEscape(room), `{}`)
	c.slide().is(room, "membership", `"knock"`)

	c.unstable, c.pos = true, ""
	c.list()["ranges"], c.list()["required_state"] = [][]int{{0, 9}}, [][]string{}
	a = c.slide()
	a.is(room, "timeline", "[]")
	a.is(room, "membership", "")
	if a.room(room).Get("invite_state") == nil {
		t.Errorf("no invite_state: %s", a.room(room))
	}
}

func TestSlidingRoomsThatWereLeft(t *testing.T) {
	s := newScene(t)
	left, kicked, banned, never := s.room(s.bob), s.room(s.bob), s.room(s.bob), s.room()
	c := newSlider(t, s.bob, map[string]any{"all": all(3, [2]string{"m.room.name", ""}, [2]string{"m.room.member", string(s.bob.ID)})})
	c.slide().rooms(left, kicked, banned)
	s.leave(s.bob, left)
	s.to(s.alice, kicked, "kick", s.bob)
	s.to(s.alice, banned, "ban", s.bob)
	s.to(s.alice, never, "ban", s.bob)
	s.say(s.alice, kicked, "you do not see this")
	a := c.slide()
	a.rooms(left, kicked, banned)
	a.count("all", 3)
	a.has(left, "timeline", "bob leave")
	a.has(kicked, "timeline", "bob leave")
	a.has(banned, "required_state", "bob ban")
	a.is(banned, "membership", `"ban"`)
	a.is(left, "initial", "")
	c.slide().rooms()

	anew := newSlider(t, s.bob, c.body["lists"].(map[string]any))
	a = anew.slide()
	a.rooms(kicked, banned)
	a.count("all", 2)
	a.has(kicked, "required_state", "bob leave", "name room")
	if got := a.room(kicked).Get("timeline").String(); strings.Contains(got, "you do not see this") {
		t.Errorf("what happened afterwards: %s", got)
	}
	anew.set("room_subscriptions", map[string]any{left: all(1), never: all(1), "!nowhere:a.test": all(1)})
	anew.slide().rooms(left) // where bob has been once
	s.join(s.bob, left)
	anew.slide().is(left, "initial", "true")
}

func TestSlidingFilters(t *testing.T) {
	s := newScene(t)
	create := func(body string) string {
		return text(s.alice.Must("POST", "/_matrix/client/v3/createRoom", body), "room_id")
	}
	plain := create(`{"name":"plain"}`)
	secret := create(`{"name":"secret","initial_state":[{"type":"m.room.encryption","state_key":"","content":{"algorithm":"m.megolm.v1.aes-sha2"}}]}`)
	space := create(`{"name":"space","creation_content":{"type":"m.space"}}`)
	s.alice.Must("PUT", path(space, "state", "m.space.child", plain), `{"via":["a.test"]}`)
	s.alice.Must("PUT", path(space, "state", "m.space.child", secret), `{}`)
	invited := text(s.bob.Must("POST", "/_matrix/client/v3/createRoom", fmt.Sprintf(`{"invite":[%q],"is_direct":true}`, s.alice.ID)), "room_id")
	user := "/_matrix/client/v3/user/" + url.PathEscape(string(s.alice.ID))
	s.alice.Must("PUT", user+"/account_data/m.direct", fmt.Sprintf(`{%q:[%q],"x":1}`, s.bob.ID, secret))
	s.alice.Must("PUT", user+"/rooms/"+url.PathEscape(plain)+"/tags/m.favourite", `{}`)

	for _, tt := range []struct {
		filter string
		want   []string
	}{
		{`{}`, []string{plain, secret, space, invited}},
		{`{"is_dm":true}`, []string{secret}},
		{`{"is_dm":false}`, []string{plain, space, invited}},
		{`{"is_encrypted":true}`, []string{secret}},
		{`{"is_encrypted":false}`, []string{plain, space, invited}},
		{`{"is_invited":true}`, []string{invited}},
		{`{"is_invited":false,"is_dm":null}`, []string{plain, secret, space}},
		{`{"room_types":["m.space"]}`, []string{space}},
		{`{"room_types":[null]}`, []string{plain, secret, invited}},
		{`{"room_types":[]}`, nil},
		{`{"room_types":["m.space",null],"not_room_types":[null]}`, []string{space}},
		{`{"not_room_types":["m.space"],"room_name_like":"unknown"}`, []string{plain, secret, invited}},
		{`{"tags":["m.favourite","u.x"]}`, []string{plain}},
		{`{"not_tags":["m.favourite"]}`, []string{secret, space, invited}},
		{`{"tags":["m.favourite"],"not_tags":["m.favourite"]}`, nil},
		{fmt.Sprintf(`{"spaces":[%q,"!nowhere:a.test"]}`, space), []string{plain}},
		{fmt.Sprintf(`{"spaces":[%q]}`, plain), nil},
	} {
		list := all(1)
		list["filters"] = canonjson.Value(tt.filter)
		a := newSlider(t, s.alice, map[string]any{"all": list}).slide()
		t.Log(tt.filter)
		a.rooms(tt.want...)
		a.count("all", int64(len(tt.want)))
	}

	list := all(1)
	list["filters"] = canonjson.Value(`{"is_encrypted":true,"is_dm":false}`)
	c := newSlider(t, s.alice, map[string]any{"all": list})
	c.slide().rooms()
	s.put(s.alice, plain, "m.room.encryption", `{"algorithm":"m.megolm.v1.aes-sha2"}`)
	c.slide().rooms(plain)
	s.alice.Must("PUT", user+"/account_data/m.direct", `{}`)
	c.slide().rooms(secret)
}

func TestSlidingTellsWhatARoomIs(t *testing.T) {
	s := newScene(t)
	room := text(s.alice.Must("POST", "/_matrix/client/v3/createRoom", fmt.Sprintf(`{"invite":[%q]}`, s.bob.ID)), "room_id")
	c := newSlider(t, s.alice, map[string]any{"all": all(0)})
	a := c.slide()
	a.is(room, "name", "")
	a.is(room, "heroes", fmt.Sprintf(`[{"displayname":"bob","user_id":%q}]`, s.bob.ID))
	a.is(room, "invited_count", "1")
	a.is(room, "timeline", "[]")
	s.put(s.alice, room, "m.room.name", `{"name":"Name"}`)
	s.put(s.alice, room, "m.room.avatar", `{"url":"mxc://a.test/x"}`)
	a = c.slide()
	a.is(room, "name", `"Name"`)
	a.is(room, "avatar", `"mxc://a.test/x"`)
	a.is(room, "heroes", "")
	a.is(room, "bump_stamp", "") // nothing was said
	s.put(s.alice, room, "m.room.name", `{}`)
	s.put(s.alice, room, "m.room.avatar", `{}`)
	a = c.slide()
	a.is(room, "name", "null")
	a.is(room, "avatar", "null")
	if a.room(room).Get("heroes") == nil {
		t.Errorf("a room without a name has no heroes: %s", a.room(room))
	}
	s.say(s.alice, room, "hello")
	if a = c.slide(); a.room(room).Get("bump_stamp") == nil {
		t.Errorf("something was said: %s", a.room(room))
	}
	user := "/_matrix/client/v3/user/" + url.PathEscape(string(s.alice.ID))
	s.alice.Must("PUT", user+"/account_data/m.direct", fmt.Sprintf(`{%q:[%q]}`, s.bob.ID, room))
	c.slide().is(room, "is_dm", "true")
	s.alice.Must("PUT", user+"/account_data/m.direct", `{}`)
	c.slide().is(room, "is_dm", "false")
	c.slide().rooms()
}

func TestSlidingStateThatWasRedactedIsToldAgain(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	name := s.put(s.alice, room, "m.room.name", `{"name":"rude"}`)
	c := newSlider(t, s.bob, map[string]any{"all": all(1, [2]string{"m.room.name", ""})})
	c.slide().is(room, "name", `"rude"`)
	s.redact(s.alice, room, name)
	s.say(s.alice, room, "so that the redaction is left out")
	a := c.slide()
	a.has(room, "required_state", "name ")
	a.is(room, "name", "null")
}

func TestSlidingExtensions(t *testing.T) {
	s := newScene(t)
	room, other := s.room(s.bob), s.room(s.bob, s.carol)
	first := s.say(s.alice, room, "first")
	last := s.say(s.alice, room, "last")
	receipt := func(event string) {
		s.bob.Must("POST", path(room, "receipt", "m.read", event), `{}`)
	}
	receipt(first)
	list := all(1)
	list["range"] = []int{0, 0}
	c := newSlider(t, s.alice, map[string]any{"top": list})
	c.extend("account_data", "receipts", "typing", "to_device", "e2ee", "unheard_of")
	user := "/_matrix/client/v3/user/" + url.PathEscape(string(s.alice.ID))
	s.alice.Must("PUT", user+"/account_data/org.test", `{"n":1}`)
	s.alice.Must("PUT", user+"/rooms/"+url.PathEscape(other)+"/account_data/org.test", `{"n":2}`)
	extension := func(a slid, name string) string { return string(a.Get("extensions").Get(name)) }
	a := c.slide()
	a.rooms(room)
	if got := extension(a, "account_data"); !strings.Contains(got, "m.push_rules") || !strings.Contains(got, `{"n":1}`) || strings.Contains(got, `{"n":2}`) {
		t.Errorf("account data at first: %s", got)
	}
	if got := extension(a, "receipts"); got != "" {
		t.Errorf("the receipt is at an event that is not told of: %s", got)
	}
	receipt(last)
	a = c.slide()
	a.rooms()
	if got := a.Get("extensions").Get("receipts").Get("rooms").Get(room); !got.Get("type").Is("m.receipt") || got.Get("content").Get(last) == nil {
		t.Errorf("a receipt: %s", a.Value)
	}
	typing := func(u string, on bool) {
		s.bob.Must("PUT", path(u, "typing", string(s.bob.ID)), fmt.Sprintf(`{"typing":%t,"timeout":30000}`, on))
	}
	typing(room, true)
	typing(other, true)
	a = c.slide()
	if got, want := extension(a, "typing"), fmt.Sprintf(`{"rooms":{%q:{"content":{"user_ids":[%q]},"type":"m.typing"}}}`, room, s.bob.ID); got != want {
		t.Errorf("typing: got %s, want %s", got, want)
	}
	s.say(s.alice, other, "up")
	a = c.slide()
	a.rooms(other)
	if got := a.Get("extensions").Get("typing").Get("rooms").Get(other); got == nil {
		t.Errorf("nobody types in the room that came into the window: %s", a.Value)
	}
	if got := extension(a, "account_data"); !strings.Contains(got, `{"n":2}`) || strings.Contains(got, "m.push_rules") {
		t.Errorf("account data of the room that came into the window: %s", got)
	}
	// What changes of a room while it is not in the window comes when it is.
	s.alice.Must("PUT", user+"/rooms/"+url.PathEscape(room)+"/account_data/org.test", `{"n":3}`)
	receipt(s.say(s.carolIn(room), room, "hidden"))
	s.say(s.alice, other, "up again")
	c.slide().rooms(other)
	list["range"] = []int{0, 5}
	a = c.slide()
	a.rooms(room)
	if got := extension(a, "account_data"); !strings.Contains(got, `{"n":3}`) {
		t.Errorf("account data of a room that came back: %s", got)
	}
	if got := extension(a, "receipts"); !strings.Contains(got, "m.read") {
		t.Errorf("receipts of a room that came back: %s", got)
	}
	c.set("extensions", map[string]any{"org.matrix.msc4508.typing": map[string]any{"enabled": true, "lists": []string{}}})
	typing(room, false)
	if got := extension(c.slide(), "org.matrix.msc4508.typing"); got != "" {
		t.Errorf("typing in a list that is not in the scope: %s", got)
	}
}

func TestSlidingReceiptsOfBeforeComeWithARoomThatComesBackAndIsToldFurtherBack(t *testing.T) {
	s := newScene(t)
	room, other := s.room(s.bob), s.room()
	first := s.say(s.alice, room, "first")
	s.say(s.alice, room, "second", "third")
	list := all(1)
	list["range"] = []int{0, 0}
	c := newSlider(t, s.alice, map[string]any{"top": list})
	c.extend("receipts")
	c.slide().rooms(room)
	s.say(s.alice, other, "up")
	c.slide().rooms(other)
	s.bob.Must("POST", path(room, "receipt", "m.read", first), `{}`)
	c.slide().rooms()
	s.say(s.alice, other, "up again")
	c.slide().rooms(other)
	list["range"], list["timeline_limit"] = []int{0, 5}, 2
	a := c.slide()
	a.has(room, "timeline", "second", "third")
	if a.Get("extensions").Get("receipts").Get("rooms").Get(room).Get("content").Get(first) == nil {
		t.Errorf("the receipt is missing: %s", a.Value)
	}
}

func TestSlidingReceiptsOfWhileTheUserWasAwayComeWithTheRoom(t *testing.T) {
	for _, told := range []bool{true, false} { // that the user had left
		s := newScene(t)
		room := s.room(s.bob)
		first, second := s.say(s.alice, room, "first"), s.say(s.alice, room, "second")
		read := func(event string) { s.bob.Must("POST", path(room, "receipt", "m.read", event), `{}`) }
		c := newSlider(t, s.alice, map[string]any{"all": all(1)})
		c.extend("receipts")
		c.slide().rooms(room)
		read(first)
		c.slide()
		s.leave(s.alice, room)
		if told {
			c.slide()
		}
		read(second)
		if told {
			s.say(s.alice, s.room(), "something else")
			c.slide()
		}
		s.join(s.alice, room)
		if a := c.slide(); a.Get("extensions").Get("receipts").Get("rooms").Get(room).Get("content").Get(second) == nil {
			t.Errorf("told %t: the receipt is missing: %s", told, a.Value)
		}
	}
}

// carolIn is carol, when she has joined a room.
func (s *scene) carolIn(room string) *hstest.User {
	s.join(s.carol, room)
	return s.carol
}

func TestSlidingWaitsForNews(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	for _, unstable := range []bool{false, true} {
		c := newSlider(t, s.alice, map[string]any{"all": all(5)})
		if c.unstable = unstable; unstable {
			c.list()["ranges"], c.list()["required_state"] = [][]int{{0, 9}}, [][]string{}
		}
		c.set("timeout", 30000)
		c.slide() // at first it does not wait
		answers := make(chan slid)
		go func() { answers <- c.lose() }()
		s.say(s.bob, room, "news")
		a := <-answers
		a.has(room, "timeline", "news")
		a.is(room, "num_live", "1")
	}
}

func TestSlidingCountsWhatIsUnreadInTheUnstableForm(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	c := newSlider(t, s.alice, map[string]any{"all": map[string]any{"timeline_limit": 1, "ranges": [][]int{{0, 5}}}})
	c.unstable = true
	c.slide().is(room, "notification_count", "0")
	event := s.say(s.bob, room, "one", "two")
	c.slide().is(room, "notification_count", "2")
	s.bob.Must("POST", path(room, "receipt", "m.read", event), `{}`)
	c.slide().rooms() // that somebody else has read is told by receipts
	s.alice.Must("POST", path(room, "receipt", "m.read", event), `{}`)
	lost := c.pos
	c.slide().is(room, "notification_count", "0")
	c.pos = lost
	c.slide().is(room, "notification_count", "0")
	s.bob.Must("POST", path(room, "receipt", "m.read", s.say(s.alice, room, "three")), `{}`)
	c.slide().is(room, "notification_count", "0")
	c.unstable, c.pos = false, ""
	c.list()["required_state"] = map[string]any{}
	c.slide().is(room, "notification_count", "")
}

// TestSlidingCountsAgainWhatComesBackIntoTheWindow: what counts may have changed while
// the client was not told of the room.
func TestSlidingCountsAgainWhatComesBackIntoTheWindow(t *testing.T) {
	s := newScene(t)
	room, other := s.room(s.bob), s.room(s.bob, s.carol)
	c := newSlider(t, s.alice, map[string]any{"all": map[string]any{"timeline_limit": 1, "ranges": [][]int{{0, 5}}}})
	c.unstable = true
	c.slide()
	for name, forgets := range map[string]func(event string){
		"read":    func(event string) { s.alice.Must("POST", path(room, "receipt", "m.read", event), `{}`) },
		"ignored": func(string) { ignores(s.alice, s.bob) },
	} {
		event := s.say(s.bob, room, "one", "two")
		c.slide().is(room, "notification_count", "2")
		s.say(s.carol, other, "three")
		c.list()["ranges"] = [][]int{{0, 0}}
		c.slide().rooms(other)
		forgets(event)
		c.slide().rooms()
		c.list()["ranges"] = [][]int{{0, 5}}
		a := c.slide()
		if a.is(room, "notification_count", "0"); t.Failed() {
			t.Fatalf("what was %s", name)
		}
		c.slide().rooms()
		s.alice.Must("POST", path(room, "receipt", "m.read", event), `{}`)
		ignores(s.alice)
		c.slide()
	}
}

func TestSlidingConnectionsDoNotKnowOfEachOther(t *testing.T) {
	s := newScene(t)
	room := s.room()
	one, two := newSlider(t, s.alice, map[string]any{"all": all(5)}), newSlider(t, s.alice, map[string]any{"all": all(5)})
	two.set("conn_id", "two")
	one.slide().rooms(room)
	two.slide().rooms(room)
	s.say(s.alice, room, "hello")
	one.slide().has(room, "timeline", "hello")
	one.slide().rooms()
	two.slide().has(room, "timeline", "hello")
	again := newSlider(t, s.alice, map[string]any{"all": all(5)})
	again.slide() // takes the place of one
	again.slide()
	s.room()
	again.slide()
	if status, v := one.try(); status != 400 || text(v, "errcode") != "M_UNKNOWN_POS" {
		t.Errorf("a connection that was begun anew: got %d %s", status, v)
	}
	two.slide()
}

func TestSlidingPositionsAreMomentsOfRooms(t *testing.T) {
	s := newScene(t)
	room := s.room()
	s.say(s.alice, room, "one", "two")
	c := newSlider(t, s.alice, map[string]any{"all": all(1)})
	a := c.slide()
	s.say(s.alice, room, "three")
	same(t, "messages before the position", s.before(s.alice, room, c.pos, 2), "two", "one")
	same(t, "messages before prev_batch", s.before(s.alice, room, text(a.room(room), "prev_batch"), 1), "one")
}

func TestSlidingTellsNothingOfIgnoredUsers(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	user := "/_matrix/client/v3/user/" + url.PathEscape(string(s.alice.ID))
	s.alice.Must("PUT", user+"/account_data/m.ignored_user_list", fmt.Sprintf(`{"ignored_users":{%q:{}}}`, s.bob.ID))
	c := newSlider(t, s.alice, map[string]any{"all": all(1)})
	c.slide()
	s.say(s.bob, room, "noise")
	c.slide().rooms()
	other := text(s.bob.Must("POST", "/_matrix/client/v3/createRoom", fmt.Sprintf(`{"invite":[%q]}`, s.alice.ID)), "room_id")
	a := c.slide()
	a.rooms()
	a.count("all", 1)
	s.alice.Must("PUT", user+"/account_data/m.ignored_user_list", `{"ignored_users":{}}`)
	c.slide().rooms(other)
}

func TestSlidingTellsAnewWhatDependsOnWhomTheUserIgnores(t *testing.T) {
	s := newScene(t)
	room, other := s.room(s.bob), s.room(s.bob)
	read := s.say(s.alice, room, "first")
	s.say(s.alice, room, "second")
	ignores(s.alice, s.bob)
	list := map[string]any{"timeline_limit": 1, "required_state": [][]string{}, "ranges": [][]int{{0, 0}}}
	c := newSlider(t, s.alice, map[string]any{"top": list})
	c.unstable = true
	c.extend("receipts", "typing")
	c.slide().rooms(room)
	s.say(s.alice, other, "up")
	c.slide().rooms(other)
	for _, in := range []string{room, other} {
		s.bob.Must("PUT", path(in, "typing", string(s.bob.ID)), `{"typing":true,"timeout":30000}`)
	}
	s.bob.Must("POST", path(room, "receipt", "m.read", read), `{}`)
	s.say(s.bob, other, "hello?")
	a := c.slide()
	a.rooms()
	if got := a.Get("extensions").Get("typing").Get("rooms").Get(other).Get("content").Get("user_ids"); string(got) != "[]" {
		t.Errorf("an ignored user is typing: %s", a.Value)
	}
	ignores(s.alice)
	a = c.slide()
	a.is(other, "notification_count", "1")
	if got := a.Get("extensions").Get("typing").Get("rooms").Get(other).Get("content").Get("user_ids"); len(got) < 3 {
		t.Errorf("somebody who is not ignored any more is not typing: %s", a.Value)
	}
	list["ranges"] = [][]int{{0, 5}}
	a = c.slide()
	if a.Get("extensions").Get("receipts").Get("rooms").Get(room).Get("content").Get(read) == nil {
		t.Errorf("a receipt of somebody who is not ignored any more is missing: %s", a.Value)
	}
	ignores(s.alice, s.bob)
	a = c.slide()
	a.is(other, "notification_count", "0")
	if got := a.Get("extensions").Get("typing").Get("rooms").Get(other).Get("content").Get("user_ids"); string(got) != "[]" {
		t.Errorf("somebody who is ignored again is typing: %s", a.Value)
	}
}

func TestSlidingTellsDevicesOfMessagesAndKeys(t *testing.T) {
	s := newScene(t)
	s.room(s.bob)
	c := newSlider(t, s.bob, map[string]any{})
	c.set("timeout", 0)
	since := ""
	extend := func() {
		mail := map[string]any{"enabled": true, "limit": 1}
		if since != "" {
			mail["since"] = since
		}
		c.set("extensions", map[string]any{"to_device": mail, "e2ee": map[string]any{"enabled": true}})
	}
	next := func() (messages []string, keys canonjson.Value) {
		t.Helper()
		extend()
		a := c.slide()
		part := a.Get("extensions").Get("to_device")
		since = text(part, "next_batch")
		for e := range part.Get("events").Elements() {
			messages = append(messages, text(e.Get("content"), "body"))
		}
		return messages, a.Get("extensions").Get("e2ee")
	}
	got, keys := next()
	same(t, "messages at first", got)
	if keys.Get("device_one_time_keys_count") == nil || keys.Get("device_unused_fallback_key_types") == nil {
		t.Errorf("keys at first: %s", keys)
	}
	for i := range 2 {
		s.alice.Must("PUT", fmt.Sprintf("/_matrix/client/v3/sendToDevice/org.test/t%d", i),
			fmt.Sprintf(`{"messages":{%q:{%q:{"body":"message %d"}}}}`, s.bob.ID, s.bob.Device, i))
	}
	before, pos := since, c.pos
	got, _ = next()
	same(t, "messages", got, "message 0")
	since, c.pos = before, pos // the answer was lost
	got, _ = next()
	same(t, "messages again", got, "message 0")
	got, _ = next()
	same(t, "messages behind", got, "message 1")
	got, _ = next()
	same(t, "messages in the end", got)
	since = before
	got, _ = next()
	same(t, "messages that have arrived", got)

	s.room(s.bob, s.carol)
	if _, keys = next(); !strings.Contains(string(keys.Get("device_lists").Get("changed")), string(s.carol.ID)) {
		t.Errorf("nothing of who came to share a room: %s", keys)
	}
	since = "nonsense"
	extend()
	if status, v := c.try(); status != 400 || text(v, "errcode") != "M_INVALID_PARAM" {
		t.Errorf("a token that is none: %d %s", status, v)
	}
}
