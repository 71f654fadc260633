package alias

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

var ctx = context.Background()

const alice id.UserID = "@alice:a.test"

func create(t *testing.T, d *Directory, alias id.RoomAlias, room id.RoomID) {
	t.Helper()
	if err := d.Create(ctx, alias, room, alice); err != nil {
		t.Fatal(err)
	}
}

func TestWhichAliasesAreMade(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := New(db, "a.test")
		create(t, d, "#taken:a.test", "!r")
		for _, tt := range []struct {
			name  string
			alias id.RoomAlias
			want  mxerr.Code // empty: it is made
		}{
			{"usual", "#room:a.test", ""},
			{"letters of any kind", "#Räume/1:a.test", ""},
			{"of another server", "#room:b.test", mxerr.InvalidParam},
			{"of a port of this one", "#room:a.test:8448", mxerr.InvalidParam},
			{"without a name", "#:a.test", mxerr.InvalidParam},
			{"with a space", "#a b:a.test", mxerr.InvalidParam},
			{"with a control character", "#a\x1b:a.test", mxerr.InvalidParam},
			{"taken", "#taken:a.test", mxerr.Unknown},
		} {
			err := d.Create(ctx, tt.alias, "!r", alice)
			if tt.want == "" && err != nil || tt.want != "" && !errors.Is(err, tt.want) {
				t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
			}
			if taken := errors.Is(err, ErrTaken); taken != (tt.name == "taken") {
				t.Errorf("%s: taken: %v", tt.name, taken)
			}
			var refusal *mxerr.Error
			if errors.As(err, &refusal) && tt.want == mxerr.Unknown && refusal.Status != 409 {
				t.Errorf("%s: status %d", tt.name, refusal.Status)
			}
		}
	})
}

func TestAliasesLeadToRooms(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := New(db, "a.test")
		create(t, d, "#one:a.test", "!r")
		create(t, d, "#two:a.test", "!r")
		create(t, d, "#other:a.test", "!other")
		if a, err := d.Lookup(ctx, "#one:a.test"); err != nil || a != (Alias{"!r", alice}) {
			t.Errorf("got %v, %v", a, err)
		}
		if room, err := d.Resolve(ctx, "#other:a.test"); err != nil || room != "!other" {
			t.Errorf("got %v, %v", room, err)
		}
		aliases, err := d.Of(ctx, "!r")
		if slices.Sort(aliases); err != nil || !slices.Equal(aliases, []id.RoomAlias{"#one:a.test", "#two:a.test"}) {
			t.Errorf("got %v, %v", aliases, err)
		}
		if aliases, err := d.Of(ctx, "!none"); err != nil || aliases == nil || len(aliases) != 0 {
			t.Errorf("got %v, %v", aliases, err)
		}
		for name, err := range map[string]error{
			"deleting what leads elsewhere": d.Delete(ctx, "#one:a.test", "!other"),
			"deleting what is not there":    d.Delete(ctx, "#none:a.test", "!r"),
			"deleting of another server":    d.Delete(ctx, "#none:b.test", "!r"),
		} {
			if !errors.Is(err, mxerr.NotFound) {
				t.Errorf("%s: got %v", name, err)
			}
		}
		if err := d.Delete(ctx, "#one:a.test", "!r"); err != nil {
			t.Error(err)
		}
		for _, alias := range []id.RoomAlias{"#one:a.test", "#one:b.test"} {
			if room, err := d.Resolve(ctx, alias); !errors.Is(err, mxerr.NotFound) {
				t.Errorf("%s leads to %s, %v", alias, room, err)
			}
		}
		create(t, d, "#one:a.test", "!other")
	})
}

func TestOneOfManyGetsAnAlias(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := New(db, "a.test")
		var wg sync.WaitGroup
		var made atomic.Int64
		for i := range 8 {
			wg.Go(func() {
				err := d.Create(ctx, "#one:a.test", id.RoomID("!"+strings.Repeat("r", 1+i)), alice)
				switch {
				case err == nil:
					made.Add(1)
				case !errors.Is(err, ErrTaken):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if made.Load() != 1 {
			t.Errorf("%d have it", made.Load())
		}
	})
}

func TestTheAliasesOfARoomMove(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		running, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { j.Run(running) })
		defer wg.Wait()
		defer cancel()
		d := New(db, "a.test")
		for alias, room := range map[id.RoomAlias]id.RoomID{"#one:a.test": "!old", "#two:a.test": "!old", "#other:a.test": "!other"} {
			create(t, d, alias, room)
		}
		for range 2 { // there is nothing left the second time
			if _, err := j.Append(ctx, func(b *journal.Batch) error { d.Move(b, "!old", "!new"); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := j.Append(ctx, func(b *journal.Batch) error { d.Move(b, "!old", "!other"); return nil }); err != nil {
			t.Fatal(err)
		}
		for alias, want := range map[id.RoomAlias]id.RoomID{"#one:a.test": "!new", "#two:a.test": "!new", "#other:a.test": "!other"} {
			if got, err := d.Resolve(ctx, alias); err != nil || got != want {
				t.Errorf("%s leads to %s, %v", alias, got, err)
			}
		}
	})
}

func TestAnAliasIsMadeWithItsRoom(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		d := New(db, "a.test")
		create(t, d, "#there:a.test", "!other")
		make := func(alias id.RoomAlias) func() (journal.Position, error) {
			return j.Submit(func(b *journal.Batch) error {
				return d.CreateWith(b, alias, "!room", alice)
			})
		}
		// All are in one group, which is committed when the journal runs.
		waits := []func() (journal.Position, error){make("#new:a.test"), make("#new:a.test"), make("#there:a.test"), make("#x:b.test")}
		running, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { j.Run(running) })
		defer wg.Wait()
		defer cancel()
		for i, want := range []error{nil, ErrTaken, ErrTaken, mxerr.InvalidParam} {
			if _, err := waits[i](); !errors.Is(err, want) {
				t.Errorf("number %d: got %v, want %v", i, err, want)
			}
		}
		for alias, want := range map[id.RoomAlias]id.RoomID{"#new:a.test": "!room", "#there:a.test": "!other"} {
			if got, err := d.Resolve(ctx, alias); err != nil || got != want {
				t.Errorf("%s leads to %s, %v", alias, got, err)
			}
		}
	})
}

func TestAliasesAreMovedToAnotherRoomOrRemoved(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := New(db, "a.test")
		create(t, d, "#one:a.test", "!old:a.test")
		create(t, d, "#two:a.test", "!old:a.test")
		create(t, d, "#other:a.test", "!other:a.test")
		moved, err := d.Redirect(ctx, "!old:a.test", "!new:a.test")
		if err != nil || len(moved) != 2 {
			t.Fatal(moved, err)
		}
		if room, err := d.Resolve(ctx, "#one:a.test"); err != nil || room != "!new:a.test" {
			t.Errorf("got %s, %v", room, err)
		}
		if moved, err = d.Redirect(ctx, "!old:a.test", "!new:a.test"); err != nil || len(moved) != 0 {
			t.Errorf("again: %v, %v", moved, err)
		}
		if moved, err = d.Redirect(ctx, "!new:a.test", ""); err != nil || len(moved) != 2 {
			t.Errorf("removed: %v, %v", moved, err)
		}
		if _, err := d.Resolve(ctx, "#one:a.test"); !errors.Is(err, mxerr.NotFound) {
			t.Errorf("got %v", err)
		}
		if room, err := d.Resolve(ctx, "#other:a.test"); err != nil || room != "!other:a.test" {
			t.Errorf("got %s, %v", room, err)
		}
	})
}
