package fedsend

import (
	"context"
	"sync"
	"testing"

	"parley/internal/journal"
	"parley/internal/remote"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/internal/todevice"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// A message is there before the sender has heard of it, and what was sent before
// may be stored just then.
func TestWhatIsNotYetSentIsKept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		wg.Go(func() { j.Run(ctx) })
		health, err := remote.OpenHealth(ctx, db, nil)
		if err != nil {
			t.Fatal(err)
		}
		messages := todevice.New(db, j, todevice.Options{Server: "a.test"})
		s := New(Parts{
			Server: "a.test", DB: db, Journal: j, ToDevice: messages,
			Remote: remote.NewServers(health, remote.ServersOptions{Server: "a.test"}),
		})
		for _, row := range []struct {
			name    string
			noticed bool
			kept    int
		}{
			{"a message that the sender has not heard of", false, 1},
			{"one of which it was told, and that was sent", true, 0},
		} {
			err := messages.Send(ctx, todevice.Message{
				Sender: "@alice:a.test", Type: "m.room_key",
				To: map[id.UserID]map[id.DeviceID]canonjson.Value{"@bob:b.test": {"PHONE": canonjson.Value(`{}`)}},
			}, todevice.Transaction{})
			if err != nil {
				t.Fatal(err)
			}
			if row.noticed {
				s.reached = j.Head()
			}
			s.settled["b.test"] = true // something that was sent before
			if err := s.storeSettled(ctx); err != nil {
				t.Fatal(err)
			}
			kept, err := messages.Owed(ctx, 1, j.Head())
			if err != nil || len(kept) != row.kept {
				t.Errorf("%s: %d are kept, %v", row.name, len(kept), err)
			}
		}
	})
}
