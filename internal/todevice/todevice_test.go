package todevice

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

var ctx = context.Background()

const (
	alice id.UserID = "@alice:a.test"
	bob   id.UserID = "@bob:a.test"
	carol id.UserID = "@carol:b.test"
)

// node is a store with its journal, running.
type node struct {
	*Store
	t       testing.TB
	devices map[id.UserID][]id.DeviceID
	stop    func()
	head    func() journal.Position
}

func start(t testing.TB, db *store.DB, set ...func(*Options)) *node {
	t.Helper()
	j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, head: j.Head, devices: map[id.UserID][]id.DeviceID{alice: {"PHONE", "DESK"}, bob: {"PHONE"}}}
	o := Options{Server: "a.test", Devices: func(_ *store.Tx, users []id.UserID) (map[id.UserID][]id.DeviceID, error) {
		found := make(map[id.UserID][]id.DeviceID)
		for _, user := range users {
			if list := n.devices[user]; list != nil {
				found[user] = list
			}
		}
		return found, nil
	}}
	for _, f := range set {
		f(&o)
	}
	n.Store = New(db, j, o)
	running, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { j.Run(running) })
	n.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
	t.Cleanup(n.stop)
	return n
}

// message is what bob says, to users and their devices: "@alice:a.test PHONE".
func message(text string, to ...string) Message {
	m := Message{Sender: bob, Type: "m.test", To: make(map[id.UserID]map[id.DeviceID]canonjson.Value)}
	for _, address := range to {
		user, device, _ := strings.Cut(address, " ")
		if m.To[id.UserID(user)] == nil {
			m.To[id.UserID(user)] = make(map[id.DeviceID]canonjson.Value)
		}
		m.To[id.UserID(user)][id.DeviceID(device)] = canonjson.Value("{}").With("body", canonjson.Text(text))
	}
	return m
}

func (n *node) send(text string, to ...string) {
	n.t.Helper()
	if err := n.Send(ctx, message(text, to...), Transaction{}); err != nil {
		n.t.Fatal(err)
	}
}

// reads returns what a device gets behind a position, up to a limit, and where that
// ends.
func (n *node) reads(user id.UserID, device id.DeviceID, after journal.Position, limit int) (texts []string, told journal.Position) {
	n.t.Helper()
	messages, told, err := n.Read(ctx, user, device, after, n.head(), limit)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, m := range messages {
		body, _ := m.Get("content").Get("body").Text()
		texts = append(texts, body)
	}
	return texts, told
}

func (n *node) expect(user id.UserID, device id.DeviceID, after journal.Position, want ...string) {
	n.t.Helper()
	if got, _ := n.reads(user, device, after, 1000); !slices.Equal(got, want) {
		n.t.Errorf("device %s of %s gets %q, want %q", device, user, got, want)
	}
}

func (n *node) acknowledge(user id.UserID, device id.DeviceID, upTo journal.Position) {
	n.t.Helper()
	if err := n.Acknowledge(ctx, user, device, upTo); err != nil {
		n.t.Fatal(err)
	}
}

func TestADeviceGetsEachMessageUntilItSaysThatItHasIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db)
		n.send("one", "@alice:a.test PHONE")
		n.send("two", "@alice:a.test PHONE", "@alice:a.test DESK")
		n.send("three", "@alice:a.test *")
		n.send("nobody", "@alice:a.test GONE", "@who:a.test PHONE")
		n.expect(alice, "PHONE", 0, "one", "two", "three")
		n.expect(alice, "DESK", 0, "two", "three")
		n.expect(bob, "PHONE", 0)
		first, told := n.reads(alice, "PHONE", 0, 2)
		if !slices.Equal(first, []string{"one", "two"}) {
			t.Fatalf("the first two are %q", first)
		}
		n.expect(alice, "PHONE", told, "three")
		n.acknowledge(alice, "PHONE", told)
		n.expect(alice, "PHONE", 0, "three")
		n.expect(alice, "DESK", 0, "two", "three")
		n.acknowledge(alice, "PHONE", n.head())
		n.expect(alice, "PHONE", 0)

		n.stop()
		n = start(t, db)
		n.expect(alice, "PHONE", 0)
		n.expect(alice, "DESK", 0, "two", "three")
		n.send("four", "@alice:a.test PHONE")
		n.expect(alice, "PHONE", 0, "four")
	})
}

func TestWhatIsForOneDeviceOnlyIsWhatADeviceGets(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db)
		m := message("all", "@alice:a.test *")
		m.To[alice]["DESK"] = canonjson.Value(`{"body":"desk"}`)
		if err := n.Send(ctx, m, Transaction{}); err != nil {
			t.Fatal(err)
		}
		n.expect(alice, "PHONE", 0, "all")
		n.expect(alice, "DESK", 0, "desk")
		messages, _, err := n.Read(ctx, alice, "DESK", 0, n.head(), 1)
		if want := `{"content":{"body":"desk"},"sender":"@bob:a.test","type":"m.test"}`; err != nil || string(messages[0]) != want {
			t.Errorf("got %s, %v, want %s", messages[0], err, want)
		}
	})
}

func TestTokensOfMessagesLeadOn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db)
		for i := range 5 {
			n.send(fmt.Sprint(i), "@alice:a.test PHONE")
		}
		deliver := func(since string) (texts, next string) {
			t.Helper()
			messages, next, err := n.Deliver(ctx, alice, "PHONE", since, 2, n.head())
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range messages {
				texts += m.Get("content").Get("body").String()
			}
			return texts, next
		}
		first, second := deliver("")
		again, _ := deliver("")
		middle, third := deliver(second)
		if first != "01" || again != "01" || middle != "23" {
			t.Errorf("got %s, %s, %s", first, again, middle)
		}
		if left, _ := deliver("d1_99_elsewhere"); left != "23" {
			t.Errorf("a token from elsewhere leads to %s", left)
		}
		if last, end := deliver(third); last != "4" || end == third {
			t.Errorf("at last there is %s", last)
		}
		for _, bad := range []string{"x", "d1_", "d1_1", "d1_x_epoch", "d1_-1_epoch"} {
			if _, _, err := n.Deliver(ctx, alice, "PHONE", bad, 2, n.head()); !errors.Is(err, mxerr.InvalidParam) {
				t.Errorf("%s: %v", bad, err)
			}
		}
	})
}

func TestARequestThatIsRepeatedIsSentOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db)
		send := func(kind, device, txn string) {
			m := message(kind+device+txn, "@alice:a.test PHONE", "@carol:b.test PHONE")
			m.Type = kind
			if err := n.Send(ctx, m, Transaction{id.DeviceID(device), txn}); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { send("a", "PHONE", "1") })
		}
		wg.Wait()
		send("a", "PHONE", "1")
		send("b", "PHONE", "1")
		send("a", "DESK", "1")
		send("a", "PHONE", "2")
		n.expect(alice, "PHONE", 0, "aPHONE1", "bPHONE1", "aDESK1", "aPHONE2")
		owed, err := n.Owed(ctx, 0, n.head())
		if err != nil || len(owed) != 4 {
			t.Errorf("%d are owed to others, %v", len(owed), err)
		}
	})
}

func TestWhatIsTooMuchIsRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db)
		long := message(strings.Repeat("x", mostContent), "@alice:a.test PHONE")
		if err := n.Send(ctx, long, Transaction{}); !errors.Is(err, mxerr.TooLarge) {
			t.Errorf("a long message: %v", err)
		}
		many := message("x", "@alice:a.test PHONE")
		for i := range mostRecipients {
			many.To[alice][id.DeviceID(fmt.Sprint(i))] = canonjson.Value("{}")
		}
		if err := n.Send(ctx, many, Transaction{}); !errors.Is(err, mxerr.TooLarge) {
			t.Errorf("a message to many: %v", err)
		}
		named := message("x", "@alice:a.test PHONE")
		named.Type = strings.Repeat("x", mostType+1)
		if err := n.Send(ctx, named, Transaction{}); !errors.Is(err, mxerr.InvalidParam) {
			t.Errorf("a long type: %v", err)
		}
		n.expect(alice, "PHONE", 0)
	})
}

func TestOfWhatNobodyFetchesTheOldestGoes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, func(o *Options) { o.MostMessages = 20 })
		for i := range 100 {
			n.send(fmt.Sprint(i), "@alice:a.test PHONE", "@carol:b.test PHONE")
		}
		got, _ := n.reads(alice, "PHONE", 0, 1000)
		owed, err := n.Owed(ctx, 0, n.head())
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > 20 || len(got) < 15 || got[len(got)-1] != "99" || len(owed) > 20 || len(owed) < 15 {
			t.Errorf("there wait %q, and %d abroad", got, len(owed))
		}
		if n.Dropped() != int64(200-len(got)-len(owed)) {
			t.Errorf("%d were dropped", n.Dropped())
		}
		n.acknowledge(alice, "PHONE", n.head())
		n.expect(alice, "PHONE", 0)
	})
}

func TestOfLongMessagesFewerWait(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, func(o *Options) { o.MostBytes = 100_000 })
		for range 30 {
			n.send(strings.Repeat("x", 10_000), "@alice:a.test PHONE")
		}
		if got, _ := n.reads(alice, "PHONE", 0, 1000); len(got) > 10 || len(got) < 7 {
			t.Errorf("there wait %d", len(got))
		}
	})
}

func TestWithADeviceGoesWhatWaitsForIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db)
		n.send("one", "@alice:a.test *")
		err := db.Update(ctx, func(tx *store.Tx) error { return n.Forget(tx, alice, []id.DeviceID{"PHONE"}) })
		if err != nil {
			t.Fatal(err)
		}
		n.expect(alice, "PHONE", 0)
		n.expect(alice, "DESK", 0, "one")
		n.send("two", "@alice:a.test PHONE")
		n.expect(alice, "PHONE", 0, "two")
	})
}

func TestWhatWaitsForAServerIsForgottenWhenItHasIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db)
		n.send("one", "@carol:b.test PHONE", "@dan:c.test PHONE")
		half := n.head()
		n.send("two", "@carol:b.test *")
		to := func(server id.ServerName) (texts []string) {
			list, _, err := n.OwedTo(ctx, server, 0, n.head(), 10)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range list {
				for _, devices := range o.EDU.Get("content").Get("messages").Members() {
					for device, content := range devices.Members() {
						texts = append(texts, device.String()+content.Get("body").String())
					}
				}
			}
			return texts
		}
		if got := to("b.test"); !slices.Equal(got, []string{"PHONEone", "*two"}) {
			t.Errorf("b.test gets %q", got)
		}
		if err := db.Update(ctx, func(tx *store.Tx) error { return n.Taken(tx, "b.test", half+1) }); err != nil {
			t.Fatal(err)
		}
		if got := to("b.test"); !slices.Equal(got, []string{"*two"}) {
			t.Errorf("b.test gets %q", got)
		}
		if got := to("c.test"); !slices.Equal(got, []string{"PHONEone"}) {
			t.Errorf("c.test gets %q", got)
		}
	})
}

func TestAnEDUIsTakenInOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db)
		receive := func(origin id.ServerName, content string) {
			t.Helper()
			if err := n.Receive(origin, canonjson.Value(content))(); err != nil {
				t.Fatal(err)
			}
		}
		const one = `{"message_id":"1","messages":{"@alice:a.test":{"*":{"body":"one"}},"@carol:b.test":{"PHONE":{}}},"sender":"@carol:b.test","type":"m.test"}`
		receive("b.test", one)
		receive("b.test", one)
		receive("b.test", strings.Replace(one, `"one"`, `"again"`, 1))
		n.stop()
		n = start(t, db)
		receive("b.test", one)
		receive("c.test", one) // carol is not of c.test
		receive("c.test", strings.ReplaceAll(strings.Replace(one, "one", "two", 1), "carol:b.test", "dan:c.test"))
		n.expect(alice, "PHONE", 0, "one", "two")
		n.expect(alice, "DESK", 0, "one", "two")
	})
}

func TestALargeMessageGoesInSeveralEDUs(t *testing.T) {
	m := message("x")
	m.To[carol] = make(map[id.DeviceID]canonjson.Value)
	m.To["@dan:b.test"] = make(map[id.DeviceID]canonjson.Value)
	content := canonjson.Value("{}").With("body", canonjson.Text(strings.Repeat("x", 20_000)))
	for i := range 10 {
		m.To[carol][id.DeviceID(fmt.Sprint("D", i))] = content
		m.To["@dan:b.test"][id.DeviceID(fmt.Sprint("D", i))] = content
	}
	parts, count := edus(m, []id.UserID{carol, "@dan:b.test"}), 0
	ids := make(map[string]bool)
	for _, part := range parts {
		if !canonjson.IsCanonical(part, canonjson.Strict) || len(part) > mostContent+1000 {
			t.Errorf("an EDU of %d bytes: %.100s", len(part), part)
		}
		back, messageID, ok := ParseEDU("a.test", part.Get("content"))
		if !ok || len(messageID) > 32 {
			t.Fatalf("an EDU is not understood: %.200s", part)
		}
		ids[messageID] = true
		for _, devices := range back.To {
			count += len(devices)
		}
	}
	if count != 20 || len(ids) != len(parts) || len(parts) > 8 {
		t.Errorf("%d devices in %d EDUs with %d IDs", count, len(parts), len(ids))
	}
}

func FuzzParseEDU(f *testing.F) {
	f.Add(`{"message_id":"1","messages":{"@alice:a.test":{"*":{"body":"one"}}},"sender":"@carol:b.test","type":"m.test"}`)
	f.Add(`{"message_id":"\u0000","messages":{"@alice:a.test":[]},"sender":"@carol:b.test","type":7}`)
	f.Add(`{"message_id":"1","messages":{"@alice:a.test":{"":{},"A":{}}},"sender":"@carol:b.test","type":""}`)
	f.Fuzz(func(t *testing.T, text string) {
		content, err := canonjson.Canonical([]byte(text), canonjson.Lenient)
		if err != nil {
			return
		}
		m, messageID, ok := ParseEDU("b.test", content)
		if !ok {
			return
		}
		if m.Sender.Server() != "b.test" || len(messageID) > mostType || len(m.Type) > mostType {
			t.Errorf("taken in: %s", content)
		}
		for user, devices := range m.To {
			for device, said := range devices {
				if user.Server() == "" || device == "" || !canonjson.IsCanonical(m.event(said), canonjson.Lenient) {
					t.Errorf("to %q %q: %s", user, device, m.event(said))
				}
			}
		}
	})
}
