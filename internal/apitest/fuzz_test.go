package apitest

import (
	"context"
	"encoding/binary"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"parley/internal/endpoint"
	"parley/matrix/canonjson"
)

// A tape makes choices of bytes. When they have come to an end, all choices are
// the first.
type tape struct{ rest []byte }

func (t *tape) byte() byte {
	if len(t.rest) == 0 {
		return 0
	}
	b := t.rest[0]
	t.rest = t.rest[1:]
	return b
}

// under chooses a number under n, which is at least 1.
func (t *tape) under(n int) int {
	if n <= 256 {
		return int(t.byte()) % n
	}
	return int(binary.BigEndian.Uint16([]byte{t.byte(), t.byte()})) % n
}

// bytes takes some bytes as they are.
func (t *tape) bytes() string {
	n := min(t.under(64), len(t.rest))
	s := string(t.rest[:n])
	t.rest = t.rest[n:]
	return s
}

func (t *tape) of(list []string) string {
	if len(list) == 0 {
		return t.bytes()
	}
	return list[t.under(len(list))]
}

// A fuzzer makes requests of bytes.
type fuzzer struct {
	*values
	*tape
}

// request makes a request, and returns the route that it is made for.
func (f *fuzzer) request() (request, *endpoint.Route) {
	route := &f.s.routes[f.under(len(f.s.routes))]
	r := request{label: "made of bytes", method: route.Method, broken: true, slow: true} // the disk may be
	switch f.under(8) {
	case 1:
	case 2:
		r.header = []string{"Authorization: Bearer " + headerText(f.bytes())}
	default:
		r.header = []string{"Authorization: Bearer " + f.a.token}
	}
	with, raw := make(map[string]string), make(map[string]string)
	for _, name := range route.Wildcards() {
		switch f.under(6) {
		case 1, 2:
			with[name] = f.of(f.others(name))
		case 3:
			with[name] = f.of(badTexts())
		case 4:
			with[name] = f.bytes()
		case 5:
			raw[name] = f.of(badPaths())
		}
	}
	r.target = f.target(*route, with, raw, f.parameters(route))
	if strings.ContainsFunc(r.target, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		r.target = "/" // it would be another request
	}
	if route.Method != "GET" || f.under(8) == 1 {
		r.body = f.body(route)
		r.chunked = f.under(8) == 1
	}
	if f.under(16) == 1 {
		r.method = f.of([]string{"GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH"})
	}
	return r, route
}

// headerText is a text that does not end a header.
func headerText(s string) string { return strings.NewReplacer("\r", "", "\n", "").Replace(s) }

func (f *fuzzer) parameters(route *endpoint.Route) string {
	q := url.Values{}
	for _, name := range f.s.queries(*route) {
		switch f.under(6) {
		case 0:
			if good := f.good(name); good != "" && name != "kind" {
				q.Set(name, good)
			}
		case 1, 2:
			q.Set(name, f.of(f.others(name)))
		case 3:
			q.Set(name, f.of(badTexts()))
		case 4:
			q.Set(name, f.bytes())
		}
	}
	switch {
	case f.under(16) == 1:
		return "?" + url.PathEscape(f.bytes())
	case len(q) == 0:
		return ""
	}
	return "?" + q.Encode()
}

func (f *fuzzer) body(route *endpoint.Route) []byte {
	switch f.under(8) {
	case 1:
		return []byte(f.of(badBodies()))
	case 2:
		return []byte(f.bytes())
	case 3:
		return []byte(f.json(4))
	}
	fields, with := f.s.fields(*route), make(map[string]string)
	for _, field := range fields {
		switch f.under(6) {
		case 1:
			with[field.name] = f.of(badJSON())
		case 2:
			with[field.name] = string(canonjson.Text(f.of(f.others(field.name))))
		case 3:
			with[field.name] = f.json(4)
		case 4:
			with[field.name] = ""
		}
	}
	if f.under(4) == 1 {
		with[f.word()] = f.json(3)
	}
	return f.values.body(fields, with)
}

// word is a name that means something somewhere.
func (f *fuzzer) word() string {
	words := []string{"m.relates_to", "rel_type", "event_id", "m.mentions", "user_ids", "body", "msgtype", "membership", "users", "events", "redacts", "alias", "alt_aliases",
		"state_key", "content", "type", "sender", "pattern", "conditions", "kind", "key", "is", "value", "actions", "set_tweak", "room", "timeline", "limit", "types", "rooms", "senders", "order",
		"creator", "room_version", "additional_creators", "predecessor", "join_rule", "allow", "history_visibility", "guest_access", "m.new_content", "ban", "users_default", "join_authorised_via_users_server",
		"auth", "session", "password", "identifier", "user", "m.in_reply_to", "third_party_invite", "signed", "is_direct", "global", "override"}
	if f.under(8) == 1 {
		return f.bytes()
	}
	return f.of(words)
}

// json makes a value of no more than a depth.
func (f *fuzzer) json(depth int) string {
	kind := f.under(8)
	if depth == 0 {
		kind %= 4
	}
	var b strings.Builder
	switch kind {
	case 0:
		return string(canonjson.Text(f.of([]string{string(f.s.private), string(f.a.own), string(f.a.inOwn), string(f.s.inPrivate), string(f.a.user), string(f.s.alice.ID), "x", "", "*", "join", "m.room.member", "1"})))
	case 1:
		return f.of(badJSON())
	case 2:
		return f.of([]string{"0", "1", "-1", "100", "0.5", "true", "false", "null"})
	case 3:
		return string(canonjson.Text(strings.ToValidUTF8(f.bytes(), "?")))
	case 4, 5:
		b.WriteByte('[')
		for i := range f.under(5) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(f.json(depth - 1))
		}
		b.WriteByte(']')
	default:
		b.WriteByte('{')
		for i := range f.under(6) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.Write(canonjson.Text(strings.ToValidUTF8(f.word(), "?")))
			b.WriteString(":" + f.json(depth-1))
		}
		b.WriteByte('}')
	}
	return b.String()
}

// FuzzRequest makes a request of bytes, against any route, and holds the answer
// to the same as TestEveryRouteUnderAttack does. The server lives on from one to
// the next.
func FuzzRequest(f *testing.F) {
	for i := range 70 {
		f.Add([]byte{byte(i)})
		f.Add([]byte(strings.Repeat(string(rune('a'+i%26)), i)))
		f.Add([]byte{byte(i), 0, 1, byte(i), 2, byte(i), 1, 3, byte(i), 1, byte(i), 3, 4, byte(i), 3, 6, byte(i)})
	}
	log := &faults{TB: f}
	s := newStage(log)
	s.names = nil // he puts them into what is his own
	w := &wire{net: s.world.Net}
	who, check := s.attacker(), false
	f.Fuzz(func(t *testing.T, data []byte) {
		if check && !s.alive(who) {
			who = s.attacker()
		}
		fuzz := &fuzzer{&values{s: s, a: who}, &tape{data}}
		r, route := fuzz.request()
		wait := 20 * time.Second
		if route.Waits {
			wait = 100 * time.Millisecond // who waits for news may wait long
		}
		rep, err := w.send(context.Background(), r, wait)
		check = rep.status < 300 && r.method != "GET" // whether the attacker has logged out
		switch {
		case route.Waits && errors.Is(err, errHangs):
		case err != nil:
			t.Errorf("%v: %v", r, err)
		default:
			for _, wrong := range s.complaints(gate{r, route, rep}) {
				t.Errorf("%v:\n\tgot %d %.300s\n\t%s", r, rep.status, rep.body, wrong)
			}
		}
		for _, fault := range log.take() { // also one that no answer shows
			t.Error(fault)
		}
	})
}

func TestTheSameBytesAreTheSameRequest(t *testing.T) {
	s := newStage(t)
	who := s.attacker()
	for _, data := range []string{"", "x", "some bytes that are a request", strings.Repeat("\x03\x01\x7f", 50)} {
		var made []string
		for range 2 {
			f := &fuzzer{&values{s: s, a: who}, &tape{[]byte(data)}}
			r, _ := f.request()
			made = append(made, r.String())
		}
		if made[0] != made[1] {
			t.Errorf("%q: got %s, then %s", data, made[0], made[1])
		}
	}
}
