package loadgen

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/signing"
)

// farRoom is a room that began elsewhere. In it everybody may do everything but
// make others go, so that there is something to resolve.
type farRoom struct {
	id      id.RoomID
	rules   *roomver.Rules
	key     signing.Key // of all servers but the measured one
	servers []id.ServerName
	members []id.UserID // without the host
	whole   bool        // all members are handed over to who joins

	mu    sync.Mutex // guards what follows
	base  []*event.Event
	crowd []*event.Event // by which the members have joined
	tip   *branch
	said  map[id.EventID]*event.Event // all that was said on branches
}

const joinContent = `{"membership":"join"}`

// newRoom makes a room whose members are of the servers given, in turn. Their
// joins are signed on all processors, each of which makes a line of them.
func newRoom(key signing.Key, servers []id.ServerName, members int) (*farRoom, error) {
	rules, _ := roomver.Lookup(roomver.Default)
	host := id.UserID("@host:" + string(servers[0]))
	f := &farRoom{rules: rules, key: key, servers: servers[:min(len(servers), max(1, members))], said: make(map[id.EventID]*event.Event)}
	f.tip = &branch{room: f, state: make(map[event.Tuple]*event.Event)}
	for _, s := range []struct {
		kind, key, content string
	}{
		{event.TypeCreate, "", `{"room_version":"` + string(rules.Version) + `"}`},
		{event.TypeMember, string(host), joinContent},
		{event.TypePowerLevels, "", `{"events_default":0,"state_default":0}`},
		{event.TypeJoinRules, "", `{"join_rule":"public"}`},
		{event.TypeHistoryVisibility, "", `{"history_visibility":"shared"}`},
		{"m.room.name", "", `{"name":"A room of many"}`},
	} {
		e, err := f.tip.say(s.kind, &s.key, host, canonjson.Value(s.content))
		if err != nil {
			return nil, err
		}
		f.id = e.RoomID()
		f.base = append(f.base, e)
	}
	return f, f.fill(members)
}

// fill lets members join.
func (f *farRoom) fill(n int) error {
	f.crowd, f.members = make([]*event.Event, n), make([]id.UserID, n)
	const most = 10 // lines, since an event follows at most 20 others
	workers := max(1, min(runtime.GOMAXPROCS(0), n, most))
	var group sync.WaitGroup
	failures := make([]error, workers)
	ends := make([]*branch, workers)
	for w := range workers {
		ends[w] = f.tip.fork()
		group.Go(func() {
			for i := w; i < n && failures[w] == nil; i += workers {
				user := id.UserID(fmt.Sprintf("@member%d:%s", i, f.servers[i%len(f.servers)]))
				content := canonjson.Value(fmt.Sprintf(`{"avatar_url":"mxc://%s/%024d","displayname":"Member number %d","membership":"join"}`, user.Server(), i, i))
				f.members[i] = user
				f.crowd[i], failures[w] = ends[w].build(event.TypeMember, text(string(user)), user, content)
				if failures[w] == nil {
					ends[w].follow(f.crowd[i])
				}
			}
		})
	}
	group.Wait()
	f.tip.prev = nil
	for w, end := range ends {
		if failures[w] != nil {
			return failures[w]
		}
		f.tip.prev, f.tip.depth = append(f.tip.prev, end.prev...), max(f.tip.depth, end.depth)
	}
	slices.SortFunc(f.tip.prev, func(a, b event.Reference) int { return slices.Compare([]byte(a.ID), []byte(b.ID)) })
	f.tip.prev = slices.Compact(f.tip.prev)
	for _, e := range f.crowd {
		t, _ := e.Tuple()
		f.tip.state[t] = e
	}
	return nil
}

// events is the state before the first join of a user of the measured server.
func (f *farRoom) events(all bool) []*event.Event {
	if !all {
		return slices.Clone(f.base)
	}
	return slices.Concat(f.base, f.crowd)
}

// find returns an event, nil if there is none.
func (f *farRoom) find(eventID id.EventID) *event.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.said[eventID]; e != nil {
		return e
	}
	for _, e := range f.events(true) {
		if e.ID() == eventID {
			return e
		}
	}
	return nil
}

// before returns events and what came before them, newest first, but not beyond
// others.
func (f *farRoom) before(from, until []id.EventID, limit int) (found []*event.Event) {
	seen := make(map[id.EventID]bool)
	for _, eventID := range until {
		seen[eventID] = true
	}
	for next := from; len(next) > 0 && len(found) < limit; next = next[1:] {
		if seen[next[0]] {
			continue
		}
		seen[next[0]] = true
		if e := f.find(next[0]); e != nil {
			found = append(found, e)
			next = append(next, e.PrevEvents()...)
		}
	}
	return found
}

// branch is a line of events in a room.
type branch struct {
	room  *farRoom
	below *branch // nil, or where it branches off; that goes on no more
	state map[event.Tuple]*event.Event
	prev  []event.Reference
	depth int64
}

func (b *branch) fork() *branch {
	return &branch{room: b.room, below: b, state: make(map[event.Tuple]*event.Event), prev: slices.Clone(b.prev), depth: b.depth}
}

func (b *branch) get(t event.Tuple) *event.Event {
	for ; b != nil; b = b.below {
		if e := b.state[t]; e != nil {
			return e
		}
	}
	return nil
}

// follow makes an event the last one.
func (b *branch) follow(e *event.Event) {
	b.prev, b.depth = []event.Reference{e.Reference()}, e.Depth()
}

// last is the last event.
func (b *branch) last() id.EventID { return b.prev[0].ID }

// add makes an event the last one, and part of the state.
func (b *branch) add(e *event.Event) {
	b.follow(e)
	if t, ok := e.Tuple(); ok {
		b.state[t] = e
	}
	b.room.said[e.ID()] = e
}

// say adds an event.
func (b *branch) say(kind string, key *string, sender id.UserID, content canonjson.Value) (*event.Event, error) {
	b.room.mu.Lock()
	defer b.room.mu.Unlock()
	e, err := b.build(kind, key, sender, content)
	if err == nil {
		b.add(e)
	}
	return e, err
}

// build makes an event that comes after the last one.
func (b *branch) build(kind string, key *string, sender id.UserID, content canonjson.Value) (*event.Event, error) {
	p := event.Proto{
		Type: kind, StateKey: key, Sender: sender, Content: content, RoomID: b.room.id,
		OriginServerTS: time.Now().UnixMilli(), Depth: b.depth + 1, PrevEvents: b.prev,
	}
	d := eventauth.Draft{Type: kind, StateKey: key, Sender: sender, Content: content}
	for _, t := range d.Selection(b.room.rules) {
		if e := b.get(t); e != nil {
			p.AuthEvents = append(p.AuthEvents, e.Reference())
		}
	}
	return p.Build(b.room.rules, sender.Server(), b.room.key)
}

func text(s string) *string { return &s }
