package loadgen

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAccountsAreRegistered(t *testing.T) {
	for _, row := range []struct {
		name          string
		secret, token string // of the server
		o             Options
		wrong         string
	}{
		{name: "openly"},
		{name: "openly, without a password", o: Options{NoPassword: true}},
		{name: "with a token", token: "t", o: Options{RegistrationToken: "t"}},
		{name: "with a shared secret", secret: "s", o: Options{SharedSecret: "s"}},
		{name: "not without the token", token: "t", wrong: "registration is not open"},
		{name: "not with the wrong token", token: "t", o: Options{RegistrationToken: "u"}, wrong: "status 401"},
		{name: "not with the wrong secret", secret: "s", o: Options{SharedSecret: "u"}, wrong: "M_FORBIDDEN"},
	} {
		f := newFake()
		f.secret, f.token = row.secret, row.token
		users, err := f.generator(t, row.o).users(t.Context(), 5)
		if row.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), row.wrong) {
				t.Errorf("%s: got %v, want an error with %q", row.name, err, row.wrong)
			}
			continue
		}
		if err != nil || len(users) != 5 || len(f.users) != 5 {
			t.Errorf("%s: got %v, %v, want 5 accounts", row.name, users, err)
		}
	}
}

func TestAnAccountWhoseAnswerWasLostIsLoggedIn(t *testing.T) {
	f := newFake()
	g := f.generator(t, Options{})
	c := newClient(g.o.Target)
	defer c.hangUp()
	for range 2 {
		a, err := g.register(t.Context(), c, "bench_twice")
		if err != nil || a.User != "@bench_twice:fake" || a.Token == "" {
			t.Errorf("got %+v, %v", a, err)
		}
	}
}

func TestSetupKeepsToTheRateLimit(t *testing.T) {
	f := newFake()
	f.throttle = 50
	users, err := f.generator(t, Options{}).users(t.Context(), 20)
	if err != nil || len(users) != 20 {
		t.Errorf("got %d accounts, %v, want 20", len(users), err)
	}
}

func TestALimitedScenarioSaysSo(t *testing.T) {
	f := newFake()
	g := f.generator(t, Options{})
	if _, err := g.users(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	var latency Histogram
	var faults faults
	rooms, err := g.createRooms(t.Context(), g.accounts[0], 1)
	if err != nil {
		t.Fatal(err)
	}
	f.throttle = 3
	s := g.newSender(g.accounts[0], rooms, "mark:", 0, 0)
	defer s.client.hangUp()
	if err := sendAll(t.Context(), []*sender{s}, time.Minute, 10, &latency, &faults); err != nil {
		t.Fatal(err)
	}
	var row Row
	row.count(&latency)
	faults.tell(&row)
	if row.Count != 7 || row.Throttled != 3 || !has(row, "limited the rate 3 times") {
		t.Errorf("got %+v, want 7 messages and 3 refused", row)
	}
}

func TestASenderWithoutHopeGivesUp(t *testing.T) {
	f := newFake()
	g := f.generator(t, Options{})
	users, err := g.users(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	s := g.newSender(users[0], []string{"!none:fake"}, "mark:", 0, 0)
	defer s.client.hangUp()
	var faults faults
	err = sendAll(t.Context(), []*sender{s}, time.Minute, 0, new(Histogram), &faults)
	if err == nil || !strings.Contains(err.Error(), "10 requests in a row failed: status 403, M_FORBIDDEN: No") {
		t.Errorf("got %v", err)
	}
}

func TestAccountsAreKeptForTheNextRun(t *testing.T) {
	f := newFake()
	o := Options{AccountsFile: filepath.Join(t.TempDir(), "accounts")}
	g := f.generator(t, o)
	if _, err := g.users(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	send := Send{Senders: 2, Rooms: 1, Members: 3, Duration: time.Minute, Count: 1, Poll: time.Second}
	if _, err := g.Send(t.Context(), send); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for room, members := range f.rooms {
		if len(members) != 0 {
			t.Errorf("%v are still in %s", members, room)
		}
	}
	if info, err := os.Stat(o.AccountsFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of accounts: %v, %v, want mode 0600", info, err)
	}

	o.Target = g.o.Target
	second, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Send(t.Context(), send); err != nil {
		t.Fatal(err)
	}
	if len(f.users) != 5 {
		t.Errorf("there are %d accounts after the second run, want the 5 of the first", len(f.users))
	}
	clear(f.users) // the server starts anew
	if _, err := second.users(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "delete "+o.AccountsFile) {
		t.Errorf("got %v, want the advice to delete the file", err)
	}
	if third, err := New(Options{Target: Target{url: "http://other"}, AccountsFile: o.AccountsFile}); err != nil || len(third.accounts) != 0 {
		t.Errorf("another server gets the accounts: %v", err)
	}
}

func TestSpreadFillsRoomsEvenly(t *testing.T) {
	users := make([]account, 30)
	for i := range users {
		users[i].User = string(rune('a' + i))
	}
	rooms := []string{"1", "2", "3", "4", "5"}
	members, seen := map[string]int{}, map[membership]bool{}
	for _, m := range spread(users, rooms, 3) {
		members[m.room]++
		if seen[m] {
			t.Errorf("%v twice", m)
		}
		seen[m] = true
	}
	for _, r := range rooms {
		if members[r] != 18 {
			t.Errorf("room %s has %d members, want 18", r, members[r])
		}
	}
}

func TestShareGivesEachRoomToSomebody(t *testing.T) {
	rooms := []string{"1", "2", "3", "4", "5"}
	for senders := 1; senders < 12; senders++ {
		all := map[string]bool{}
		for i := range senders {
			for _, r := range share(rooms, i, senders) {
				all[r] = true
			}
		}
		if len(all) != len(rooms) {
			t.Errorf("%d senders have the rooms %v", senders, all)
		}
	}
}
