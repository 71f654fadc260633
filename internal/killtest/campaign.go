package killtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/store"
)

// A Server is one that runs.
type Server struct {
	URL string
	// Kill ends it at once, as kill -9 does, and returns when it has ended.
	Kill func()
}

// A worker does one thing after the other. Check is called after a kill: it
// finds out what became of what was not answered, looks for everything that was
// acknowledged, and tells how many things these are.
type worker interface {
	step(*shift) error
	check(*client) (checked int, err error)
}

// A shift is the time from the start of a server until it is killed.
type shift struct {
	client *client
	random *rand.Rand // of one worker
	enough func()
	count  *atomic.Int64
	target int64
	killed *atomic.Bool
	gone   chan struct{} // is closed when the server is killed
}

// acknowledge counts what the server has acknowledged.
func (s *shift) acknowledge() {
	if s.count.Add(1) == s.target {
		s.enough()
	}
}

// A Campaign is users with all that the server has acknowledged to them.
type Campaign struct {
	random *rand.Rand

	rooms   []string
	views   []*view // of members, who stay, and of guests
	keepers []*keeper
	senders []*sender
	workers []worker // all of them

	// faults says that requests may fail. Otherwise that ends a campaign.
	faults bool
	last   *Snapshot
	// absent are markers of what was not acknowledged and must not be there; they
	// are for one check.
	absent []string

	// Acknowledged is how many requests the server has acknowledged while it
	// was under load, Checked how often something was looked for, and Unknown
	// how many requests were under way when it was killed.
	Acknowledged, Checked int
}

// members and guests are how many there are.
const (
	members = 4
	guests  = 2
	rooms   = 3
)

// New makes users and rooms on a server.
func New(s Server, seed uint64) (*Campaign, error) {
	c := newClient(s.URL)
	defer c.close()
	k := &Campaign{random: rand.New(rand.NewPCG(seed, 0))}
	var people []*account
	for i := range members + guests + 2 {
		a, err := c.register(fmt.Sprint("user", i))
		if err != nil {
			return nil, err
		}
		people = append(people, a)
	}
	if err := k.makeRooms(c, people[:members]); err != nil {
		return nil, err
	}
	for i, a := range people[:members+guests] {
		v := newView(a, i < members)
		if _, err := v.sync(c, 0); err != nil {
			return nil, err
		}
		k.views = append(k.views, v)
		if i < members {
			k.keepers = append(k.keepers, newKeeper(v, k.rooms))
		} else {
			k.keepers = append(k.keepers, newMover(v, people[:rooms], k.rooms))
		}
	}
	// Two of the senders are one user on one device.
	for i := range members + 1 {
		who, other := people[i%members], people[(i+1)%members]
		k.senders = append(k.senders, &sender{who: who, other: other, rooms: k.rooms, prefix: fmt.Sprint("sender", i)})
	}
	for _, w := range k.senders {
		k.workers = append(k.workers, w)
	}
	for _, w := range k.keepers {
		k.workers = append(k.workers, w)
	}
	k.workers = append(k.workers,
		&sessions{who: people[members+guests], left: perLife},
		&refresher{who: people[members+guests]},
		&keyholder{who: people[members+guests+1], other: people[0], given: make(map[string]int)},
		&founder{who: people[members+guests+1], left: perLife, rooms: make(map[string]string)})
	return k, nil
}

// makeRooms makes rooms, each of another member, that all members are in.
func (k *Campaign) makeRooms(c *client, people []*account) error {
	for _, owner := range people[:rooms] {
		answer, err := c.must(request{"POST", "/createRoom", owner.token, object{
			"preset": "public_chat", "power_level_content_override": object{"state_default": 0},
		}})
		if err != nil {
			return err
		}
		room := text(answer, "room_id")
		k.rooms = append(k.rooms, room)
		for _, a := range people {
			if _, err := c.must(request{"POST", at("rooms", room, "join"), a.token, object{}}); err != nil {
				return err
			}
		}
	}
	return nil
}

// patience bounds all that could take forever where there is a mistake.
const patience = time.Minute

// Load has everybody work and wait for news at once until the server has
// acknowledged so many requests, waits a moment more, and kills it.
func (k *Campaign) Load(s Server, acknowledgements int, moment time.Duration) error {
	c := newClient(s.URL)
	defer c.close()
	reached := make(chan struct{})
	sh := shift{
		client: c, target: int64(acknowledgements), enough: func() { close(reached) },
		count: new(atomic.Int64), killed: new(atomic.Bool), gone: make(chan struct{}),
	}
	var failures failures
	var running sync.WaitGroup
	run := func(step func() error) {
		running.Go(func() {
			for {
				err := step()
				if sh.killed.Load() && (errors.Is(err, errDead) || hasFault(err)) {
					return
				}
				if err != nil {
					failures.add(err)
					return
				}
			}
		})
	}
	for _, w := range k.workers {
		mine := sh
		mine.random = rand.New(rand.NewPCG(k.random.Uint64(), 0))
		run(func() error {
			err := w.step(&mine)
			for i := 0; k.faults && hasFault(err) && i < 1000; i++ {
				// What became of it, the running server must know.
				_, err = w.check(c)
			}
			return err
		})
	}
	for _, v := range k.views {
		run(func() error {
			_, err := v.sync(c, 30000)
			return err
		})
	}
	select {
	case <-reached:
	case <-time.After(patience):
		failures.add(fmt.Errorf("after %v the server had acknowledged %d requests", patience, sh.count.Load()))
	}
	<-time.After(moment)
	sh.killed.Store(true)
	s.Kill()
	close(sh.gone)
	running.Wait()
	k.Acknowledged += int(sh.count.Load())
	return failures.all()
}

// failures are collected from several goroutines.
type failures struct {
	mu   sync.Mutex
	errs []error
}

func (f *failures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.errs = append(f.errs, err)
	}
}

func (f *failures) all() error { return errors.Join(f.errs...) }

// Check looks at what a kill has left: at the server, and at its database.
func (k *Campaign) Check(ctx context.Context, s Server, db *store.DB) error {
	c := newClient(s.URL)
	defer c.close()
	if err := k.checkAbsent(ctx, db); err != nil {
		return err
	}
	var failures failures
	var running sync.WaitGroup
	var checked atomic.Int64
	for _, w := range k.workers {
		running.Go(func() {
			n, err := w.check(c)
			checked.Add(int64(n))
			failures.add(err)
		})
	}
	running.Wait()
	k.Checked += int(checked.Load())
	if err := failures.all(); err != nil {
		return err
	}
	fresh := make([]*view, len(k.views))
	for i, v := range k.views {
		running.Go(func() { failures.add(k.settle(c, v)) })
		fresh[i] = newView(v.account, v.stays)
	}
	running.Wait()
	if err := failures.all(); err != nil {
		return err
	}
	for i, v := range k.views {
		if _, err := fresh[i].sync(c, 0); err != nil {
			return err
		}
		if err := v.equal(fresh[i]); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}
	return k.inspect(ctx, db, fresh)
}

func (k *Campaign) checkAbsent(ctx context.Context, db *store.DB) error {
	if len(k.absent) == 0 {
		return nil
	}
	snapshot, err := Inspect(ctx, db)
	if err != nil {
		return err
	}
	for _, m := range k.absent {
		if n := snapshot.markers[m]; n != 0 {
			return fmt.Errorf("%s was refused, and is there %d times", m, n)
		}
	}
	k.absent = nil
	return nil
}

// settle has a client catch up, until all rooms have been told of the last
// profiles and there is nothing more.
func (k *Campaign) settle(c *client, v *view) error {
	started := time.Now()
	for timeout := 0; ; {
		news, err := v.sync(c, timeout)
		if err != nil {
			return err
		}
		missing := k.untold(v)
		switch {
		case missing == "" && !news:
			return nil
		case missing != "" && time.Since(started) > patience:
			return fmt.Errorf("%s has waited for %v: %s", v.name, patience, missing)
		}
		if timeout = 0; missing != "" {
			timeout = 1000
		}
	}
}

// untold says which room has not been told of a profile, as far as a client
// knows.
func (k *Campaign) untold(v *view) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	for roomID, r := range v.rooms {
		for _, other := range k.keepers {
			member := r.members[other.who.userID]
			if member.Get("membership").Is("join") && text(member, "displayname") != other.displayname() {
				return fmt.Sprintf("%s calls %s %q, who is called %q", roomID, other.who.name, text(member, "displayname"), other.displayname())
			}
		}
	}
	return ""
}

// inspect compares the database with itself, with what it was, with what was
// acknowledged and with what clients know.
func (k *Campaign) inspect(ctx context.Context, db *store.DB, fresh []*view) error {
	snapshot, err := Inspect(ctx, db)
	if err != nil {
		return err
	}
	if k.last != nil {
		if err := snapshot.follows(k.last); err != nil {
			return err
		}
	}
	k.last = snapshot
	for _, w := range k.senders {
		for _, m := range w.all {
			if err := snapshot.holds(m, w.who); err != nil {
				return err
			}
			k.Checked++
		}
	}
	for _, w := range k.keepers {
		for _, r := range w.registers {
			if r.inspect == nil {
				continue
			}
			if err := r.found(r.inspect(snapshot)); err != nil {
				return err
			}
			k.Checked++
		}
	}
	for i, v := range k.views {
		if err := snapshot.agrees(v, fresh[i]); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}
	return nil
}

// agrees compares what a client knows with what is there.
func (s *Snapshot) agrees(v, fresh *view) error {
	if head := position(v.since); head > s.head {
		return fmt.Errorf("the client has seen position %d, the journal ends at %d", head, s.head)
	}
	for eventID, roomID := range v.events {
		if e := s.byID[eventID]; e == nil || s.rooms[roomID] == nil || e.room != s.rooms[roomID].num {
			return fmt.Errorf("the client has seen event %s of %s, which is not there", eventID, roomID)
		}
	}
	for roomID, r := range v.rooms {
		if err := s.rooms[roomID].continues(r.timeline); err != nil {
			return fmt.Errorf("room %s, of which the client knows %d events: %w", roomID, len(r.timeline), err)
		}
		if want := s.unread(roomID, v.userID); fresh.rooms[roomID].unread != want {
			return fmt.Errorf("%s has %s unread, want %s", roomID, fresh.rooms[roomID].unread, want)
		}
	}
	if v.stays {
		return nil
	}
	for roomID := range s.rooms {
		want := s.membership(roomID, v.userID)
		if want == "ban" {
			want = "leave"
		}
		got := v.section[roomID]
		if got == "" && want == "leave" {
			continue // an invite that came and went was never told of
		}
		if got != want {
			return fmt.Errorf("%s is in section %q, want %q", roomID, got, want)
		}
	}
	return nil
}
