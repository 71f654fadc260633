package csapi_test

import (
	"net/url"
	"strconv"
	"strings"
	"testing"

	"parley/internal/config"
	"parley/internal/hstest"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
)

func TestThreadsAreSubscribedTo(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		a := hstest.New(t).Server("a.test", hstest.Database(location))
		alice, bob := a.Register("alice"), a.Register("bob")
		r := room(alice, `{"preset":"public_chat"}`)
		roomID, _ := url.PathUnescape(r[len("/_matrix/client/v3/rooms/"):])
		say := func(n, content string) string {
			return alice.Must("PUT", r+"/send/m.room.message/"+n, content).Get("event_id").String()
		}
		root := say("1", `{"body":"a thread","msgtype":"m.text"}`)
		reply := func(n string) string {
			return say(n, `{"body":"hello","msgtype":"m.text","m.relates_to":{"rel_type":"m.thread","event_id":"`+root+`"}}`)
		}
		first, other := reply("2"), say("3", `{"body":"something else","msgtype":"m.text"}`)
		bob.Must("POST", r+"/join", `{}`)
		const unstable = "/_matrix/client/unstable/io.element."
		of := func(root string) string {
			return unstable + "msc4306/rooms/" + url.PathEscape(roomID) + "/thread/" + url.PathEscape(root) + "/subscription"
		}
		carol := a.Register("carol")
		try := func(name string, u *hstest.User, method, path, body, want string, status int) {
			t.Helper()
			var content any
			if body != "" {
				content = body
			}
			got, answer := u.Do(method, path, content)
			if code := answer.Get("errcode"); got != status || status >= 400 && !code.Is(want) || status < 400 && string(answer) != want {
				t.Errorf("%s: got %d %s, want %d %s", name, got, answer, status, want)
			}
		}
		const conflict, outside = "IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION", "IO.ELEMENT.MSC4306.M_NOT_IN_THREAD"
		try("nobody is by default", bob, "GET", of(root), "", "M_NOT_FOUND", 404)
		try("which can be ended all the same", bob, "DELETE", of(root), "", `{}`, 200)
		try("a client subscribes", bob, "PUT", of(root), `{"automatic":"`+first+`"}`, `{}`, 200)
		try("and says so", bob, "GET", of(root), "", `{"automatic":true}`, 200)
		try("the user subscribes", bob, "PUT", of(root), `{}`, `{}`, 200)
		try("which counts more", bob, "GET", of(root), "", `{"automatic":false}`, 200)
		try("than what clients do again", bob, "PUT", of(root), `{"automatic":"`+first+`"}`, `{}`, 200)
		try("and stays so", bob, "GET", of(root), "", `{"automatic":false}`, 200)
		try("the user unsubscribes", bob, "DELETE", of(root), "", `{}`, 200)
		try("and is not any more", bob, "GET", of(root), "", "M_NOT_FOUND", 404)
		try("a late client does not undo it", bob, "PUT", of(root), `{"automatic":"`+first+`"}`, conflict, 409)
		second := reply("4")
		try("but by what was said afterwards", bob, "PUT", of(root), `{"automatic":"`+second+`"}`, `{}`, 200)
		try("a cause is in the thread", bob, "PUT", of(root), `{"automatic":"`+other+`"}`, outside, 400)
		try("and there", bob, "PUT", of(root), `{"automatic":"$nothing"}`, outside, 400)
		try("what is in a thread begins none", bob, "PUT", of(first), `{}`, "M_NOT_FOUND", 404)
		try("nor what is not there", bob, "PUT", of("$nothing"), `{}`, "M_NOT_FOUND", 404)
		try("others know nothing", carol, "GET", of(root), "", "M_NOT_FOUND", 404)
		try("and cannot subscribe", carol, "PUT", of(root), `{}`, "M_NOT_FOUND", 404)
		try("nor unsubscribe", carol, "DELETE", of(root), "", "M_NOT_FOUND", 404)

		bob.Must("PUT", of(other), `{}`)
		bob.Must("DELETE", of(other), nil)
		a.Restart() // killed
		list := unstable + "msc4308/thread_subscriptions?dir=b&limit=1"
		page := bob.Must("GET", list, nil)
		if got := page.Get("unsubscribed").Get(roomID).Get(other); got.Get("bump_stamp") == nil || page.Get("subscribed") != nil {
			t.Errorf("the newest is %s", page)
		}
		next := bob.Must("GET", list+"&from="+page.Get("end").String(), nil)
		if got := next.Get("subscribed").Get(roomID).Get(root); string(got.Get("automatic")) != "true" || next.Get("end") != nil {
			t.Errorf("before that is %s", next)
		}
		if got := bob.Must("GET", list+"&to="+page.Get("end").String(), nil); string(got) != string(canonjson.Value(page).Without("end")) {
			t.Errorf("up to there is %s", got)
		}
		try("there is a direction", bob, "GET", unstable+"msc4308/thread_subscriptions", "", "M_MISSING_PARAM", 400)
		try("which is back", bob, "GET", unstable+"msc4308/thread_subscriptions?dir=f", "", "M_INVALID_PARAM", 400)
		try("a page has something", bob, "GET", unstable+"msc4308/thread_subscriptions?dir=b&limit=0", "", "M_INVALID_PARAM", 400)
		try("a token is one", bob, "GET", unstable+"msc4308/thread_subscriptions?dir=b&from=x", "", "M_INVALID_PARAM", 400)
	})
}

// TestSlidingSyncTellsOfThreads: what an answer tells and what is paged between its
// prev_batch and the pos of its request is all that has changed.
func TestSlidingSyncTellsOfThreads(t *testing.T) {
	const unstable = "/_matrix/client/unstable/io.element."
	a := hstest.New(t).Server("a.test")
	alice := a.Register("alice")
	r := room(alice, `{}`)
	roomID, _ := url.PathUnescape(r[len("/_matrix/client/v3/rooms/"):])
	var roots []string
	for _, n := range []string{"1", "2", "3", "4"} {
		roots = append(roots, alice.Must("PUT", r+"/send/m.room.message/"+n, `{"body":"a thread","msgtype":"m.text"}`).Get("event_id").String())
	}
	want := func(method, root string) {
		t.Helper()
		alice.Must(method, unstable+"msc4306/rooms/"+url.PathEscape(roomID)+"/thread/"+url.PathEscape(root)+"/subscription", `{}`)
	}
	const body = `{"conn_id":"c","extensions":{"io.element.msc4308.thread_subscriptions":{"enabled":true,"limit":2}}`
	forms := map[string]func(pos, timeout string) canonjson.Value{
		"merged": func(pos, timeout string) canonjson.Value {
			if pos != "" {
				pos = `,"pos":"` + pos + `"`
			}
			return alice.Must("POST", "/_matrix/client/v4/sync", body+pos+`,"timeout":`+timeout+`}`)
		},
		"unstable": func(pos, timeout string) canonjson.Value {
			if pos != "" {
				pos = "&pos=" + url.QueryEscape(pos)
			}
			return alice.Must("POST", "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout="+timeout+pos, body+`}`)
		},
	}
	of := func(answer canonjson.Value) canonjson.Value {
		return answer.Get("extensions").Get("io.element.msc4308.thread_subscriptions")
	}
	for name, slide := range forms {
		want("DELETE", roots[0])
		want("PUT", roots[0])
		first := slide("", "0")
		if got := of(first).Get("subscribed").Get(roomID).Get(roots[0]); string(got.Get("automatic")) != "false" {
			t.Fatalf("%s: at first %s", name, first)
		}
		pos := first.Get("pos").String()
		if got := of(slide(pos, "0")); got != nil {
			t.Errorf("%s: nothing has changed, but %s", name, got)
		}
		want("PUT", roots[1])
		want("PUT", roots[2])
		want("PUT", roots[3])
		want("DELETE", roots[1])
		second := slide(pos, "30000")
		told := of(second)
		if told.Get("unsubscribed").Get(roomID).Get(roots[1]) == nil || told.Get("subscribed").Get(roomID).Get(roots[3]) == nil {
			t.Errorf("%s: the last two are %s", name, told)
		}
		page := alice.Must("GET", unstable+"msc4308/thread_subscriptions?dir=b&from="+told.Get("prev_batch").String()+"&to="+url.QueryEscape(pos), nil)
		if page.Get("subscribed").Get(roomID).Get(roots[2]) == nil || page.Get("subscribed").Get(roomID).Get(roots[0]) != nil || page.Get("end") != nil {
			t.Errorf("%s: those between are %s", name, page)
		}
		if again := of(slide(pos, "0")); string(again) != string(told) {
			t.Errorf("%s: who has lost the answer gets %s, not %s", name, again, told)
		}
		want("DELETE", roots[2])
		want("DELETE", roots[3])
	}
}

// TestThreadsNotifyWhoSubscribes where the server is set so, in the counts of both
// kinds of syncs.
func TestThreadsNotifyWhoSubscribes(t *testing.T) {
	a := hstest.New(t).Server("a.test", func(c *config.Config) { c.Threads.Subscriptions = true })
	alice, bob := a.Register("alice"), a.Register("bob")
	if features := alice.Must("GET", "/_matrix/client/versions", nil).Get("unstable_features"); !features.Get("org.matrix.msc4306").True() {
		t.Errorf("the server can do %s", features)
	}
	r := room(alice, `{"preset":"public_chat"}`)
	roomID, _ := url.PathUnescape(r[len("/_matrix/client/v3/rooms/"):])
	bob.Must("POST", r+"/join", `{}`)
	root := alice.Must("PUT", r+"/send/m.room.message/1", `{"body":"a thread","msgtype":"m.text"}`).Get("event_id").String()
	n := 1
	reply := func(mentions string) {
		n++
		alice.Must("PUT", r+"/send/m.room.message/"+strconv.Itoa(n), `{"body":"hello","msgtype":"m.text","m.mentions":`+mentions+`,"m.relates_to":{"rel_type":"m.thread","event_id":"`+root+`"}}`)
	}
	since, pos := "", ""
	count := func(want string) {
		t.Helper()
		v3 := bob.Must("GET", "/_matrix/client/v3/sync?timeout=0&since="+since, nil)
		since = v3.Get("next_batch").String()
		counts := v3.Get("rooms").Get("join").Get(roomID).Get("unread_notifications")
		if got := string(counts.Get("notification_count")) + "/" + string(counts.Get("highlight_count")); got != want {
			t.Errorf("/sync counts %s, want %s", got, want)
		}
		query := "?timeout=0"
		if pos != "" {
			query += "&pos=" + url.QueryEscape(pos)
		}
		slid := bob.Must("POST", "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"+query, `{"lists":{"a":{"ranges":[[0,9]],"timeline_limit":1,"required_state":[]}}}`)
		pos = slid.Get("pos").String()
		counts = slid.Get("rooms").Get(roomID)
		if got := string(counts.Get("notification_count")) + "/" + string(counts.Get("highlight_count")); got != want {
			t.Errorf("sliding sync counts %s, want %s", got, want)
		}
	}
	subscription := "/_matrix/client/unstable/io.element.msc4306/rooms/" + url.PathEscape(roomID) + "/thread/" + url.PathEscape(root) + "/subscription"
	for _, path := range []string{"/_matrix/client/v3/pushrules/", "/_matrix/client/v3/pushrules/global/"} {
		if got := bob.Must("GET", path, nil); !strings.Contains(string(got), "subscribed_thread") {
			t.Errorf("%s: %s", path, got)
		}
	}
	count("1/0") // the root
	reply(`{}`)
	count("1/0")
	reply(`{"user_ids":["@bob:a.test"]}`)
	count("2/1")
	bob.Must("PUT", subscription, `{}`)
	count("3/1")
	reply(`{}`)
	count("4/1")
	if got := bob.Must("GET", "/_matrix/client/v3/notifications", nil).Get("notifications"); strings.Count(string(got), `"room_id"`) != 4 {
		t.Errorf("what has notified is %s", got)
	}
	bob.Must("DELETE", subscription, nil)
	count("2/1")
	const rule = "/_matrix/client/v3/pushrules/global/postcontent/.io.element.msc4306.rule.unsubscribed_thread"
	if got := bob.Must("GET", rule, nil); !got.Get("enabled").True() {
		t.Errorf("the rule is %s", got)
	}
	bob.Must("PUT", rule+"/enabled", `{"enabled":false}`)
	count("4/1")
	if status, answer := bob.Do("PUT", "/_matrix/client/v3/pushrules/global/postcontent/mine", `{"actions":[]}`); status != 400 || !answer.Get("errcode").Is("M_INVALID_PARAM") {
		t.Errorf("a rule of one's own: %d %s", status, answer)
	}
}
