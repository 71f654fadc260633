package room

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
)

// local is a node on SQLite.
func local(t *testing.T) *node {
	return start(t, storetest.Open(t, filepath.Join(t.TempDir(), "parley.db")), Options{})
}

func each(t *testing.T, f func(t *testing.T, n *node)) {
	storetest.Each(t, func(t *testing.T, db *store.DB) { f(t, start(t, db, Options{})) })
}

// stateNow returns the content of a piece of state, empty without one.
func (n *node) stateNow(roomID id.RoomID, eventType, key string) string {
	n.t.Helper()
	now, err := n.Now(ctx, roomID)
	if err != nil {
		n.t.Fatal(err)
	}
	e, err := n.State(ctx, roomID, now.Root, event.Tuple{Type: eventType, StateKey: key})
	if err != nil {
		n.t.Fatal(err)
	}
	if e == nil {
		return ""
	}
	return string(e.Content())
}

func (n *node) upgrade(roomID id.RoomID, u Upgrade) id.RoomID {
	n.t.Helper()
	if u.Sender == "" {
		u.Sender = alice
	}
	replacement, err := n.Upgrade(ctx, roomID, u)
	if err != nil {
		n.t.Fatal(err)
	}
	return replacement
}

// TestEveryVersionIsUpgradedToEvery: from each room version to each, back too.
func TestEveryVersionIsUpgradedToEvery(t *testing.T) {
	n := local(t)
	for from := range roomver.Known() {
		for to := range roomver.Known() {
			name := fmt.Sprintf("from %s to %s", from.Version, to.Version)
			old := n.create(NewRoom{Version: from.Version, Name: name, Topic: "about", Preset: PublicChat})
			n.send(old, join(bob))
			n.send(old, member(alice, carol, event.MembershipBan))
			next := n.upgrade(old, Upgrade{Version: to.Version, Creators: []id.UserID{bob, bob, alice}})
			tombstone := canonjson.Value(n.stateNow(old, "m.room.tombstone", ""))
			if !tombstone.Get("replacement_room").Is(string(next)) || !tombstone.Get("body").Is("This room has been replaced") {
				t.Errorf("%s: the tombstone is %s", name, tombstone)
			}
			create := canonjson.Value(n.stateNow(next, "m.room.create", ""))
			predecessor := create.Get("predecessor")
			if !create.Get("room_version").Is(string(to.Version)) || !predecessor.Get("room_id").Is(string(old)) {
				t.Errorf("%s: created with %s", name, create)
			}
			now, _ := n.Now(ctx, old)
			sent, _ := n.State(ctx, old, now.Root, event.Tuple{Type: "m.room.tombstone"})
			if eventID := predecessor.Get("event_id"); to.RoomIDFromCreate != (eventID == nil) || eventID != nil && !eventID.Is(string(sent.ID())) {
				t.Errorf("%s: the last event is %s, want %s", name, eventID, sent.ID())
			}
			if creators := create.Get("additional_creators"); to.PrivilegedCreators && string(creators) != `["@bob:a.test"]` || !to.PrivilegedCreators && creators != nil {
				t.Errorf("%s: further creators are %s", name, creators)
			}
			for eventType, want := range map[string]string{
				"m.room.name": fmt.Sprintf(`{"name":%q}`, name), "m.room.topic": `{"m.topic":{"m.text":[{"body":"about","mimetype":"text/plain"}]},"topic":"about"}`, "m.room.join_rules": `{"join_rule":"public"}`,
				"m.room.history_visibility": `{"history_visibility":"shared"}`, "m.room.guest_access": `{"guest_access":"forbidden"}`,
			} {
				if got := n.stateNow(next, eventType, ""); got != want {
					t.Errorf("%s: %s is %s", name, eventType, got)
				}
			}
			if got := n.stateNow(next, "m.room.member", string(carol)); got != `{"membership":"ban"}` {
				t.Errorf("%s: who was banned is %s", name, got)
			}
			if _, err := n.Send(ctx, next, state(alice, "m.room.power_levels", "", string(canonjson.Value(n.stateNow(next, "m.room.power_levels", "")).With("ban", level(60))))); err != nil {
				t.Errorf("%s: the creator has lost the power: %v", name, err)
			}
			if _, err := n.Send(ctx, old, message(bob, "hello?")); !errors.Is(err, mxerr.Forbidden) {
				t.Errorf("%s: the old room goes on: %v", name, err)
			}
			if _, err := n.Send(ctx, next, join(bob)); err != nil {
				t.Errorf("%s: others cannot join: %v", name, err)
			}
		}
	}
}

func TestWhatANewRoomTakesOver(t *testing.T) {
	each(t, func(t *testing.T, n *node) {
		old := n.create(NewRoom{Version: "11", Content: canonjson.Value(`{"m.federate":false,"org.other":1,"type":"m.space"}`), State: []Draft{
			state("", "m.room.join_rules", "", `{"allow":[{"room_id":"!space:a.test","type":"m.room_membership"}],"join_rule":"restricted"}`),
			state("", "m.room.history_visibility", "", `{"history_visibility":"invited"}`),
			state("", "m.room.avatar", "", `{"url":"mxc://a.test/x"}`),
			state("", "m.room.encryption", "", `{"algorithm":"m.megolm.v1.aes-sha2"}`),
			state("", "m.room.server_acl", "", `{"allow":["*"],"deny":["bad.test"]}`),
			state("", "m.space.child", "!one:a.test", `{"via":["a.test"]}`),
			state("", "m.space.child", "!gone:a.test", `{}`),
			state("", "m.space.parent", "!parent:a.test", `{"canonical":true,"via":["a.test"]}`),
			state("", "m.policy.rule.user", "spam", `{"entity":"@spam:*","reason":"","recommendation":"m.ban"}`),
			state("", "m.room.policy", "", `{"via":"policy.test"}`),
			state("", "m.room.retention", "", `{"max_lifetime":86400000}`),
			state("", "m.room.pinned_events", "", `{"pinned":["$x"]}`),
			state("", "org.test.sensitive", "", `{"x":1}`),
			state("", "m.room.canonical_alias", "", `{"alias":"#one:a.test","alt_aliases":["#two:b.test","#three:a.test",7],"x":1}`),
		}})
		n.send(old, state(alice, "m.room.member", string(carol), `{"displayname":"C","membership":"ban","reason":"spam"}`))
		n.send(old, member(alice, bob, event.MembershipInvite))
		topic := n.send(old, state(alice, "m.room.topic", "", `{"topic":"secret"}`))
		n.send(old, Draft{Type: event.TypeRedaction, Sender: alice, Redacts: topic.EventID, Content: canonjson.Value(`{}`)})
		next := n.upgrade(old, Upgrade{Version: "11", Profile: canonjson.Value(`{"displayname":"Alice"}`)})
		var got []string
		for _, e := range n.history(next) {
			key, _ := e.StateKey()
			content := e.Content()
			if e.Type() == "m.room.create" {
				content = content.Without("predecessor")
			}
			if e.Type() == "m.room.power_levels" {
				content = nil
			}
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Type(), key, content)))
		}
		want := []string{
			`m.room.create  {"m.federate":false,"room_version":"11","type":"m.space"}`,
			`m.room.member @alice:a.test {"displayname":"Alice","membership":"join"}`,
			`m.room.server_acl  {"allow":["*"],"deny":["bad.test"]}`,
			`m.room.encryption  {"algorithm":"m.megolm.v1.aes-sha2"}`,
			`m.room.history_visibility  {"history_visibility":"invited"}`,
			`m.room.guest_access  {"guest_access":"can_join"}`,
			`m.room.avatar  {"url":"mxc://a.test/x"}`,
			`m.room.policy  {"via":"policy.test"}`,
			`m.room.retention  {"max_lifetime":86400000}`,
			`m.space.child !one:a.test {"via":["a.test"]}`,
			`m.space.parent !parent:a.test {"canonical":true,"via":["a.test"]}`,
			`m.policy.rule.user spam {"entity":"@spam:*","reason":"","recommendation":"m.ban"}`,
			`m.room.canonical_alias  {"alias":"#one:a.test","alt_aliases":["#three:a.test"]}`,
			`m.room.member @carol:a.test {"membership":"ban","reason":"spam"}`,
			`m.room.join_rules  {"allow":[{"room_id":"!space:a.test","type":"m.room_membership"}],"join_rule":"restricted"}`,
			`m.room.power_levels`,
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if got := n.stateNow(old, "m.room.canonical_alias", ""); got != `{"alt_aliases":["#two:b.test"]}` {
			t.Errorf("the old room is called %s", got)
		}
		if old, new := n.stateNow(old, "m.room.power_levels", ""), n.stateNow(next, "m.room.power_levels", ""); canonjson.Value(old).Get("events_default").String() != "50" ||
			canonjson.Value(old).Get("invite").String() != "50" || canonjson.Value(new).Get("events_default").String() != "0" {
			t.Errorf("the levels are %s in the old room and %s in the new", old, new)
		}
	})
}

func TestLevelsMoveWithTheRoom(t *testing.T) {
	const alices = `"users":{"@alice:a.test":100,"@bob:a.test":50,"@carol:a.test":100}`
	for _, tt := range []struct {
		name     string
		from, to roomver.Version
		levels   string // of the old room, over those that it begins with
		creators []id.UserID
		want     map[string]string // below the content, of the new room
	}{
		{"as they are", "10", "11", `{"ban":60,"events":{"m.room.name":30},` + alices + `}`, nil, map[string]string{
			"ban": "60", "kick": "50", "events m.room.name": "30", "users @alice:a.test": "100", "users @bob:a.test": "50"}},
		{"texts become numbers", "6", "12", `{"ban":"60","state_default":" 51 ","kick":"x","events":{"m.room.name":"30"},"users":{"@alice:a.test":"100","@bob:a.test":"50"}}`, nil,
			map[string]string{"ban": "60", "state_default": "51", "kick": "50", "events m.room.name": "30", "users @bob:a.test": "50", "users @alice:a.test": ""}},
		{"creators have no level", "11", "12", `{` + alices + `}`, []id.UserID{carol}, map[string]string{
			"users @alice:a.test": "", "users @bob:a.test": "50", "users @carol:a.test": "", "events m.room.tombstone": "150"}},
		{"creators get a level", "12", "11", `{"ban":180,"users":{"@bob:a.test":150}}`, nil, map[string]string{
			"users @alice:a.test": "180", "users @bob:a.test": "150", "ban": "180", "events m.room.tombstone": "150"}},
		{"a tombstone stays dear", "12", "12", `{"state_default":200,"events":{}}`, nil, map[string]string{"events m.room.tombstone": "201"}},
		{"a tombstone that somebody priced", "12", "12", `{"events":{"m.room.tombstone":90}}`, nil, map[string]string{"events m.room.tombstone": "90"}},
		{"what notifies", "9", "10", `{"notifications":{"room":"20"},` + alices + `}`, nil, map[string]string{"notifications room": "20"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := local(t)
			old := n.create(NewRoom{Version: tt.from, Levels: canonjson.Value(tt.levels)})
			next := n.upgrade(old, Upgrade{Version: tt.to, Creators: tt.creators})
			content := canonjson.Value(n.stateNow(next, "m.room.power_levels", ""))
			for path, want := range tt.want {
				got := content
				for _, name := range strings.Fields(path) {
					got = got.Get(name)
				}
				if string(got) != want {
					t.Errorf("%s: got %s, want %s", path, got, want)
				}
			}
		})
	}
}

// TestLevelsThatOtherServersWrote: this one does not write such events.
func TestLevelsThatOtherServersWrote(t *testing.T) {
	load := func(eventType, content string) *event.Event {
		t.Helper()
		e, err := event.Load([]byte(`{"auth_events":[],"content":`+content+`,"depth":1,"event_id":"$x:a.test","hashes":{},"origin_server_ts":1,"prev_events":[],"room_id":"!r:a.test",`+
			`"sender":"@alice:a.test","signatures":{},"state_key":"","type":"`+eventType+`"}`), "$x:a.test", rulesOf(t, "5"))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	create := load("m.room.create", `{"creator":"@alice:a.test"}`)
	levels := load("m.room.power_levels",
		`{"ban":60.7,"events":{"m.room.name":1e300,"m.room.topic":-1e300},"kick":9007199254740993,"users":{"@alice:a.test":100,"@bob:a.test":" 50","bob":1,"nobody":"x"},"x":1.5}`)
	e := estate{rules: rulesOf(t, "5"), levels: eventauth.NewLevels(create, levels), state: map[event.Tuple]*event.Event{
		{Type: "m.room.create"}: create, {Type: "m.room.power_levels"}: levels}}
	got := e.inheritedLevels(alice, nil, rulesOf(t, "11"))
	const want = `{"ban":60,"events":{"m.room.name":9007199254740991,"m.room.topic":-9007199254740991},"events_default":0,"invite":0,"kick":9007199254740991,` +
		`"redact":50,"state_default":50,"users":{"@alice:a.test":100,"@bob:a.test":50},"users_default":0}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestJoinRulesThatAVersionDoesNotKnow(t *testing.T) {
	for _, tt := range []struct{ from, to, content, want string }{
		{"10", "11", `{"join_rule":"knock_restricted"}`, `{"join_rule":"knock_restricted"}`},
		{"10", "9", `{"allow":[],"join_rule":"knock_restricted"}`, `{"allow":[],"join_rule":"restricted"}`},
		{"10", "7", `{"allow":[],"join_rule":"knock_restricted"}`, `{"allow":[],"join_rule":"knock"}`},
		{"10", "6", `{"allow":[],"join_rule":"knock_restricted"}`, `{"allow":[],"join_rule":"invite"}`},
		{"8", "7", `{"allow":[],"join_rule":"restricted"}`, `{"allow":[],"join_rule":"invite"}`},
		{"7", "6", `{"join_rule":"knock"}`, `{"join_rule":"invite"}`},
		{"6", "7", `{"join_rule":"org.test.rule"}`, `{"join_rule":"org.test.rule"}`},
		{"6", "7", `{}`, `{"join_rule":"invite"}`},
		{"6", "7", ``, `{"join_rule":"invite"}`},
	} {
		rules := rulesOf(t, roomver.Version(tt.to))
		if got := joinRule(canonjson.Value(tt.content), rules); string(got) != tt.want {
			t.Errorf("%s from %s to %s: got %s, want %s", tt.content, tt.from, tt.to, got, tt.want)
		}
	}
}

func TestWhoMayUpgrade(t *testing.T) {
	each(t, func(t *testing.T, n *node) {
		old := n.create(NewRoom{Version: "11", Preset: PublicChat, Levels: canonjson.Value(`{"events":{"m.room.power_levels":100,"m.room.server_acl":100,"m.room.tombstone":50},"users":{"@alice:a.test":100,"@bob:a.test":50}}`)})
		for _, user := range []id.UserID{bob, carol} {
			n.send(old, join(user))
		}
		n.send(old, state(alice, "m.room.server_acl", "", `{"allow":["*"]}`))
		for _, tt := range []struct {
			name   string
			sender id.UserID
			to     roomver.Version
			want   mxerr.Code
		}{
			{"nobody without power", carol, "12", mxerr.Forbidden},
			{"nobody outside", "@dora:a.test", "12", mxerr.Forbidden},
			{"nobody to what there is not", bob, "99", mxerr.UnsupportedRoomVersion},
		} {
			if _, err := n.Upgrade(ctx, old, Upgrade{Sender: tt.sender, Version: tt.to}); !errors.Is(err, tt.want) {
				t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
			}
		}
		// What takes more power than the sender has moves all the same.
		next := n.upgrade(old, Upgrade{Sender: bob, Version: "11"})
		if got := n.stateNow(next, "m.room.server_acl", ""); got != `{"allow":["*"]}` {
			t.Errorf("the access control list is %q", got)
		}
		if _, err := n.Send(ctx, next, state(bob, "m.room.server_acl", "", `{}`)); !errors.Is(err, mxerr.Forbidden) {
			t.Errorf("the sender has gained power: %v", err)
		}
		if got := canonjson.Value(n.stateNow(old, "m.room.power_levels", "")).Get("invite"); string(got) != "0" {
			t.Errorf("who may not change the levels of the old room did: %s", got)
		}
	})
}

func TestARoomIsReplacedOnce(t *testing.T) {
	each(t, func(t *testing.T, n *node) {
		old := n.create(NewRoom{Version: "9", Preset: PublicChat, Levels: canonjson.Value(`{"users":{"@alice:a.test":100,"@bob:a.test":100}}`)})
		n.send(old, join(bob))
		var wg sync.WaitGroup
		got := make([]id.RoomID, 8)
		for i := range got {
			wg.Go(func() {
				var err error
				if got[i], err = n.Upgrade(ctx, old, Upgrade{Sender: []id.UserID{alice, bob}[i%2], Version: "12"}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, roomID := range got {
			if roomID != got[0] {
				t.Errorf("the replacements are %v", got)
				break
			}
		}
		if again := n.upgrade(old, Upgrade{Version: "12"}); again != got[0] {
			t.Errorf("repeated: got %s, want %s", again, got[0])
		}
		other := n.upgrade(old, Upgrade{Version: "11"})
		if other == got[0] || n.upgrade(old, Upgrade{Version: "11"}) != other {
			t.Errorf("to another version: got %s", other)
		}
		if err := leaveAll(n, other); err != nil {
			t.Fatal(err)
		}
		if anew := n.upgrade(old, Upgrade{Version: "11"}); anew == other {
			t.Error("a replacement that everybody has left is one still")
		}
	})
}

// TestTwoNodesReplaceARoomAtOnce: the slower one answers with the room of the
// faster.
func TestTwoNodesReplaceARoomAtOnce(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		var nodes []*node
		for range 2 {
			nodes = append(nodes, start(t, storetest.Open(t, location), Options{}))
		}
		for range 10 {
			old := nodes[0].create(NewRoom{Version: "10"})
			if err := nodes[1].journal.Refresh(ctx); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			got := make([]id.RoomID, 2)
			for i, n := range nodes {
				wg.Go(func() {
					var err error
					if got[i], err = n.Upgrade(ctx, old, Upgrade{Sender: alice, Version: "12"}); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if got[0] != got[1] {
				t.Errorf("got %s", got)
			}
		}
	})
}

func leaveAll(n *node, roomID id.RoomID) error {
	_, err := n.Leave(ctx, roomID, Move{Sender: alice})
	return err
}

func TestManyBansMove(t *testing.T) {
	n := local(t)
	for _, to := range []roomver.Version{"11", "12"} {
		old := n.create(NewRoom{Version: "10"})
		for i := range 2*together + 7 {
			n.send(old, member(alice, id.UserID(fmt.Sprintf("@spam%d:b.test", i)), event.MembershipBan))
		}
		moved := 0
		next := n.upgrade(old, Upgrade{Version: to, Move: func(_ *journal.Batch, from, to id.RoomID) {
			if from == old && to != old {
				moved++
			}
		}})
		for i := range 2*together + 7 {
			if got := n.stateNow(next, "m.room.member", fmt.Sprintf("@spam%d:b.test", i)); got != `{"membership":"ban"}` {
				t.Fatalf("to %s: number %d is %q", to, i, got)
			}
		}
		if moved == 0 {
			t.Errorf("to %s: nothing was moved", to)
		}
		last, _ := canonjson.Value(n.stateNow(next, "m.room.create", "")).Get("predecessor").Get("event_id").Text()
		if known := last != "" && n.eventByID(old, id.EventID(last)) != nil; known != (to == "11") {
			t.Errorf("to %s: the last event of the old room is %q", to, last)
		}
		n.send(next, message(alice, "on we go"))
		n.check(next)
	}
}

// TestAnUpgradeThatFails leaves nothing in the old room, which goes on.
func TestAnUpgradeThatFails(t *testing.T) {
	each(t, func(t *testing.T, n *node) {
		old := n.create(NewRoom{Version: "10"})
		var many []id.UserID
		for i := range 4000 {
			many = append(many, id.UserID(fmt.Sprintf("@somebody%d:b.test", i)))
		}
		if _, err := n.Upgrade(ctx, old, Upgrade{Sender: alice, Version: "12", Creators: many}); !errors.Is(err, mxerr.TooLarge) {
			t.Errorf("too many creators: %v", err)
		}
		if got := n.stateNow(old, "m.room.tombstone", ""); got != "" {
			t.Errorf("the old room ended with %s", got)
		}
		n.send(old, message(alice, "still here"))
		n.upgrade(old, Upgrade{Version: "12"})
	})
}

// TestAnUpgradeThatIsCutOffCanBeRepeated: whichever update of the database fails,
// before its commit or after.
func TestAnUpgradeThatIsCutOffCanBeRepeated(t *testing.T) {
	db := storetest.Open(t, filepath.Join(t.TempDir(), "parley.db"))
	var armed atomic.Int64 // the point that fails, counted down to 0
	db.FailAt(func(store.Point) error {
		if armed.Add(-1) == 0 {
			return errors.New("cut off")
		}
		return nil
	})
	n := start(t, db, Options{})
	for point := int64(1); ; point++ {
		old := n.create(NewRoom{Version: "10", Preset: PublicChat})
		for i := range together + 1 {
			n.send(old, member(alice, id.UserID(fmt.Sprintf("@spam%d:b.test", i)), event.MembershipBan))
		}
		armed.Store(point)
		_, err := n.Upgrade(ctx, old, Upgrade{Sender: alice, Version: "12"})
		reached := armed.Swap(1<<40) <= 0
		next := n.upgrade(old, Upgrade{Version: "12"})
		if got := canonjson.Value(n.stateNow(old, "m.room.tombstone", "")).Get("replacement_room"); !got.Is(string(next)) {
			t.Errorf("point %d: the tombstone names %s, not %s", point, got, next)
		}
		for i := range together + 1 {
			if got := n.stateNow(next, "m.room.member", fmt.Sprintf("@spam%d:b.test", i)); got == "" {
				t.Fatalf("point %d: number %d is not banned", point, i)
			}
		}
		n.send(next, message(alice, "on we go"))
		n.check(next)
		if !reached {
			if err != nil {
				t.Errorf("without a fault: %v", err)
			}
			break
		}
	}
}

func TestHeirs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var told []Heir
		var n *node
		var old id.RoomID
		n = start(t, db, Options{Inherits: func(h Heir) {
			// Whoever looks at once whether the rooms name each other has to find it so.
			if next, err := n.Replacement(ctx, old); next != h.Room || err != nil {
				t.Errorf("%s is told of before %s names it: %q, %v", h.Room, old, next, err)
			}
			told = append(told, h)
		}})
		old = n.create(NewRoom{Preset: PublicChat})
		if heirs, err := n.Heirs(ctx); err != nil || len(heirs) > 0 {
			t.Errorf("of an ordinary room: %v, %v", heirs, err)
		}
		next := n.upgrade(old, Upgrade{Version: "12"})
		for range 2 {
			n.send(next, join(bob))
			n.send(next, state(bob, "m.room.member", string(bob), `{"displayname":"B","membership":"join"}`))
		}
		n.send(next, member(alice, carol, event.MembershipInvite))
		want := []Heir{{alice, next}, {bob, next}}
		if got, err := n.Heirs(ctx); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
		if fmt.Sprint(told) != fmt.Sprint(want) {
			t.Errorf("told of %v, want %v", told, want)
		}
		for _, h := range want {
			if err := n.Inherited(ctx, h); err != nil {
				t.Error(err)
			}
		}
		if got, err := n.Heirs(ctx); err != nil || len(got) > 0 {
			t.Errorf("in the end: got %v, %v", got, err)
		}
	})
}
