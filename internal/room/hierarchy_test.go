package room

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
)

// space is a tree of rooms with names.
type space struct {
	*node
	rooms map[string]id.RoomID
	links int64 // how many were made
}

// plant makes rooms, each of a name and the names of its children. A name with a
// star is a space.
func plant(n *node, lines ...string) *space {
	n.t.Helper()
	s := &space{node: n, rooms: make(map[string]id.RoomID)}
	for _, line := range lines {
		name, _, _ := strings.Cut(line, " ")
		room := NewRoom{Preset: PublicChat, Name: name}
		if strings.HasPrefix(name, "*") {
			room.Content = object("type", canonjson.Text(spaceRoom))
		}
		s.rooms[name] = n.create(room)
	}
	for _, line := range lines {
		names := strings.Fields(line)
		for i, child := range names[1:] {
			s.link(names[0], child, fmt.Sprintf(`{"order":"%03d","via":["a.test"]}`, i))
		}
	}
	return s
}

func (s *space) link(parent, child, content string) {
	s.t.Helper()
	d := state(alice, typeSpaceChild, string(s.rooms[child]), content)
	s.links++
	d.Time = time.Now().UnixMilli() + s.links // children without an order stand by their times
	s.send(s.rooms[parent], d)
}

// walk returns the names of the rooms of a tree, page by page.
func (s *space) walk(t Tree, limit int) string {
	s.t.Helper()
	var names []string
	behind := Branch{}
	for {
		rooms, more, err := s.Hierarchy(ctx, t, behind, limit)
		if err != nil {
			return err.Error()
		}
		for _, r := range rooms {
			names = append(names, r.Name)
			behind = Branch{r.RoomID, behind.Count + 1}
		}
		if !more {
			return strings.Join(names, " ")
		}
		if len(rooms) != limit {
			s.t.Fatalf("a page of %d rooms, want %d", len(rooms), limit)
		}
	}
}

func TestATreeIsWalked(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		s := plant(n,
			"*root *one c *two d", "*one a *deep b", "*deep x *root", "*two a y hidden *secret", "a *two", "b", "c", "d", "x", "y",
			"hidden", "*secret z", "z")
		n.send(s.rooms["hidden"], state(alice, event.TypeJoinRules, "", `{"join_rule":"invite"}`))
		n.send(s.rooms["*secret"], state(alice, event.TypeJoinRules, "", `{"join_rule":"invite"}`))
		n.send(s.rooms["*root"], state(alice, typeSpaceChild, "!elsewhere:b.test", `{"via":["b.test"]}`))
		n.send(s.rooms["*root"], state(alice, typeSpaceChild, "nonsense", `{"via":["b.test"]}`))
		for _, tt := range []struct {
			name string
			tree Tree
			want string
		}{
			{"all that somebody may see", Tree{User: bob, Depth: 5}, "*root *one a *deep x b c *two y d"},
			{"all that a member may see", Tree{User: alice, Depth: 5}, "*root *one a *deep x b c *two y hidden *secret z d"},
			{"the root alone", Tree{User: bob, Depth: 0}, "*root"},
			{"one further", Tree{User: bob, Depth: 1}, "*root *one c *two d"},
			{"two further", Tree{User: bob, Depth: 2}, "*root *one a *deep b c *two y d"},
		} {
			tt.tree.Root = s.rooms["*root"]
			for limit := 1; limit <= 14; limit++ {
				if got := s.walk(tt.tree, limit); got != tt.want {
					t.Errorf("%s, by %d: got %s, want %s", tt.name, limit, got, tt.want)
				}
			}
		}
		if got := s.walk(Tree{Root: s.rooms["a"], User: bob, Depth: 5}, 10); got != "a" {
			t.Errorf("a room that is no space has %s", got)
		}
		for _, root := range []id.RoomID{s.rooms["hidden"], "!none:a.test"} {
			if _, _, err := n.Hierarchy(ctx, Tree{Root: root, User: bob, Depth: 5}, Branch{}, 1); !errors.Is(err, mxerr.Forbidden) {
				t.Errorf("of %s: %v", root, err)
			}
		}
	})
}

// TestNothingIsCutOffThatIsNear: a space that is first met where the walk ends is
// gone into when it is met again nearer to the root.
func TestNothingIsCutOffThatIsNear(t *testing.T) {
	n := start(t, storetest.Open(t, t.TempDir()+"/parley.db"), Options{})
	s := plant(n, "*root *far *near", "*far *near", "*near a", "a")
	if got := s.walk(Tree{Root: s.rooms["*root"], User: bob, Depth: 2}, 10); got != "*root *far *near a" {
		t.Errorf("got %s", got)
	}
}

func TestWhatIsAChild(t *testing.T) {
	n := start(t, storetest.Open(t, t.TempDir()+"/parley.db"), Options{})
	s := plant(n, "*root a b c d e f", "a", "b", "c", "d", "e", "f")
	tree := Tree{Root: s.rooms["*root"], User: bob, Depth: 1}
	for _, step := range []struct{ child, content, want, suggested string }{
		{"a", `{}`, "b c d e f", ""},
		{"b", `{"via":[]}`, "c d e f", ""},
		{"c", `{"via":["a.test",1]}`, "d e f", ""},
		{"d", `{"via":"a.test"}`, "e f", ""},
		{"f", `{"suggested":true,"via":["a.test"]}`, "e f", "f"},
		{"e", `{"suggested":"true","via":["a.test"]}`, "f e", "f"}, // both without an order, f was first
		{"e", `{"order":"~","suggested":true,"via":["a.test"]}`, "e f", "e f"},
	} {
		s.link("*root", step.child, step.content)
		tree.SuggestedOnly = false
		if got := s.walk(tree, 10); got != strings.TrimSpace("*root "+step.want) {
			t.Errorf("%s of %s: got %s, want %s", step.content, step.child, got, step.want)
		}
		tree.SuggestedOnly = true
		if got := s.walk(tree, 10); got != strings.TrimSpace("*root "+step.suggested) {
			t.Errorf("%s of %s: suggested are %s, want %s", step.content, step.child, got, step.suggested)
		}
	}
	child, err := n.State(ctx, s.rooms["*root"], mustNow(n, s.rooms["*root"]).Root, event.Tuple{Type: typeSpaceChild, StateKey: string(s.rooms["e"])})
	if err != nil {
		t.Fatal(err)
	}
	n.send(s.rooms["*root"], redaction(alice, child.ID()))
	if got := s.walk(Tree{Root: s.rooms["*root"], User: bob, Depth: 1}, 10); got != "*root f" {
		t.Errorf("with a child that was redacted: got %s", got)
	}
}

func mustNow(n *node, roomID id.RoomID) Moment {
	n.t.Helper()
	now, err := n.Now(ctx, roomID)
	if err != nil {
		n.t.Fatal(err)
	}
	return now
}

// TestPagesGoOnWhereTheyEnded whatever happens to the tree in between.
func TestPagesGoOnWhereTheyEnded(t *testing.T) {
	n := start(t, storetest.Open(t, t.TempDir()+"/parley.db"), Options{})
	s := plant(n, "*root a b c d", "a", "b", "c", "d", "new")
	tree := Tree{Root: s.rooms["*root"], User: bob, Depth: 5}
	rest := func() string {
		t.Helper()
		rooms, _, err := n.Hierarchy(ctx, tree, Branch{s.rooms["b"], 3}, 10)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, r := range rooms {
			names = append(names, r.Name)
		}
		return strings.Join(names, " ")
	}
	s.link("*root", "new", `{"order":"   ","via":["a.test"]}`)
	if got := rest(); got != "c d" {
		t.Errorf("with another room in front: %s", got)
	}
	s.link("*root", "new", `{}`)
	s.link("*root", "b", `{}`)
	if got := rest(); got != "d" { // c is the third now
		t.Errorf("without the last room: %s", got)
	}
}

func canonical(t *testing.T, content string) canonjson.Value {
	v, err := canonjson.Canonical([]byte(content), canonjson.Lenient)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestTheOrderOfChildren has the children that the specification orders, and more.
// https://spec.matrix.org/v1.19/client-server-api/#ordering-of-children-within-a-space
func TestTheOrderOfChildren(t *testing.T) {
	rules := rulesOf(t, "1")
	child := func(key string, ts int64, content string) SpaceChild {
		p := event.Proto{Type: typeSpaceChild, StateKey: &key, Sender: alice, RoomID: "!space:a.test", Content: canonical(t, content),
			OriginServerTS: ts, Depth: 1, EventID: "$x:a.test"}
		e, err := p.Build(rules, "a.test", testKey(t))
		if err != nil {
			t.Fatal(err)
		}
		c, ok := newChild(e.AppendStripped(nil), ts)
		if !ok {
			t.Fatalf("%s is no child", e.JSON())
		}
		return c
	}
	want := []SpaceChild{
		child("!b:a.test", 3, `{"via":["a.test"],"order":" "}`), child("!a:a.test", 1, `{"via":["a.test"],"order":"aaaa"}`), child("!c:a.test", 8, `{"via":["a.test"],"order":"first"}`),
		child("!z:a.test", 1, `{"via":["a.test"],"order":"same"}`), child("!g:a.test", 2, `{"via":["a.test"],"order":"same"}`), child("!h:a.test", 2, `{"via":["a.test"],"order":"same"}`),
		child("!e:a.test", 6, `{"via":["a.test"]}`), child("!d:a.test", 7, `{"via":["a.test"],"order":"`+strings.Repeat("a", 51)+`"}`), child("!i:a.test", 8, "{\"via\":[\"a.test\"],\"order\":\"\x7f\"}"),
		child("!j:a.test", 9, `{"via":["a.test"],"order":""}`), child("!k:a.test", 10, `{"via":["a.test"],"order":"ä"}`), child("!l:a.test", 11, `{"via":["a.test"],"order":7}`),
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, compareChildren)
	for i, c := range got {
		if c.Room != want[i].Room {
			t.Errorf("in place %d is %s, want %s", i, c.Stripped, want[i].Stripped)
		}
	}
}

func TestWhoMayKnowARoom(t *testing.T) {
	for _, tt := range []struct {
		name       string
		rule       string
		version    roomver.Version
		readable   bool
		membership string
		admitted   bool
		want       bool
	}{
		{"anybody a public one", "public", "12", false, "", false, true},
		{"nobody a private one", "invite", "12", false, "", true, false},
		{"who left a private one does not", "invite", "12", false, "leave", false, false},
		{"a member", "invite", "12", false, "join", false, true},
		{"who is invited", "invite", "12", false, "invite", false, true},
		{"who knocked, by the rule", "knock", "12", false, "knock", false, true},
		{"who knocked on what is closed now does not", "invite", "12", false, "knock", false, false},
		{"anybody one that everybody may read", "invite", "12", true, "", false, true},
		{"who is banned from a public one does not", "public", "12", false, "ban", false, false},
		{"who is banned one that everybody may read", "public", "12", true, "ban", false, true},
		{"anybody one to knock on", "knock", "7", false, "", false, true},
		{"nobody where there is no knocking", "knock", "6", false, "", false, false},
		{"a member of another room", "restricted", "8", false, "", true, true},
		{"no other", "restricted", "8", false, "", false, false},
		{"nobody where there are no restricted rooms", "restricted", "7", false, "", true, false},
		{"anybody one to knock on or to be let in", "knock_restricted", "10", false, "", false, true},
		{"nobody where there is no such rule", "knock_restricted", "9", false, "", true, false},
		{"nobody by a rule that is not known", "private", "12", false, "", true, false},
		{"nobody by a version that is not known", "public", "x", false, "", true, false},
	} {
		s := Summary{Version: tt.version, JoinRule: tt.rule, WorldReadable: tt.readable}
		if got := s.mayBeKnown(tt.membership, tt.admitted); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}

func TestRestrictedRoomsAreShownToThoseTheyAdmit(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		club := n.create(NewRoom{Preset: PublicChat})
		rule := fmt.Sprintf(`{"allow":[{"room_id":%q,"type":"m.room_membership"}],"join_rule":"restricted"}`, club)
		roomID := n.create(NewRoom{State: []Draft{state("", event.TypeJoinRules, "", rule)}})
		sees := func(user id.UserID) bool {
			t.Helper()
			found, err := n.Previews(ctx, user, []id.RoomID{roomID, "!none:a.test"})
			if err != nil {
				t.Fatal(err)
			}
			_, ok := found[roomID]
			return ok
		}
		if sees(bob) || sees("") {
			t.Error("a room is seen by who is not admitted")
		}
		n.send(club, join(bob))
		if !sees(bob) || !sees(alice) {
			t.Error("a room is not seen by who is admitted")
		}
		n.send(club, member(alice, bob, "ban"))
		if sees(bob) {
			t.Error("a room is seen by who is not admitted any more")
		}
	})
}

// BenchmarkHierarchy walks through a whole space: of each ten rooms one is a space
// that has the others. Cold, nothing of the rooms is in memory.
func BenchmarkHierarchy(b *testing.B) {
	for _, rooms := range []int{100, 1000} {
		storetest.Bench(b, func(b *testing.B, db *store.DB) { benchHierarchy(b, db, rooms) })
	}
}

func benchHierarchy(b *testing.B, db *store.DB, rooms int) {
	n := start(b, db, Options{})
	lines, top := []string{""}, "*root"
	for i := range rooms / 10 {
		line := fmt.Sprintf("*%d", i)
		top += " " + line
		for k := range 9 {
			room := fmt.Sprintf("%d-%d", i, k)
			line, lines = line+" "+room, append(lines, room)
		}
		lines = append(lines, line)
	}
	lines[0] = top
	s := plant(n, lines...)
	tree := Tree{Root: s.rooms["*root"], User: bob, Depth: 5}
	walk := func() {
		found, _, err := n.Hierarchy(ctx, tree, Branch{}, 2*rooms)
		if err != nil || len(found) != rooms+1 {
			b.Fatalf("%d rooms, %v", len(found), err)
		}
	}
	b.Run(fmt.Sprintf("rooms=%d/warm", rooms), func(b *testing.B) {
		for b.Loop() {
			walk()
		}
	})
	b.Run(fmt.Sprintf("rooms=%d/cold", rooms), func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			n.forgetAll()
			b.StartTimer()
			walk()
		}
	})
}
