package room

import (
	"fmt"
	"maps"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/pushrule"
)

// someRules are rules of bob, each with another effect on a room.
func someRules(t testing.TB, roomID id.RoomID, proposed pushrule.Proposed) []*pushrule.Personal {
	in := fmt.Sprintf(`{"kind":"event_match","key":"room_id","pattern":%q}`, roomID)
	list := []*pushrule.Personal{nil}
	for _, rules := range [][][3]string{
		{{"override", "mute", `{"actions":[],"conditions":[` + in + `]}`}},
		{{"override", "mute", `{"actions":[],"conditions":[{"kind":"event_match","key":"room_id","pattern":"!other"}]}`}},
		{{"room", string(roomID), `{"actions":[]}`}},
		{{"room", string(roomID), `{"actions":["notify"]}`}},
		{{"room", string(roomID), `{"actions":[]}`}, {"content", "k", `{"actions":["notify",{"set_tweak":"highlight"}],"pattern":"hi"}`}},
		{{"sender", string(bob), `{"actions":[]}`}, {"sender", string(carol), `{"actions":["notify"]}`}},
		{{"underride", "all", `{"actions":["notify"],"conditions":[]}`}, {"override", "not", `{"actions":[],"conditions":[{"kind":"event_match","key":"type","pattern":"m.room.encrypted"}]}`}},
	} {
		var s pushrule.Settings
		for _, r := range rules {
			rule, err := pushrule.ParseRule(pushrule.Kind(r[0]), r[1], []byte(r[2]))
			if err == nil {
				s, err = s.PutRule(pushrule.Kind(r[0]), rule, pushrule.Position{})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		list = append(list, pushrule.NewPersonal(s, proposed.Default(bob), bob))
	}
	for _, rule := range proposed.Default(bob).Postcontent {
		s, err := pushrule.Settings{}.SetEnabled(proposed.Default(bob), pushrule.Postcontent, rule.RuleID, false)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, pushrule.NewPersonal(s, proposed.Default(bob), bob))
	}
	return list
}

// checkBy holds what is unread by rules of a user against these rules, applied to
// each event.
func (r *readers) checkBy(user id.UserID, items []Item, at Moment) {
	r.t.Helper()
	if user != bob || r.rules == nil {
		return
	}
	// The same for a while, so that what is in memory of it goes on.
	which := len(items) / 12 % len(r.rules)
	rules, evaluator := r.rules[which], pushrule.Compile(r.proposed.Default(user), user)
	if rules != nil {
		evaluator = rules.Evaluator
	}
	want := r.naive(user, evaluator, items, at.Place)
	var all Counts
	for _, c := range want {
		all = all.plus(c)
	}
	for range 2 { // the second time from memory
		got, err := r.UnreadBy(ctx, rules, r.roomID, user, r.num(r.roomID), at, r.receipts[user], false)
		if err != nil || got.Counts != all {
			r.t.Fatalf("at %d by rules %d there is %+v, %v; want %+v", at.Place, which, got, err, all)
		}
		got, err = r.UnreadBy(ctx, rules, r.roomID, user, r.num(r.roomID), at, r.receipts[user], true)
		if got.Counts != (Counts{}) {
			got.Threads[""] = got.Counts
		}
		if err != nil || !maps.Equal(got.Threads, want) {
			r.t.Fatalf("at %d by rules %d there is by threads %+v, %v; want %+v", at.Place, which, got, err, want)
		}
	}
}

// TestWhatIsFarBackIsNotCounted where each event has to be looked at, and what is
// nearer is, however it is asked for.
func TestWhatIsFarBackIsNotCounted(t *testing.T) {
	n := start(t, storetest.Open(t, t.TempDir()+"/parley.db"), Options{})
	roomID := n.create(NewRoom{Preset: PublicChat})
	n.send(roomID, join(bob))
	rules := someRules(t, roomID, pushrule.Proposed{})[4]
	count := func() int64 {
		t.Helper()
		u, err := n.UnreadBy(ctx, rules, roomID, bob, n.num(roomID), mustNow(n, roomID), Reads{}, false)
		if err != nil {
			t.Fatal(err)
		}
		return u.Notifications
	}
	for i := range UnreadWindow + 40 {
		n.send(roomID, message(alice, "hi"))
		if want := int64(min(i+1, UnreadWindow)); i%97 == 0 || i > UnreadWindow-10 {
			if got := count(); got != want {
				t.Fatalf("after %d messages %d are unread, want %d", i+1, got, want)
			}
		}
	}
	n.notified.Clear()
	if got := count(); got != UnreadWindow {
		t.Errorf("looked at anew, %d are unread", got)
	}
}

// TestWhatWasPurgedOfThreadsIsNotUnread by anybody's rules: nobody will read it.
func TestWhatWasPurgedOfThreadsIsNotUnread(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{Grace: -1})
		for _, which := range []int{0, 5, 7} {
			roomID := n.create(NewRoom{Preset: PublicChat})
			n.send(roomID, join(bob))
			root := n.send(roomID, message(alice, "hi")).EventID
			threaded := message(alice, "hi")
			threaded.Content = threaded.Content.With("m.relates_to", canonjson.Value(`{"event_id":"`+string(root)+`","rel_type":"m.thread"}`))
			n.send(roomID, threaded)
			n.send(roomID, message(bob, "the thread is not read by this"))
			n.send(roomID, message(alice, "hi"))
			rules := someRules(t, roomID, pushrule.Proposed{})[which]
			for _, want := range []int64{2, 1} {
				u, err := n.UnreadBy(ctx, rules, roomID, bob, n.num(roomID), mustNow(n, roomID), Reads{}, false)
				if err != nil || u.Notifications != want {
					t.Errorf("by rules %d there is %+v, %v, want %d", which, u, err, want)
				}
				n.purge(n.PurgeHistory(ctx, roomID, mustNow(n, roomID).Place, false))
			}
		}
	})
}

// BenchmarkUnreadBy counts after each message what is unread for somebody whose
// rules say something else of each event, with few and with many events unread;
// cold, nothing of them is in memory.
func BenchmarkUnreadBy(b *testing.B) {
	for _, unread := range []int{100, 1000} {
		n := start(b, storetest.Open(b, b.TempDir()+"/parley.db"), Options{})
		roomID := n.create(NewRoom{Preset: PublicChat})
		n.send(roomID, join(bob))
		for range unread {
			n.send(roomID, message(alice, "how are you today?"))
		}
		rules, num, at := someRules(b, roomID, pushrule.Proposed{})[5], n.num(roomID), mustNow(n, roomID)
		count := func() {
			if _, err := n.UnreadBy(ctx, rules, roomID, bob, num, at, Reads{}, false); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(fmt.Sprintf("unread=%d/warm", unread), func(b *testing.B) {
			for b.Loop() {
				count()
			}
		})
		b.Run(fmt.Sprintf("unread=%d/cold", unread), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				n.notified.Clear()
				n.forgetAll()
				b.StartTimer()
				count()
			}
		})
	}
}
