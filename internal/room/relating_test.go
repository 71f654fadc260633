package room

import (
	"errors"
	"sync"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

// TestOfTwoEqualAnnotationsAtOnceOneIsRefused: the other one may still wait for
// its commit.
func TestOfTwoEqualAnnotationsAtOnceOneIsRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		roomID := n.create(NewRoom{})
		liked := n.send(roomID, message(alice, "like me")).EventID
		like := Draft{Type: "m.reaction", Sender: alice}.relates("m.annotation", liked)
		like.Content = like.Content.With("m.relates_to", like.Content.Get("m.relates_to").With("key", canonjson.Text("+")))
		errs := make([]error, 20)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { _, errs[i] = n.Send(ctx, roomID, like) })
		}
		wg.Wait()
		passed := 0
		for _, err := range errs {
			if err == nil {
				passed++
			} else if !errors.Is(err, mxerr.DuplicateAnnotation) {
				t.Error(err)
			}
		}
		if passed != 1 {
			t.Errorf("%d of them were sent", passed)
		}
		// One request that is repeated while it is under way is one.
		other := n.send(roomID, message(alice, "like me, too")).EventID
		like.Content = like.Content.With("m.relates_to", like.Content.Get("m.relates_to").With("event_id", canonjson.Text(string(other))))
		like.Transaction = Transaction{Device: "PHONE", ID: "t"}
		for i := range errs {
			wg.Go(func() { _, errs[i] = n.Send(ctx, roomID, like) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
	})
}
