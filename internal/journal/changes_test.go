package journal

import (
	"context"
	"slices"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
)

const (
	alice id.UserID = "@alice:a.test"
	bob   id.UserID = "@bob:a.test"
)

func TestUserChangesInMemoryAreBounded(t *testing.T) {
	var r recentChanges
	rooms := make([]Scope, 1000)
	for i := range 10_000 {
		r.add(userChange{Position(i + 1), alice, rooms})
	}
	if r.weight > mostRecent || len(r.changes) > mostRecent/1000 {
		t.Errorf("%d changes weigh %d", len(r.changes), r.weight)
	}
	if _, ok := r.between(0, 10); ok {
		t.Error("it knows what it has forgotten")
	}
	if list, ok := r.between(9990, 9999); !ok || len(list) != 9 || list[0].pos != 9991 {
		t.Errorf("got %d changes, %v", len(list), ok)
	}
}

// TestAChangeOfAUserIsToldInTheirRooms on the node where it was made and on another,
// to who has not said that it is no news to them.
func TestAChangeOfAUserIsToldInTheirRooms(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		const kind Kind = 99
		var between []id.UserID // what the database would say
		changes := func(j *Journal) *UserChanges {
			return j.UserChanges(UserChangesParts{
				Kind:    kind,
				Rooms:   func(*store.Tx, id.UserID) ([]Scope, error) { return []Scope{room(1), room(2)}, nil },
				Between: func(context.Context, Position, Position) ([]id.UserID, error) { return between, nil },
				Sharers: func(_ context.Context, _ id.UserID, among []id.UserID) ([]id.UserID, error) { return among, nil },
			})
		}
		here, there := open(t, db, Options{}), open(t, db, Options{})
		mine, others := changes(here), changes(there)
		run(t, here)
		near, apart, far := here.Subscribe(room(2)), here.Subscribe(room(3)), there.Subscribe(room(3))
		var first, again Position
		appendAll(t, here, func(b *Batch) error {
			first = mine.Append(b, alice, 0)
			again = mine.Append(b, alice, 0)
			return nil
		})
		if first != 1 || again != first {
			t.Errorf("two changes at once are at %d and %d", first, again)
		}
		if err := there.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		for _, look := range []struct {
			who  string
			sub  *Subscription
			deaf []Kind
			want bool
		}{
			{"who is in a room", near, nil, true},
			{"who is in a room and waits for something else", near, []Kind{kind}, false},
			{"who is in another room", apart, nil, false},
			{"who may be in a room, on another node", far, nil, true},
			{"who waits for something else there", far, []Kind{kind}, false},
		} {
			cancel, news := look.sub.Notify(0, 0, func() {}, look.deaf...)
			if cancel(); news != look.want {
				t.Errorf("%s is told: %v", look.who, news)
			}
		}
		in := func(s Scope) bool { return s == room(2) }
		if users, err := mine.Since(ctx, bob, in, 0, 1); err != nil || !slices.Equal(users, []id.UserID{alice}) {
			t.Errorf("of what is in memory: %v, %v", users, err)
		}
		between = []id.UserID{bob}
		if users, err := others.Since(ctx, bob, in, 0, 1); err != nil || !slices.Equal(users, between) {
			t.Errorf("of what another node has done: %v, %v", users, err)
		}
	})
}
