package room

import (
	"errors"
	"sync"
	"testing"

	"parley/matrix/event"
)

// receiveTogether is ReceiveAll, however long it takes.
func (n *node) receiveTogether(events ...*event.Event) (received int, err error) {
	for received < len(events) && err == nil {
		var more int
		more, err = n.ReceiveAll(ctx, events[received:])
		received += more
	}
	return received, err
}

func TestEventsThatComeTogether(t *testing.T) {
	eachFederation(t, func(t *testing.T, f *federation, a, b *node) {
		var list []*event.Event
		for _, d := range []Draft{message(guest, "one"), topic(guest, "news"), message(guest, "two"), message(guest, "three"), topic(guest, "old"), message(guest, "four")} {
			d.StateKey = nil // a guest may set nothing
			list = append(list, b.sent(f.roomID, d))
		}
		n, err := a.receiveTogether(append(list[:3:3], list[4:]...)...)
		if n != 3 || !errors.Is(err, ErrMissing) {
			t.Fatalf("without the fourth %d were received, %v", n, err)
		}
		r, err := a.Engine.room(ctx, f.roomID)
		if err != nil {
			t.Fatal(err)
		}
		r.mu.Lock()
		r.stale = true // as if another node had changed the room
		r.mu.Unlock()
		var said sync.WaitGroup
		said.Go(func() {
			for range 5 {
				a.send(f.roomID, message(admin(0), "meanwhile"))
			}
		})
		n, err = a.receiveTogether(list[3:]...)
		said.Wait()
		if n != 3 || err != nil {
			t.Fatalf("of the rest %d were received, %v", n, err)
		}
		news := a.journal.Head()
		if n, err := a.receiveTogether(list...); n != len(list) || err != nil || a.journal.Head() != news {
			t.Errorf("once more %d were received, %v, with %d entries", n, err, a.journal.Head()-news)
		}
		for _, e := range list {
			if !a.shows(f.roomID, e) {
				t.Errorf("%s is not shown", e.ID())
			}
		}
	})
}

func TestWhatComesWithARefusedEventIsReceived(t *testing.T) {
	eachFederation(t, func(t *testing.T, f *federation, a, b *node) {
		first := b.sent(f.roomID, message(guest, "one"))
		second := f.build(a, message("@stranger:b.test", "hi"), first)
		third := b.sent(f.roomID, message(guest, "two"))
		if n, err := a.receiveTogether(first, second, third); n != 3 || err != nil {
			t.Fatalf("%d were received, %v", n, err)
		}
		if !a.shows(f.roomID, first) || a.shows(f.roomID, second) || !a.shows(f.roomID, third) {
			t.Error("not what is allowed is shown")
		}
	})
}
