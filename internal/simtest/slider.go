package simtest

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

// A slider is a connection of sliding sync. What it asks for changes all the time:
// lists grow, shrink and get other filters, rooms are subscribed to and dropped.
type slider struct {
	w        *world
	number   int
	person   *person
	device   *hstest.User
	conn     string
	unstable bool
	lists    []slideList
	rooms    map[string]slideWish // subscriptions
	client   *slideClient
	backup   *slideClient // before the last answer
	poll     chan result
	asked    *slider // as it was when it began to wait
	dying    bool
	log      []string
}

type slideList struct {
	key         string
	first, last int // last is -1 for no end
	filter      string
	slideWish
}

// A slideWish is what is asked for of a room.
type slideWish struct {
	limit int
	want  int // of slideWants
}

// A slideWant is some state to ask for, in both forms, and what it is.
type slideWant struct {
	merged, unstable string
	lazy             bool
	match            func(t tuple, me string) bool
}

var slideWants = [...]slideWant{
	{`{}`, `[]`, false, func(tuple, string) bool { return false }},
	{
		`{"include":[{"type":"m.room.name","state_key":""},{"type":"m.room.topic","state_key":""}]}`,
		`[["m.room.name",""],["m.room.topic",""]]`, false,
		func(t tuple, _ string) bool {
			return t.key == "" && (t.kind == "m.room.name" || t.kind == "m.room.topic")
		},
	},
	{`{"include":[{}]}`, `[["*","*"]]`, false, func(tuple, string) bool { return true }},
	{
		`{"include":[{}],"lazy_members":true}`, `[["*","*"],["m.room.member","$LAZY"]]`, true,
		func(t tuple, _ string) bool { return t.kind != "m.room.member" },
	},
	{
		`{"include":[{"state_key":""},{"type":"m.room.member","state_key":"<me>"}],"lazy_members":true}`,
		`[["*",""],["m.room.member","$ME"],["m.room.member","$LAZY"]]`, true,
		func(t tuple, me string) bool { return t.key == "" || t.kind == "m.room.member" && t.key == me },
	},
	{
		`{"include":[{"type":"m.room.member"},{"type":"m.room.power_levels"}]}`,
		`[["m.room.member","*"],["m.room.power_levels","*"]]`, false,
		func(t tuple, _ string) bool { return t.kind == "m.room.member" || t.kind == "m.room.power_levels" },
	},
	{
		`{"include":[{"state_key":""}],"exclude":[{"type":"m.room.topic"}]}`, `[["m.room.name",""],["m.room.name",""]]`, false,
		func(t tuple, _ string) bool { return t.key == "" && t.kind != "m.room.topic" },
	},
}

// match reports whether some state is asked for.
func (s *slider) match(want int, t tuple) bool {
	if s.unstable && want == len(slideWants)-1 { // which has no exclude
		return t == tuple{"m.room.name", ""}
	}
	return slideWants[want].match(t, s.person.id)
}

var slideFilters = [...]string{
	``, ``, ``, `{"is_dm":true}`, `{"is_dm":false}`, `{"is_encrypted":false}`, `{"is_encrypted":true}`, `{"is_invited":true}`, `{"is_invited":false}`,
	`{"not_room_types":["m.space"]}`, `{"room_types":[null]}`, `{"room_types":["m.space"]}`, `{"tags":["m.favourite","u.work"]}`, `{"not_tags":["m.favourite"]}`,
}

func (s *slider) String() string {
	return fmt.Sprintf("slider %d of %s on %s, unstable %t", s.number, s.person.id, s.device.Device, s.unstable)
}

// newSlider begins a connection.
func (w *world) newSlider(number int) *slider {
	p := pick(w.rng, w.people)
	s := &slider{
		w: w, number: number, person: p, device: w.device(p), conn: fmt.Sprint("c", number), unstable: w.chance(50),
		client: newSlideClient(), rooms: make(map[string]slideWish),
	}
	s.lists = []slideList{s.newList("a")}
	w.note("%s begins", s)
	return s
}

func (s *slider) newList(key string) slideList {
	w := s.w
	l := slideList{key: key, first: 0, last: w.rng.IntN(3), filter: slideFilters[w.rng.IntN(len(slideFilters))], slideWish: s.newWish()}
	if w.chance(20) {
		l.first = w.rng.IntN(3)
		l.last += l.first
	}
	return l
}

func (s *slider) newWish() slideWish {
	return slideWish{limit: s.w.rng.IntN(12), want: s.w.rng.IntN(len(slideWants))}
}

// change changes what the slider asks for.
func (s *slider) change() {
	w := s.w
	switch n := w.rng.IntN(100); {
	case n < 35:
		l := &s.lists[w.rng.IntN(len(s.lists))]
		l.last = l.first + w.rng.IntN(4)
		if w.chance(15) {
			l.last = -1
		}
	case n < 50:
		l := &s.lists[w.rng.IntN(len(s.lists))]
		l.slideWish = s.newWish()
	case n < 60:
		l := &s.lists[w.rng.IntN(len(s.lists))]
		l.filter = slideFilters[w.rng.IntN(len(slideFilters))]
	case n < 68:
		if len(s.lists) > 1 {
			s.lists = s.lists[:1]
		} else {
			s.lists = append(s.lists, s.newList("b"))
		}
	case n < 90:
		s.rooms[pick(w.rng, w.rooms).id] = s.newWish()
	default:
		clear(s.rooms)
	}
}

// body is a request.
func (s *slider) body(pos string) (path, body string) {
	state := func(w slideWish) string {
		want := slideWants[w.want]
		if s.unstable {
			return fmt.Sprintf(`"timeline_limit":%d,"required_state":%s`, w.limit, want.unstable)
		}
		return fmt.Sprintf(`"timeline_limit":%d,"required_state":%s`, w.limit, strings.ReplaceAll(want.merged, "<me>", s.person.id))
	}
	var lists, rooms []string
	for _, l := range s.lists {
		text := state(l.slideWish)
		switch {
		case s.unstable && l.last < 0:
			text += fmt.Sprintf(`,"ranges":[[%d,1000],[2000,3000]]`, l.first)
		case s.unstable:
			text += fmt.Sprintf(`,"ranges":[[%d,%d]]`, l.first, l.last)
		case l.last >= 0:
			text += fmt.Sprintf(`,"range":[%d,%d]`, l.first, l.last)
		}
		if f := l.filter; f != "" {
			if s.unstable {
				f = strings.ReplaceAll(f, "is_invited", "is_invite")
			}
			text += `,"filters":` + f
		}
		lists = append(lists, fmt.Sprintf(`%q:{%s}`, l.key, text))
	}
	for _, id := range slices.Sorted(maps.Keys(s.rooms)) {
		rooms = append(rooms, fmt.Sprintf(`%q:{%s}`, id, state(s.rooms[id])))
	}
	body = fmt.Sprintf(`{"conn_id":%q,"lists":{%s},"room_subscriptions":{%s},"extensions":{
		"account_data":{"enabled":true},"receipts":{"enabled":true},"typing":{"enabled":true}}`,
		s.conn, strings.Join(lists, ","), strings.Join(rooms, ","))
	path = "/_matrix/client/v4/sync"
	if s.unstable {
		path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?pos=" + url.QueryEscape(pos)
	} else if pos != "" {
		body += fmt.Sprintf(`,"pos":%q`, pos)
	}
	return path, body
}

// request asks, from any goroutine.
func (s *slider) request(device *hstest.User, pos string, timeout int) result {
	path, body := s.body(pos)
	if s.unstable {
		path += fmt.Sprint("&timeout=", timeout)
	} else {
		body += fmt.Sprint(`,"timeout":`, timeout)
	}
	status, response, err := device.Try("POST", path, body+"}")
	return result{status, response, err}
}

// slide asks, and applies the response.
func (s *slider) slide(timeout int) { s.take(s, s.request(s.device, s.client.pos, timeout)) }

// take applies a response to what was asked, if there is one.
func (s *slider) take(asked *slider, r result) {
	w := s.w
	if r.err != nil {
		w.count("lost responses")
		return
	}
	w.sane("sliding of "+s.String(), r.status, r.response)
	if text(r.response, "errcode") == "M_UNKNOWN_POS" && s.client.pos != "" {
		w.note("slider %d begins anew", s.number)
		w.count("begun anew")
		s.client, s.backup = newSlideClient(), nil
		return
	}
	if r.status != 200 {
		w.fail("%s: %d %s", s, r.status, r.response)
	}
	_, body := asked.body(s.client.pos)
	s.log = append(s.log[max(0, len(s.log)-9):], fmt.Sprintf("%s\n -> %s", body, r.response))
	w.note("slider %d: %s -> %s", s.number, s.client.pos, text(r.response, "pos"))
	s.backup = s.client.clone()
	if err := s.client.apply(asked, r.response); err != nil {
		s.fail("%v", err)
	}
	w.count("slides")
}

// lose asks, and throws the response away.
func (s *slider) lose() {
	r := s.request(s.device, s.client.pos, 0)
	s.w.note("slider %d loses %s", s.number, text(r.response, "pos"))
	s.w.sane("sliding", r.status, r.response)
	s.w.count("lost responses")
}

// wait begins a request that waits while others act.
func (s *slider) wait(timeout int) {
	asked := *s
	asked.lists, asked.rooms = slices.Clone(s.lists), maps.Clone(s.rooms)
	pos, answers := s.client.pos, make(chan result, 1)
	go func() { answers <- asked.request(s.device, pos, timeout) }()
	s.poll, s.asked = answers, &asked
	s.w.note("slider %d waits behind %s", s.number, pos)
	s.w.count("waits")
}

func (s *slider) collect() {
	if s.poll == nil {
		return
	}
	r := <-s.poll
	if s.dying && r.status >= 500 {
		r = result{err: errDying}
	}
	s.poll, s.dying = nil, false
	s.take(s.asked, r)
}

func (s *slider) fail(format string, args ...any) {
	s.w.Helper()
	s.w.fail("%s:\n%s\n\nits last responses:\n%s", s, fmt.Sprintf(format, args...), strings.Join(s.log, "\n"))
}

// A slideClient is what somebody knows who has applied the responses of a connection.
type slideClient struct {
	pos         string
	counts      map[string]int64
	accountData map[string]canonjson.Value
	rooms       map[string]*slideRoom
}

// A slideRoom is what a client knows of a room.
type slideRoom struct {
	room
	fields map[string]string // what is told of the room beside its events, as JSON
	// stale are members whose changes were perhaps not told, as they were not asked for.
	// Who loads members lazily then is told only of who says something.
	stale map[tuple]bool
}

func newSlideClient() *slideClient {
	return &slideClient{counts: make(map[string]int64), accountData: make(map[string]canonjson.Value), rooms: make(map[string]*slideRoom)}
}

func newSlideRoom() *slideRoom {
	return &slideRoom{room: room{
		state: make(map[tuple]event), accountData: make(map[string]canonjson.Value), receipts: make(map[receiptKey]string),
	}, fields: make(map[string]string), stale: make(map[tuple]bool)}
}

func (c *slideClient) clone() *slideClient {
	copied := &slideClient{pos: c.pos, counts: maps.Clone(c.counts), accountData: maps.Clone(c.accountData), rooms: make(map[string]*slideRoom)}
	for id, r := range c.rooms {
		other := *r
		other.state, other.timeline, other.fields = maps.Clone(r.state), slices.Clone(r.timeline), maps.Clone(r.fields)
		other.accountData, other.receipts, other.stale = maps.Clone(r.accountData), maps.Clone(r.receipts), maps.Clone(r.stale)
		copied.rooms[id] = &other
	}
	return copied
}

// apply takes in a response to what was asked.
func (c *slideClient) apply(asked *slider, response canonjson.Value) error {
	if c.pos = text(response, "pos"); c.pos == "" {
		return fmt.Errorf("no pos: %s", response)
	}
	for _, l := range asked.lists {
		count, ok := response.Get("lists").Get(l.key).Get("count").Int()
		if !ok {
			return fmt.Errorf("no count of %s", l.key)
		}
		c.counts[l.key] = count
	}
	for id, r := range c.rooms {
		for t := range r.state {
			if t.kind == "m.room.member" && !asked.surely(id, t) {
				r.stale[t] = true
			}
		}
	}
	for name, v := range response.Get("rooms").Members() {
		id, _ := name.Text()
		r := c.rooms[id]
		if r == nil || v.Get("initial").True() {
			if !v.Get("initial").True() {
				return fmt.Errorf("%s is new and not initial: %s", id, v)
			}
			old := r
			if r = newSlideRoom(); old != nil { // what extensions tell is not of the room data
				r.accountData, r.receipts, r.typing = old.accountData, old.receipts, old.typing
			}
			c.rooms[id] = r
		}
		if err := r.apply(asked, id, v); err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
	}
	return c.extend(response.Get("extensions"))
}

var slideFields = [...]string{
	"name", "avatar", "heroes", "is_dm", "joined_count", "invited_count", "bump_stamp", "membership", "notification_count", "highlight_count",
}

func (r *slideRoom) apply(asked *slider, id string, v canonjson.Value) error {
	for _, name := range slideFields {
		if value := v.Get(name); value != nil {
			r.fields[name] = string(value)
		}
	}
	if name := r.fields["name"]; v.Get("name") != nil && name != "null" {
		delete(r.fields, "heroes")
	}
	stripped := "stripped_state"
	if asked.unstable {
		stripped = "invite_state"
	}
	r.stripped = nil
	if part := v.Get(stripped); part != nil {
		r.stripped = slices.Collect(part.Elements())
		return nil
	}
	limited := v.Get("limited").True()
	if limited {
		// Who loads members lazily must not rely on any of before.
		maps.DeleteFunc(r.state, func(t tuple, _ event) bool { return t.kind == "m.room.member" && !asked.perhaps(id, t) })
	}
	events := parseEvents(v.Get("timeline"))
	expanded := v.Get("expanded_timeline").True() || v.Get("unstable_expanded_timeline").True()
	if limited || expanded {
		r.timeline, r.prevBatch, r.gap = nil, text(v, "prev_batch"), limited
	}
	if r.prevBatch == "" {
		r.prevBatch = text(v, "prev_batch")
	}
	for _, e := range events {
		if slices.ContainsFunc(r.timeline, func(other event) bool { return other.id == e.id }) {
			return fmt.Errorf("the client has %s already: %s", e.id, v)
		}
		r.timeline = append(r.timeline, e)
		if e.kind == "m.room.redaction" {
			r.redact(e.redacts())
		}
	}
	for e := range v.Get("required_state").Elements() {
		one := parseEvent(e)
		delete(r.stale, one.tuple())
		if e.Get("content") == nil {
			delete(r.state, one.tuple())
		} else {
			r.state[one.tuple()] = one
		}
	}
	return nil
}

// surely reports whether changes of some member are asked for, whichever lists the
// room is in.
func (s *slider) surely(id string, t tuple) bool {
	covers := func(w slideWish) bool { return slideWants[w.want].lazy || s.match(w.want, t) }
	if w, ok := s.rooms[id]; ok && covers(w) {
		return true
	}
	return !slices.ContainsFunc(s.lists, func(l slideList) bool { return !covers(l.slideWish) })
}

// perhaps reports whether some state of a room may be asked for otherwise than lazily,
// depending on which lists the room is in.
func (s *slider) perhaps(id string, t tuple) bool {
	if w, ok := s.rooms[id]; ok && s.match(w.want, t) {
		return true
	}
	return slices.ContainsFunc(s.lists, func(l slideList) bool { return s.match(l.want, t) })
}

func (c *slideClient) extend(v canonjson.Value) error {
	data := v.Get("account_data")
	replace(c.accountData, canonjson.Value(`{"events":`+string(orNone(data.Get("global")))+`}`))
	known := func(part string, f func(r *slideRoom, v canonjson.Value)) error {
		for name, one := range v.Get(part).Get("rooms").Members() {
			id, _ := name.Text()
			r := c.rooms[id]
			if r == nil {
				return fmt.Errorf("%s of %s, which the client does not know", part, id)
			}
			f(r, one)
		}
		return nil
	}
	if err := known("account_data", func(r *slideRoom, v canonjson.Value) {
		replace(r.accountData, canonjson.Value(`{"events":`+string(v)+`}`))
	}); err != nil {
		return err
	}
	if err := known("receipts", func(r *slideRoom, v canonjson.Value) { r.applyReceipts(v.Get("content")) }); err != nil {
		return err
	}
	return known("typing", func(r *slideRoom, v canonjson.Value) {
		r.applyRest(canonjson.Value(`{"ephemeral":{"events":[` + string(v) + `]}}`))
	})
}

func orNone(v canonjson.Value) canonjson.Value {
	if v == nil {
		return canonjson.Value(`[]`)
	}
	return v
}
