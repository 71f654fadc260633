package room

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// A far room is one that this server is not in, of which another one has told.
// https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1hierarchyroomid

// farKey says who was asked about what. One server's word is not taken for
// another's.
type farKey struct {
	server        id.ServerName
	room          id.RoomID
	suggestedOnly bool
}

// farRoom is what was told of a room, and of its children.
type farRoom struct {
	room     SpaceRoom
	children []Summary
	hidden   []id.RoomID // children of which the server said that they are not for this one
	size     int
	told     bool // or else nobody told
	until    time.Time
}

func (f farRoom) weight() int { return 1000 + f.size }

// What bounds how much is asked of others.
const (
	farTime    = 5 * time.Minute // for which what was told is taken to be so
	farRetry   = time.Minute     // after which a room is asked about again of which nobody told
	farWait    = 20 * time.Second
	farServers = 3 // are asked about a room
	farAtOnce  = 8
	mostFar    = 50   // rooms are asked about in a walk
	mostNear   = 1000 // children of a far room are looked at
)

// farWalk is what a walk through a tree knows of the rooms that may be far.
type farWalk struct {
	suggestedOnly bool
	user          id.UserID
	via           map[id.RoomID][]id.ServerName
	told          map[id.RoomID]Summary // by the server of the parent
	hidden        map[id.RoomID]bool
	asked         int
	deadline      time.Time
}

func (g *Engine) newFarWalk(t Tree) *farWalk {
	return &farWalk{
		suggestedOnly: t.SuggestedOnly, user: t.User, deadline: time.Now().Add(farWait),
		via:  map[id.RoomID][]id.ServerName{t.Root: t.Via},
		told: make(map[id.RoomID]Summary), hidden: make(map[id.RoomID]bool),
	}
}

// hear takes in by which servers to get to the children of a room.
func (f *farWalk) hear(children []SpaceChild) {
	for _, c := range children {
		if _, known := f.via[c.Room]; !known {
			f.via[c.Room] = c.Via
		}
	}
}

// askFar returns what others tell of those rooms of a list that this server is not
// in. Nothing is an error that has to do with another server.
func (g *Engine) askFar(ctx context.Context, f *farWalk, rooms []id.RoomID) (map[id.RoomID]SpaceRoom, error) {
	found := make(map[id.RoomID]SpaceRoom)
	if g.spaces == nil {
		return found, nil
	}
	var ask []id.RoomID
	for _, roomID := range rooms {
		if f.hidden[roomID] {
			continue
		}
		away, err := g.isAbroad(ctx, roomID)
		if err != nil {
			return nil, err
		}
		s, told := f.told[roomID]
		switch {
		case !away:
		case told && s.RoomType != spaceRoom:
			found[roomID] = SpaceRoom{Preview: Preview{Summary: s}}
		default:
			ask = append(ask, roomID)
		}
	}
	answers := make([]farRoom, len(ask))
	limited, cancel := context.WithDeadline(ctx, f.deadline)
	defer cancel()
	var wg sync.WaitGroup
	for first := range min(farAtOnce, len(ask)) {
		wg.Go(func() {
			for i := first; i < len(ask) && f.asked+i < mostFar; i += farAtOnce {
				answers[i] = g.askFarRoom(limited, f, ask[i])
			}
		})
	}
	wg.Wait()
	f.asked += len(ask)
	for i, roomID := range ask {
		answer, s := answers[i], f.told[roomID]
		switch {
		case answer.told:
			found[roomID] = answer.room
			f.learn(answer)
		case s.RoomID != "":
			found[roomID] = SpaceRoom{Preview: Preview{Summary: s}}
		}
	}
	return found, ctx.Err()
}

// learn takes in what was told of the children of a room.
func (f *farWalk) learn(answer farRoom) {
	for _, s := range answer.children {
		f.told[s.RoomID] = s
	}
	for _, roomID := range answer.hidden {
		f.hidden[roomID] = true
	}
}

// askFarRoom asks about one room until a server tells.
func (g *Engine) askFarRoom(ctx context.Context, f *farWalk, roomID id.RoomID) farRoom {
	servers, err := g.doors(ctx, roomID, Move{Target: f.user, Via: f.via[roomID]})
	if err != nil {
		return farRoom{} // nobody can be asked
	}
	for _, server := range servers[:min(farServers, len(servers))] {
		if answer := g.askFarServer(ctx, farKey{server, roomID, f.suggestedOnly}); answer.told {
			return answer
		}
	}
	return farRoom{}
}

// askFarServer asks one server, unless it was asked lately.
func (g *Engine) askFarServer(ctx context.Context, key farKey) (f farRoom) {
	if known, ok := g.far.Get(key); ok && time.Now().Before(known.until) {
		return known
	}
	answer, err := g.spaces(ctx, key.server, key.room, key.suggestedOnly)
	if err == nil {
		f = readFar(answer, key.room, key.suggestedOnly)
	}
	if ctx.Err() != nil {
		return f
	}
	if f.until = time.Now().Add(farRetry); f.told {
		f.until = time.Now().Add(farTime)
	}
	g.far.Put(key, f)
	return f
}

// readFar reads what a server tells of a room.
func readFar(answer canonjson.Value, roomID id.RoomID, suggestedOnly bool) (f farRoom) {
	s, ok := ReadSummary(answer.Get("room"))
	if !ok || s.RoomID != roomID {
		return f
	}
	f.told, f.size, f.room.Summary = true, len(answer), s
	for said := range answer.Get("room").Get("children_state").Elements() {
		if c, ok := readFarChild(said); ok && len(f.room.Children) < mostNear && (c.Suggested || !suggestedOnly) {
			f.room.Children = append(f.room.Children, c)
		}
	}
	slices.SortFunc(f.room.Children, compareChildren)
	for said := range answer.Get("children").Elements() {
		if s, ok := ReadSummary(said); ok && len(f.children) < mostNear {
			f.children = append(f.children, s)
		}
	}
	for element := range answer.Get("inaccessible_children").Elements() {
		text, _ := element.Text()
		if hidden, err := id.ParseRoomID(text); err == nil && len(f.hidden) < mostNear {
			f.hidden = append(f.hidden, hidden)
		}
	}
	return f
}

// readFarChild reads an m.space.child event of another server, and leaves in it
// what users get.
func readFarChild(said canonjson.Value) (c SpaceChild, ok bool) {
	sender, _ := said.Get("sender").Text()
	ts, hasTime := said.Get("origin_server_ts").Int()
	if _, err := id.ParseUserID(sender); err != nil || !hasTime || !said.Get("type").Is(typeSpaceChild) || said.Get("content").Kind() != canonjson.Object {
		return c, false
	}
	stripped := canonjson.Value("{}")
	for _, name := range [...]string{"content", "sender", "state_key", "type"} {
		if value := said.Get(name); value != nil {
			stripped = stripped.With(name, value)
		}
	}
	return newChild(stripped, ts)
}

// FarSummary returns what other servers tell of a room that this one is not in, to
// a user who may get to know it; ok is false if there is nothing.
func (g *Engine) FarSummary(ctx context.Context, user id.UserID, roomID id.RoomID, via []id.ServerName) (p Preview, ok bool, err error) {
	rooms, _, err := g.Hierarchy(ctx, Tree{Root: roomID, User: user, Via: via}, Branch{}, 1)
	if errors.Is(err, mxerr.Forbidden) {
		return p, false, nil
	}
	if err != nil || len(rooms) == 0 {
		return p, false, err
	}
	return rooms[0].Preview, true, nil
}
