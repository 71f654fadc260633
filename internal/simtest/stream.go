package simtest

import (
	"fmt"
	"net/url"
	"strings"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

// A stream is syncs of one device with one filter.
type stream struct {
	w       *world
	number  int
	person  *person
	device  *hstest.User
	filter  *filter
	param   string // the filter as it is sent
	query   string // that asks for the state after the timeline, if it does
	after   string // the member in which that is
	client  *client
	backups []*client
	poll    chan result // a request that waits
	dying   bool        // the server was ended meanwhile
	log     []string    // of the last responses
}

func (s *stream) String() string {
	return fmt.Sprintf("stream %d of %s on %s, filter %s %s", s.number, s.person.id, s.device.Device, s.filter.json(), s.query)
}

// newStream begins one, for somebody.
func (w *world) newStream() {
	p := pick(w.rng, w.people)
	s := &stream{w: w, number: len(w.streams), person: p, device: w.device(p), filter: w.newFilter(), client: newClient()}
	for _, other := range w.streams {
		// To the server, one device with one filter is one stream.
		if other.device == s.device && other.filter.json() == s.filter.json() {
			return
		}
	}
	if w.chance(35) {
		s.query, s.after = "&use_state_after=true", "state_after"
		if w.chance(30) {
			s.query, s.after = "&org.matrix.msc4222.use_state_after=true", "org.matrix.msc4222.state_after"
		}
	}
	s.param = s.filter.json()
	if w.chance(50) && !w.isDown(p.server()) {
		status, v, err := s.device.Try("POST", p.path("filter"), s.param)
		if err != nil || status != 200 {
			w.fail("%s: uploading: %d %s %v", s, status, v, err)
		}
		s.param = text(v, "filter_id")
	}
	w.note("%s begins", s)
	w.streams = append(w.streams, s)
	s.sync(0, false)
}

// request asks for what is new behind a token. It may be called from any
// goroutine.
func (s *stream) request(device *hstest.User, since string, timeout int, full bool) result {
	path := fmt.Sprintf("/_matrix/client/v3/sync?timeout=%d&filter=%s%s", timeout, url.QueryEscape(s.param), s.query)
	if since != "" {
		path += "&since=" + since
	}
	if full {
		path += "&full_state=true"
	}
	status, response, err := device.Try("GET", path, nil)
	return result{status, response, err}
}

// sync asks, and applies the response.
func (s *stream) sync(timeout int, full bool) {
	s.take(s.request(s.device, s.client.since, timeout, full))
}

// lose asks, and throws the response away.
func (s *stream) lose() {
	r := s.request(s.device, s.client.since, 0, false)
	s.w.note("stream %d loses %s", s.number, text(r.response, "next_batch"))
	s.w.sane("a sync", r.status, r.response)
	s.w.count("lost responses")
}

// take applies a response, if there is one.
func (s *stream) take(r result) {
	w := s.w
	if r.err != nil {
		w.count("lost responses")
		w.note("stream %d gets no answer", s.number)
		return
	}
	w.sane("a sync of "+s.String(), r.status, r.response)
	if r.status != 200 {
		w.fail("%s: %d %s", s, r.status, r.response)
	}
	s.log = append(s.log[max(0, len(s.log)-7):], fmt.Sprintf("since %s: %s", s.client.since, r.response))
	w.note("stream %d: %s -> %s", s.number, s.client.since, text(r.response, "next_batch"))
	s.check(r.response)
	if err := s.client.apply(r.response, s.after); err != nil {
		s.fail("%v", err)
	}
	s.checkAfter(r.response)
	w.count("syncs")
}

// backup saves the client, to go on from there later.
func (s *stream) backup() {
	s.backups = append(s.backups[max(0, len(s.backups)-4):], s.client.clone())
}

// restore makes the client one that was saved.
func (s *stream) restore() {
	if len(s.backups) == 0 {
		return
	}
	s.client = pick(s.w.rng, s.backups).clone()
	s.w.note("stream %d goes back to %s", s.number, s.client.since)
	s.w.count("restored")
}

// wait begins a request that waits while others act.
func (s *stream) wait(timeout int) {
	since, answers := s.client.since, make(chan result, 1)
	go func() { answers <- s.request(s.device, since, timeout, false) }()
	s.poll = answers
	s.w.note("stream %d waits behind %s", s.number, since)
	s.w.count("waits")
}

// collect takes what a request that waits brings.
func (s *stream) collect() {
	if s.poll != nil {
		r := <-s.poll
		if s.dying && r.status >= 500 {
			r = result{err: errDying}
		}
		s.poll, s.dying = nil, false
		s.take(r)
	}
}

// fresh returns a client that has just asked for everything, on a device that
// does nothing else.
func (s *stream) fresh() (*client, canonjson.Value) {
	other := *s
	if !strings.HasPrefix(s.param, "{") {
		other.param = s.filter.json()
	}
	r := other.request(s.person.watcher, "", 0, false)
	if r.err != nil || r.status != 200 {
		s.fail("an initial sync: %d %s %v", r.status, r.response, r.err)
	}
	c := newClient()
	if err := c.apply(r.response, s.after); err != nil {
		s.fail("an initial sync: %v", err)
	}
	return c, r.response
}

func (s *stream) fail(format string, args ...any) {
	s.w.Helper()
	s.w.fail("%s:\n%s\n\nits last responses:\n%s", s, fmt.Sprintf(format, args...), strings.Join(s.log, "\n"))
}
