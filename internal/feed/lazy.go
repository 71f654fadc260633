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

// lazyMembers remembers which member events clients were told that load members
// lazily: https://spec.matrix.org/v1.19/client-server-api/#lazy-loading-room-members
//
// It serves two ends. A member that the client surely has need not be told again
// when it says something. And a member that the client may have must be told
// when it changes, even where the change is in no timeline: otherwise the client
// would go on believing what it was told. The first may be forgotten without
// harm. The second may not: of a client that the memory does not reach back to
// the beginning of, as after a restart, every member counts as one that it may
// have.
//
// What is in an answer is sure only once the client comes with that answer's
// token: answers get lost, and clients go back to a token of long ago.
type lazyMembers struct {
	mu      sync.Mutex
	clients map[lazyKey]*list.Element // of *lazyClient
	order   *list.List                // the one used last is in front
	size    int                       // of all clients
}

// A lazyKey is one stream of syncs. Two filters on one device are two streams.
type lazyKey struct {
	user   id.UserID
	device id.DeviceID
	filter *filter.Filter
}

// members is member events by room and user. 0 stands for some event, perhaps.
type members map[room.Num]map[id.UserID]stateres.Num

func (m members) put(num room.Num, user id.UserID, event stateres.Num) {
	if m[num] == nil {
		m[num] = make(map[id.UserID]stateres.Num)
	}
	m[num][user] = event
}

func (m members) size() int {
	n := 1
	for _, users := range m {
		n += len(users)
	}
	return n
}

type lazyClient struct {
	key lazyKey
	// from is the position of the answer with which the client began, 0 if it is
	// not known what it was told.
	from journal.Position
	// told is all that the client may have: what it has that comes with the
	// token at, and 0 for what was told otherwise.
	told members
	at   journal.Position
	// answers are those that the client may have got and has not come back with.
	answers []lazyAnswer
	size    int
}

type lazyAnswer struct {
	pos  journal.Position
	told members
}

// maxTold bounds how many member events are remembered, at some 100 bytes each,
// and maxAnswers how many answers of a client.
const (
	maxTold    = 200_000
	maxAnswers = 16
)

func newLazyMembers() *lazyMembers {
	return &lazyMembers{clients: make(map[lazyKey]*list.Element), order: list.New()}
}

// came takes in that a client has come with a token, or without one when pos
// is 0: it has the answer that the token is of, and perhaps none of the others.
func (l *lazyMembers) came(key lazyKey, pos journal.Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.clients[key]
	if e == nil {
		return
	}
	c := e.Value.(*lazyClient)
	got := -1
	for i, a := range c.answers {
		if a.pos == pos {
			got = i
		}
	}
	if got < 0 && pos == c.at && pos != 0 {
		return // it asks once more
	}
	if got < 0 {
		for _, users := range c.told {
			for user := range users {
				users[user] = 0
			}
		}
	}
	for i, a := range c.answers {
		c.merge(a.told, i == got)
	}
	c.at, c.answers = pos, nil
	l.resize(c)
}

// merge adds what was told in an answer.
func (c *lazyClient) merge(told members, sure bool) {
	for num, users := range told {
		for user, event := range users {
			if _, known := c.told[num][user]; !sure {
				if known {
					continue
				}
				event = 0
			}
			c.told.put(num, user, event)
		}
	}
}

// answered takes in what a client is told in the answer for a position, and
// whether that is the answer it begins with.
func (l *lazyMembers) answered(key lazyKey, pos journal.Position, told members, begins bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.clients[key]
	if e == nil {
		e = l.order.PushFront(&lazyClient{key: key, told: make(members)})
		l.clients[key] = e
	}
	l.order.MoveToFront(e)
	c := e.Value.(*lazyClient)
	if begins && c.from == 0 {
		c.from = pos
	}
	c.add(lazyAnswer{pos, told})
	l.resize(c)
	for l.size > maxTold {
		l.drop(l.order.Back())
	}
}

// add adds an answer. Of two for one position, which a client cannot tell apart,
// only what both say is sure.
func (c *lazyClient) add(a lazyAnswer) {
	for i, other := range c.answers {
		if other.pos != a.pos {
			continue
		}
		both := make(members)
		for _, pair := range [][2]members{{a.told, other.told}, {other.told, a.told}} {
			for num, users := range pair[0] {
				for user, event := range users {
					if pair[1][num][user] != event {
						event = 0
					}
					both.put(num, user, event)
				}
			}
		}
		c.answers[i].told = both
		return
	}
	if len(c.answers) == maxAnswers {
		c.merge(c.answers[0].told, false)
		c.answers = append([]lazyAnswer(nil), c.answers[1:]...)
	}
	c.answers = append(c.answers, a)
}

// knows returns the member event of a user that a client surely has, 0 if there
// is none, and whether it may have any. It is the client that came last with a
// token of the position since.
func (l *lazyMembers) knows(key lazyKey, num room.Num, user id.UserID, since journal.Position) (event stateres.Num, perhaps bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.clients[key]
	if e == nil {
		return 0, true
	}
	c := e.Value.(*lazyClient)
	event, perhaps = c.told[num][user]
	return event, perhaps || c.from == 0 || since < c.from
}

func (l *lazyMembers) resize(c *lazyClient) {
	l.size -= c.size
	c.size = c.told.size()
	for _, a := range c.answers {
		c.size += a.told.size()
	}
	l.size += c.size
}

func (l *lazyMembers) drop(e *list.Element) {
	c := l.order.Remove(e).(*lazyClient)
	delete(l.clients, c.key)
	l.size -= c.size
}
