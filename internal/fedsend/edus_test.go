package fedsend

import (
	"fmt"
	"testing"
	"time"

	"parley/internal/ephemeral"
	"parley/internal/receipt"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

func member(v canonjson.Value, names ...string) canonjson.Value {
	for _, name := range names {
		v = v.Get(name)
	}
	return v
}

func TestReceiptsOfOneUserInSeveralThreadsGoApart(t *testing.T) {
	var n news
	for _, thread := range []string{"", "main", "$root"} {
		r := receipt.Receipt{User: "@a:a.test", Type: receipt.TypeRead, Thread: thread, EventID: id.EventID("$in" + thread), TS: 5}
		put(&n.receipts, receiptKey{"!r:a.test", r.User, thread}, r)
	}
	put(&n.receipts, receiptKey{"!r:a.test", "@b:a.test", ""}, receipt.Receipt{User: "@b:a.test", EventID: "$b", TS: 6})
	put(&n.receipts, receiptKey{"!s:a.test", "@a:a.test", ""}, receipt.Receipt{User: "@a:a.test", EventID: "$s", TS: 7})
	edus := n.take(time.Now(), mostEDUs)
	want := []string{
		`{"content":{"!r:a.test":{"m.read":{"@a:a.test":{"data":{"ts":5},"event_ids":["$in"]},"@b:a.test":{"data":{"ts":6},"event_ids":["$b"]}}},"!s:a.test":{"m.read":{"@a:a.test":{"data":{"ts":7},"event_ids":["$s"]}}}},"edu_type":"m.receipt"}`,
		`{"content":{"!r:a.test":{"m.read":{"@a:a.test":{"data":{"thread_id":"$root","ts":5},"event_ids":["$in$root"]}}}},"edu_type":"m.receipt"}`,
		`{"content":{"!r:a.test":{"m.read":{"@a:a.test":{"data":{"thread_id":"main","ts":5},"event_ids":["$inmain"]}}}},"edu_type":"m.receipt"}`,
	}
	if got := fmt.Sprintf("%s", edus); got != fmt.Sprintf("%s", want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !n.empty() {
		t.Error("there are news left")
	}
}

func TestOnlyTheLastWordIsTold(t *testing.T) {
	var n news
	for _, typing := range []bool{true, false, true, false} {
		put(&n.typing, typingKey{"!r:a.test", "@a:a.test"}, typing)
	}
	edus := n.take(time.Now(), mostEDUs)
	if len(edus) != 1 || member(edus[0], "content", "typing").True() {
		t.Errorf("got %s", edus)
	}
}

func TestATransactionHasABoundedNumberOfEDUs(t *testing.T) {
	var n news
	for i := range 2 * mostNews {
		user := id.UserID(fmt.Sprintf("@%d:a.test", i))
		put(&n.typing, typingKey{"!r:a.test", user}, true)
		put(&n.presence, user, ephemeral.Status{State: ephemeral.Online})
	}
	users, transactions := 0, 0
	for ; !n.empty(); transactions++ {
		edus := n.take(time.Now(), mostEDUs)
		if len(edus) > 100 {
			t.Fatalf("there are %d EDUs", len(edus))
		}
		for _, edu := range edus {
			for range member(edu, "content", "push").Elements() {
				users++
			}
		}
	}
	if users != mostNews || transactions != 21 {
		t.Errorf("told of %d users in %d transactions", users, transactions)
	}
}

func TestWhatIsSaidOfSomebodyOnline(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	for name, tt := range map[string]struct {
		status ephemeral.Status
		want   string
	}{
		"active": {ephemeral.Status{State: ephemeral.Online, Active: now.Add(-time.Second), Currently: true, Message: "here"},
			`{"currently_active":true,"last_active_ago":1000,"presence":"online","status_msg":"here","user_id":"@a:a.test"}`},
		"idle": {ephemeral.Status{State: ephemeral.Unavailable, Active: now.Add(-time.Minute)},
			`{"last_active_ago":60000,"presence":"unavailable","user_id":"@a:a.test"}`},
		"busy, which others do not know": {ephemeral.Status{State: ephemeral.Busy, Active: now},
			`{"currently_active":false,"last_active_ago":0,"presence":"online","user_id":"@a:a.test"}`},
		"gone": {ephemeral.Status{}, `{"last_active_ago":0,"presence":"offline","user_id":"@a:a.test"}`},
	} {
		if got := string(presenceOf("@a:a.test", tt.status, now)); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}
