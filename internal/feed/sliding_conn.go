package feed

import (
	"container/list"
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"parley/internal/room"
	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// errUnknownPos tells a client to begin anew.
// https://github.com/matrix-org/matrix-spec-proposals/blob/main/proposals/4186-simplified-sliding-sync.md#connections
func errUnknownPos() error {
	return mxerr.New(mxerr.UnknownPos, "The connection has expired, or the position is not one of it: begin without one")
}

// A connKey is a connection: one sequence of requests of a device.
type connKey struct {
	user   id.UserID
	device id.DeviceID
	conn   string
}

// A connection is what a client was told on it, as far as the client is known to
// have got it. What is durable is in the database; all of this can be forgotten.
//
// An answer that tells more than what a token covers makes a version, which is a
// child of the one that the client came with. When it comes with the child it has
// got the answer; when it comes with the same again it has not.
type connection struct {
	key connKey

	mu      sync.Mutex // guards what follows
	version int64      // 0: none
	told    *told
	// chain are the versions behind this one back to a whole one.
	chain    []int64
	children []child // that the client may come with
	stored   time.Time

	memory memory
	// settled is for what nothing was to tell but what is in the journal since.
	settled settled
	texts   map[string]*wants
}

type child struct {
	version int64
	whole   bool
	told    *told // all of it if it is whole, otherwise what it adds
}

// settled is a request, what the client had, and the state of the roster.
type settled struct {
	version  int64
	params   string
	revision uint64
	counts   []int64 // of the lists
}

func (s settled) same(t settled) bool {
	return s.version == t.version && s.params == t.params && s.revision == t.revision
}

const (
	mostChildren = 8
	mostChain    = 16
	mostWants    = 64
	// mostToldBytes bounds what is stored of a connection, beside mostRoomBytes of
	// each room.
	mostToldBytes, mostRoomBytes = 1 << 20, 64
	// mostConnections is how many of a device are kept.
	mostConnections = 16
	// connectionLife is how long one is kept that is not used, and a day less how
	// long it may be said to be unused while it is used.
	connectionLife = 15 * 24 * time.Hour
	// mostTold bounds the connections in memory: each weighs one, and one for each
	// room, some 100 bytes.
	mostTold = 200_000
)

// connections keeps those in memory that were used last.
type connections struct {
	db *store.DB

	mu     sync.Mutex // guards what follows
	byKey  map[connKey]*list.Element
	order  *list.List // of *kept; the one used last is in front
	weight int
}

type kept struct {
	conn   *connection
	weight int
}

func newConnections(db *store.DB) *connections {
	return &connections{db: db, byKey: make(map[connKey]*list.Element), order: list.New()}
}

// get returns a connection, which may be one that nobody knows.
func (cs *connections) get(key connKey) *connection {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if e := cs.byKey[key]; e != nil {
		cs.order.MoveToFront(e)
		return e.Value.(*kept).conn
	}
	c := &connection{key: key, told: &told{rooms: make(map[room.Num]sent)}, texts: make(map[string]*wants)}
	cs.byKey[key] = cs.order.PushFront(&kept{conn: c})
	return c
}

// weigh takes in how large a connection has become, and forgets others.
func (cs *connections) weigh(key connKey, rooms int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if e := cs.byKey[key]; e != nil {
		k := e.Value.(*kept)
		cs.weight += 1 + rooms - k.weight
		k.weight = 1 + rooms
	}
	for cs.weight > mostTold && cs.order.Len() > 1 {
		k := cs.order.Remove(cs.order.Back()).(*kept)
		delete(cs.byKey, k.conn.key)
		cs.weight -= k.weight
	}
}

// come takes in that a client has come with a version, 0 for none. The caller
// holds the connection's mu.
func (cs *connections) come(ctx context.Context, c *connection, version int64) error {
	if version == c.version && version != 0 {
		return nil
	}
	if version == 0 {
		c.begin(0, &told{rooms: make(map[room.Num]sent)}, nil)
		return nil
	}
	for _, child := range c.children {
		if child.version != version {
			continue
		}
		if child.whole {
			c.begin(version, child.told, nil)
			return nil
		}
		c.told.add(child.told)
		c.chain, c.version, c.children = append(c.chain, c.version), version, nil
		return nil
	}
	t, chain, stored, err := cs.load(ctx, c.key, version)
	if err != nil {
		return err
	}
	c.begin(version, t, chain)
	c.stored = stored
	return nil
}

func (c *connection) begin(version int64, t *told, chain []int64) {
	c.version, c.told, c.chain, c.children = version, t, chain, nil
}

// bear makes a version of what a client is told beside what it has. It is for the
// caller, who holds mu, to have it stored.
func (c *connection) bear(change *told) (child, error) {
	k := child{version: 1 + rand.Int64N(1<<62), told: change}
	all := len(c.told.wants) + len(change.wants)
	if c.version != 0 && len(c.chain) < mostChain && all <= mostWants {
		return k, nil
	}
	t := c.told.clone()
	t.add(change)
	k.whole, k.told = true, t.compact()
	size := 0
	for _, text := range k.told.wants {
		size += len(text)
	}
	if size > mostToldBytes+mostRoomBytes*len(t.rooms) {
		return k, errUnknownPos()
	}
	return k, nil
}

// born takes in that a version is stored.
func (c *connection) born(k child) {
	if len(c.children) == mostChildren {
		c.children = append([]child(nil), c.children[1:]...)
	}
	c.children, c.stored = append(c.children, k), time.Now()
}

// wants returns what a text says.
func (c *connection) wants(text string) *wants {
	w := c.texts[text]
	if w == nil {
		if len(c.texts) >= 2*mostWants {
			clear(c.texts)
		}
		w = parseWants(text)
		c.texts[text] = w
	}
	return w
}

// memory is what else is known of what a client has, and which may be forgotten at
// any time.
type memory struct {
	at uint32 // the answer with which the client came last
	// has are member events that a client surely has that loads them lazily: they need
	// not be told again with each message. What changes of members is told to such a
	// client anyway.
	has  members
	size int
	// shown are the rooms that the answer was about.
	shown map[room.Num]bool
	// profiles are of whom the client has the profile, in rooms whose members it loads
	// lazily.
	profiles map[id.UserID]bool
	// unread is what the client was told last of what is unread, in rooms of which it
	// was told that.
	unread  map[room.Num]room.Counts
	answers []remembered
}

type remembered struct {
	answer uint32
	told   members
	// flushed are rooms of which the client has forgotten before what it had.
	flushed []room.Num
	shown   map[room.Num]bool
	unread  map[room.Num]room.Counts
	profiled
}

// profiled is of whom a client gets the profile as a whole, other than with all members of
// a room, and whose it forgets. anew: what it had before does not count.
type profiled struct {
	anew       bool
	told, gone []id.UserID
}

const mostToldMembers = 10_000

// came takes in which answer a client has got last.
func (m *memory) came(answer uint32) {
	if answer == m.at && m.has != nil {
		return
	}
	got := slices.IndexFunc(m.answers, func(r remembered) bool { return r.answer == answer })
	if got < 0 || m.size > mostToldMembers {
		m.has, m.size, m.shown, m.profiles = make(members), 0, nil, make(map[id.UserID]bool)
		m.unread = make(map[room.Num]room.Counts)
	}
	if got >= 0 {
		r := m.answers[got]
		for _, num := range r.flushed {
			delete(m.has, num)
		}
		for num, users := range r.told {
			for user, event := range users {
				m.has.put(num, user, event)
				m.size++
			}
		}
		m.shown = r.shown
		maps.Copy(m.unread, r.unread)
		m.have(r.profiled)
	}
	m.at, m.answers = answer, nil
}

// have takes in whose profiles a client has got.
func (m *memory) have(p profiled) {
	if p.anew {
		clear(m.profiles)
	}
	for _, user := range p.gone {
		delete(m.profiles, user)
	}
	for _, user := range p.told {
		m.profiles[user] = true
		m.size++
	}
}

func (m *memory) answered(r remembered) {
	if len(m.answers) == mostChildren {
		m.answers = append([]remembered(nil), m.answers[1:]...)
	}
	m.answers = append(m.answers, r)
}
