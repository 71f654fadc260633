package ephemeral

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"parley/matrix/id"
)

// reader follows presence by the rules of the package comment.
type reader struct {
	user  id.UserID
	rooms map[int64]bool
	was   map[int64]bool // when it looked last
	since uint64
	first bool
	knows map[id.UserID]string
}

func (r *reader) look(c *company) {
	l := Look{User: r.user, Since: r.since, Everything: r.first}
	for n := range r.rooms {
		if r.was[n] {
			l.Rooms = append(l.Rooms, inRoom(n))
		} else {
			l.Entered = append(l.Entered, inRoom(n))
		}
	}
	now := c.board.Seq()
	for _, s := range c.See(l) {
		r.knows[s.User] = s.status.State.String() + " " + s.status.Message
	}
	r.since, r.first, r.was = now, false, make(map[int64]bool)
	for n := range r.rooms {
		r.was[n] = true
	}
}

// TestReadersLearnWhoIsOnline has users do all that there is, move between rooms,
// and readers who move, too, and look now and then. When it has become quiet each
// knows, of those with whom it shares a room, what is so.
func TestReadersLearnWhoIsOnline(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			meet(t, nil, func(c *company) { learnWhoIsOnline(c, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func learnWhoIsOnline(c *company, random *rand.Rand) {
	const rooms = 4
	var users []id.UserID
	in := make(map[id.UserID][]int64)
	some := func() (list []int64) {
		for n := range int64(rooms) {
			if random.IntN(2) == 0 {
				list = append(list, n)
			}
		}
		return list
	}
	for i := range 6 {
		user := id.UserID(fmt.Sprintf("@u%d:a.test", i))
		users = append(users, user)
		in[user] = some()
		c.move(user, in[user]...)
	}
	var readers []*reader
	for i := range 4 {
		readers = append(readers, &reader{user: id.UserID(fmt.Sprintf("@r%d:a.test", i)), rooms: make(map[int64]bool), first: true, knows: make(map[id.UserID]string)})
	}
	ends := make(map[id.UserID]func())
	for range 300 {
		user, device := users[random.IntN(len(users))], id.DeviceID(fmt.Sprint(random.IntN(2)))
		switch random.IntN(9) {
		case 0:
			c.Set(user, device, State(random.IntN(4)), fmt.Sprint(random.IntN(2)))
		case 1:
			if end := ends[user]; end != nil {
				end()
			}
			ends[user] = c.Sync(user, device, State(1+random.IntN(2)))
		case 2:
			if end := ends[user]; end != nil {
				end()
				delete(ends, user)
			}
		case 3:
			c.Active(user, device)
		case 4:
			in[user] = some()
			c.move(user, in[user]...)
		case 5:
			r := readers[random.IntN(len(readers))]
			n := random.Int64N(rooms)
			if r.rooms[n] {
				delete(r.rooms, n)
			} else {
				r.rooms[n] = true
			}
			r.look(c) // who comes in has to be told then
		case 6:
			c.after(time.Duration(random.IntN(100)) * time.Second)
		default:
			readers[random.IntN(len(readers))].look(c)
		}
	}
	c.after(10 * time.Second)
	for _, r := range readers {
		r.look(c)
		fresh := &reader{user: "@fresh:a.test", rooms: r.rooms, was: r.rooms, first: true, knows: make(map[id.UserID]string)}
		fresh.look(c)
		for _, user := range users {
			if !slices.ContainsFunc(in[user], func(n int64) bool { return r.rooms[n] }) {
				continue
			}
			s := c.Status(user)
			truth, got := s.State.String()+" "+s.Message, r.knows[user]
			if s.State == Offline {
				truth = Offline.String() // whatever it has to say
				if got == "" || got[:7] == truth {
					got = truth
				}
			}
			if got != truth {
				c.t.Errorf("%s believes that %s is %q, but it is %q", r.user, user, got, truth)
			}
			if s.State != Offline && fresh.knows[user] != truth || s.State == Offline && fresh.knows[user] != "" {
				c.t.Errorf("who comes for the first time believes that %s is %q, but it is %q", user, fresh.knows[user], truth)
			}
		}
	}
	for _, end := range ends {
		end()
	}
	c.consistent()
}

// consistent checks the index of rooms.
func (c *company) consistent() {
	c.Presence.mu.Lock()
	defer c.Presence.mu.Unlock()
	places := 0
	for scope, g := range c.rooms {
		last := uint64(1 << 63)
		for e := g.people.Front(); e != nil; e = e.Next() {
			per := e.Value.(*person)
			if per.rooms[scope] != e || per.changed > last || per.changed > g.changed {
				c.t.Errorf("%s is not where it belongs in %v", per.user, scope)
			}
			last = per.changed
			places++
		}
	}
	for _, per := range c.people {
		places -= len(per.rooms)
	}
	if places != 0 {
		c.t.Errorf("%d places too many", places)
	}
}
