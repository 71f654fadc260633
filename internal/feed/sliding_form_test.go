package feed

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/mxerr"
)

func TestSlidingRequestsOutOfBoundsAreRefused(t *testing.T) {
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	const one = `"timeline_limit":1,"required_state":{}`
	for _, tt := range []struct {
		name, merged, unstable string
		want                   mxerr.Code // empty: none
	}{
		{"nothing", `{}`, `{}`, ""},
		{"no object", `[]`, `7`, mxerr.BadJSON},
		{"unknown members", `{"x":1,"lists":{"a":{` + one + `,"sort":["by_recency"],"filters":{"x":[]}}},"extensions":{"x":7}}`, `{"unsubscribe_rooms":[],"delta_token":1}`, ""},
		{"null is not there", `{"lists":null,"conn_id":null,"timeout":null,"extensions":null}`, `{"room_subscriptions":null,"lists":{"a":{"filters":null,"ranges":null,"required_state":null}}}`, ""},
		{"lists that are no object", `{"lists":[]}`, `{"lists":"x"}`, mxerr.BadJSON},
		{"a list that is no object", `{"lists":{"a":[]}}`, `{"lists":{"a":1}}`, mxerr.BadJSON},
		{"without a limit", `{"lists":{"a":{"required_state":{}}}}`, ``, mxerr.MissingParam},
		{"fields of profiles", `{"extensions":{"org.matrix.msc4262.profiles":{"enabled":true,"fields":["m.tz"]}}}`, `{"extensions":{"org.matrix.msc4262.profiles":{"enabled":true,"fields":null,"rooms":[],"lists":["*"]}}}`, ""},
		{"fields of profiles that are no list", `{"extensions":{"org.matrix.msc4262.profiles":{"fields":"m.tz"}}}`, `{"extensions":{"org.matrix.msc4262.profiles":{"enabled":true,"fields":[1]}}}`, mxerr.BadJSON},
		{"a limit below zero", `{"lists":{"a":{"timeline_limit":-1,"required_state":{}}}}`, `{"lists":{"a":{"timeline_limit":-1}}}`, mxerr.BadJSON},
		{"a limit that is no integer", `{"lists":{"a":{"timeline_limit":"1","required_state":{}}}}`, `{"lists":{"a":{"timeline_limit":1.5}}}`, mxerr.BadJSON},
		{"a huge limit is cut", `{"lists":{"a":{"timeline_limit":9007199254740991,"required_state":{}}}}`, `{"lists":{"a":{"timeline_limit":100000}}}`, ""},
		{"without a state", `{"lists":{"a":{"timeline_limit":1}}}`, ``, mxerr.MissingParam},
		{"100 lists", `{"lists":{` + many(100, `"l%d":{`+one+`}`) + `}}`, `{"lists":{` + many(100, `"l%d":{}`) + `}}`, ""},
		{"101 lists", `{"lists":{` + many(101, `"l%d":{`+one+`}`) + `}}`, `{"lists":{` + many(101, `"l%d":{}`) + `}}`, mxerr.InvalidParam},
		{"100 subscriptions", `{"room_subscriptions":{` + many(100, `"!r%d:a.test":{`+one+`}`) + `}}`, `{"room_subscriptions":{` + many(1000, `"!r%d:a.test":{}`) + `}}`, ""},
		{"too many subscriptions", `{"room_subscriptions":{` + many(101, `"!r%d:a.test":{`+one+`}`) + `}}`, `{"room_subscriptions":{` + many(1001, `"!r%d:a.test":{}`) + `}}`, mxerr.InvalidParam},
		{"a subscription to no room", `{"room_subscriptions":{"x":{` + one + `}}}`, `{"room_subscriptions":{"#x:a.test":{}}}`, mxerr.InvalidParam},
		{"a key of strange characters", `{"lists":{"a b":{` + one + `}}}`, `{"lists":{"` + strings.Repeat("x", 256) + `":{}}}`, mxerr.InvalidParam},
		{"a range backwards", `{"lists":{"a":{` + one + `,"range":[2,1]}}}`, `{"lists":{"a":{"ranges":[[0,3],[2,1]]}}}`, mxerr.InvalidParam},
		{"a range below zero", `{"lists":{"a":{` + one + `,"range":[-1,1]}}}`, `{"lists":{"a":{"ranges":[[-3,1]]}}}`, mxerr.InvalidParam},
		{"a range of one", `{"lists":{"a":{` + one + `,"range":[1]}}}`, `{"lists":{"a":{"ranges":[[1]]}}}`, mxerr.BadJSON},
		{"a range of three", `{"lists":{"a":{` + one + `,"range":[1,2,3]}}}`, `{"lists":{"a":{"ranges":[[1,2,3]]}}}`, mxerr.BadJSON},
		{"a range of texts", `{"lists":{"a":{` + one + `,"range":["1","2"]}}}`, `{"lists":{"a":{"ranges":["x"]}}}`, mxerr.BadJSON},
		{"a range that is none", `{"lists":{"a":{` + one + `,"range":7}}}`, `{"lists":{"a":{"ranges":{}}}}`, mxerr.BadJSON},
		{"a huge range", `{"lists":{"a":{` + one + `,"range":[0,9007199254740991]}}}`, `{"lists":{"a":{"ranges":[[0,9007199254740991]]}}}`, ""},
		{"too many ranges", ``, `{"lists":{"a":{"ranges":[` + many(101, `[%[1]d,%[1]d]`) + `]}}}`, mxerr.InvalidParam},
		{"state that is no object", `{"lists":{"a":{"timeline_limit":1,"required_state":[]}}}`, `{"lists":{"a":{"required_state":{}}}}`, mxerr.BadJSON},
		{"an element that is none", `{"lists":{"a":{"timeline_limit":1,"required_state":{"include":[1]}}}}`, `{"lists":{"a":{"required_state":[["a"]]}}}`, mxerr.BadJSON},
		{"an element of numbers", `{"lists":{"a":{"timeline_limit":1,"required_state":{"exclude":[{"type":1}]}}}}`, `{"lists":{"a":{"required_state":[["a",1]]}}}`, mxerr.BadJSON},
		{"too many elements", `{"lists":{"a":{"timeline_limit":1,"required_state":{"include":[` + many(1001, `{"type":"%d"}`) + `]}}}}`, `{"lists":{"a":{"required_state":[` + many(1001, `["%d",""]`) + `]}}}`, mxerr.InvalidParam},
		{"a filter that is none", `{"lists":{"a":{` + one + `,"filters":[]}}}`, `{"lists":{"a":{"filters":7}}}`, mxerr.BadJSON},
		{"a flag that is none", `{"lists":{"a":{` + one + `,"filters":{"is_dm":1}}}}`, `{"lists":{"a":{"filters":{"is_invite":"yes"}}}}`, mxerr.BadJSON},
		{"tags that are none", `{"lists":{"a":{` + one + `,"filters":{"tags":[null]}}}}`, `{"lists":{"a":{"filters":{"room_types":[1]}}}}`, mxerr.BadJSON},
		{"a space that is none", `{"lists":{"a":{` + one + `,"filters":{"spaces":["x"]}}}}`, `{"lists":{"a":{"filters":{"spaces":[""]}}}}`, mxerr.InvalidParam},
		{"a connection of a long name", `{"conn_id":"` + strings.Repeat("x", 256) + `"}`, `{"conn_id":"a\u0000"}`, mxerr.InvalidParam},
		{"a connection of no name", `{"conn_id":7}`, `{"conn_id":{}}`, mxerr.BadJSON},
		{"extensions that are none", `{"extensions":[]}`, `{"extensions":{"typing":1}}`, mxerr.BadJSON},
		{"an extension that is neither on nor off", `{"extensions":{"e2ee":{"enabled":1}}}`, `{"extensions":{"to_device":{"enabled":"x"}}}`, mxerr.BadJSON},
		{"a time that is none", `{"timeout":-1}`, ``, mxerr.BadJSON},
	} {
		for form, text := range map[SlidingForm]string{SlidingMerged: tt.merged, SlidingUnstable: tt.unstable} {
			if text == "" {
				continue
			}
			body, err := canonjson.Canonical([]byte(text), canonjson.Lenient)
			if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			_, err = ParseSliding(form, "@alice:a.test", body)
			if tt.want == "" && err != nil || tt.want != "" && !errors.Is(err, tt.want) {
				t.Errorf("%s, form %d: got %v, want %q", tt.name, form, err, tt.want)
			}
		}
	}
}

func TestSlidingWants(t *testing.T) {
	const me, you = "@alice:a.test", "@bob:a.test"
	member := func(user string) event.Tuple { return event.Tuple{Type: event.TypeMember, StateKey: user} }
	name, topic, child := event.Tuple{Type: "m.room.name"}, event.Tuple{Type: "m.room.topic"}, event.Tuple{Type: "m.space.child", StateKey: "!x:a.test"}
	for _, tt := range []struct {
		form  SlidingForm
		state string
		want  []event.Tuple
		lazy  bool
	}{
		{SlidingMerged, `{}`, nil, false},
		{SlidingMerged, `{"include":[{}]}`, []event.Tuple{name, topic, child, member(me), member(you)}, false},
		{SlidingMerged, `{"include":[{}],"lazy_members":true}`, []event.Tuple{name, topic, child}, true},
		{SlidingMerged, `{"include":[{},{"type":"m.room.member","state_key":"@bob:a.test"}],"lazy_members":true}`, []event.Tuple{name, topic, child, member(you)}, true},
		{SlidingMerged, `{"include":[{"type":"m.room.member"}],"lazy_members":true}`, nil, true},
		{SlidingMerged, `{"include":[{"state_key":""}],"exclude":[{"type":"m.room.name"}]}`, []event.Tuple{topic}, false},
		{SlidingMerged, `{"include":[{"type":"m.room.member","state_key":"$ME"}]}`, nil, false},
		{SlidingUnstable, `[["*","*"]]`, []event.Tuple{name, topic, child, member(me), member(you)}, false},
		{SlidingUnstable, `[["*","*"],["m.room.member","$LAZY"]]`, []event.Tuple{name, topic, child}, true},
		{SlidingUnstable, `[["m.room.member","$LAZY"],["m.room.member","$ME"]]`, []event.Tuple{member(me)}, true},
		{SlidingUnstable, `[["m.room.member","$LAZY"],["m.room.member","*"]]`, []event.Tuple{member(me), member(you)}, true},
		{SlidingUnstable, `[["m.space.child","*"],["m.room.name",""]]`, []event.Tuple{name, child}, false},
		{SlidingUnstable, `[["*","@alice:a.test"]]`, []event.Tuple{member(me)}, false},
	} {
		body, err := canonjson.Canonical([]byte(`{"lists":{"a":{"timeline_limit":1,"required_state":`+tt.state+`}}}`), canonjson.Strict)
		if err != nil {
			t.Fatal(err)
		}
		q, err := ParseSliding(tt.form, me, body)
		if err != nil {
			t.Fatal(err)
		}
		w := parseWants(q.lists[0].want)
		if w.lazy() != tt.lazy {
			t.Errorf("%s: lazy %t", tt.state, w.lazy())
		}
		wanted := make(map[event.Tuple]bool)
		for _, one := range tt.want {
			wanted[one] = true
		}
		for _, one := range []event.Tuple{name, topic, child, member(me), member(you)} {
			if w.match(one) != wanted[one] {
				t.Errorf("%s: %v: got %t", tt.state, one, w.match(one))
			}
		}
	}
}

func TestSlidingWantsCoverOthers(t *testing.T) {
	parse := func(text string) *wants {
		body, err := canonjson.Canonical([]byte(`{"lists":{"a":{"timeline_limit":1,"required_state":`+text+`}}}`), canonjson.Strict)
		if err != nil {
			t.Fatal(err)
		}
		q, err := ParseSliding(SlidingMerged, "@alice:a.test", body)
		if err != nil {
			t.Fatal(err)
		}
		return parseWants(q.lists[0].want)
	}
	for _, tt := range []struct {
		wide, narrow string
		want         bool
	}{
		{`{}`, `{}`, true},
		{`{"include":[{}]}`, `{"include":[{"type":"a"},{"state_key":"b"}]}`, true},
		{`{"include":[{"type":"a"}]}`, `{"include":[{"type":"a","state_key":"b"}]}`, true},
		{`{"include":[{"type":"a","state_key":"b"}]}`, `{"include":[{"type":"a"}]}`, false},
		{`{"include":[{}],"exclude":[{"type":"a","state_key":"b"}]}`, `{"include":[{}],"exclude":[{"type":"a"}]}`, true},
		{`{"include":[{}],"exclude":[{"type":"a"}]}`, `{"include":[{}],"exclude":[{"type":"a","state_key":"b"}]}`, false},
		{`{"include":[{}],"lazy_members":true}`, `{"include":[{}]}`, false},
		{`{"include":[{}]}`, `{"include":[{}],"lazy_members":true}`, false},
		{`{"include":[{}],"lazy_members":true}`, `{"include":[{"type":"m.room.member","state_key":"$ME"}],"lazy_members":true}`, false},
		{`{"include":[{}],"lazy_members":true}`, `{"include":[{"state_key":"@alice:a.test"}],"lazy_members":true}`, false},
		{`{"include":[{}],"lazy_members":true}`, `{"include":[{"type":"a","state_key":"b"}],"lazy_members":true}`, true},
	} {
		if got := parse(tt.wide).covers(parse(tt.narrow)); got != tt.want {
			t.Errorf("%s covers %s: got %t", tt.wide, tt.narrow, got)
		}
	}
}

// FuzzSlidingRequest demands that what is read is within bounds, and that what is
// remembered of it is read again as it was.
func FuzzSlidingRequest(f *testing.F) {
	f.Add(true, `{"lists":{"a":{"timeline_limit":1,"required_state":{"include":[{"type":"a"},{}],"exclude":[{"state_key":"\n"}],"lazy_members":true},"range":[0,9],"filters":{"tags":["a"]}}}}`)
	f.Add(false, `{"lists":{"a":{"ranges":[[0,3]],"required_state":[["*","*"],["m.room.member","$LAZY"],["m.room.member","*"]]}},"room_subscriptions":{"!a:b":{}}}`)
	f.Add(false, `{"conn_id":"x","extensions":{"to_device":{"enabled":true,"since":"1","limit":9},"typing":{"enabled":true,"lists":["*"],"rooms":[]}}}`)
	f.Fuzz(func(t *testing.T, merged bool, text string) {
		body, err := canonjson.Canonical([]byte(text), canonjson.Lenient)
		if err != nil {
			return
		}
		form := SlidingUnstable
		if merged {
			form = SlidingMerged
		}
		q, err := ParseSliding(form, "@alice:a.test", body)
		if err != nil {
			var refusal *mxerr.Error
			if !errors.As(err, &refusal) {
				t.Fatalf("%v is no refusal", err)
			}
			return
		}
		if len(q.lists) > mostLists || len(q.subscriptions) > mostSubscriptionsUnstable || len(q.Conn) > longestConn {
			t.Fatalf("out of bounds: %s", text)
		}
		if again, err := ParseSliding(form, "@alice:a.test", body); err != nil || again.params() != q.params() {
			t.Fatalf("got %s and %s", q.params(), again.params())
		}
		for _, l := range q.lists {
			if l.limit < 0 || l.limit > mostTimeline || strings.Contains(l.want, "\n") {
				t.Fatalf("limit %d, wants %q", l.limit, l.want)
			}
			w := parseWants(l.want)
			if got := w.list[0].encode(); got != l.want || !w.covers(w) {
				t.Fatalf("got %s, want %s", got, l.want)
			}
		}
	})
}
