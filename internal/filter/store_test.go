package filter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

const (
	alice id.UserID = "@alice:a.test"
	bob   id.UserID = "@bob:a.test"
)

var ctx = context.Background()

func put(t *testing.T, s *Store, user id.UserID, text string) string {
	t.Helper()
	filterID, err := s.Put(ctx, user, value(t, text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return filterID
}

func TestFiltersAreNumberedPerUser(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := NewStore(db)
		first := put(t, s, alice, `{"room":{"timeline":{"limit":7}}}`)
		second := put(t, s, alice, `{"presence":{"types":[]},"nul":"\u0000"}`)
		if first == second {
			t.Errorf("two filters are %s", first)
		}
		if again := put(t, s, alice, `{ "room": {"timeline": {"limit": 7}} }`); again != first {
			t.Errorf("the same filter is %s and %s", first, again)
		}
		put(t, s, bob, `{"presence":{"types":["x"]}}`)
		for name, s := range map[string]*Store{"the same store": s, "another store": NewStore(db)} {
			for range 2 {
				f, err := s.Get(ctx, alice, first)
				if err != nil || f.Room.Timeline.Limit() != 7 || string(f.Definition) != `{"room":{"timeline":{"limit":7}}}` {
					t.Errorf("%s: got %+v, %v", name, f, err)
				}
				if f, err := s.Get(ctx, bob, first); err != nil || !f.Presence.Match("x", "") || f.Presence.Match("y", "") {
					t.Errorf("%s, of bob: got %+v, %v", name, f, err)
				}
				if f, err := s.Get(ctx, alice, second); err != nil || !f.Presence.None() {
					t.Errorf("%s, the second: got %+v, %v", name, f, err)
				}
			}
		}
		for _, filterID := range []string{"", "0", "3", "-1", "01", "+1", "x", "1 ", "{", "99999999999999999999", "\x00"} {
			if _, err := s.Get(ctx, alice, filterID); !errors.Is(err, mxerr.NotFound) {
				t.Errorf("filter %q: %v", filterID, err)
			}
		}
		if _, err := s.Put(ctx, alice, value(t, `{"presence":1}`)); !errors.Is(err, mxerr.BadJSON) {
			t.Errorf("a bad filter: %v", err)
		}
	})
}

func TestFiltersPutAtTheSameTime(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := NewStore(db)
		var mu sync.Mutex
		seen := make(map[string]map[string]bool) // the IDs of each definition
		var wg sync.WaitGroup
		for i := range 24 {
			wg.Go(func() {
				text := fmt.Sprintf(`{"x":%d}`, i%8)
				filterID, err := s.Put(ctx, alice, value(t, text))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if seen[text] == nil {
					seen[text] = make(map[string]bool)
				}
				seen[text][filterID] = true
			})
		}
		wg.Wait()
		all := make(map[string]bool)
		for text, ids := range seen {
			if len(ids) != 1 {
				t.Errorf("%s has the IDs %v", text, ids)
			}
			for filterID := range ids {
				all[filterID] = true
				if f, err := s.Get(ctx, alice, filterID); err != nil || string(f.Definition) != text {
					t.Errorf("filter %s: got %v, %v, want %s", filterID, f, err, text)
				}
			}
		}
		if len(all) != 8 {
			t.Errorf("8 definitions have %d IDs", len(all))
		}
	})
}

func TestAUserHasNoMoreThanSoManyFilters(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := NewStore(db)
		err := db.Update(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec("INSERT INTO filters (user_id, filter, definition, hash) VALUES ($1, $2, $3, $4)",
				alice, MaxFilters-1, []byte(`{}`), []byte("hash"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		last := put(t, s, alice, `{"x":1}`)
		if _, err := s.Put(ctx, alice, value(t, `{"x":2}`)); !errors.Is(err, mxerr.InvalidParam) {
			t.Errorf("one more: %v", err)
		}
		if again := put(t, s, alice, `{"x":1}`); again != last {
			t.Errorf("one that is there: %s", again)
		}
		put(t, s, bob, `{"x":2}`)
	})
}

func TestResolve(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := NewStore(db)
		filterID := put(t, s, alice, `{"presence":{"types":[]}}`)
		f, err := s.Resolve(ctx, alice, "")
		if err != nil || !f.Presence.All() || f.Definition != nil {
			t.Errorf("nothing: %+v, %v", f, err)
		}
		if f, err := s.Resolve(ctx, alice, filterID); err != nil || !f.Presence.None() {
			t.Errorf("an ID: %+v, %v", f, err)
		}
		const text = `{"presence": {"types": []}}`
		f, err = s.Resolve(ctx, alice, text)
		if err != nil || !f.Presence.None() {
			t.Errorf("JSON: %+v, %v", f, err)
		}
		if again, err := s.Resolve(ctx, bob, text); err != nil || again != f {
			t.Errorf("the same JSON was compiled again, or %v", err)
		}
		events, err := s.ResolveRoomEvents(`{"types":["a"]}`)
		if err != nil || !events.Match("a", "", nil) || events.Match("b", "", nil) {
			t.Errorf("JSON of a filter for room events: %+v, %v", events, err)
		}
		if again, err := s.ResolveRoomEvents(`{"types":["a"]}`); err != nil || again != events {
			t.Errorf("the same JSON was compiled again, or %v", err)
		}
		if events, err := s.ResolveRoomEvents(""); err != nil || !events.All() {
			t.Errorf("no filter for room events: %+v, %v", events, err)
		}
		for param, code := range map[string]mxerr.Code{
			"2": mxerr.InvalidParam, "x": mxerr.InvalidParam, "[]": mxerr.InvalidParam,
			"{": mxerr.NotJSON, `{"room":1}`: mxerr.BadJSON, `{"x":"` + strings.Repeat("x", MaxSize) + `"}`: mxerr.TooLarge,
		} {
			if _, err := s.Resolve(ctx, alice, param); !errors.Is(err, code) {
				t.Errorf("%.40s: got %v, want %s", param, err, code)
			}
		}
		if _, err := s.Resolve(ctx, bob, filterID); !errors.Is(err, mxerr.InvalidParam) {
			t.Errorf("an ID of somebody else: %v", err)
		}
		for param, code := range map[string]mxerr.Code{filterID: mxerr.BadJSON, "x": mxerr.NotJSON, `{"limit":true}`: mxerr.BadJSON} {
			if _, err := s.ResolveRoomEvents(param); !errors.Is(err, code) {
				t.Errorf("%s for room events: got %v, want %s", param, err, code)
			}
		}
	})
}
