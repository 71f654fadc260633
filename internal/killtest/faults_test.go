package killtest

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"parley/internal/config"
	"parley/internal/server"
	"parley/internal/store"
	"parley/internal/store/storetest"
)

// A fault lets one update of the database fail, or all from then on.
type fault struct {
	mu    sync.Mutex
	armed bool
	point store.Point
	left  int  // how many updates come to the point before it fails
	crash bool // what comes after fails, too
	fired bool
	// random, unless nil, lets updates fail now and then.
	random *rand.Rand
}

func (f *fault) at(p store.Point) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.fired && f.crash:
		return errors.New("the server has crashed")
	case f.random != nil && f.random.IntN(30) == 0:
		return errors.New("a fault now and then")
	case !f.armed || p != f.point:
		return nil
	case f.left > 0:
		f.left--
		return nil
	}
	f.armed, f.fired = false, true
	return errors.New("a fault")
}

// arm lets an update fail, after so many others.
func (f *fault) arm(p store.Point, after int, crash bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed, f.point, f.left, f.crash, f.fired = true, p, after, crash, false
}

// shake lets updates fail now and then, at each point.
func (f *fault) shake(random *rand.Rand) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.random = random
}

func (f *fault) disarm() (fired bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = false
	return f.fired
}

// node is a server in this process that can have faults.
type node struct {
	t        *testing.T
	settings config.Config
	fault    *fault
	server   Server
	stop     func()
}

func newNode(t *testing.T, location string) *node {
	dir := filepath.Dir(location)
	flags := []string{"--data-dir", dir, "--server-name", "a.test"}
	if strings.HasPrefix(location, "postgres") {
		flags = []string{"--data-dir", t.TempDir(), "--server-name", "a.test", "--database", location}
	}
	settings, _, err := config.Load(nil, flags)
	if err != nil {
		t.Fatal(err)
	}
	settings.Registration.Mode, settings.RateLimits.Enabled = config.RegistrationOpen, false
	n := &node{t: t, settings: settings}
	n.start()
	t.Cleanup(func() { n.stop() })
	return n
}

func (n *node) start() {
	n.fault = new(fault)
	s, err := server.New(context.Background(), server.Options{Config: n.settings, Fault: n.fault.at})
	if err != nil {
		n.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx, l) }()
	n.server = Server{URL: "http://" + l.Addr().String()}
	n.stop = func() {
		n.stop = func() {}
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			n.t.Error(err)
		}
	}
}

func (n *node) restart() {
	n.stop()
	n.start()
}

// crash ends the server; nothing is committed any more.
func (n *node) crash() {
	n.fault.arm(store.BeforeBegin, 0, true)
	n.fault.at(store.BeforeBegin)
	n.stop()
}

// An operation is one that somebody may do in a campaign.
type operation struct {
	name string
	// prepare, unless nil, does what has to be before.
	prepare func(*shift) error
	do      func(*shift) error
	// undone says that what was not acknowledged must not be there.
	undone func()
}

func (k *Campaign) operations() (list []operation) {
	s := k.senders[0]
	named := make(map[string]bool)
	for _, i := range []int{0, members} {
		for _, r := range k.keepers[i].registers {
			if named[r.name] {
				continue // the same of another room
			}
			named[r.name] = true
			o := operation{name: r.name, do: func(sh *shift) error { return r.set(sh.client, sh.random) }, undone: func() { r.attempts = nil }}
			if r.inspect != nil { // a receipt, which needs something new
				o.prepare = func(sh *shift) error {
					for range 2 * rooms {
						if err := s.send(sh, s.message(sh.random)); err != nil {
							return err
						}
					}
					_, err := k.views[i].sync(sh.client, 0)
					return err
				}
			}
			list = append(list, o)
		}
	}
	absent := func() {
		for _, m := range s.open {
			k.absent = append(k.absent, m.marker)
		}
	}
	var m *sending
	list = append(list,
		operation{name: "filter", do: k.keepers[0].addFilter, undone: func() {}},
		operation{name: "message", do: func(sh *shift) error { return s.send(sh, s.message(sh.random)) }, undone: absent},
		operation{name: "state", do: func(sh *shift) error { return s.send(sh, s.state(sh.random)) }, undone: absent},
		operation{name: "redaction", prepare: func(sh *shift) error {
			for m = nil; m == nil; m = s.redaction(sh.random) { // what is chosen may be redacted already
				if err := s.send(sh, s.message(sh.random)); err != nil {
					return err
				}
			}
			return nil
		}, do: func(sh *shift) error { return s.send(sh, m) }, undone: func() {}},
	)
	for _, w := range k.workers {
		switch w := w.(type) {
		case *sessions:
			list = append(list,
				operation{name: "login", do: w.logIn, undone: func() {}},
				operation{name: "logout", prepare: w.logIn, do: w.logOut, undone: func() {}},
				operation{name: "registration", do: w.register, undone: func() {}})
		case *keyholder:
			list = append(list,
				operation{name: "key upload", do: w.upload, undone: func() {}},
				operation{name: "key claim", prepare: w.upload, do: w.claim, undone: func() { w.unanswered-- }})
		case *founder:
			list = append(list, operation{name: "creation", do: w.create, undone: func() { w.open = "" }})
		}
	}
	return list
}

// A mode is where an update fails, and whether that is the end of the server.
type mode struct {
	point store.Point
	crash bool
}

// modes are those to be tested in a hurry, on each database, or all.
func modes(location string) []mode {
	switch {
	case os.Getenv("PARLEY_TEST_KILLS") == "full":
		return []mode{
			{store.BeforeBegin, false}, {store.BeforeCommit, false}, {store.AfterCommit, false},
			{store.BeforeBegin, true}, {store.BeforeCommit, true}, {store.AfterCommit, true},
		}
	case strings.HasPrefix(location, "postgres"):
		return []mode{{store.AfterCommit, false}}
	}
	return []mode{{store.BeforeCommit, false}, {store.AfterCommit, false}, {store.BeforeCommit, true}}
}

// start makes a campaign on a server in this process.
func start(t *testing.T, location string) (*node, *Campaign, *store.DB) {
	n := newNode(t, location)
	k, err := New(n.server, 1)
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return n, k, db
}

// TestFaults lets each update of each operation fail at each point, and goes on,
// or crashes and starts again: what is there then is what was acknowledged, and
// perhaps what was not.
func TestFaults(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		n, k, db := start(t, location)
		faults := 0
		for _, o := range k.operations() {
			for _, m := range modes(location) {
				for after := 0; ; after++ {
					fired, err := n.fail(k, o, m, after)
					if err == nil && fired {
						err = k.Check(t.Context(), n.server, db)
					}
					if err != nil {
						t.Fatalf("%s, point %d of update %d, crash: %v: %v", o.name, m.point, after, m.crash, err)
					}
					if !fired {
						break
					}
					faults++
				}
			}
		}
		n.restart()
		if err := k.Check(t.Context(), n.server, db); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d faults, %d things were looked for", faults, k.Checked)
	})
}

// fail does an operation of which an update fails, and reports whether it has as
// many. The error is not that of the fault.
func (n *node) fail(k *Campaign, o operation, m mode, after int) (fired bool, err error) {
	c := newClient(n.server.URL)
	defer c.close()
	sh := &shift{
		client: c, random: rand.New(rand.NewPCG(k.random.Uint64(), 0)), count: new(atomic.Int64), gone: make(chan struct{}),
	}
	if o.prepare != nil {
		if err := o.prepare(sh); err != nil {
			return false, err
		}
	}
	n.fault.arm(m.point, after, m.crash)
	err = o.do(sh)
	fired = n.fault.disarm()
	if err != nil && (!fired || !hasFault(err)) {
		return false, err
	}
	if err != nil && after == 0 && m.point != store.AfterCommit {
		o.undone()
	}
	if fired && m.crash {
		n.restart()
	}
	return fired, nil
}

// TestFaultsUnderLoad lets updates fail at random while there is load. The server
// goes on with what others do at the time.
func TestFaultsUnderLoad(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		n, k, db := start(t, location)
		k.faults = true
		rounds := 1
		if os.Getenv("PARLEY_TEST_KILLS") == "full" {
			rounds = 20
		}
		for round := range rounds {
			n.fault.shake(rand.New(rand.NewPCG(uint64(round), 0)))
			n.server.Kill = n.crash
			if err := k.Load(n.server, 300, 0); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			n.start()
			if err := k.Check(t.Context(), n.server, db); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		t.Logf("%d requests were acknowledged, %d things were looked for", k.Acknowledged, k.Checked)
	})
}
