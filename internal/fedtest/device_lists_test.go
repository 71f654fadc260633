package fedtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"parley/internal/hstest"
)

// A listing is users of one server who come and go, in rooms and with devices, and
// what the clients of each know of the devices of the others.
type listing struct {
	*stage
	server  *hstest.Server
	random  *rand.Rand
	users   []*reader
	rooms   []string
	in      map[string]map[int]bool // by room
	version map[string]int          // of the devices of a user
	// knows has, for each user, which version the client has last asked for.
	knows  []map[string]int
	phones map[int][]*hstest.User
	// trimmed: what a client was told last may be behind what the journal has.
	trimmed map[int]bool
}

func TestWhatIsToldOfDeviceListsAddsUp(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			scene(t, func(s *stage) {
				l := &listing{
					stage: s, server: s.Server("a.test"), random: rand.New(rand.NewPCG(seed, 2)), in: make(map[string]map[int]bool),
					version: make(map[string]int), phones: make(map[int][]*hstest.User), trimmed: make(map[int]bool),
				}
				for i := range 4 {
					l.users = append(l.users, &reader{User: l.server.Register(fmt.Sprint("user", i))})
				}
				for i := range 4 {
					room := s.room(l.users[i].User, `{"preset":"public_chat"}`)
					l.rooms, l.in[room] = append(l.rooms, room), map[int]bool{i: true}
				}
				for i, u := range l.users {
					s.reads(u)
					l.knows = append(l.knows, make(map[string]int))
					l.check(i, true)
				}
				for range 120 {
					l.step()
				}
				for i := range l.users {
					l.look(i)
				}
			})
		})
	}
}

// shares reports whether two users share a room.
func (l *listing) shares(i, j int) bool {
	for _, members := range l.in {
		if members[i] && members[j] {
			return true
		}
	}
	return false
}

func (l *listing) step() {
	i := l.random.IntN(len(l.users))
	u, room := l.users[i], l.rooms[l.random.IntN(len(l.rooms))]
	switch l.random.IntN(10) {
	case 0, 1:
		l.join(u.User, room)
		l.in[room][i] = true
	case 2, 3:
		if l.in[room][i] {
			u.Must("POST", path("rooms", room, "leave"), `{}`)
			delete(l.in[room], i)
		}
	case 4:
		if l.in[room][i] {
			l.say(u.User, room, "hello")
		}
	case 5:
		l.phones[i] = append(l.phones[i], u.Login())
		l.version[string(u.ID)]++
	case 6:
		if n := len(l.phones[i]); n > 0 {
			l.phones[i][n-1].Must("POST", path("logout"), `{}`)
			l.phones[i] = l.phones[i][:n-1]
			l.version[string(u.ID)]++
		}
	case 7, 8:
		l.look(i)
	case 9:
		switch l.random.IntN(8) {
		case 0:
			l.server.Restart()
		case 1:
			if err := l.server.TrimJournal(context.Background()); err != nil {
				l.Fatal(err)
			}
			for i := range l.users {
				l.trimmed[i] = true
			}
		}
	}
}

// look has a client sync, and ask for whom it is told of.
func (l *listing) look(i int) {
	l.Helper()
	u := l.users[i]
	changes := u.Must("GET", path("keys", "changes")+"?from="+u.since+"&to="+u.since, nil)
	l.reads(u)
	for _, user := range u.changed {
		l.knows[i][user] = l.version[user]
	}
	for _, user := range u.left {
		delete(l.knows[i], user)
	}
	var asked []string
	for user := range changes.Get("changed").Elements() {
		asked = append(asked, user.String())
	}
	slices.Sort(u.changed)
	slices.Sort(asked)
	if told := slices.Compact(u.changed); !l.trimmed[i] && !slices.Equal(told, asked) {
		l.Errorf("%s is told of %q, and of %q when asking for it", u.ID, told, asked)
	}
	l.check(i, false)
	l.trimmed[i] = false
}

// check fails unless a client knows exactly the devices of those with whom the user
// shares a room, as they are. At first it asks for all of them.
func (l *listing) check(i int, first bool) {
	l.Helper()
	for j, other := range l.users {
		user := string(other.ID)
		version, known := l.knows[i][user]
		switch {
		case j == i:
		case !l.shares(i, j):
			if known && !l.trimmed[i] {
				l.Errorf("%s was not told that %s has left", l.users[i].ID, user)
			}
			delete(l.knows[i], user)
		case first && !known:
			l.knows[i][user] = l.version[user]
		case !known || version != l.version[user]:
			l.Errorf("%s knows %v, and not version %d of %s", l.users[i].ID, l.knows[i], l.version[user], user)
			l.knows[i][user] = l.version[user]
		}
	}
}
