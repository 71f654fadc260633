package receipt

import (
	"sync"

	"parley/matrix/id"
)

// mostMarks is how many marks are kept in memory, at about 200 bytes each.
const mostMarks = 1 << 17

// marks remembers the marks of users in rooms, because every response of /sync
// needs those of all the rooms that it is about. It has two generations: when the
// young one has grown to half of what is allowed it becomes the old one, and what
// is still in the old one was not asked for meanwhile and is forgotten.
type marks struct {
	mu         sync.Mutex
	half       int
	young, old generation
	// dropped counts, for each residue of room numbers, what was dropped. Who
	// read a mark from the database while one of the room was dropped may have
	// read the one of before, and must not put it here.
	dropped [1024]uint64
}

// generation is marks by room and user. A user without a receipt has one that
// is absent.
type generation struct {
	rooms map[int64]map[id.UserID]known
	size  int
}

type known struct {
	marks Marks
	there bool
}

// size is how many marks it is.
func (k known) size() int { return 1 + len(k.marks.Threads) }

func newMarks(most int) *marks {
	return &marks{half: max(1, most/2), young: newGeneration(), old: newGeneration()}
}

func newGeneration() generation {
	return generation{rooms: make(map[int64]map[id.UserID]known)}
}

func (g *generation) put(room int64, user id.UserID, k known) {
	users := g.rooms[room]
	if users == nil {
		users = make(map[id.UserID]known)
		g.rooms[room] = users
	}
	if before, ok := users[user]; ok {
		g.size -= before.size()
	}
	g.size += k.size()
	users[user] = k
}

func (g *generation) drop(room int64, user id.UserID) {
	users := g.rooms[room]
	k, ok := users[user]
	if !ok {
		return
	}
	g.size -= k.size()
	if delete(users, user); len(users) == 0 {
		delete(g.rooms, room)
	}
}

func (g *generation) dropRoom(room int64) {
	for _, k := range g.rooms[room] {
		g.size -= k.size()
	}
	delete(g.rooms, room)
}

// unread are rooms of which nothing is known, and what had been dropped of each
// when that was found out.
type unread struct {
	rooms   []int64
	dropped []uint64
}

// get adds the marks that are known to found and returns the rooms of which none
// is.
func (m *marks) get(user id.UserID, rooms []int64, found map[int64]Marks) (missing unread) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, room := range rooms {
		k, ok := m.young.rooms[room][user]
		if !ok {
			if k, ok = m.old.rooms[room][user]; ok {
				m.add(room, user, k)
			}
		}
		switch {
		case !ok:
			missing.rooms = append(missing.rooms, room)
			missing.dropped = append(missing.dropped, *m.counter(room))
		case k.there:
			found[room] = k.marks
		}
	}
	return missing
}

// put remembers what was read of rooms of which nothing was known.
func (m *marks) put(user id.UserID, missing unread, read map[int64]Marks) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, room := range missing.rooms {
		if *m.counter(room) == missing.dropped[i] {
			marks, there := read[room]
			m.add(room, user, known{marks, there})
		}
	}
}

// add puts marks into the young generation. The caller holds mu.
func (m *marks) add(room int64, user id.UserID, k known) {
	if m.young.size > 0 && m.young.size+k.size() > m.half {
		m.young, m.old = newGeneration(), m.young
	}
	m.young.put(room, user, k)
}

func (m *marks) drop(room int64, user id.UserID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	*m.counter(room)++
	m.young.drop(room, user)
	m.old.drop(room, user)
}

func (m *marks) dropRoom(room int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	*m.counter(room)++
	m.young.dropRoom(room)
	m.old.dropRoom(room)
}

func (m *marks) counter(room int64) *uint64 {
	return &m.dropped[uint64(room)%uint64(len(m.dropped))]
}
