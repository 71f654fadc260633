package csapi_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"testing"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

// past is a room's events in order, and what they say of who was in it and who
// may see what.
type past struct {
	events []canonjson.Value
}

// member returns what a user was to the room once so many events had been sent.
func (p *past) member(user string, count int) string {
	for _, e := range slices.Backward(p.events[:count]) {
		if text(e, "type") == "m.room.member" && text(e, "state_key") == user {
			return text(e, "content", "membership")
		}
	}
	return ""
}

func (p *past) visibility(count int) string {
	for _, e := range slices.Backward(p.events[:count]) {
		if text(e, "type") == "m.room.history_visibility" {
			return text(e, "content", "history_visibility")
		}
	}
	return "shared"
}

// sees is the rules of the specification, word by word:
// https://spec.matrix.org/v1.19/client-server-api/#server-behaviour-7
func (p *past) sees(user string, i int) bool {
	e := p.events[i]
	if text(e, "type") == "m.room.member" && text(e, "state_key") == user {
		return true
	}
	joinsLater := false
	for _, later := range p.events[i+1:] {
		joinsLater = joinsLater || text(later, "type") == "m.room.member" && text(later, "state_key") == user &&
			text(later, "content", "membership") == "join"
	}
	allows := func(visibility string) bool {
		membership := p.member(user, i+1)
		return visibility == "world_readable" || membership == "join" ||
			visibility == "shared" && joinsLater || membership == "invite" && visibility == "invited"
	}
	return allows(p.visibility(i)) || text(e, "type") == "m.room.history_visibility" && allows(p.visibility(i+1))
}

// left is how many events there were when the user left, 0 if that never was.
func (p *past) left(user string) (count int) {
	joined := false
	for i := range p.events {
		switch is := p.member(user, i+1) == "join"; {
		case is:
			joined, count = true, 0
		case joined:
			joined, count = false, i+1
		}
	}
	return count
}

func (p *past) mayRead(user string) bool {
	now := len(p.events)
	return p.member(user, now) == "join" || p.left(user) > 0 || p.visibility(now) == "world_readable"
}

func (p *past) visible(user string) (ids []string) {
	for i, e := range p.events {
		if p.sees(user, i) {
			ids = append(ids, text(e, "event_id"))
		}
	}
	return ids
}

// state is what there was once so many events had been sent.
func (p *past) state(count int) map[string]string {
	state := make(map[string]string)
	for _, e := range p.events[:count] {
		if e.Get("state_key") != nil {
			state[text(e, "type")+" "+text(e, "state_key")] = text(e, "event_id")
		}
	}
	return state
}

func ids(list canonjson.Value) (ids []string) {
	for e := range list.Elements() {
		ids = append(ids, text(e, "event_id"))
	}
	return ids
}

// TestNobodySeesMoreOfAPastThanTheRulesAllow holds all that reads a room's history
// against the rules, for random pasts.
func TestNobodySeesMoreOfAPastThanTheRulesAllow(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			s := newScene(t)
			random := rand.New(rand.NewPCG(seed, 14))
			tokens := s.live(random)
			p := &past{}
			for e := range s.alice.Must("GET", s.path("v3", "messages")+"?dir=f&limit=1000", nil).Get("chunk").Elements() {
				p.events = append(p.events, e)
			}
			for _, u := range []*hstest.User{s.alice, s.bob, s.carol} {
				s.checkMessages(u, p, tokens)
				s.checkEvents(u, p)
				s.checkState(u, p)
			}
		})
	}
}

// live has alice, bob and carol do this and that, and returns tokens of alice's
// syncs by how many events there were.
func (s *scene) live(random *rand.Rand) map[int]string {
	tokens := make(map[int]string)
	since, count := "", 0
	sync := func() {
		a := s.alice.Must("GET", "/_matrix/client/v3/sync?filter="+url.QueryEscape(`{"room":{"timeline":{"limit":100}}}`)+"&since="+since, nil)
		since = text(a, "next_batch")
		count += len(ids(a.Get("rooms").Get("join").Get(s.room).Get("timeline").Get("events")))
		tokens[count] = since
	}
	sync()
	users := []*hstest.User{s.bob, s.carol}
	for i := range 45 {
		u := users[random.IntN(2)]
		about := fmt.Sprintf(`{"user_id":%q}`, u.ID)
		switch random.IntN(11) {
		case 0, 1:
			u.Do("POST", s.path("v3", "join"), `{}`)
		case 2:
			u.Do("POST", s.path("v3", "leave"), `{}`)
		case 3:
			s.alice.Do("POST", s.path("v3", "invite"), about)
		case 4:
			s.alice.Do("POST", s.path("v3", []string{"kick", "ban"}[random.IntN(2)]), about)
			s.alice.Do("POST", s.path("v3", "unban"), about)
		case 5, 6:
			v := []string{"world_readable", "shared", "invited", "joined"}[random.IntN(4)]
			s.alice.Do("PUT", s.path("v3", "state", "m.room.history_visibility")+"/", fmt.Sprintf(`{"history_visibility":%q}`, v))
		default:
			s.say(s.alice, fmt.Sprint(i))
		}
		if random.IntN(6) == 0 {
			sync()
		}
	}
	sync()
	return tokens
}

// pages reads /messages to its end.
func (s *scene) pages(u *hstest.User, query string) (all []string) {
	s.Helper()
	for from := ""; ; {
		a := u.Must("GET", s.path("v3", "messages")+query+from, nil)
		all = append(all, ids(a.Get("chunk"))...)
		end := text(a, "end")
		if end == "" || len(all) > 1000 {
			return all
		}
		from = "&from=" + end
	}
}

func (s *scene) checkMessages(u *hstest.User, p *past, tokens map[int]string) {
	s.Helper()
	if !p.mayRead(string(u.ID)) {
		s.refused("messages", u, "GET", s.path("v3", "messages")+"?dir=b", nil, 403, "M_FORBIDDEN")
		return
	}
	want := p.visible(string(u.ID))
	s.same(string(u.ID)+" forwards", s.pages(u, "?dir=f&limit=7"), want)
	backwards := slices.Clone(want)
	slices.Reverse(backwards)
	s.same(string(u.ID)+" backwards", s.pages(u, "?dir=b&limit=7"), backwards)
	counts := []int{}
	for count := range tokens {
		counts = append(counts, count)
	}
	slices.Sort(counts)
	for i := range counts[1:] {
		from, to := counts[i], counts[i+1]
		var want []string
		for k := from; k < to; k++ {
			if p.sees(string(u.ID), k) {
				want = append(want, text(p.events[k], "event_id"))
			}
		}
		a := u.Must("GET", s.path("v3", "messages")+fmt.Sprintf("?dir=f&limit=100&from=%s&to=%s", tokens[from], tokens[to]), nil)
		s.same("between two syncs", ids(a.Get("chunk")), want)
		s.same("start", text(a, "start"), tokens[from])
		a = u.Must("GET", s.path("v3", "messages")+fmt.Sprintf("?dir=b&limit=100&from=%s&to=%s", tokens[to], tokens[from]), nil)
		slices.Reverse(want)
		s.same("backwards between two syncs", ids(a.Get("chunk")), want)
	}
}

func (s *scene) checkEvents(u *hstest.User, p *past) {
	s.Helper()
	visible := p.visible(string(u.ID))
	for i, e := range p.events {
		eventID := text(e, "event_id")
		if !p.sees(string(u.ID), i) {
			s.refused("event", u, "GET", s.path("v3", "event", eventID), nil, 404, "M_NOT_FOUND")
			s.refused("context", u, "GET", s.path("v3", "context", eventID), nil, 404, "M_NOT_FOUND")
			s.refused("relations", u, "GET", s.path("v1", "relations", eventID), nil, 404, "M_NOT_FOUND")
			continue
		}
		s.same("event", text(u.Must("GET", s.path("v3", "event", eventID), nil), "event_id"), eventID)
		a := u.Must("GET", s.path("v3", "context", eventID)+"?limit=5", nil)
		at := slices.Index(visible, eventID)
		before := slices.Clone(visible[max(0, at-2):at])
		slices.Reverse(before)
		s.same("before", ids(a.Get("events_before")), before)
		after := visible[at+1 : min(len(visible), at+4)]
		s.same("after", ids(a.Get("events_after")), after)
		last := eventID
		if len(after) > 0 {
			last = after[len(after)-1]
		}
		s.sameState("context", a.Get("state"), p.state(1+slices.IndexFunc(p.events, func(e canonjson.Value) bool { return text(e, "event_id") == last })))
	}
}

func (s *scene) sameState(what string, list canonjson.Value, want map[string]string) {
	s.Helper()
	got := make(map[string]string)
	for e := range list.Elements() {
		got[text(e, "type")+" "+text(e, "state_key")] = text(e, "event_id")
	}
	s.same(what, got, want)
}

func (s *scene) checkState(u *hstest.User, p *past) {
	s.Helper()
	now := len(p.events)
	if !p.mayRead(string(u.ID)) {
		for _, path := range [][]string{{"state"}, {"state", "m.room.create"}, {"members"}} {
			s.refused("state", u, "GET", s.path("v3", path...), nil, 403, "M_FORBIDDEN")
		}
		return
	}
	count := p.left(string(u.ID))
	if count == 0 || p.visibility(now) == "world_readable" {
		count = now
	}
	s.sameState("state", u.Must("GET", s.path("v3", "state"), nil), p.state(count))
	members := make(map[string]string)
	for key, eventID := range p.state(count) {
		if len(key) > len("m.room.member ") && key[:len("m.room.member ")] == "m.room.member " {
			members[key] = eventID
		}
	}
	s.sameState("members", u.Must("GET", s.path("v3", "members"), nil).Get("chunk"), members)
}

func TestFiltersOfHistory(t *testing.T) {
	s := newScene(t)
	s.say(s.alice, "a")
	s.say(s.bob, "b")
	s.send(s.alice, "image", "m.room.message", `{"body":"image","url":"mxc://a.test/x"}`)
	s.send(s.bob, "other", "m.other", `{}`)
	s.say(s.alice, "here")
	s.say(s.bob, "on a", "m.thread", "a")
	s.send(s.alice, "on b", "m.other", s.content("", "m.reference", "b"))
	for _, row := range []struct{ name, filter, messages, before, after string }{
		{"types", `{"types":["m.other"]}`, "[on b other]", "[other]", "[on b]"},
		{"types with a wildcard", `{"types":["m.o*"]}`, "[on b other]", "[other]", "[on b]"},
		{"other types", `{"types":["m.*"],"not_types":["m.room.*"]}`, "[on b other]", "[other]", "[on b]"},
		{"senders", `{"senders":["@bob:a.test"],"types":["m.room.message","m.other"]}`, "[on a other b]", "[other b]", "[on a]"},
		{"other senders", `{"not_senders":["@bob:a.test"],"types":["m.room.message","m.other"]}`, "[on b here image a]", "[image a]", "[on b]"},
		{"with a URL", `{"contains_url":true}`, "[image]", "[image]", "[]"},
		{"without one", `{"contains_url":false,"types":["m.room.message"]}`, "[on a here b a]", "[b a]", "[on a]"},
		{"of another room", `{"rooms":["!other:a.test"]}`, "[]", "[]", "[]"},
		{"not of this room", fmt.Sprintf(`{"not_rooms":[%q]}`, s.room), "[]", "[]", "[]"},
		{"by a type of relations", `{"related_by_rel_types":["m.thread"]}`, "[a]", "[a]", "[]"},
		{"by who relates", `{"related_by_senders":["@alice:a.test"]}`, "[b]", "[b]", "[]"},
	} {
		query := "limit=50&filter=" + url.QueryEscape(row.filter)
		a := s.alice.Must("GET", s.path("v3", "messages")+"?dir=b&"+query, nil)
		s.same(row.name, s.brief(a.Get("chunk")), row.messages)
		a = s.alice.Must("GET", s.path("v3", "context", s.id("here"))+"?"+query, nil)
		s.same(row.name+", before", s.brief(a.Get("events_before")), row.before)
		s.same(row.name+", after", s.brief(a.Get("events_after")), row.after)
		s.same(row.name+", the event itself", s.names[text(a.Get("event"), "event_id")], "here")
	}
	state := func(filter string) []string {
		return s.brief(s.alice.Must("GET", s.path("v3", "context", s.id("here"))+"?limit=0&filter="+url.QueryEscape(filter), nil).Get("state"))
	}
	s.same("state is filtered", state(`{"types":["m.room.create","m.room.join_rules"]}`), "[m.room.create m.room.join_rules]")
	s.same("members are those who speak", state(`{"types":["m.room.member"],"lazy_load_members":true}`), "[m.room.member]")
	s.same("or all", state(`{"types":["m.room.member"]}`), "[m.room.member m.room.member]")
	s.refused("no filter", s.alice, "GET", s.path("v3", "messages")+"?dir=b&filter=x", nil, 400, "M_NOT_JSON")
}

func TestTheEndsOfHistory(t *testing.T) {
	s := newScene(t)
	for i := range 5 {
		s.say(s.alice, fmt.Sprint(i))
	}
	get := func(query string) canonjson.Value { return s.alice.Must("GET", s.path("v3", "messages")+query, nil) }
	s.same("ten events by default", len(ids(get("?dir=b").Get("chunk"))), 10)
	s.same("none", ids(get("?dir=b&limit=0").Get("chunk")), "[]")
	s.same("the end of the past", text(get("?dir=b&limit=1000"), "end"), "")
	s.same("the end of what there is", text(get("?dir=f&limit=1000"), "end"), "")
	end := text(get("?dir=f&limit=12"), "end")
	a := get("?dir=f&from=" + end)
	s.same("nothing is behind the present", fmt.Sprint(ids(a.Get("chunk")), text(a, "end")), "[]")
	s.say(s.alice, "more")
	s.same("until there is", s.brief(get("?dir=f&from="+end).Get("chunk")), "[more]")
	around := s.alice.Must("GET", s.path("v3", "context", s.id("2"))+"?limit=3", nil)
	s.same("one before", s.brief(around.Get("events_before")), "[1]")
	s.same("two after", s.brief(around.Get("events_after")), "[3 4]")
	s.same("and on", s.brief(get("?dir=f&from="+text(around, "end")).Get("chunk")), "[more]")
	s.same("and back", s.brief(get("?dir=b&limit=1&from="+text(around, "start")).Get("chunk")), "[0]")
	for _, bad := range []string{"", "?dir=x", "?dir=b&limit=-1", "?dir=b&from=x", "?dir=b&to=s1_x_1_y_1", "?dir=b&from=t1_-1"} {
		status, _ := s.alice.Do("GET", s.path("v3", "messages")+bad, nil)
		s.same(bad, status, 400)
	}
}

func TestEventsByTime(t *testing.T) {
	s := newScene(t)
	s.say(s.alice, "first")
	s.bob.Must("POST", s.path("v3", "leave"), `{}`)
	s.say(s.alice, "last")
	get := func(u *hstest.User, query string) canonjson.Value {
		return u.Must("GET", s.path("v1", "timestamp_to_event")+query, nil)
	}
	far := "?ts=9007199254740991"
	s.same("the last before", s.brief(canonjson.Value("["+string(get(s.alice, far+"&dir=b"))+"]")), "[last]")
	created := get(s.alice, "?ts=0&dir=f")
	s.same("the first after", text(s.alice.Must("GET", s.path("v3", "event", text(created, "event_id")), nil), "type"), "m.room.create")
	ts := created.Get("origin_server_ts").String()
	s.same("at the time itself", get(s.alice, "?ts="+ts+"&dir=f"), created)
	s.same("who has left", text(s.bob.Must("GET", s.path("v3", "event", text(get(s.bob, far+"&dir=b"), "event_id")), nil), "type"), "m.room.member")
	base := s.path("v1", "timestamp_to_event")
	s.refused("nothing after", s.alice, "GET", base+far+"&dir=f", nil, 404, "M_NOT_FOUND")
	s.refused("nothing before", s.alice, "GET", base+"?ts=1&dir=b", nil, 404, "M_NOT_FOUND")
	s.refused("not for others", s.carol, "GET", base+"?ts=1&dir=f", nil, 403, "M_FORBIDDEN")
	s.refused("no time", s.alice, "GET", base+"?dir=f", nil, 400, "M_MISSING_PARAM")
	s.refused("no direction", s.alice, "GET", base+"?ts=1", nil, 400, "M_MISSING_PARAM")
	s.refused("no such direction", s.alice, "GET", base+"?ts=1&dir=x", nil, 400, "M_INVALID_PARAM")
}

func TestNoEventOfIgnoredUsersByTime(t *testing.T) {
	s := newScene(t)
	s.say(s.alice, "alice's")
	s.say(s.bob, "bob's")
	last := func() []string {
		e := s.alice.Must("GET", s.path("v1", "timestamp_to_event")+"?ts=9007199254740991&dir=b", nil)
		return s.brief(canonjson.Value("[" + string(e) + "]"))
	}
	s.same("before", last(), "[bob's]")
	s.ignore(s.alice, `"@bob:a.test":{}`)
	s.same("without bob", last(), "[alice's]")
	s.state(s.bob, "m.room.member", "@bob:a.test", `{"displayname":"Bob","membership":"join"}`)
	shown := s.alice.Must("GET", s.path("v1", "timestamp_to_event")+"?ts=9007199254740991&dir=b", nil)
	s.same("but for state", text(s.alice.Must("GET", s.path("v3", "event", text(shown, "event_id")), nil), "type"), "m.room.member")
}
