package ephemeral

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/journal"
	"parley/matrix/id"
)

const (
	alice id.UserID = "@alice:a.test"
	bob   id.UserID = "@bob:a.test"
)

func inRoom(n int64) journal.Scope { return journal.NewScope(journal.ScopeRoom, n) }

// scene is a board and who was poked how often.
type scene struct {
	*Board
	t     *testing.T
	mu    sync.Mutex
	pokes map[journal.Scope]int
}

func play(t *testing.T, f func(s *scene)) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, pokes: make(map[journal.Scope]int)}
		s.Board = NewBoard("epoch", func(scope journal.Scope) {
			s.Seq() // would hang if the board were locked
			s.mu.Lock()
			defer s.mu.Unlock()
			s.pokes[scope]++
		})
		f(s)
		s.Close()
	})
}

// after lets time pass and says who must be typing in room 1 then.
func (s *scene) after(d time.Duration, want ...id.UserID) {
	s.t.Helper()
	time.Sleep(d)
	synctest.Wait()
	if got := s.Typing(inRoom(1)); !slices.Equal(got, want) {
		s.t.Errorf("%v are typing, want %v", got, want)
	}
}

func TestTypingEndsByItself(t *testing.T) {
	for _, tt := range []struct {
		name          string
		timeout, want time.Duration
	}{
		{"as long as said", 10 * time.Second, 10 * time.Second},
		{"nothing said", 0, 30 * time.Second},
		{"too short", time.Millisecond, time.Second},
		{"negative", -time.Hour, time.Second},
		{"too long", time.Hour, 120 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			play(t, func(s *scene) {
				s.Type(inRoom(1), alice, tt.timeout)
				s.after(0, alice)
				s.after(tt.want-time.Millisecond, alice)
				s.after(time.Millisecond)
				if s.pokes[inRoom(1)] != 2 || s.Seq() != 2 || s.Changed(inRoom(1)) != 2 {
					t.Errorf("%d pokes, sequence %d, room changed at %d", s.pokes[inRoom(1)], s.Seq(), s.Changed(inRoom(1)))
				}
			})
		})
	}
}

func TestTypingIsProlonged(t *testing.T) {
	play(t, func(s *scene) {
		for range 5 {
			s.Type(inRoom(1), alice, 10*time.Second)
			s.after(9*time.Second, alice)
		}
		if s.pokes[inRoom(1)] != 1 || s.Seq() != 1 {
			t.Errorf("prolonging counts as a change: %d pokes, sequence %d", s.pokes[inRoom(1)], s.Seq())
		}
		s.Type(inRoom(1), alice, time.Second) // and shortened
		s.after(time.Second)
	})
}

func TestTypingIsStopped(t *testing.T) {
	play(t, func(s *scene) {
		s.Stop(inRoom(1), alice) // she was not
		s.Type(inRoom(1), bob, 0)
		s.Type(inRoom(1), alice, 0)
		s.Type(inRoom(2), alice, 0)
		s.after(0, alice, bob)
		s.Stop(inRoom(1), alice)
		s.after(0, bob)
		s.Stop(inRoom(1), alice)
		s.after(time.Minute)
		if want := map[journal.Scope]int{inRoom(1): 4, inRoom(2): 2}; !maps.Equal(s.pokes, want) {
			t.Errorf("pokes: %v, want %v", s.pokes, want)
		}
	})
}

func TestNothingHappensAfterClose(t *testing.T) {
	play(t, func(s *scene) {
		s.Type(inRoom(1), alice, 0)
		s.Close()
		s.Type(inRoom(1), bob, 0)
		s.Stop(inRoom(1), alice)
		s.after(time.Hour, alice)
		if s.pokes[inRoom(1)] != 1 {
			t.Errorf("%d pokes", s.pokes[inRoom(1)])
		}
	})
}

// TestReadersLearnEverything has readers that look now and then, by the rules of
// the package comment, at a board that forgets early. Each has the truth
// whenever it has looked.
func TestReadersLearnEverything(t *testing.T) {
	const rooms = 12
	play(t, func(s *scene) {
		s.idle = 3
		random := rand.New(rand.NewPCG(1, 1))
		type reader struct {
			seq   uint64
			knows [rooms][]id.UserID
		}
		var readers [5]reader
		told, needless := 0, 0
		for range 2000 {
			scope := inRoom(random.Int64N(rooms))
			switch user := []id.UserID{alice, bob}[random.IntN(2)]; random.IntN(4) {
			case 0:
				s.Type(scope, user, time.Duration(random.IntN(40))*time.Second)
			case 1:
				s.Stop(scope, user)
			default:
				time.Sleep(time.Duration(random.IntN(5)) * time.Second)
				synctest.Wait()
			}
			r := &readers[random.IntN(len(readers))]
			if random.IntN(3) > 0 {
				continue
			}
			seq := s.Seq()
			for i := range r.knows {
				if scope := inRoom(int64(i)); s.Changed(scope) > r.seq {
					typing := s.Typing(scope)
					if told++; slices.Equal(typing, r.knows[i]) {
						needless++
					}
					r.knows[i] = typing
				}
			}
			r.seq = seq
			for i, knows := range r.knows {
				if truth := s.Typing(inRoom(int64(i))); !slices.Equal(knows, truth) {
					t.Fatalf("a reader believes that %v are typing in room %d, but %v are", knows, i, truth)
				}
			}
			s.Board.mu.Lock()
			quiet, all := s.quiet.Len(), len(s.rooms)
			s.Board.mu.Unlock()
			if quiet > 3 || all > rooms {
				t.Fatalf("%d rooms are remembered in which nobody types", quiet)
			}
		}
		if told == 0 || needless == told {
			t.Errorf("of %d that were told, %d were needless", told, needless)
		}
	})
}

func TestManyTypeAtOnce(t *testing.T) {
	play(t, func(s *scene) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for i := range int64(100) {
					s.Type(inRoom(i%3), alice, time.Second)
					s.Typing(inRoom(i % 3))
					s.Stop(inRoom(i%3), alice)
				}
			})
		}
		wg.Wait()
		s.after(time.Second)
		total := 0
		for _, n := range s.pokes {
			total += n
		}
		if uint64(total) != s.Seq() {
			t.Errorf("%d pokes for %d changes", total, s.Seq())
		}
	})
}
