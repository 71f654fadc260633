package difftest

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sirupsen/logrus"
)

const (
	fullEvents = 200_000
	fullRooms  = 20_000
	usualSeed  = 1
)

// gomatrixserverlib logs each key that it would have to fetch.
func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard)
	os.Exit(m.Run())
}

func setting(tb testing.TB, name string, otherwise int) int {
	tb.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		tb.Fatalf("%s=%q is not a count", name, text)
	}
	return n
}

// silence sends what gomatrixserverlib prints nowhere until the test ends.
func silence(tb testing.TB) {
	tb.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		tb.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = null
	tb.Cleanup(func() {
		os.Stdout = stdout
		null.Close()
	})
}

// A series is a run of numbered random cases.
type series struct {
	name  string // part of what determines the cases
	cases int
	full  int
	seed  uint64

	mu          sync.Mutex
	used        map[string]int
	unexplained map[string]*cluster
	counts      map[string]int
}

// cluster is differences that look alike.
type cluster struct {
	count int
	first int // the smallest index
	text  string
}

func newSeries(tb testing.TB, name, variable string, full int) *series {
	return &series{
		name:        name,
		cases:       setting(tb, variable, full),
		full:        full,
		seed:        uint64(setting(tb, "DIFFTEST_SEED", usualSeed)),
		used:        make(map[string]int),
		unexplained: make(map[string]*cluster),
		counts:      make(map[string]int),
	}
}

// run calls f for each case on all processors, with the random numbers of the
// case.
func (s *series) run(f func(index int, rng *rand.Rand)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= s.cases {
					return
				}
				f(i, s.rng(i))
			}
		})
	}
	wg.Wait()
}

func (s *series) rng(index int) *rand.Rand {
	stream := uint64(index)
	for _, c := range []byte(s.name) {
		stream = stream*1099511628211 + uint64(c)
	}
	return rand.New(rand.NewPCG(s.seed, stream))
}

func (s *series) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[what]++
}

func (s *series) explained(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		s.used[name]++
	}
}

// differ notes an unexplained difference. Those of one kind are shown once.
func (s *series) differ(index int, kind, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.unexplained[kind]
	if c == nil {
		c = &cluster{first: index, text: text}
		s.unexplained[kind] = c
	}
	c.count++
	if index < c.first {
		c.first, c.text = index, text
	}
}

// An explanation says why gomatrixserverlib differs.
type explanation[T any] struct {
	name string // what gomatrixserverlib does
	spec string // where the specification decides, and what
	// covers reports whether a difference is of this kind.
	covers func(T) bool
}

// explain finds the first explanation of a difference, and reports whether
// there was one.
func explain[T any](s *series, known []explanation[T], difference T) bool {
	for _, e := range known {
		if e.covers(difference) {
			s.explained(e.name)
			return true
		}
	}
	return false
}

// checkUse logs how often each explanation was needed, and fails the test, at
// full counts and with the usual seed, for those that never were.
func checkUse[T any](t *testing.T, s *series, known []explanation[T]) {
	t.Helper()
	for _, e := range known {
		t.Logf("%9d explained: gomatrixserverlib %s [%s]", s.used[e.name], e.name, e.spec)
		if s.used[e.name] == 0 && s.cases >= s.full && s.seed == usualSeed {
			t.Errorf("stale explanation, nothing needs it: gomatrixserverlib %s", e.name)
		}
	}
}

// report logs the counts and fails the test for what is unexplained.
func (s *series) report(t *testing.T) {
	t.Helper()
	const show = 20
	for _, what := range slices.Sorted(maps.Keys(s.counts)) {
		t.Logf("%9d %s", s.counts[what], what)
	}
	kinds := slices.SortedFunc(maps.Keys(s.unexplained), func(a, b string) int {
		return cmp.Compare(s.unexplained[b].count, s.unexplained[a].count)
	})
	for i, kind := range kinds {
		if i == show {
			t.Errorf("and %d more kinds of differences", len(kinds)-show)
			break
		}
		c := s.unexplained[kind]
		t.Errorf("seed %d, case %d of %s (%d alike): %s\n%s",
			s.seed, c.first, s.name, c.count, kind, strings.TrimRight(c.text, "\n"))
	}
}

// guard calls f, and returns what it panicked with as an error.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked{p}
		}
	}()
	return f()
}

type panicked struct{ value any }

func (p panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }
