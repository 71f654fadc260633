package loadgen

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// one returns the only row, or row i of n.
func rowsOf(t *testing.T, rows []Row, err error, n int) []Row {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != n {
		t.Fatalf("got %d rows, want %d: %+v", len(rows), n, rows)
	}
	return rows
}

func has(row Row, note string) bool {
	return slices.ContainsFunc(row.Notes, func(n string) bool { return strings.Contains(n, note) })
}

func TestSendCountsWhatTheServerGot(t *testing.T) {
	f := newFake()
	g := f.generator(t, Options{})
	rows, err := g.Send(t.Context(), Send{
		Senders: 3, Rooms: 2, Members: 3, Syncers: 5, Body: 100, Duration: time.Minute, Count: 40, Poll: time.Second,
	})
	rows = rowsOf(t, rows, err, 2)
	for _, row := range rows {
		if row.Count != 40 || row.Failed+row.Throttled+row.Missed != 0 || row.Rate <= 0 || row.Latency.Max <= 0 {
			t.Errorf("got %+v, want 40 messages without failures", row)
		}
	}
	if !strings.HasPrefix(rows[0].Case, "1 sender, 2 rooms, 3 members, 5 syncing") || !strings.HasPrefix(rows[1].Case, "3 senders") {
		t.Errorf("the cases are %q and %q", rows[0].Case, rows[1].Case)
	}
	messages, byRoom := 0, map[string]int{}
	for _, e := range f.log {
		if strings.Contains(e.text, "m.room.message") {
			messages++
			byRoom[e.room]++
			if !strings.Contains(e.text, "bench-"+g.run) {
				t.Errorf("a message does not bear the mark of the run: %s", e.text)
			}
		}
	}
	// Two that tell that everybody listens, one of each sender of each phase.
	if want := 40 + 40 + 2 + 1 + 3; messages != want {
		t.Errorf("the server got %d messages, want %d", messages, want)
	}
	if len(byRoom) != 2 {
		t.Errorf("the messages went into %v, want two rooms", byRoom)
	}
}

func TestSendEndsWithItsDuration(t *testing.T) {
	rows, err := newFake().generator(t, Options{}).Send(t.Context(), Send{
		Senders: 1, Rooms: 1, Duration: 50 * time.Millisecond, Poll: time.Second,
	})
	if row := rowsOf(t, rows, err, 1)[0]; row.Seconds < 0.05 || row.Count == 0 {
		t.Errorf("got %+v, want messages for 50 ms", row)
	}
}

func TestFanoutHearsEveryMessage(t *testing.T) {
	for _, o := range []Fanout{
		{Clients: 20, Rooms: 1, RoomsPerClient: 1, Senders: 1},
		{Clients: 20, Rooms: 10, RoomsPerClient: 1, Senders: 1},
		{Clients: 7, Rooms: 5, RoomsPerClient: 3, Senders: 2},
		{Clients: 2, Rooms: 5, RoomsPerClient: 1, Senders: 1}, // rooms without an audience
	} {
		o.Rate, o.Duration, o.Poll, o.Grace = 500, 200*time.Millisecond, 30*time.Second, 10*time.Second
		rows, err := newFake().generator(t, Options{}).Fanout(t.Context(), o)
		rows = rowsOf(t, rows, err, 2)
		want := int64(o.Clients * o.RoomsPerClient * 100 / o.Rooms)
		if rows[0].Count != want || rows[0].Missed != 0 || rows[0].Twice != 0 || rows[0].Failed != 0 {
			t.Errorf("%+v: got %+v, want %d deliveries and none missed", o, rows[0], want)
		}
		if rows[1].Count != 100 || rows[1].Seconds < 0.19 {
			t.Errorf("%+v: got %+v, want 100 messages in 200 ms", o, rows[1])
		}
	}
}

func TestFanoutCountsWhatIsMissed(t *testing.T) {
	f := newFake()
	f.deaf = func(body string) bool { return strings.Contains(body, ":0000000007 ") }
	rows, err := f.generator(t, Options{}).Fanout(t.Context(), Fanout{
		Clients: 3, Rooms: 1, RoomsPerClient: 1, Senders: 1, Rate: 1000, Duration: 20 * time.Millisecond,
		Poll: time.Second, Grace: 100 * time.Millisecond,
	})
	if row := rowsOf(t, rows, err, 2)[0]; row.Missed != 3 || row.Count != 57 {
		t.Errorf("got %+v, want 57 deliveries and 3 missed", row)
	}
}

func TestInitialAsksForAllAndForLazyMembers(t *testing.T) {
	f := newFake()
	g := f.generator(t, Options{})
	rows, err := g.Initial(t.Context(), Initial{Rooms: 4, Members: 3, Messages: 2, Repeats: 3})
	for _, row := range rowsOf(t, rows, err, 2) {
		if row.Count != 3 || row.Bytes < 500 || row.Latency.P50 <= 0 {
			t.Errorf("got %+v, want 3 syncs of some bytes", row)
		}
	}
	lazy := 0
	for _, filter := range f.filters {
		if strings.Contains(filter, `"lazy_load_members":true`) {
			lazy++
		}
	}
	if len(f.filters) != 6 || lazy != 3 {
		t.Errorf("the filters are %q, want 3 lazy ones of 6", f.filters)
	}
	if len(f.log) != 4*3+4*2 {
		t.Errorf("the rooms have %d events, want 3 members and 2 messages in each of 4", len(f.log))
	}
}

func TestIdleClientsWaitAndAreWoken(t *testing.T) {
	g := newFake().generator(t, Options{Processes: []int{os.Getpid()}})
	rows, err := g.Idle(t.Context(), Idle{
		Clients: 10, Duration: 100 * time.Millisecond, Poll: 40 * time.Millisecond, Settle: 10 * time.Millisecond, Grace: 10 * time.Second,
	})
	row := rowsOf(t, rows, err, 1)[0]
	if row.Count != 10 || row.Missed != 0 {
		t.Errorf("got %+v, want 10 clients woken", row)
	}
	if has(row, "before their time") || !has(row, "when their time of 40ms was over") {
		t.Errorf("the notes are %q", row.Notes)
	}
	if row.Server == nil || row.Server.RSS < 1<<20 || row.Server.Before < 1<<20 || !has(row, "for each client") {
		t.Errorf("the memory of the server is missing: %+v", row)
	}
}

func TestIdleTellsServersThatDoNotWait(t *testing.T) {
	f := newFake()
	f.hasty = true
	rows, err := f.generator(t, Options{}).Idle(t.Context(), Idle{
		Clients: 2, Duration: 30 * time.Millisecond, Poll: time.Minute, Settle: time.Millisecond, Grace: 10 * time.Second,
	})
	if row := rowsOf(t, rows, err, 1)[0]; !has(row, "before their time") {
		t.Errorf("the notes are %q", row.Notes)
	}
}

func TestAllRunsEverythingAtEachSize(t *testing.T) {
	g := newFake().generator(t, Options{})
	rows, err := g.All(t.Context(), All{
		Sizes: []int{3, 20}, Duration: 50 * time.Millisecond, Senders: 2, Body: 50, Poll: 30 * time.Second, Grace: 10 * time.Second,
	})
	got := map[string]int{}
	for _, row := range rowsOf(t, rows, err, 3+2*13) {
		got[row.Scenario]++
		if row.Count == 0 || row.Failed+row.Missed != 0 {
			t.Errorf("got %+v, want something and no failures", row)
		}
	}
	if got["self"] != 3 || got["send"] != 12 || got["fanout"] != 8 || got["initial"] != 4 || got["idle"] != 2 {
		t.Errorf("got %v", got)
	}
}

func TestSelfNeedsNoServer(t *testing.T) {
	g, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := g.Self(t.Context(), Self{Clients: 4, Duration: 50 * time.Millisecond})
	for _, row := range rowsOf(t, rows, err, 3) {
		if row.Count == 0 || row.Failed != 0 {
			t.Errorf("got %+v, want requests", row)
		}
	}
}

func TestScenariosAreBounded(t *testing.T) {
	f := newFake()
	g := f.generator(t, Options{})
	second := time.Second
	for name, run := range map[string]func(ctx context.Context) ([]Row, error){
		"too many members": func(ctx context.Context) ([]Row, error) {
			return g.Send(ctx, Send{Senders: 1, Rooms: 1, Members: 1e7, Duration: second, Poll: second})
		},
		"no sender": func(ctx context.Context) ([]Row, error) {
			return g.Send(ctx, Send{Rooms: 1, Duration: second, Poll: second})
		},
		"more rooms for a client than there are": func(ctx context.Context) ([]Row, error) {
			return g.Fanout(ctx, Fanout{Clients: 1, Rooms: 2, RoomsPerClient: 3, Senders: 1, Rate: 1, Duration: second, Poll: second})
		},
		"too many messages": func(ctx context.Context) ([]Row, error) {
			return g.Fanout(ctx, Fanout{Clients: 1, Rooms: 1, RoomsPerClient: 1, Senders: 1, Rate: 100_000, Duration: time.Hour, Poll: second})
		},
		"too large altogether": func(ctx context.Context) ([]Row, error) {
			return g.Initial(ctx, Initial{Rooms: 100_000, Members: 1, Messages: 1000, Repeats: 1})
		},
		"too long": func(ctx context.Context) ([]Row, error) {
			return g.Idle(ctx, Idle{Clients: 1, Duration: 1000 * time.Hour, Poll: second, Grace: second})
		},
		"no client": func(ctx context.Context) ([]Row, error) { return g.Self(ctx, Self{Duration: second}) },
	} {
		if rows, err := run(t.Context()); !errors.Is(err, ErrBounds) {
			t.Errorf("%s: got %v, %v, want ErrBounds", name, rows, err)
		}
	}
	if len(f.users) != 0 {
		t.Errorf("accounts were made before the bounds were checked")
	}
}

func TestAScenarioEndsWithItsContext(t *testing.T) {
	g := newFake().generator(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := g.Idle(ctx, Idle{Clients: 5, Duration: time.Hour, Poll: time.Minute, Grace: time.Minute})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the context was cancelled", err)
	}
}
