package room

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// A SpaceRoom is a room in the tree of a space.
type SpaceRoom struct {
	Preview
	// Children are what its m.space.child events say, in the order of the children;
	// none if it is not a space.
	Children []SpaceChild
}

// A SpaceChild is an m.space.child event.
type SpaceChild struct {
	Room      id.RoomID
	Via       []id.ServerName
	Suggested bool
	// Stripped is the event as users and other servers get it.
	Stripped canonjson.Value

	order   string
	ordered bool // order is valid
	ts      int64
}

const (
	typeSpaceChild = "m.space.child"
	spaceRoom      = "m.space"
)

// What bounds the walk through a tree.
const (
	// MaxDepth is how far from its root a tree is walked.
	MaxDepth = 100
	// maxWalked is after how many steps a walk ends.
	maxWalked = 10_000
	// ahead is the children of how many spaces beside each other are read at once.
	ahead = 50
)

// A Tree is what somebody wants to see of a space.
type Tree struct {
	Root id.RoomID
	User id.UserID
	// Via are servers to ask about the root, if this one is not in it.
	Via []id.ServerName
	// SuggestedOnly leaves out children that are not suggested.
	SuggestedOnly bool
	// Depth is how far from the root to go: with 0 only the root is seen. It is at
	// most MaxDepth.
	Depth int
}

// A Branch is up to where a tree was seen: the last room, and how many were seen
// with it. The zero Branch is before the root.
type Branch struct {
	Room  id.RoomID
	Count int
}

// Hierarchy returns up to limit rooms of a tree that come behind a branch, each
// once: first the root, and after each room its children in their order, of which
// those that are spaces come with their own children. It walks from the root again
// each time, so what changes meanwhile moves the rest and no more. more says that
// there are further rooms.
//
// A root that the user may not get to know is M_FORBIDDEN. Other such rooms are
// left out. Of rooms that this server is not in it asks others, as many as it
// can within its bounds; what none of them tells is left out, too.
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidhierarchy
func (g *Engine) Hierarchy(ctx context.Context, t Tree, behind Branch, limit int) (rooms []SpaceRoom, more bool, err error) {
	w := treeWalk{
		Tree: t, engine: g, behind: behind, limit: limit,
		known: make(map[id.RoomID]SpaceRoom), asked: make(map[id.RoomID]bool), seen: make(map[id.RoomID]int),
		far: g.newFarWalk(t),
	}
	if err := w.group(ctx, []id.RoomID{t.Root}, 0); err != nil {
		return nil, false, err
	}
	if len(w.list) == 0 {
		return nil, false, mxerr.New(mxerr.Forbidden, "You may not see room %s", t.Root)
	}
	rest := w.list[w.start():]
	more = len(rest) > limit
	for _, roomID := range rest[:min(limit, len(rest))] {
		rooms = append(rooms, w.known[roomID])
	}
	return rooms, more, nil
}

// A treeWalk goes through a tree.
type treeWalk struct {
	Tree
	engine *Engine
	behind Branch
	limit  int

	known map[id.RoomID]SpaceRoom // of those that the user may get to know
	asked map[id.RoomID]bool      // those that were looked for
	seen  map[id.RoomID]int       // the least depth at which a room was walked
	list  []id.RoomID             // in the order of the walk
	after int                     // where in it the last room of behind is, and one more; 0: it did not come yet
	cut   bool                    // there is something further down than the walk goes
	far   *farWalk
	steps int
}

// start returns where in the list the rooms begin that are wanted. If the last
// room before them is not there any more, it is the count that is left.
func (w *treeWalk) start() int {
	if w.behind.Room != "" && w.after == 0 {
		return max(0, min(w.behind.Count, len(w.list)))
	}
	return w.after
}

// enough reports whether there is nothing to be gained by going on.
func (w *treeWalk) enough() bool {
	return w.steps >= maxWalked || (w.behind.Room == "" || w.after > 0) && len(w.list) > w.after+w.limit
}

// visit notes that a room was walked at a depth.
func (w *treeWalk) visit(roomID id.RoomID, depth int) {
	w.steps++
	if _, before := w.seen[roomID]; !before {
		w.list = append(w.list, roomID)
		if roomID == w.behind.Room {
			w.after = len(w.list)
		}
	}
	w.seen[roomID] = depth
}

// group walks through rooms that are beside each other, at a depth of the tree.
func (w *treeWalk) group(ctx context.Context, rooms []id.RoomID, depth int) error {
	if err := w.load(ctx, rooms); err != nil {
		return err
	}
	loaded := 0 // of the rooms, those whose children were read
	for i, roomID := range rooms {
		r, ok := w.known[roomID]
		// What was seen further down is walked again if the walk may have ended in
		// it there.
		if at, before := w.seen[roomID]; !ok || before && (at <= depth || !w.cut) {
			continue
		}
		w.visit(roomID, depth)
		switch {
		case w.enough():
			return nil
		case len(r.Children) == 0:
			continue
		case depth == w.Depth:
			w.cut = true
			continue
		}
		if i >= loaded {
			loaded = min(len(rooms), i+ahead)
			if err := w.load(ctx, w.children(rooms[i:loaded])); err != nil {
				return err
			}
		}
		if err := w.group(ctx, childrenOf(r), depth+1); err != nil || w.enough() {
			return err
		}
	}
	return nil
}

// children returns the children of several rooms.
func (w *treeWalk) children(rooms []id.RoomID) (all []id.RoomID) {
	for _, roomID := range rooms {
		all = append(all, childrenOf(w.known[roomID])...)
	}
	return all
}

func childrenOf(r SpaceRoom) (rooms []id.RoomID) {
	for _, c := range r.Children {
		rooms = append(rooms, c.Room)
	}
	return rooms
}

// load reads rooms, as far as they were not looked for before, and the children of
// the spaces among them.
func (w *treeWalk) load(ctx context.Context, rooms []id.RoomID) error {
	var missing []id.RoomID
	for _, roomID := range rooms {
		if !w.asked[roomID] {
			w.asked[roomID] = true
			missing = append(missing, roomID)
		}
	}
	found, err := w.engine.Previews(ctx, w.User, missing)
	if err != nil {
		return err
	}
	var spaces []id.RoomID
	for roomID, p := range found {
		w.known[roomID] = SpaceRoom{Preview: p}
		if p.RoomType == spaceRoom {
			spaces = append(spaces, roomID)
		}
	}
	missing = slices.DeleteFunc(missing, func(roomID id.RoomID) bool { _, here := found[roomID]; return here })
	if err := w.loadFar(ctx, missing); err != nil {
		return err
	}
	if err := w.loadChildren(ctx, spaces); err != nil {
		return err
	}
	for _, roomID := range rooms {
		w.far.hear(w.known[roomID].Children)
	}
	return nil
}

// loadFar finds out about rooms from other servers, as far as this one is not in
// them.
func (w *treeWalk) loadFar(ctx context.Context, rooms []id.RoomID) error {
	spaces, err := w.engine.askFar(ctx, w.far, rooms)
	if err != nil {
		return err
	}
	previews := make(map[id.RoomID]Preview, len(spaces))
	for roomID, r := range spaces {
		previews[roomID] = r.Preview
	}
	if err := w.engine.db.View(ctx, func(tx *store.Tx) error { return hide(tx, w.User, previews) }); err != nil {
		return fmt.Errorf("reading what rooms are to %s: %w", w.User, err)
	}
	for roomID, p := range previews {
		w.known[roomID] = SpaceRoom{Preview: p, Children: spaces[roomID].Children}
	}
	return nil
}

// loadChildren reads the children of spaces, of some at once: each takes several
// questions to the database, one after the other.
func (w *treeWalk) loadChildren(ctx context.Context, spaces []id.RoomID) error {
	const atOnce = 8
	children, errs := make([][]SpaceChild, len(spaces)), make([]error, len(spaces))
	var wg sync.WaitGroup
	for first := range min(atOnce, len(spaces)) {
		wg.Go(func() {
			for i := first; i < len(spaces); i += atOnce {
				children[i], errs[i] = w.engine.children(ctx, spaces[i], w.SuggestedOnly)
			}
		})
	}
	wg.Wait()
	for i, roomID := range spaces {
		r := w.known[roomID]
		r.Children = children[i]
		w.known[roomID] = r
	}
	return errors.Join(errs...)
}

// children returns the m.space.child events of a space that stand for rooms in it,
// in the order of the children.
// https://spec.matrix.org/v1.19/client-server-api/#ordering-of-children-within-a-space
func (g *Engine) children(ctx context.Context, roomID id.RoomID, suggestedOnly bool) ([]SpaceChild, error) {
	now, err := g.Now(ctx, roomID)
	if err != nil {
		return nil, err
	}
	items, err := g.StateOfType(ctx, roomID, now.Root, typeSpaceChild)
	if err != nil {
		return nil, err
	}
	var children []SpaceChild
	for _, it := range items {
		if c, ok := newChild(it.Event.AppendStripped(nil), it.Event.OriginServerTS()); ok && (!suggestedOnly || c.Suggested) {
			children = append(children, c)
		}
	}
	slices.SortFunc(children, compareChildren)
	return children, nil
}

// newChild reads a stripped m.space.child event. It says that a room is in a space
// if it names servers by which to get there; ok is false for one that does not.
func newChild(stripped canonjson.Value, ts int64) (c SpaceChild, ok bool) {
	key, _ := stripped.Get("state_key").Text()
	roomID, err := id.ParseRoomID(key)
	if err != nil {
		return c, false
	}
	content := stripped.Get("content")
	servers := 0
	for element := range content.Get("via").Elements() {
		text, ok := element.Text()
		if !ok {
			return c, false
		}
		if server, err := id.ParseServerName(text); err == nil && len(c.Via) < mostDoors {
			c.Via = append(c.Via, server)
		}
		servers++
	}
	c.Room, c.ts, c.Suggested = roomID, ts, content.Get("suggested").True()
	c.order, c.ordered = childOrder(content)
	c.Stripped = stripped.With("origin_server_ts", canonjson.Value(strconv.FormatInt(ts, 10)))
	return c, servers > 0
}

func compareChildren(a, b SpaceChild) int {
	if a.ordered != b.ordered {
		if a.ordered {
			return -1
		}
		return 1
	}
	return cmp.Or(strings.Compare(a.order, b.order), cmp.Compare(a.ts, b.ts), cmp.Compare(a.Room, b.Room))
}

// childOrder returns what a child is ordered by; ok is false if that is nothing
// valid: https://spec.matrix.org/v1.19/client-server-api/#mspacechild
func childOrder(content canonjson.Value) (order string, ok bool) {
	const longest = 50
	order, ok = content.Get("order").Text()
	if !ok || order == "" || len(order) > longest || strings.ContainsFunc(order, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", false
	}
	return order, true
}
