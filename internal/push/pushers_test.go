package push

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"parley/internal/account"
	"parley/internal/journal"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// board is pushers of users who are logged in with a device of their name.
type board struct {
	*Pushers
	t  testing.TB
	db *store.DB
}

func newBoard(t testing.TB, db *store.DB) *board {
	t.Helper()
	s := newScene(t, db)
	b := &board{NewPushers(db, s.journal, Ways{}), t, db}
	for _, user := range []id.UserID{alice, bob} {
		b.login(user, "PHONE")
		b.login(user, "LAPTOP")
	}
	return b
}

func (b *board) login(user id.UserID, device id.DeviceID) {
	b.t.Helper()
	accounts := account.New(b.db, account.Options{Server: "a.test"})
	_, err := accounts.Info(ctx, user)
	if errors.Is(err, mxerr.NotFound) {
		_, err = accounts.Create(ctx, account.NewAccount{Localpart: user.Localpart()})
	}
	if err == nil {
		_, err = accounts.Login(ctx, account.NewDevice{User: user, ID: device})
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func pusherOf(user id.UserID, key string) Pusher {
	return Pusher{
		User: user, AppID: "org.test", Key: key, Kind: KindHTTP, AppName: "Test", DeviceName: "phone", Lang: "en", Enabled: true, Device: "PHONE",
		Data: canonjson.Value(`{"format":"event_id_only","url":"https://push.test/_matrix/push/v1/notify"}`),
	}
}

func (b *board) set(p Pusher, add bool) {
	b.t.Helper()
	if _, err := b.Set(ctx, p, add, false); err != nil {
		b.t.Fatal(err)
	}
}

func (b *board) want(user id.UserID, keys ...string) {
	b.t.Helper()
	list, err := b.Of(ctx, user)
	var got []string
	for _, p := range list {
		got = append(got, p.Key)
	}
	if err != nil || strings.Join(got, " ") != strings.Join(keys, " ") {
		b.t.Errorf("%s has %q, %v, want %q", user, got, err, keys)
	}
}

func TestPushersAreSetAndRemoved(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBoard(t, db)
		b.set(pusherOf(alice, "a"), false)
		b.set(pusherOf(alice, "b"), false)
		list, err := b.Of(ctx, alice)
		if err != nil || len(list) != 2 || !list[0].same(pusherOf(alice, "a")) || list[0].changed == 0 || list[0].pos == 0 {
			t.Fatalf("got %+v, %v", list, err)
		}
		b.set(pusherOf(alice, "a"), false)
		if again, err := b.Of(ctx, alice); err != nil || again[0].pos != list[0].pos || again[0].changed != list[0].changed {
			t.Errorf("set once more it is %+v, %v", again, err)
		}
		quiet := pusherOf(alice, "a")
		quiet.Enabled = false
		b.set(quiet, false)
		if list, err = b.Of(ctx, alice); err != nil || len(list) != 2 || !list[1].same(quiet) {
			t.Errorf("changed it is %+v, %v", list, err)
		}
		for range 2 {
			if err := b.Remove(ctx, alice, "org.test", "a"); err != nil {
				t.Error(err)
			}
		}
		b.want(alice, "b")
		if err := b.RemoveAll(ctx, alice); err != nil {
			t.Error(err)
		}
		b.want(alice)
	})
}

func TestADeviceIsTakenOverByWhoLogsInOnIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBoard(t, db)
		b.set(pusherOf(alice, "shared"), false)
		b.set(pusherOf(alice, "own"), false)
		b.set(pusherOf(bob, "shared"), true)
		b.want(alice, "shared", "own")
		b.set(pusherOf(bob, "shared"), false)
		b.want(alice, "own")
		b.want(bob, "shared")
		// Both at once: whoever is last has it.
		var wg sync.WaitGroup
		for range 20 {
			for _, user := range []id.UserID{alice, bob} {
				wg.Go(func() {
					if _, err := b.Set(ctx, pusherOf(user, "fast"), false, false); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		var count int
		err := db.View(ctx, func(tx *store.Tx) error {
			return tx.Row("SELECT count(*) FROM pushers WHERE pushkey = $1", "fast").Scan(&count)
		})
		if err != nil || count != 1 {
			t.Errorf("%d have it, %v", count, err)
		}
	})
}

func TestPushersGoWithTheirDevice(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBoard(t, db)
		laptop := pusherOf(alice, "laptop")
		laptop.Device = "LAPTOP"
		b.set(laptop, false)
		b.set(pusherOf(alice, "phone"), false)
		b.set(pusherOf(bob, "phone"), true)
		if err := b.RemoveDevices(ctx, alice, []id.DeviceID{"PHONE", "UNKNOWN"}); err != nil {
			t.Error(err)
		}
		b.want(alice, "laptop")
		b.want(bob, "phone")
		gone := pusherOf(alice, "x")
		gone.Device = "TABLET"
		if _, err := b.Set(ctx, gone, false, false); !errors.Is(err, mxerr.UnknownToken) {
			t.Errorf("of a device that has logged out: %v", err)
		}
		gone.Device = ""
		b.set(gone, false) // an application service names none
	})
}

func TestTheOldestPusherMakesWay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBoard(t, db)
		for i := range MostPushers + 2 {
			b.set(pusherOf(alice, fmt.Sprint(i)), false)
		}
		list, err := b.Of(ctx, alice)
		if err != nil || len(list) != MostPushers || list[0].Key != "2" {
			t.Errorf("there are %d, %v", len(list), err)
		}
	})
}

// TestEachChangeIsInTheJournal under what finds the pushers that it is about.
func TestEachChangeIsInTheJournal(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBoard(t, db)
		from := b.journal.Head()
		b.set(pusherOf(alice, "a"), false)
		b.set(pusherOf(alice, "a"), false)
		b.set(pusherOf(bob, "a"), false) // alice's goes
		if err := b.RemoveAll(ctx, bob); err != nil {
			t.Fatal(err)
		}
		entries, err := b.journal.Read(ctx, from, 100)
		if err != nil || len(entries) != 4 {
			t.Fatalf("got %v, %v", entries, err)
		}
		for _, e := range entries {
			if e.Kind != journal.KindPusher || e.Scope != scopeOf("org.test", "a") {
				t.Errorf("got %v", e)
			}
		}
	})
}

func TestPushersAreChecked(t *testing.T) {
	b := newBoard(t, storetest.Open(t, t.TempDir()+"/parley.db"))
	url := func(text string) func(*Pusher) {
		return func(p *Pusher) { p.Data = canonjson.Value(`{}`).With("url", canonjson.Text(text)) }
	}
	rows := []struct {
		name string
		edit func(*Pusher)
		code mxerr.Code
	}{
		{"the longest names", func(p *Pusher) {
			p.Key, p.AppID, p.Lang = strings.Repeat("k", 512), strings.Repeat("ä", 64), strings.Repeat("x", mostName)
		}, ""},
		{"a port and a query", url("https://push.test:8443/_matrix/push/v1/notify?x=1"), ""},
		{"a pushkey that is too long", func(p *Pusher) { p.Key = strings.Repeat("k", 513) }, mxerr.InvalidParam},
		{"an empty pushkey", func(p *Pusher) { p.Key = "" }, mxerr.InvalidParam},
		{"an app_id that is too long", func(p *Pusher) { p.AppID = strings.Repeat("a", 65) }, mxerr.InvalidParam},
		{"an empty app_id", func(p *Pusher) { p.AppID = "" }, mxerr.InvalidParam},
		{"NUL in the pushkey", func(p *Pusher) { p.Key = "a\x00b" }, mxerr.InvalidParam},
		{"NUL in a name", func(p *Pusher) { p.DeviceName = "a\x00b" }, mxerr.InvalidParam},
		{"a long name", func(p *Pusher) { p.AppName = strings.Repeat("x", mostName+1) }, mxerr.InvalidParam},
		{"data that is no object", func(p *Pusher) { p.Data = canonjson.Value(`[]`) }, mxerr.InvalidParam},
		{"a lot of data", func(p *Pusher) { p.Data = p.Data.With("x", canonjson.Text(strings.Repeat("x", mostData))) }, mxerr.InvalidParam},
		{"no url", func(p *Pusher) { p.Data = canonjson.Value(`{}`) }, mxerr.MissingParam},
		{"a url that is no text", func(p *Pusher) { p.Data = canonjson.Value(`{"url":1}`) }, mxerr.MissingParam},
		{"no encryption", url("http://push.test/_matrix/push/v1/notify"), mxerr.InvalidParam},
		{"another path", url("https://push.test/_matrix/push/v1/notify/"), mxerr.InvalidParam},
		{"a path that is hidden", url("https://push.test/_matrix/push/v1/%6eotify"), mxerr.InvalidParam},
		{"a password", url("https://a:b@push.test/_matrix/push/v1/notify"), mxerr.InvalidParam},
		{"no host", url("https:///_matrix/push/v1/notify"), mxerr.InvalidParam},
		{"no url at all", url("\x7f://"), mxerr.InvalidParam},
		{"a long url", url("https://push.test/_matrix/push/v1/notify?" + strings.Repeat("x", mostURL)), mxerr.InvalidParam},
		{"an unknown kind", func(p *Pusher) { p.Kind = "pigeon" }, mxerr.InvalidParam},
		{"mail that is not for mail", func(p *Pusher) { p.Kind = KindEmail }, mxerr.InvalidParam},
		{"mail where there is none", func(p *Pusher) { p.Kind, p.AppID, p.Data = KindEmail, emailApp, canonjson.Value(`{}`) }, mxerr.InvalidParam},
	}
	for _, r := range rows {
		p := pusherOf(alice, "k")
		r.edit(&p)
		if _, err := b.Set(ctx, p, false, false); r.code == "" && err != nil || r.code != "" && !errors.Is(err, r.code) {
			t.Errorf("%s: got %v, want %q", r.name, err, r.code)
		}
	}
}

func TestWhoOfSomeIsInARoom(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newScene(t, db)
		roomID := s.create()
		num, err := s.rooms.Num(ctx, roomID)
		if err != nil {
			t.Fatal(err)
		}
		for _, among := range [][]id.UserID{{bob}, {bob, "@carol:a.test", "@dave:a.test"}} { // fewer than members, and more
			in, err := s.rooms.JoinedAmong(ctx, num, among)
			if err != nil || len(in) != 1 || in[bob] == 0 {
				t.Errorf("of %v: got %v, %v", among, in, err)
			}
		}
	})
}
