package simtest

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"testing"
	"time"

	"parley/internal/hstest"
	"parley/matrix/id"
)

// A federation is what a world of several servers has besides.
type federation struct {
	net     *hstest.World
	weather *weather
	// down are the servers that do not run, and when they are started again.
	down map[id.ServerName]time.Time
	// acks are the events that people were told were sent.
	acks []ack
	// stays is how servers are in rooms, as each itself saw it last.
	stays map[stayKey]stay
	// spoke is which servers have somebody who said something in a room when all had healed.
	spoke map[stayKey]bool
	// healed says that nothing is wrong with the network any more.
	healed bool
}

// RunTogether simulates several servers, on a network that does not work well. It
// has to be in a bubble of testing/synctest.
func RunTogether(t testing.TB, seed uint64, steps int) string {
	t.Helper()
	w := newFederation(t, seed)
	for range 3 {
		w.do(w.createRoom())
		for _, p := range w.people {
			if n := len(w.rooms); n > 0 && w.chance(60) {
				w.do(w.own(w.rooms[n-1], "join", p, "join"))
			}
		}
	}
	for range 2 * len(w.servers) {
		w.newStream()
	}
	for w.step = 1; w.step <= steps; w.step++ {
		w.actTogether()
		w.pass()
	}
	w.heal()
	w.agree()
	for _, s := range w.streams {
		w.compare(s)
	}
	w.checkAcks()
	w.checkSecrets()
	return w.report()
}

// newFederation starts servers and registers people.
func newFederation(t testing.TB, seed uint64) *world {
	w := emptyWorld(t, seed)
	w.federation = &federation{
		net: hstest.New(t), weather: newWeather(seed), down: make(map[id.ServerName]time.Time), stays: make(map[stayKey]stay), spoke: make(map[stayKey]bool),
	}
	w.net.Post(w.weather.fate)
	for i := range 3 + min(w.rng.IntN(10), w.rng.IntN(10), w.rng.IntN(10)) {
		name := id.ServerName(fmt.Sprintf("%c.test", 'a'+i))
		if w.chance(30) {
			w.net.Skew(name, time.Duration(w.rng.IntN(600)-300)*time.Second)
		}
		s := w.net.Server(name)
		w.servers = append(w.servers, s)
		for range 2 + w.rng.IntN(3) {
			w.settler(s)
		}
	}
	// They have met before, and have each other's keys.
	for _, a := range w.servers {
		for _, b := range w.servers {
			if a != b {
				a.Ask(b, "GET", "/_matrix/federation/v1/query/profile?user_id="+url.QueryEscape("@nobody:"+string(b.Name)), nil)
			}
		}
	}
	return w
}

// actTogether does one step.
func (w *world) actTogether() {
	switch n := w.rng.IntN(1000); {
	case n < 640:
		w.do(w.deed())
	case n < 660:
		w.episode()
	case n < 790:
		if s := pick(w.rng, w.streams); !w.isDown(s.person.server()) {
			w.read(s)
		}
	case n < 810:
		pick(w.rng, w.streams).collect()
	case n < 825:
		if len(w.streams) < 2*len(w.people) {
			w.newStream()
		}
	case n < 850:
		if s := w.streamOf(w.last); !w.isDown(s.person.server()) {
			w.compare(s)
		}
	case n < 900:
		w.burst(w.deeds(), nil)
	case n < 915:
		w.burst(w.deeds(), w.victim())
	default:
		w.trouble()
	}
}

// pass lets time go by, mostly little.
func (w *world) pass() {
	switch n := w.rng.IntN(100); {
	case n < 60:
		w.sleep(time.Duration(w.rng.IntN(300)) * time.Millisecond)
	case n < 90:
		w.sleep(time.Duration(w.rng.IntN(10_000)) * time.Millisecond)
	case n < 99:
		w.sleep(time.Duration(w.rng.IntN(200)) * time.Second)
	default:
		w.sleep(time.Duration(w.rng.IntN(100)) * time.Minute)
	}
}

// sleep sleeps, and starts servers that are to be started.
func (w *world) sleep(d time.Duration) {
	time.Sleep(d)
	for _, s := range w.servers {
		if at, down := w.down[s.Name]; down && time.Now().After(at) {
			w.start(s)
		}
	}
}

func (w *world) start(s *hstest.Server) {
	w.note("%s is started", s.Name)
	delete(w.down, s.Name)
	s.Start()
}

func (w *world) isDown(s *hstest.Server) bool {
	if w.federation == nil {
		return false
	}
	_, down := w.down[s.Name]
	return down
}

// victim is a server that runs, nil if none is found.
func (w *world) victim() *hstest.Server {
	s := pick(w.rng, w.servers)
	if w.isDown(s) || len(w.down) > len(w.servers)/2 {
		return nil
	}
	return s
}

// ended notes that a server was ended, and for how long.
func (w *world) ended(s *hstest.Server, how string) {
	d := w.span()
	w.note("%s is %s for %v", s.Name, how, d)
	w.count("servers " + how)
	w.down[s.Name] = time.Now().Add(d)
	w.dying(s)
}

// span is how long something lasts: seconds, minutes or hours.
func (w *world) span() time.Duration {
	unit := pick(w.rng, []time.Duration{time.Second, 10 * time.Second, time.Minute, 10 * time.Minute})
	return time.Duration(1+w.rng.IntN(20)) * unit
}

// trouble is something that happens to servers, or between them.
func (w *world) trouble() {
	switch n := w.rng.IntN(100); {
	case n < 20:
		if s := w.victim(); s != nil {
			w.ended(s, "killed")
			s.Kill()
		}
	case n < 30:
		if s := w.victim(); s != nil {
			w.ended(s, "stopped")
			s.Stop()
		}
	case n < 60:
		a, b := pick(w.rng, w.servers).Name, pick(w.rng, w.servers).Name
		w.cut([]id.ServerName{a}, []id.ServerName{b})
	case n < 80: // the network falls in two
		var sides [2][]id.ServerName
		for _, s := range w.servers {
			i := w.rng.IntN(2)
			sides[i] = append(sides[i], s.Name)
		}
		w.cut(sides[0], sides[1])
	default:
		w.note("the weather: %s", w.weather.change(w.rng))
	}
}

// cut breaks all connections between some servers and others, for a while.
func (w *world) cut(these, those []id.ServerName) {
	d := w.span()
	w.note("%v and %v are cut off from each other for %v", these, those, d)
	w.count("cuts")
	for _, a := range these {
		for _, b := range those {
			if a != b {
				w.weather.cut(a, b, time.Now().Add(d))
			}
		}
	}
}

// heal ends all trouble, and has everybody say something in each room, so that
// whatever there is is referred to.
func (w *world) heal() {
	w.note("everything heals")
	w.weather.calm()
	for _, s := range w.servers {
		if w.isDown(s) {
			w.start(s)
		}
	}
	for _, s := range w.streams {
		s.collect()
	}
	// No server is left alone for longer.
	time.Sleep(3 * time.Hour)
	w.healed = true
	for range 2 {
		for _, r := range w.rooms {
			for _, s := range w.servers {
				w.nudge(s, r)
			}
		}
	}
	time.Sleep(10 * time.Minute)
}

// nudge has everybody of a server say something in a room. What those say who are in
// it only for their own server, since it let them in when it was cut off, the others
// do not build on; so it takes somebody whom all know.
func (w *world) nudge(s *hstest.Server, r *place) {
	for _, p := range w.people {
		if p.server() != s {
			continue
		}
		d := w.send(r, p, "m.room.message", object{"msgtype": "m.text", "body": "is all well?"})
		d.again = false
		result := d.run()
		w.settle(d, result)
		if result.status == 200 {
			w.spoke[stayKey{s.Name, r.id}] = true
			time.Sleep(5 * time.Second)
		}
	}
}

// rngOf returns randomness for something that has a name, so that what else
// happens does not change it.
func rngOf(seed uint64, name string) *rand.Rand {
	h := uint64(14695981039346656037)
	for _, c := range []byte(name) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, h))
}
