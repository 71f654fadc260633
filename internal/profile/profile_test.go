package profile

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
)

// keep returns the profiles in a database, whose journal runs until the test ends.
func keep(t *testing.T, db *store.DB, r Rooms) *Keeper {
	k, _ := keepUntil(t, db, r)
	return k
}

// keepUntil is keep for a test that ends the journal itself.
func keepUntil(t *testing.T, db *store.DB, r Rooms) (k *Keeper, stop func()) {
	j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Scopes == nil {
		r.Scopes = func(*store.Tx, id.UserID) ([]journal.Scope, error) { return nil, nil }
	}
	k = New(Parts{DB: db, Journal: j, Rooms: r})
	running, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { j.Run(running) })
	stop = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(stop)
	return k, stop
}

func text(s string) canonjson.Value { return canonjson.Text(s) }

func TestAProfileHasLimits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		k := keep(t, db, Rooms{})
		for _, tt := range []struct {
			name, key string
			value     canonjson.Value
			want      mxerr.Code // empty: it is accepted
		}{
			{"a displayname", Displayname, text("Alice"), ""},
			{"a long displayname", Displayname, text(strings.Repeat("é", 256)), ""},
			{"one that is too long", Displayname, text(strings.Repeat("e", 257)), mxerr.InvalidParam},
			{"no string", Displayname, canonjson.Value("1"), mxerr.BadJSON},
			{"null", Displayname, canonjson.Value("null"), mxerr.BadJSON},
			{"a NUL", Displayname, text("a\x00b"), mxerr.InvalidParam},
			{"an avatar", AvatarURL, text("mxc://a.test/x"), ""},
			{"an avatar elsewhere", AvatarURL, text("https://a.test/x"), mxerr.InvalidParam},
			{"a long avatar", AvatarURL, text("mxc://a.test/" + strings.Repeat("x", 1000)), mxerr.InvalidParam},
			{"an avatar that is no string", AvatarURL, canonjson.Value("{}"), mxerr.BadJSON},
			{"the time zone", "m.tz", text("Europe/Berlin"), ""},
			{"a field of somebody", "org.example.pets", canonjson.Value(`["cat",{"dog":null}]`), ""},
			{"a null of somebody", "org.example.null", canonjson.Value("null"), ""},
			{"a field without a namespace", "pets", text("cat"), mxerr.InvalidParam},
			{"a name that is no identifier", "org.example.Ä", text("cat"), mxerr.InvalidParam},
			{"a long name", "a." + strings.Repeat("b", 253), text("cat"), ""},
			{"a name that is too long", "a." + strings.Repeat("b", 254), text("cat"), mxerr.KeyTooLarge},
			{"too much", "org.example.more", text(strings.Repeat("x", 64<<10)), mxerr.ProfileTooLarge},
		} {
			before, _ := k.Get(ctx, alice)
			err := k.Set(ctx, alice, tt.key, tt.value)
			if tt.want == "" && err != nil || tt.want != "" && !errors.Is(err, tt.want) {
				t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
			}
			after, err := k.Get(ctx, alice)
			switch got := after.Get(tt.key); {
			case err != nil:
				t.Errorf("%s: %v", tt.name, err)
			case tt.want == "" && string(got) != string(tt.value):
				t.Errorf("%s: got %s", tt.name, got)
			case tt.want != "" && string(before) != string(after):
				t.Errorf("%s: refused, and the profile is %s", tt.name, after)
			}
		}
	})
}

func TestFieldsComeAndGo(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		k := keep(t, db, Rooms{})
		for _, step := range []struct {
			name string
			do   func() error
			want string
		}{
			{"nothing yet", func() error { return nil }, `{}`},
			{"deleting nothing", func() error { return k.Delete(ctx, alice, Displayname) }, `{}`},
			{"set", func() error { return k.Set(ctx, alice, Displayname, text("Alice")) }, `{"displayname":"Alice"}`},
			{"another", func() error { return k.Set(ctx, alice, AvatarURL, text("mxc://a.test/x")) },
				`{"avatar_url":"mxc://a.test/x","displayname":"Alice"}`},
			{"of another user", func() error { return k.Set(ctx, bob, Displayname, text("Bob")) },
				`{"avatar_url":"mxc://a.test/x","displayname":"Alice"}`},
			{"deleted", func() error { return k.Delete(ctx, alice, Displayname) }, `{"avatar_url":"mxc://a.test/x"}`},
			{"made empty", func() error { return k.Set(ctx, alice, AvatarURL, text("")) }, `{}`},
		} {
			if err := step.do(); err != nil {
				t.Errorf("%s: %v", step.name, err)
			}
			if got, err := k.Get(ctx, alice); err != nil || string(got) != step.want {
				t.Errorf("%s: got %s, %v, want %s", step.name, got, err, step.want)
			}
		}
	})
}

func TestAMemberShowsTheProfile(t *testing.T) {
	for _, tt := range []struct{ name, content, fields, want string }{
		{"it is added", `{"membership":"join"}`, `{"displayname":"A","m.tz":"UTC"}`, `{"displayname":"A","membership":"join"}`},
		{"it is removed", `{"avatar_url":"mxc://a/b","displayname":"A","membership":"join"}`, `{}`, `{"membership":"join"}`},
		{"the rest stays", `{"join_authorised_via_users_server":"@b:a","membership":"join","x":1}`, `{"avatar_url":"mxc://a/b"}`,
			`{"avatar_url":"mxc://a/b","join_authorised_via_users_server":"@b:a","membership":"join","x":1}`},
	} {
		if got := Member(canonjson.Value(tt.content), canonjson.Value(tt.fields)); string(got) != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestChangesAtTheSameTime: none of the fields that several set at once is lost.
func TestChangesAtTheSameTime(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		k := keep(t, db, Rooms{})
		var wg sync.WaitGroup
		want := make(map[string]bool)
		for i := range 8 {
			key := fmt.Sprintf("org.example.n%d", i)
			want[key] = true
			wg.Go(func() {
				for n := range 5 {
					if err := k.Set(ctx, alice, key, canonjson.Value(fmt.Sprint(n))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		fields, err := k.Get(ctx, alice)
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]bool)
		for key, value := range fields.Members() {
			got[key.String()] = string(value) == "4"
		}
		if !maps.Equal(got, want) {
			t.Errorf("got %s, want %v", fields, slices.Sorted(maps.Keys(want)))
		}
	})
}
