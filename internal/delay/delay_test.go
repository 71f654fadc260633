package delay

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

const (
	alice id.UserID = "@alice:a.test"
	bob   id.UserID = "@bob:a.test"
)

// A scene is a store whose rooms are entries of the journal.
type scene struct {
	*Store
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	refuse error     // what Send fails with
	sent   []string  // by Send, the types
	at     time.Time // when it was sent last
}

var scope = journal.NewScope(journal.ScopeRoom, 1)

func newScene(t *testing.T, db *store.DB, o Options) *scene {
	ctx, cancel := context.WithCancel(context.Background())
	j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, ctx: ctx}
	o.Send = func(ctx context.Context, e Event, along func(*journal.Batch, id.EventID) error) (id.EventID, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.refuse != nil {
			return "", s.refuse
		}
		if e.Type == "same" {
			return "$earlier", nil
		}
		_, err := j.Append(ctx, func(b *journal.Batch) error {
			b.Append(scope, journal.KindEvent, e.Delay.Milliseconds())
			return along(b, id.EventID("$"+e.Type))
		})
		if err == nil {
			s.sent, s.at = append(s.sent, e.Type), time.Now()
		}
		return id.EventID("$" + e.Type), err
	}
	s.Store = New(db, j, o)
	var wg sync.WaitGroup
	wg.Go(func() { j.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return s
}

func (s *scene) schedule(user id.UserID, what string, after time.Duration) string {
	s.t.Helper()
	delayID, err := s.Schedule(s.ctx, Event{User: user, Room: "!r:a.test", Type: what, Content: canonjson.Value(`{}`), Delay: after}, Transaction{})
	if err != nil {
		s.t.Fatal(err)
	}
	return delayID
}

func (s *scene) get(delayID string) Event {
	s.t.Helper()
	e, err := s.Get(s.ctx, alice, delayID)
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

func few() Options { return Options{MaxDelay: time.Hour, MaxScheduled: 3} }

func TestWhatIsScheduledIsListedUntilItIsFinalised(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newScene(t, db, few())
		key := "k"
		late, err := s.Schedule(s.ctx, Event{User: alice, Room: "!r:a.test", Type: "late", StateKey: &key, Content: canonjson.Value(`{"a":1}`), Delay: time.Hour}, Transaction{"PHONE", "1"})
		if err != nil {
			t.Fatal(err)
		}
		soon := s.schedule(alice, "soon", time.Minute)
		s.schedule(bob, "other", time.Minute)
		list, err := s.Scheduled(s.ctx, alice)
		if err != nil || len(list) != 2 || list[0].ID != soon || list[1].ID != late || list[0].StateKey != nil {
			t.Fatalf("got %+v, %v", list, err)
		}
		if e := list[1]; e.Type != "late" || *e.StateKey != "k" || string(e.Content) != `{"a":1}` || e.Delay != time.Hour || e.Due-e.Begun != 3600_000 || e.Room != "!r:a.test" {
			t.Errorf("got %+v", e)
		}
		again, err := s.Schedule(s.ctx, Event{User: alice, Room: "!r:a.test", Type: "late", StateKey: &key, Content: canonjson.Value(`{"a":1}`), Delay: time.Hour}, Transaction{"PHONE", "1"})
		if err != nil || again != late {
			t.Errorf("repeated: %q, %v", again, err)
		}
		if err := s.SendNow(s.ctx, alice, soon); err != nil {
			t.Fatal(err)
		}
		if e := s.get(soon); e.EventID != "$soon" || e.Finalised == 0 {
			t.Errorf("sent: %+v", e)
		}
		if err := s.Cancel(s.ctx, alice, late); err != nil {
			t.Fatal(err)
		}
		if e := s.get(late); e.EventID != "" || e.Error != nil || e.Finalised == 0 {
			t.Errorf("cancelled: %+v", e)
		}
		if list, err := s.Scheduled(s.ctx, alice); err != nil || list == nil || len(list) != 0 {
			t.Errorf("afterwards: %v, %v", list, err)
		}
	})
}

func TestWhatIsFinalisedStaysSo(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newScene(t, db, few())
		gone, done, open := s.schedule(alice, "gone", time.Hour), s.schedule(alice, "done", time.Hour), s.schedule(alice, "open", time.Hour)
		if err := errors.Join(s.Cancel(s.ctx, alice, gone), s.SendNow(s.ctx, alice, done)); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name   string
			do     func(context.Context, id.UserID, string) error
			user   id.UserID
			what   string
			status int
		}{
			{"a cancelled one is cancelled", s.Cancel, alice, gone, 0},
			{"and neither sent", s.SendNow, alice, gone, 409},
			{"nor restarted", s.Restart, alice, gone, 409},
			{"a sent one is sent", s.SendNow, alice, done, 0},
			{"and neither cancelled", s.Cancel, alice, done, 409},
			{"nor restarted", s.Restart, alice, done, 409},
			{"others do not cancel", s.Cancel, bob, open, 404},
			{"nor restart", s.Restart, bob, open, 404},
			{"nor send", s.SendNow, bob, open, 404},
			{"nor learn that it was sent", s.SendNow, bob, done, 404},
			{"nor that it was cancelled", s.Cancel, bob, gone, 404},
			{"what there is not is not found", s.Cancel, alice, "x", 404},
			{"to restart neither", s.Restart, alice, "x", 404},
		} {
			status := 0
			refusal := (*mxerr.Error)(nil)
			err := c.do(s.ctx, c.user, c.what)
			if errors.As(err, &refusal) {
				status = refusal.Status
			}
			if status != c.status || err != nil && refusal == nil {
				t.Errorf("%s: got %v, want %d", c.name, err, c.status)
			}
		}
		if len(s.sent) != 1 {
			t.Errorf("sent %v", s.sent)
		}
	})
}

func TestThereAreLimits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newScene(t, db, few())
		nul := "\x00"
		for _, c := range []struct {
			name string
			e    Event
			want mxerr.Code
			is   error
		}{
			{"no delay", Event{Content: canonjson.Value(`{}`)}, mxerr.InvalidParam, nil},
			{"a negative one", Event{Content: canonjson.Value(`{}`), Delay: -time.Second}, mxerr.InvalidParam, nil},
			{"one that is too long", Event{Content: canonjson.Value(`{}`), Delay: 2 * time.Hour}, mxerr.Forbidden, ErrTooLong},
			{"a content that is none", Event{Content: canonjson.Value(`[]`), Delay: time.Second}, mxerr.BadJSON, nil},
			{"a content that is too large", Event{Content: canonjson.Value(`{"x":"` + strings.Repeat("x", 1<<16) + `"}`), Delay: time.Second}, mxerr.TooLarge, nil},
			{"a state key that no database takes", Event{Content: canonjson.Value(`{}`), Delay: time.Second, StateKey: &nul}, mxerr.InvalidParam, nil},
		} {
			c.e.User, c.e.Room, c.e.Type = alice, "!r:a.test", "x"
			if _, err := s.Schedule(s.ctx, c.e, Transaction{}); !errors.Is(err, c.want) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%s: got %v, want %s", c.name, err, c.want)
			}
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		refused := 0
		for i := range 10 { // of which many come together into one batch
			all.Go(func() {
				_, err := s.Schedule(s.ctx, Event{User: alice, Room: "!r:a.test", Type: fmt.Sprint(i), Content: canonjson.Value(`{}`), Delay: time.Minute}, Transaction{})
				mu.Lock()
				defer mu.Unlock()
				if errors.Is(err, ErrTooMany) && errors.Is(err, mxerr.LimitExceeded) {
					refused++
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if refused != 7 {
			t.Errorf("%d of 10 were refused, want 7", refused)
		}
		s.schedule(bob, "own", time.Minute) // has a number of his own
		s.MaxScheduled = 0
		if _, err := s.Schedule(s.ctx, Event{User: bob, Content: canonjson.Value(`{}`), Delay: time.Minute}, Transaction{}); !errors.Is(err, mxerr.Forbidden) {
			t.Errorf("where there are none: %v", err)
		}
	})
}

func TestWhoIsForgottenHasNoneAndOldOnesGo(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newScene(t, db, few())
		forgotten, old, kept := s.schedule(bob, "forgotten", time.Hour), s.schedule(alice, "old", time.Hour), s.schedule(alice, "kept", time.Hour)
		if err := errors.Join(s.Forget(s.ctx, bob), s.Cancel(s.ctx, alice, old), s.Cancel(s.ctx, alice, kept)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(s.ctx, bob, forgotten); !errors.Is(err, mxerr.NotFound) {
			t.Errorf("forgotten: %v", err)
		}
		err := db.Update(s.ctx, func(tx *store.Tx) error {
			_, err := tx.Exec("UPDATE delayed_events SET finalised = finalised - $2 WHERE delay_id = $1", old, (keep + time.Hour).Milliseconds())
			return err
		})
		if err == nil {
			err = s.Tidy(s.ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(s.ctx, alice, old); !errors.Is(err, mxerr.NotFound) {
			t.Errorf("old: %v", err)
		}
		s.get(kept)
	})
}

// playTime runs f in a bubble with a store that sends.
func playTime(t *testing.T, f func(s *scene, restart func() *scene)) {
	location := filepath.Join(t.TempDir(), "parley.db")
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t, location)
		end := func() {}
		restart := func() *scene {
			end()
			s := newScene(t, db, few())
			ctx, cancel := context.WithCancel(s.ctx)
			var wg sync.WaitGroup
			wg.Go(func() { s.Run(ctx) })
			end = func() {
				cancel()
				wg.Wait()
			}
			return s
		}
		f(restart(), restart)
		end()
	})
}

func TestAnEventIsSentWhenItsTimeHasCome(t *testing.T) {
	playTime(t, func(s *scene, _ func() *scene) {
		begin := time.Now()
		s.schedule(alice, "b", time.Minute)
		s.schedule(alice, "c", 50*time.Minute)
		s.schedule(alice, "a", 5*time.Second)
		time.Sleep(5*time.Second - time.Millisecond)
		synctest.Wait()
		if len(s.sent) != 0 {
			t.Errorf("too early: %v", s.sent)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if !slices.Equal(s.sent, []string{"a"}) || !s.at.Equal(begin.Add(5*time.Second)) {
			t.Errorf("sent %v at %v", s.sent, s.at.Sub(begin))
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if !slices.Equal(s.sent, []string{"a", "b", "c"}) || !s.at.Equal(begin.Add(50*time.Minute)) {
			t.Errorf("sent %v, the last at %v", s.sent, s.at.Sub(begin))
		}
	})
}

func TestRestartsPutAnEventOff(t *testing.T) {
	playTime(t, func(s *scene, restart func() *scene) {
		begin := time.Now()
		delayID := s.schedule(alice, "leave", 8*time.Second)
		for range 20 {
			time.Sleep(5 * time.Second)
			if err := s.Restart(s.ctx, alice, delayID); err != nil {
				t.Fatal(err)
			}
		}
		s = restart() // does not forget that
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(s.sent) != 1 || !s.at.Equal(begin.Add(108*time.Second)) {
			t.Errorf("sent %v at %v", s.sent, s.at.Sub(begin))
		}
	})
}

func TestWhatBecameDueMeanwhileIsSentInOrderAtTheStart(t *testing.T) {
	playTime(t, func(s *scene, restart func() *scene) {
		s.refuse = errors.New("down")
		s.schedule(alice, "b", 2*time.Minute)
		s.schedule(alice, "a", time.Minute)
		time.Sleep(5 * time.Minute)
		s = restart()
		synctest.Wait()
		if !slices.Equal(s.sent, []string{"a", "b"}) {
			t.Errorf("sent %v", s.sent)
		}
	})
}

func TestWhatTheRoomRefusesIsCancelledWithTheError(t *testing.T) {
	playTime(t, func(s *scene, _ func() *scene) {
		refused, same := s.schedule(alice, "refused", time.Second), ""
		s.refuse = mxerr.New(mxerr.Forbidden, "No")
		if err := s.SendNow(s.ctx, alice, refused); !errors.Is(err, mxerr.Forbidden) || s.get(refused).Finalised != 0 {
			t.Errorf("before its time: %v, %+v", err, s.get(refused))
		}
		time.Sleep(2 * time.Second)
		if e := s.get(refused); string(e.Error) != `{"errcode":"M_FORBIDDEN","error":"No"}` || e.Finalised == 0 || e.EventID != "" {
			t.Errorf("got %+v", e)
		}
		if err := s.Cancel(s.ctx, alice, refused); err != nil {
			t.Errorf("it is cancelled: %v", err)
		}
		s.refuse = nil
		same = s.schedule(alice, "same", time.Second)
		time.Sleep(2 * time.Second)
		if e := s.get(same); e.EventID != "$earlier" {
			t.Errorf("what changes nothing: %+v", e)
		}
	})
}

func TestAfterAFaultItIsTriedAgain(t *testing.T) {
	playTime(t, func(s *scene, _ func() *scene) {
		s.refuse = errors.New("broken")
		delayID := s.schedule(alice, "a", time.Second)
		time.Sleep(3 * time.Second)
		s.mu.Lock()
		s.refuse = nil
		s.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if e := s.get(delayID); e.EventID != "$a" || len(s.sent) != 1 {
			t.Errorf("got %+v, sent %v", e, s.sent)
		}
	})
}

// TestAnEventIsSentOnceWhateverFails has two nodes of one database send at the same
// time what is due, while users cancel, and the database fails.
func TestAnEventIsSentOnceWhateverFails(t *testing.T) {
	errCrash := errors.New("made up by the test")
	storetest.EachLocation(t, func(t *testing.T, location string) {
		var mu sync.Mutex
		random, on := rand.New(rand.NewPCG(3, 4)), false
		var nodes []*scene
		for range 2 {
			db := storetest.Open(t, location)
			db.FailAt(func(store.Point) error {
				mu.Lock()
				defer mu.Unlock()
				if on && random.IntN(5) == 0 {
					return errCrash
				}
				return nil
			})
			nodes = append(nodes, newScene(t, db, Options{MaxDelay: time.Hour, MaxScheduled: 1000}))
		}
		const events = 30
		ids := make([]string, events)
		for i := range ids { // each is known by its delay
			ids[i] = nodes[0].schedule(alice, "x", time.Duration(i+1)*time.Millisecond)
		}
		mu.Lock()
		on = true
		mu.Unlock()
		cancels := make([]bool, events) // that were acknowledged
		var all sync.WaitGroup
		for _, n := range nodes {
			all.Go(func() {
				for left := true; left; {
					n.sendDue(n.ctx, "!r:a.test")
					list, err := n.Scheduled(n.ctx, alice)
					left = err != nil || len(list) > 0
				}
			})
		}
		all.Go(func() {
			for i := 1; i < events; i += 3 {
				cancels[i] = nodes[0].Cancel(nodes[0].ctx, alice, ids[i]) == nil
			}
		})
		all.Wait()
		mu.Lock()
		on = false
		mu.Unlock()
		times := make(map[int64]int)
		err := nodes[0].db.View(nodes[0].ctx, func(tx *store.Tx) error {
			refs, err := store.List[int64](tx, "SELECT ref FROM journal")
			for _, ref := range refs {
				times[ref]++
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, delayID := range ids {
			e := nodes[0].get(delayID)
			want := 0
			if e.EventID != "" {
				want = 1
			}
			if times[int64(i+1)] != want || cancels[i] && want == 1 || !cancels[i] && i%3 != 1 && want == 0 {
				t.Errorf("event %d was sent %d times, cancelled %v, and is %+v", i, times[int64(i+1)], cancels[i], e)
			}
		}
	})
}
