package feed

import (
	"container/list"
	"sync"

	"parley/internal/filter"
	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// lazyMembers remembers which member events a client was told that loads members
// lazily, so that they are not told again and again:
// https://spec.matrix.org/v1.19/client-server-api/#lazy-loading-room-members
//
// What is in an answer counts only once the client comes with that answer's
// token, or a later one: an answer may be lost. What is forgotten here is told
// again, which does no harm.
type lazyMembers struct {
	mu      sync.Mutex
	clients map[lazyKey]*list.Element // of *lazyClient
	order   *list.List                // the one used last is in front
	size    int                       // members of all clients
}

// A lazyKey is one stream of syncs. Two filters on one device are two streams.
type lazyKey struct {
	user   id.UserID
	device id.DeviceID
	filter *filter.Filter
}

type lazyClient struct {
	key   lazyKey
	rooms map[room.Num]map[id.UserID]told
	size  int
}

// told is a member event and the position of the answer that it was in.
type told struct {
	event stateres.Num
	pos   journal.Position
}

// maxTold bounds how many member events are remembered, at some 100 bytes each.
const maxTold = 200_000

func newLazyMembers() *lazyMembers {
	return &lazyMembers{clients: make(map[lazyKey]*list.Element), order: list.New()}
}

// knows returns the member event of a user that a client has been told of which
// comes with a token, 0 if there is none.
func (l *lazyMembers) knows(key lazyKey, num room.Num, user id.UserID, since journal.Position) stateres.Num {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.clients[key]
	if e == nil {
		return 0
	}
	if t := e.Value.(*lazyClient).rooms[num][user]; t.pos <= since {
		return t.event
	}
	return 0
}

// tell notes that member events are in the answer for a position.
func (l *lazyMembers) tell(key lazyKey, num room.Num, members map[id.UserID]stateres.Num, pos journal.Position) {
	if len(members) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.clients[key]
	if e == nil {
		e = l.order.PushFront(&lazyClient{key: key, rooms: make(map[room.Num]map[id.UserID]told)})
		l.clients[key] = e
	}
	l.order.MoveToFront(e)
	c := e.Value.(*lazyClient)
	if c.rooms[num] == nil {
		c.rooms[num] = make(map[id.UserID]told)
	}
	before := len(c.rooms[num])
	for user, n := range members {
		c.rooms[num][user] = told{n, pos}
	}
	grown := len(c.rooms[num]) - before
	c.size += grown
	l.size += grown
	for l.size > maxTold {
		l.drop(l.order.Back())
	}
}

// forget is for a client that begins anew.
func (l *lazyMembers) forget(key lazyKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.clients[key]; e != nil {
		l.drop(e)
	}
}

func (l *lazyMembers) drop(e *list.Element) {
	c := l.order.Remove(e).(*lazyClient)
	delete(l.clients, c.key)
	l.size -= c.size
}
