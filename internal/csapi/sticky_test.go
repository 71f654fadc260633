package csapi_test

import (
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/hstest"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
)

const stickyFor = "?org.matrix.msc4354.sticky_duration_ms="

// TestStickyEventsReachEverybody: who reads only the last event of a room, who comes
// later and may not see what was before, and who leaves the kind out by a filter.
func TestStickyEventsReachEverybody(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		a := hstest.New(t).Server("a.test", hstest.Database(location))
		alice, bob := a.Register("alice"), a.Register("bob")
		r := room(alice, `{"preset":"public_chat","initial_state":[{"type":"m.room.history_visibility","content":{"history_visibility":"joined"}}]}`)
		roomID, _ := url.PathUnescape(r[len("/_matrix/client/v3/rooms/"):])
		alice.Must("PUT", r+"/send/org.test.call/1"+stickyFor+"600000", `{"msc4354_sticky_key":"one"}`)
		alice.Must("PUT", r+"/send/org.test.call/2"+stickyFor+"0", `{"n":"not sticky"}`)
		alice.Must("PUT", r+"/send/m.room.message/3", `{"body":"hello","msgtype":"m.text"}`)
		for _, wrong := range []string{"-1", "3600001", "x"} {
			if status, answer := alice.Do("PUT", r+"/send/org.test.call/4"+stickyFor+wrong, `{}`); status != 400 || !answer.Get("errcode").Is("M_INVALID_PARAM") {
				t.Errorf("sticky for %s: %d %s", wrong, status, answer)
			}
		}
		in := func(answer canonjson.Value) canonjson.Value {
			return answer.Get("rooms").Get("join").Get(roomID).Get("msc4354_sticky").Get("events")
		}
		const last = `/_matrix/client/v3/sync?filter={"room":{"timeline":{"limit":1}}}&timeout=`
		first := alice.Must("GET", last+"0", nil)
		if got := string(in(first)); !strings.Contains(got, `"one"`) || strings.Contains(got, "not sticky") || !strings.Contains(got, `"msc4354_sticky":{"duration_ms":600000}`) ||
			!strings.Contains(got, `"msc4354_sticky_duration_ttl_ms":5`) {
			t.Errorf("at first alice gets %s", got)
		}
		since := first.Get("next_batch").String()
		bob.Must("POST", r+"/join", `{}`)
		joined := bob.Must("GET", "/_matrix/client/v3/sync?timeout=0", nil)
		if got := string(in(joined)); strings.Count(got, `"one"`) != 1 {
			t.Errorf("bob, who may not see what was before, gets %s", joined)
		}
		second := alice.Must("GET", last+"0&since="+since, nil)
		if in(second) != nil {
			t.Errorf("alice is told again: %s", second)
		}
		alice.Must("PUT", r+"/send/org.test.call/5"+stickyFor+"600000", `{"msc4354_sticky_key":"two"}`)
		alice.Must("PUT", r+"/state/org.test.state/x"+stickyFor+"600000", `{"three":true}`)
		third := alice.Must("GET", last+"0&since="+second.Get("next_batch").String(), nil)
		if got := string(in(third)); strings.Contains(got, "three") || !strings.Contains(got, "two") {
			t.Errorf("what is in the timeline comes beside it, too: %s", third)
		}
		none := bob.Must("GET", `/_matrix/client/v3/sync?filter={"room":{"timeline":{"not_types":["org.test.call"]}}}&timeout=0&since=`+joined.Get("next_batch").String(), nil)
		if got := string(in(none)); !strings.Contains(got, "two") || strings.Contains(got, "three") {
			t.Errorf("what a filter leaves out of the timeline: %s", none)
		}
		a.Restart()
		bob.Must("PUT", "/_matrix/client/v3/user/"+url.PathEscape(string(bob.ID))+"/account_data/m.ignored_user_list", `{"ignored_users":{"`+string(alice.ID)+`":{}}}`)
		if got := in(bob.Must("GET", last+"0", nil)); got != nil {
			t.Errorf("of whom bob ignores: %s", got)
		}
	})
}

// TestSlidingSyncTellsOfStickyEvents the oldest first, as far as the client has not
// said that it has them, whether their room is in its window or not.
func TestSlidingSyncTellsOfStickyEvents(t *testing.T) {
	a := hstest.New(t).Server("a.test")
	alice := a.Register("alice")
	r := room(alice, `{}`)
	roomID, _ := url.PathUnescape(r[len("/_matrix/client/v3/rooms/"):])
	for _, n := range []string{"1", "2", "3"} {
		alice.Must("PUT", r+"/send/org.test.call/"+n+stickyFor+"600000", `{"n":"no`+n+`"}`)
	}
	room(alice, `{}`) // happens later
	pos, mark := "", ""
	slide := func(more string) canonjson.Value {
		t.Helper()
		if mark != "" {
			more += `,"since":"` + mark + `"`
		}
		query := "?timeout=0"
		if pos != "" {
			query += "&pos=" + url.QueryEscape(pos)
		}
		answer := alice.Must("POST", "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"+query,
			`{"lists":{"a":{"ranges":[[0,0]],"timeline_limit":1,"required_state":[]}},"extensions":{"org.matrix.msc4354.sticky_events":{"enabled":true`+more+`}}}`)
		pos = answer.Get("pos").String()
		return answer.Get("extensions").Get("org.matrix.msc4354.sticky_events")
	}
	take := func(told canonjson.Value) { // as a client that has got the answer
		if next := told.Get("next_batch"); next != nil {
			mark = next.String()
		}
	}
	first := slide(`,"limit":2`)
	if got := string(first.Get("rooms").Get(roomID)); !strings.Contains(got, "no1") || !strings.Contains(got, "no2") || strings.Contains(got, "no3") {
		t.Errorf("the oldest are %s", first)
	}
	if again := slide(`,"limit":2`); strings.Count(string(again), `"no`) != 2 || string(again.Get("next_batch")) != string(first.Get("next_batch")) {
		t.Errorf("who has not got them gets %s", again)
	}
	take(first)
	second := slide(``)
	if got := string(second.Get("rooms").Get(roomID)); strings.Contains(got, "no2") || !strings.Contains(got, "no3") {
		t.Errorf("the others are %s", second)
	}
	take(second)
	if got := slide(``); got.Get("rooms") != nil {
		t.Errorf("when all was told: %s", got)
	}
	alice.Must("PUT", r+"/send/org.test.call/4"+stickyFor+"600000", `{"n":"no4"}`)
	if got := slide(``); got.Get("rooms") != nil {
		t.Errorf("what is in the timeline comes beside it, too: %s", got)
	}
	if status, answer := alice.Do("POST", "/_matrix/client/v4/sync", `{"extensions":{"org.matrix.msc4354.sticky_events":{"enabled":true,"since":"x"}}}`); status != 400 {
		t.Errorf("a token of nobody: %d %s", status, answer)
	}
}

// TestStickyEventsExpire, and what is delayed is sticky from when it is sent.
func TestStickyEventsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := hstest.New(t).Server("a.test")
		alice := a.Register("alice")
		r := room(alice, `{}`)
		roomID, _ := url.PathUnescape(r[len("/_matrix/client/v3/rooms/"):])
		alice.Must("PUT", r+"/send/org.test.call/1"+stickyFor+"300000", `{"n":"at once"}`)
		alice.Must("PUT", r+"/send/org.test.call/2"+stickyFor+"300000&org.matrix.msc4140.delay=240000", `{"n":"later"}`)
		alice.Must("PUT", "/_matrix/client/v3/rooms/"+url.PathEscape(roomID)+"/delayed_event/org.test.call/3"+stickyFor+"60000", `{"delay_ms":200000,"content":{"n":"in between"}}`)
		sticky := func() string {
			answer := alice.Must("GET", `/_matrix/client/v3/sync?filter={"room":{"timeline":{"limit":1,"types":["m.none"]}}}&timeout=0`, nil)
			return string(answer.Get("rooms").Get("join").Get(roomID).Get("msc4354_sticky"))
		}
		if got := sticky(); !strings.Contains(got, "at once") || strings.Contains(got, "later") {
			t.Errorf("at first there is %s", got)
		}
		time.Sleep(241 * time.Second)
		if got := sticky(); !strings.Contains(got, "at once") || !strings.Contains(got, "later") || !strings.Contains(got, "in between") {
			t.Errorf("after four minutes there is %s", got)
		}
		time.Sleep(time.Minute)
		if got := sticky(); strings.Contains(got, "at once") || !strings.Contains(got, "later") || strings.Contains(got, "in between") {
			t.Errorf("after five minutes there is %s", got)
		}
		time.Sleep(4 * time.Minute)
		if got := sticky(); got != "" {
			t.Errorf("in the end there is %s", got)
		}
		time.Sleep(time.Hour)
	})
}
