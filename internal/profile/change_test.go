package profile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// found returns what fields of users are found between two positions, in brief.
func found(t *testing.T, k *Keeper, names []string, after, upTo journal.Position, users ...id.UserID) string {
	t.Helper()
	fields, err := k.Fields(ctx, users, names, after)
	if err != nil {
		t.Fatal(err)
	}
	fields = slices.DeleteFunc(fields, func(f Field) bool { return f.Pos > upTo })
	slices.SortFunc(fields, func(a, b Field) int { return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Name, b.Name)) })
	var parts []string
	for _, f := range fields {
		said := string(f.Value)
		if f.Value == nil {
			said = "gone"
		}
		parts = append(parts, fmt.Sprintf("%s %s %s", f.User.Localpart(), f.Name, said))
	}
	return strings.Join(parts, ", ")
}

// sized demands that what is noted as the size of a profile is right.
func sized(t *testing.T, k *Keeper, user id.UserID) {
	t.Helper()
	fields, err := k.Get(ctx, user)
	var size int
	err = errors.Join(err, k.DB.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT size FROM profiles WHERE user_id = $1", user).Scan(&size)
	}))
	if want := max(0, len(fields)-1); err != nil || size != want && string(fields) != "{}" || size != 0 && string(fields) == "{}" {
		t.Errorf("%s has %d bytes, and %d are noted, %v", fields, len(fields), size, err)
	}
}

// TestChangesOfOneGroupFollowEachOther: those that are committed together, too.
func TestChangesOfOneGroupFollowEachOther(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		k := keep(t, db, Rooms{})
		set := func(name, value string) journal.Change {
			return func(b *journal.Batch) error {
				p, err := pendingOf(b, alice)
				if err != nil {
					return err
				}
				return k.apply(b, p, map[string]canonjson.Value{name: canonjson.Value(value)})
			}
		}
		clear := func(b *journal.Batch) error {
			p, err := pendingOf(b, alice)
			if err != nil {
				return err
			}
			none, err := p.none(b)
			return errors.Join(err, k.apply(b, p, none))
		}
		before := k.Set(ctx, alice, "m.tz", text("UTC"))
		head := k.Journal.Head()
		_, err := k.Journal.Append(ctx, func(b *journal.Batch) error { // as one, so that they are in a group
			for _, change := range []journal.Change{
				set("org.test.a", `1`), set("org.test.b", `2`), clear, set("org.test.b", `3`), set("org.test.c", `4`), set("org.test.c", `44`),
			} {
				if err := change(b); err != nil {
					return err
				}
			}
			return nil
		})
		if err := errors.Join(before, err); err != nil {
			t.Fatal(err)
		}
		if now := k.Journal.Head(); now != head+1 {
			t.Errorf("they are %d entries", now-head)
		}
		if got, want := found(t, k, nil, head, head+1, alice), "alice m.tz gone, alice org.test.a gone, alice org.test.b 3, alice org.test.c 44"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		sized(t, k, alice)
	})
}

// TestFieldsAreFoundByTheirLastChange: each change is one entry, and a field is found
// behind whatever is before its last one.
func TestFieldsAreFoundByTheirLastChange(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		k := keep(t, db, Rooms{})
		if err := db.Update(ctx, func(tx *store.Tx) error { return Begin(tx, alice, "alice") }); err != nil {
			t.Fatal(err)
		}
		head := k.Journal.Head()
		for _, change := range []error{
			k.Set(ctx, alice, "m.tz", text("UTC")),                   // 1
			k.Set(ctx, alice, "org.test.a", text("a")),               // 2
			k.Set(ctx, alice, "m.tz", text("UTC")),                   // none
			k.Set(ctx, bob, Displayname, text("Bob")),                // 3
			k.Set(ctx, alice, "m.tz", text("CET")),                   // 4
			k.Delete(ctx, alice, "org.test.a"),                       // 5
			k.Delete(ctx, alice, "org.test.never"),                   // none
			k.Set(ctx, alice, "org.test.b", canonjson.Value("null")), // 6
		} {
			if change != nil {
				t.Fatal(change)
			}
		}
		if now := k.Journal.Head(); now != head+6 {
			t.Errorf("%d entries", now-head)
		}
		for _, tt := range []struct {
			name        string
			names       []string
			after, upTo journal.Position
			want        string
		}{
			{"everything", nil, Always, 6, `alice displayname "alice", alice m.tz "CET", alice org.test.a gone, alice org.test.b null, bob displayname "Bob"`},
			{"what came with the account is no change", nil, 0, 6, `alice m.tz "CET", alice org.test.a gone, alice org.test.b null, bob displayname "Bob"`},
			{"some fields", []string{"m.tz", "org.test.a", "org.test.c", "\x00"}, Always, 6, `alice m.tz "CET", alice org.test.a gone`},
			{"no field", []string{}, Always, 6, ``},
			{"behind a change", nil, 4, 6, `alice org.test.a gone, alice org.test.b null`},
			{"what is changed again later is found there", nil, Always, 4, `alice displayname "alice", alice m.tz "CET", bob displayname "Bob"`},
			{"nothing", nil, 6, 6, ``},
		} {
			if got := found(t, k, tt.names, tt.after, tt.upTo, alice, bob); got != tt.want {
				t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
			}
		}
		for name, want := range map[string]string{"m.tz": "[@alice:a.test]", Displayname: "[@alice:a.test @bob:a.test]", "org.test.a": "[]", "\x00": "[]"} {
			users, err := k.Having(ctx, []string{name})
			if slices.Sort(users); err != nil || fmt.Sprint(users) != want {
				t.Errorf("%q: %v, %v", name, users, err)
			}
		}
		sized(t, k, alice)
		sized(t, k, bob)
		if err := k.Clear(ctx, alice); err != nil {
			t.Fatal(err)
		}
		if got, want := found(t, k, nil, 6, 7, alice, bob), "alice displayname gone, alice m.tz gone, alice org.test.b gone"; got != want {
			t.Errorf("cleared: got %s, want %s", got, want)
		}
		if fields, err := k.Get(ctx, alice); err != nil || string(fields) != "{}" {
			t.Errorf("cleared: got %s, %v", fields, err)
		}
		sized(t, k, alice)
	})
}

// TestRemovedFieldsAreForgottenWithTheJournal: otherwise a user could fill the database
// with names.
func TestRemovedFieldsAreForgottenWithTheJournal(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		k := keep(t, db, Rooms{})
		for range 2 {
			for i := range 3 {
				name := fmt.Sprint("org.test.n", i)
				if err := errors.Join(k.Set(ctx, alice, name, text("x")), k.Delete(ctx, alice, name)); err != nil {
					t.Fatal(err)
				}
			}
			if got := found(t, k, nil, Always, k.Journal.Head(), alice); strings.Count(got, "gone") != 3 {
				t.Errorf("removed are %s", got)
			}
		}
		if _, err := k.Journal.Trim(ctx, k.Journal.Head()); err != nil {
			t.Fatal(err)
		}
		if err := k.Set(ctx, alice, "m.tz", text("UTC")); err != nil {
			t.Fatal(err)
		}
		if got := found(t, k, nil, Always, k.Journal.Head(), alice); got != `alice m.tz "UTC"` {
			t.Errorf("left is %s at %d, floor %d", got, k.Journal.Head(), k.Journal.Floor())
		}
	})
}

// TestWhoSharesARoomFindsWhoHasChanged also when another process has.
func TestWhoSharesARoomFindsWhoHasChanged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		room := journal.NewScope(journal.ScopeRoom, 1)
		k, stop := keepUntil(t, db, Rooms{
			Scopes:  func(*store.Tx, id.UserID) ([]journal.Scope, error) { return []journal.Scope{room}, nil },
			Sharers: func(_ context.Context, _ id.UserID, among []id.UserID) ([]id.UserID, error) { return among, nil },
		})
		if err := k.Set(ctx, alice, "m.tz", text("UTC")); err != nil {
			t.Fatal(err)
		}
		stop()
		after := keep(t, db, k.Rooms)
		for name, tt := range map[string]struct {
			k     *Keeper
			user  id.UserID
			rooms []journal.Scope
			want  []id.UserID
		}{
			"in the room":      {k, bob, []journal.Scope{room}, []id.UserID{alice}},
			"in another":       {k, bob, nil, nil},
			"herself":          {k, alice, nil, []id.UserID{alice}},
			"after a restart":  {after, bob, []journal.Scope{room}, []id.UserID{alice}},
			"herself after it": {after, alice, nil, []id.UserID{alice}},
		} {
			in := func(s journal.Scope) bool { return slices.Contains(tt.rooms, s) }
			if users, err := tt.k.Since(ctx, tt.user, in, 0, 1); err != nil || !slices.Equal(users, tt.want) {
				t.Errorf("%s: found %v, %v", name, users, err)
			}
		}
	})
}

func TestAProfileMayBeFullToTheLastByte(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		k := keep(t, db, Rooms{})
		if err := k.Set(ctx, alice, Displayname, text("Alice")); err != nil {
			t.Fatal(err)
		}
		fields, _ := k.Get(ctx, alice)
		fill := func(more int) error {
			used := len(fields) + len(`"org.test.a":"",`)
			return k.Set(ctx, alice, "org.test.a", text(strings.Repeat("x", maxProfile-used+more)))
		}
		if err := fill(1); !errors.Is(err, mxerr.ProfileTooLarge) {
			t.Errorf("one byte too much: %v", err)
		}
		if err := fill(0); err != nil {
			t.Errorf("all there is room for: %v", err)
		}
		if full, _ := k.Get(ctx, alice); len(full) != maxProfile {
			t.Errorf("a full profile has %d bytes", len(full))
		}
	})
}
