package simtest

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

// A deed is a request that somebody makes.
type deed struct {
	who          *hstest.User
	method, path string
	body         any
	// done takes in that it succeeded.
	done func(canonjson.Value)
	// txn is set when the request may be repeated without another effect.
	txn string
	// again: the client does not see the first response, and repeats it.
	again bool
}

// errDying stands for what a server says that is just being killed.
var errDying = errors.New("the server is dying")

type result struct {
	status   int
	response canonjson.Value
	err      error
}

func (d deed) run() result {
	status, response, err := d.who.Try(d.method, d.path, d.body)
	return result{status, response, err}
}

// do does one deed.
func (w *world) do(d deed) {
	w.Helper()
	r := d.run()
	if d.again && r.err == nil && r.status == 200 {
		second := d.run()
		w.count("repeated")
		if second.err != nil || text(second.response, "event_id") != text(r.response, "event_id") {
			w.fail("%s repeated %s: got %d %s, want %s", d.who.ID, d.path, second.status, second.response, r.response)
		}
	}
	w.settle(d, r)
}

// settle takes in how a deed went.
func (w *world) settle(d deed, r result) {
	w.Helper()
	path, _ := strings.CutPrefix(d.path, "/_matrix/client/v3")
	path, _ = url.PathUnescape(path)
	if r.err != nil {
		w.note("%s %s %s %v: no answer", d.who.ID, d.method, path, d.body)
		w.count("unanswered")
		return
	}
	w.note("%s/%s %s %s %v: %d %s", d.who.ID.Localpart(), d.who.Device, d.method, path, d.body, r.status, r.response)
	w.sane(d.method+" "+d.path, r.status, r.response)
	if r.status != 200 {
		w.count("refused")
		return
	}
	w.count("deeds")
	w.last = string(d.who.ID)
	if d.done != nil {
		d.done(r.response)
	}
}

// burst does several deeds at once, and lets streams sync meanwhile. If a server
// is killed in the middle, what may be repeated is, when it is back.
func (w *world) burst(deeds []deed, victim *hstest.Server) {
	results := make([]result, len(deeds))
	var wg sync.WaitGroup
	for i, d := range deeds {
		wg.Go(func() { results[i] = d.run() })
	}
	for _, s := range some(w.rng, w.streams) {
		if s.poll == nil {
			s.wait(0)
		}
	}
	if victim != nil {
		w.kill(victim)
	}
	wg.Wait()
	if victim != nil && w.federation == nil {
		victim.Start()
	}
	w.count("bursts")
	for i, d := range deeds {
		if d.who.Server == victim && results[i].status >= 500 {
			results[i] = result{err: errDying}
		}
		if results[i].err != nil && d.txn != "" {
			results[i] = d.run()
		}
		w.settle(d, results[i])
	}
}

// kill kills a server in the middle of what it does.
func (w *world) kill(s *hstest.Server) {
	if w.federation != nil {
		w.ended(s, "killed")
	} else {
		w.note("the server is killed")
		w.count("kills")
		w.dying(s)
	}
	s.Kill()
}

func roomPath(room string, rest ...string) string {
	path := "/_matrix/client/v3/rooms/" + url.PathEscape(room)
	for _, part := range rest {
		path += "/" + url.PathEscape(part)
	}
	return path
}

func (p *person) path(rest ...string) string {
	path := "/_matrix/client/v3/user/" + url.PathEscape(p.id)
	for _, part := range rest {
		path += "/" + url.PathEscape(part)
	}
	return path
}

func (w *world) device(p *person) *hstest.User { return pick(w.rng, p.devices) }

// place picks a room, late ones more often.
func (w *world) place() *place {
	return w.rooms[max(w.rng.IntN(len(w.rooms)), w.rng.IntN(len(w.rooms)))]
}

// somebody picks somebody who is one of these to a room, mostly.
func (w *world) somebody(r *place, memberships ...string) *person {
	var fitting []*person
	for _, p := range w.people {
		for _, m := range memberships {
			if r.members[p.id] == m {
				fitting = append(fitting, p)
			}
		}
	}
	if len(fitting) == 0 || w.chance(4) {
		return pick(w.rng, w.people)
	}
	return pick(w.rng, fitting)
}

func (w *world) nextTxn() string {
	w.txns++
	return "t" + strconv.Itoa(w.txns)
}

// move changes a membership.
func (w *world) move(r *place) deed {
	if joined := 0; w.chance(30) {
		// Otherwise rooms would become empty.
		for _, m := range r.members {
			if m == "join" {
				joined++
			}
		}
		if joined < 3 {
			return w.own(r, "join", w.somebody(r, "invite", "", "leave"), "join")
		}
	}
	switch n := w.rng.IntN(100); {
	case n < 30:
		return w.own(r, "join", w.somebody(r, "", "invite", "leave"), "join")
	case n < 45:
		return w.own(r, "leave", w.somebody(r, "join", "join", "invite", "knock"), "leave")
	case n < 62:
		return w.other(r, "invite", w.somebody(r, "", "leave", "knock"), "invite")
	case n < 70:
		return w.other(r, "kick", w.somebody(r, "join", "invite", "knock"), "leave")
	case n < 77:
		return w.other(r, "ban", w.somebody(r, "join", "leave", "invite"), "ban")
	case n < 85:
		return w.other(r, "unban", w.somebody(r, "ban"), "leave")
	case n < 93:
		return w.own(r, "knock", w.somebody(r, "", "leave"), "knock")
	default:
		return w.forget(r)
	}
}

// episode lets somebody go through several memberships of a room in a row, with
// something going on in between, so that streams see the result only.
func (w *world) episode() {
	r := w.place()
	p := w.somebody(r, "join", "invite")
	join := func() { w.do(w.own(r, "join", p, "join")) }
	leave := func() { w.do(w.own(r, "leave", p, "leave")) }
	invite := func() { w.do(w.other(r, "invite", p, "invite")) }
	courses := [][]func(){
		{leave, join}, {leave, join, leave}, {leave, invite}, {leave, invite, join}, {invite, leave}, {invite, leave, invite, join},
		{join, leave}, {func() { w.do(w.other(r, "kick", p, "leave")) }, invite, leave},
		{func() { w.do(w.other(r, "ban", p, "ban")) }, func() { w.do(w.other(r, "unban", p, "leave")) }, join},
		{leave, func() { w.do(w.own(r, "knock", p, "knock")) }, invite, join},
	}
	w.note("an episode of %s in %s", p.id, r.id)
	for _, step := range pick(w.rng, courses) {
		step()
		for range w.rng.IntN(4) {
			d := w.message(r)
			if w.chance(30) {
				d = w.state(r)
			}
			w.do(d)
		}
	}
	w.count("episodes")
}

func (w *world) own(r *place, what string, p *person, becomes string) deed {
	body := "{}"
	if w.chance(20) {
		body = `{"reason":"because"}`
	}
	path := roomPath(r.id, what)
	if what == "knock" || what == "join" && w.federation != nil {
		path = "/_matrix/client/v3/" + what + "/" + url.PathEscape(r.id) + w.via(r)
	}
	return deed{who: w.device(p), method: "POST", path: path, body: body, done: func(canonjson.Value) {
		w.count("membership " + becomes)
		r.members[p.id] = becomes
		if becomes == "join" {
			delete(p.forgot, r.id)
		}
	}}
}

func (w *world) other(r *place, what string, target *person, becomes string) deed {
	who := w.somebody(r, "join")
	body := map[string]string{"user_id": target.id}
	return deed{who: w.device(who), method: "POST", path: roomPath(r.id, what), body: body, done: func(canonjson.Value) {
		w.count("membership " + becomes)
		r.members[target.id] = becomes
	}}
}

func (w *world) forget(r *place) deed {
	p := w.somebody(r, "leave", "ban")
	p.forgot[r.id] = true // even if there is no answer
	return deed{who: w.device(p), method: "POST", path: roomPath(r.id, "forget"), body: "{}", done: func(canonjson.Value) {
		w.count("forgotten")
	}}
}
