package room

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// partialHandshake is handshake for a server that takes less than all members.
func partialHandshake(resident, joining *node, roomID id.RoomID, user id.UserID) visit {
	joining.t.Helper()
	t, err := resident.Template(ctx, roomID, user, event.MembershipJoin, nil)
	if err != nil {
		joining.t.Fatal(err)
	}
	join, err := resident.Take(ctx, roomID, joining.sign(user, t))
	if err != nil {
		joining.t.Fatal(err)
	}
	h, err := resident.HandOver(ctx, join, false)
	if err != nil {
		joining.t.Fatal(err)
	}
	return visit{
		join: join, from: resident.server, partial: true, servers: h.Servers,
		state: resident.pdus(roomID, join.Rules(), h.State), chain: resident.pdus(roomID, join.Rules(), h.AuthChain),
	}
}

// A partialScene is a room with many members on the server a and one on c, which b has
// joined without knowing most of them.
type partialScene struct {
	*neighbours
	a, b, c *node
	room    id.RoomID
}

// stranger is the member on c.
const stranger id.UserID = "@stranger:c.test"

// crowd is how many members there are on a beside the admin.
const crowd = 20

func someone(i int) id.UserID { return id.UserID(fmt.Sprintf("@member%d:a.test", i)) }

// eachPartial plays a scene on each database. Before b joins, prepare is called.
func eachPartial(t *testing.T, prepare, play func(s partialScene)) {
	storetest.EachKind(t, func(t *testing.T, fresh func() string) {
		for _, version := range []roomver.Version{"1", "6", "12"} {
			t.Run("version "+string(version), func(t *testing.T) {
				n := &neighbours{t: t, me: "b.test", nodes: make(map[id.ServerName]*node), broken: make(map[string]bool), asked: make(map[string]int)}
				s := partialScene{neighbours: n}
				s.a = start(t, storetest.Open(t, fresh()), Options{Server: "a.test", Keys: n})
				s.b = start(t, storetest.Open(t, fresh()), Options{Server: "b.test", Keys: n, Elsewhere: n})
				s.c = start(t, storetest.Open(t, fresh()), Options{Server: "c.test", Keys: n})
				n.nodes["a.test"], n.nodes["c.test"] = s.a, s.c
				s.room = s.a.create(NewRoom{Creator: admin(0), Version: version, Preset: PublicChat})
				for i := range crowd {
					s.a.send(s.room, join(someone(i)))
				}
				s.c.arrives(handshake(s.a, s.c, s.room, stranger))
				prepare(s)
				s.b.arrives(partialHandshake(s.a, s.b, s.room, guest))
				play(s)
			})
		}
	})
}

// complete has b learn of the rest.
func (s partialScene) complete() {
	s.t.Helper()
	if err := s.b.makeWhole(ctx, s.room); err != nil {
		s.t.Fatal(err)
	}
	if partial, err := s.b.Partial(ctx, s.room, s.b.journal.Head()); err != nil || partial {
		s.t.Fatalf("the room is partial: %v, %v", partial, err)
	}
}

// known is how many member events b has.
func (s partialScene) known() (n int) {
	s.t.Helper()
	for t := range s.b.now(s.room) {
		if t.Type == event.TypeMember {
			n++
		}
	}
	return n
}

func nothing(partialScene) {}

// admits has a server take another one to be in a room.
func (n *node) admits(server id.ServerName, roomID id.RoomID) {
	n.t.Helper()
	err := n.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("INSERT INTO room_servers (room, server, joined, pos) VALUES ($1, $2, 1, 0)", n.num(roomID), server)
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.servers.Clear()
}

func TestAServerIsAmongThoseInTheRoomOnceItWasThereBefore(t *testing.T) {
	eachPartial(t, nothing, func(s partialScene) {
		d := start(s.t, storetest.Open(s.t, s.t.TempDir()+"/parley.db"), Options{Server: "d.test", Keys: s.neighbours})
		was := []id.ServerName{"a.test", "b.test", "c.test"}
		for _, join := range []struct {
			user id.UserID
			want []id.ServerName
		}{
			{"@first:d.test", was},
			{"@first:d.test", append(was, "d.test")}, // another join of who is there
			{"@second:d.test", append(was, "d.test")},
		} {
			got := slices.Sorted(slices.Values(partialHandshake(s.a, d, s.room, join.user).servers))
			if !slices.Equal(got, join.want) {
				s.t.Errorf("before %s came these were there: %v, want %v", join.user, got, join.want)
			}
		}
	})
}

func TestAPartialRoomIsOfUseAtOnceAndWholeLater(t *testing.T) {
	eachPartial(t, nothing, func(s partialScene) {
		if n := s.known(); n > 3 {
			s.t.Errorf("%d members are known", n)
		}
		// Of all this b does not know who says it, or of whom.
		for _, e := range []*event.Event{
			s.a.sent(s.room, message(someone(1), "hello")),
			s.a.sent(s.room, member(admin(0), someone(2), event.MembershipLeave)),
			s.a.sent(s.room, member(someone(3), "@invited:a.test", event.MembershipInvite)),
			s.a.sent(s.room, topic(admin(0), "news")),
			s.a.sent(s.room, join("@late:a.test")),
		} {
			if got := s.b.from("a.test", e); got != Accepted {
				s.t.Errorf("%s %s has the outcome %d", e.Type(), e.Content(), got)
			}
		}
		s.a.receiveAll(s.b.sent(s.room, message(guest, "hello")))
		s.complete()
		same(s.t, s.room, s.a, s.b)
		now, err := s.b.Now(ctx, s.room)
		if err != nil || now.Joined != crowd+3 || now.Invited != 1 {
			s.t.Errorf("%d are joined and %d invited, %v", now.Joined, now.Invited, err)
		}
		// From there on all is as ever, also for who follows what was before.
		s.b.receiveAll(s.a.sent(s.room, message(someone(4), "still here")))
		s.a.receiveAll(s.b.sent(s.room, member(guest, guest, event.MembershipLeave)))
		s.b.forgetAll()
		same(s.t, s.room, s.a, s.b)
		if rooms, err := s.b.partialRooms(ctx); err != nil || len(rooms) != 0 {
			s.t.Errorf("still partial are %v, %v", rooms, err)
		}
	})
}

func TestBranchesOfAPartialRoomComeTogether(t *testing.T) {
	eachPartial(t, nothing, func(s partialScene) {
		mine := []*event.Event{s.b.sent(s.room, message(guest, "one side")), s.b.sent(s.room, message(guest, "still"))}
		theirs := []*event.Event{s.a.sent(s.room, topic(admin(0), "the other")), s.a.sent(s.room, ban(admin(0), someone(1)))}
		for _, e := range theirs {
			s.b.from("a.test", e)
		}
		s.a.receiveAll(mine...)
		s.b.from("a.test", s.a.sent(s.room, message(admin(0), "together")))
		s.complete()
		same(s.t, s.room, s.a, s.b)
	})
}

func TestWhatAPartialRoomShouldNotHaveLetInIsTakenBack(t *testing.T) {
	bans := func(s partialScene) { s.a.send(s.room, ban(admin(0), stranger)) }
	eachPartial(t, bans, func(s partialScene) {
		said := s.c.sent(s.room, message(stranger, "nobody has told me that I am banned"))
		s.c.admits("b.test", s.room)
		s.b.from("c.test", said)
		if !s.b.shows(s.room, said) {
			s.t.Fatal("it was not let in, so there is nothing to see here")
		}
		s.b.from("a.test", s.a.sent(s.room, message(admin(0), "hello")))
		token := s.b.journal.Head()
		s.complete()
		if s.b.shows(s.room, said) {
			s.t.Error("it is still shown")
		}
		same(s.t, s.room, s.a, s.b)
		s.b.receiveAll(s.a.sent(s.room, message(admin(0), "bye")))
		s.b.forgetAll()
		if m, err := s.b.Before(ctx, s.room, token); err != nil || m.Place == 0 {
			s.t.Errorf("the room was %v then, %v", m, err)
		}
	})
}

func TestWhatDependsOnMembersWaitsForThem(t *testing.T) {
	eachPartial(t, nothing, func(s partialScene) {
		if whole, err := s.b.waitWhole(ctx, s.room, time.Millisecond); err != nil || whole {
			s.t.Errorf("it is whole: %v, %v", whole, err)
		}
		waited := make(chan error)
		go func() {
			_, err := s.b.Invite(ctx, s.room, Move{Sender: guest, Target: "@friend:b.test"})
			waited <- err
		}()
		s.complete()
		if err := <-waited; err != nil {
			s.t.Errorf("who has waited is told %v", err)
		}
	})
}

func TestAPartialRoomIsCompletedByWhomeverTells(t *testing.T) {
	eachPartial(t, nothing, func(s partialScene) {
		s.broken["state"] = true
		if err := s.b.makeWhole(ctx, s.room); !errors.Is(err, errNobodyTells) {
			s.t.Errorf("got %v", err)
		}
		delete(s.broken, "state")
		delete(s.nodes, "a.test") // it does not answer, and c knows what it was told
		s.c.receiveAll(s.b.stateEvent(s.room, event.TypeMember, string(guest)))
		s.nodes["a.test"] = s.c
		s.complete()
		same(s.t, s.room, s.a, s.b)
	})
}

func TestAServerThatLeavesAPartialRoomAsksNoMore(t *testing.T) {
	eachPartial(t, nothing, func(s partialScene) {
		s.a.receiveAll(s.b.sent(s.room, member(guest, guest, event.MembershipLeave)))
		if err := s.b.makeWhole(ctx, s.room); err != nil {
			s.t.Fatal(err)
		}
		if s.asked["state"] != 0 {
			s.t.Error("it asked who is there")
		}
		if err := s.b.Whole(ctx, s.room); err != nil {
			s.t.Errorf("who waits is told %v", err)
		}
		s.b.arrives(partialHandshake(s.a, s.b, s.room, guest)) // and comes back
		s.b.from("a.test", s.a.sent(s.room, message(someone(1), "you again")))
		s.complete()
		same(s.t, s.room, s.a, s.b)
	})
}

// TestACrashWhileARoomIsCompleted fails each commit of it, at each point. It is done
// later, then.
func TestACrashWhileARoomIsCompleted(t *testing.T) {
	for point := store.BeforeBegin; point <= store.AfterCommit; point++ {
		t.Run(fmt.Sprint("point ", point), func(t *testing.T) {
			eachPartial(t, nothing, func(s partialScene) {
				s.b.from("a.test", s.a.sent(s.room, member(admin(0), someone(2), event.MembershipLeave)))
				crash := errors.New("crash")
				for survives := 0; ; survives++ {
					left := survives
					s.b.db.FailAt(func(p store.Point) error {
						if p != point {
							return nil
						}
						if left--; left < 0 {
							return crash
						}
						return nil
					})
					err := s.b.makeWhole(ctx, s.room)
					s.b.db.FailAt(func(store.Point) error { return nil })
					s.b.forgetAll()
					if err == nil {
						break
					}
					if survives > 100 {
						s.t.Fatal("it never ends")
					}
				}
				s.complete()
				same(s.t, s.room, s.a, s.b)
			})
		})
	}
}

// TestMomentsOfAPartialRoom: a client that comes with a token from then is told the
// difference of whole states.
func TestMomentsOfAPartialRoom(t *testing.T) {
	eachPartial(t, nothing, func(s partialScene) {
		joined := s.b.journal.Head()
		s.b.from("a.test", s.a.sent(s.room, topic(admin(0), "news")))
		s.b.send(s.room, message(guest, "hello"))
		later := s.b.journal.Head()
		s.complete()
		for _, pos := range []journal.Position{joined, later} {
			if partial, err := s.b.Partial(ctx, s.room, pos); err != nil || !partial {
				s.t.Errorf("at %d the room was partial: %v, %v", pos, partial, err)
			}
			then, err := s.b.Before(ctx, s.room, pos)
			if err != nil {
				s.t.Fatal(err)
			}
			now, err := s.b.Now(ctx, s.room)
			if err != nil {
				s.t.Fatal(err)
			}
			diff, err := s.b.StateDiff(ctx, s.b.num(s.room), then.Root, now.Root)
			if err != nil {
				s.t.Fatal(err)
			}
			if i := slices.IndexFunc(diff, func(c statetrie.Change) bool { return c.Type == event.TypeMember }); i >= 0 {
				s.t.Errorf("since %d a member has changed: %v", pos, diff[i])
			}
		}
	})
}
