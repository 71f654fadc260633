package room

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/event"
	"parley/matrix/id"
)

// TestAPurgeBetweenAStateAndItsEvent has another node purge the room after the state
// before an event was fetched and stored, and before the event is.
func TestAPurgeBetweenAStateAndItsEvent(t *testing.T) {
	eachApart(t, func(t *testing.T, a, b *node, roomID id.RoomID, n *neighbours) {
		n.broken["missing"] = true
		b.send(roomID, message(guest, "old"))
		b.send(roomID, message(guest, "last"))
		a.send(roomID, message(admin(0), "lost"))
		a.send(roomID, topic(admin(0), "new"))
		e := a.sent(roomID, message(admin(0), "hello"))
		other := start(t, b.db, Options{Server: "b.test", Grace: -1})
		stored := b.count("SELECT count(*) FROM state_nodes")
		var purged atomic.Bool
		b.db.FailAt(func(p store.Point) error {
			if p == store.BeforeBegin && b.count("SELECT count(*) FROM state_nodes") > stored && purged.CompareAndSwap(false, true) {
				if p := other.purge(other.PurgeHistory(ctx, roomID, Last, false)); p.Status != PurgeComplete || p.Nodes == 0 {
					t.Errorf("got %+v", p)
				}
			}
			return nil
		})
		if got := b.from("a.test", e); got != Accepted || !purged.Load() {
			t.Fatalf("got outcome %d", got)
		}
		same(t, roomID, a, b)
		(&talk{node: b, roomID: roomID}).checkWhole()
	})
}

// TestWhatIsBeingDeletedIsNotReferredTo has another server tell of a state with what was
// replaced here and is being deleted, and perhaps with a member whom that authorises.
func TestWhatIsBeingDeletedIsNotReferredTo(t *testing.T) {
	for _, sender := range []id.UserID{admin(0), "@new:a.test"} {
		eachApart(t, func(t *testing.T, a, b *node, roomID id.RoomID, n *neighbours) {
			n.broken["missing"] = true
			levels := object("state_default", level(0))
			if create := a.stateEvent(roomID, event.TypeCreate, ""); !create.Rules().PrivilegedCreators {
				levels = levels.With("users", object(string(admin(0)), level(100)))
			}
			rule := func(sender id.UserID, n string) Draft {
				return state(sender, event.TypeJoinRules, "", `{"join_rule":"public","n":`+n+`}`)
			}
			b.receiveAll(a.sent(roomID, state(admin(0), event.TypePowerLevels, "", string(levels))), a.sent(roomID, rule(admin(0), "1")))
			b.send(roomID, rule(guest, "2")) // a does not hear of it
			b.send(roomID, message(guest, "last"))
			a.send(roomID, message(admin(0), "lost"))
			if sender != admin(0) {
				a.send(roomID, join(sender))
				a.send(roomID, message(admin(0), "lost"))
			}
			e := a.sent(roomID, message(sender, "hello"))
			h := b.begun(roomID)
			if err := h.mark(ctx); err != nil {
				t.Fatal(err)
			}
			if outcome, err := b.ReceiveFrom(ctx, "a.test", e); !errors.Is(err, ErrMissing) {
				t.Errorf("got outcome %d, %v", outcome, err)
			}
			for _, step := range []func(context.Context) error{h.deleteShown, h.deleteAside, h.sweep, h.end} {
				if err := step(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if got := b.from("a.test", e); got != Accepted {
				t.Errorf("got outcome %d", got)
			}
			(&talk{node: b, roomID: roomID}).checkWhole()
		})
	}
}

// TestWhatIsPutAsideIsNumberedAboveWhatIsLeft has a node, which has still lower numbers
// to give than another has given, put an event aside while what was before is deleted.
func TestWhatIsPutAsideIsNumberedAboveWhatIsLeft(t *testing.T) {
	eachFederation(t, func(t *testing.T, f *federation, a, b *node) {
		other := start(t, a.db, Options{Server: "a.test", Grace: -1})
		last := other.sent(f.roomID, message(admin(0), "by a later number"))
		h := other.begun(f.roomID)
		if err := a.journal.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		aside := f.build(a, message("@stranger:b.test", "hello"), last)
		a.receive(aside, Rejected)
		if err := h.remove(ctx); err != nil {
			t.Fatal(err)
		}
		a.receive(aside, Known)
	})
}

// TestANodeStaysNeeded has a state stored that was made before an append which has nodes
// of it, too.
func TestANodeStaysNeeded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, soon)
		roomID := n.create(NewRoom{Preset: PublicChat})
		num := n.num(roomID)
		last := func() int64 {
			return n.count("SELECT max(pos) FROM state_nodes WHERE room = $1", num)
		}
		was := last()
		err := db.Update(ctx, func(tx *store.Tx) error {
			var rows [][]any
			for row, err := range tx.Query("SELECT address, node FROM state_nodes WHERE room = $1", num) {
				if err != nil {
					return err
				}
				var address, node []byte
				if err := row.Scan(&address, &node); err != nil {
					return err
				}
				rows = append(rows, []any{num, address, node, int64(1)})
			}
			return tx.QueueAll(insertNodes, rows)
		})
		if err != nil || last() != was {
			t.Errorf("the nodes were needed at %d, and now at %d, %v", was, last(), err)
		}
	})
}
