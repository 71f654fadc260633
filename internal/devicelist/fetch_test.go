package devicelist

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// play runs f with a house in a bubble, in which alice shares a room with carol, and
// the list of carol is known.
func play(t *testing.T, f func(h *house)) {
	location := filepath.Join(t.TempDir(), "parley.db")
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t, location)
		h := build(t, db)
		h.join(1, alice, carol)
		h.answersWith(carol, 5, "A one")
		h.wants("at first", h.remote(carol), "A one")
		f(h)
		h.stop()
		db.Close()
	})
}

// again is the house after a restart.
func (h *house) again() *house {
	h.stop()
	next := build(h.t, h.DB)
	next.mu.Lock()
	defer next.mu.Unlock()
	next.rooms, next.answers = h.rooms, h.answers
	return next
}

func (h *house) silence(user id.UserID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.answers, user)
}

func TestAListWithAGapIsFetchedAnew(t *testing.T) {
	play(t, func(h *house) {
		head := h.Journal.Head()
		h.answersWith(carol, 9, "A one", "B two")
		h.receive("b.test", UpdateEDU, update(carol, "B", "two", 9, "[8]"))
		h.wants("alice learns of it at once", h.since(alice, head, h.Journal.Head(), 1), "carol")
		synctest.Wait()
		h.wants("fetched", h.times(carol), 2)
		h.wants("the list", h.remote(carol), "A one, B two")
		h.wants("fetched in all", h.times(carol), 2)
		h.receive("b.test", UpdateEDU, update(carol, "C", "three", 10, "[9]"))
		h.wants("then", h.remote(carol), "A one, B two, C three")
	})
}

func TestAFirstChangeIsAGap(t *testing.T) {
	play(t, func(h *house) {
		h.answersWith(carol, 1, "C new")
		h.receive("b.test", UpdateEDU, update(carol, "C", "new", 1, "[]"))
		synctest.Wait()
		h.wants("the list", h.remote(carol), "C new")
	})
}

func TestWhatCannotBeFetchedIsTriedAgain(t *testing.T) {
	play(t, func(h *house) {
		h.silence(carol)
		h.receive("b.test", UpdateEDU, update(carol, "B", "two", 9, "[8]"))
		synctest.Wait()
		h.wants("tried", h.times(carol), 2)
		h.wants("meanwhile", h.remote(carol), "unknown")
		time.Sleep(time.Hour)
		if n := h.times(carol); n < 6 || n > 12 {
			t.Errorf("tried %d times in an hour", n)
		}
		head := h.Journal.Head()
		h.answersWith(carol, 9, "A one", "B two")
		time.Sleep(2 * time.Hour)
		tried := h.times(carol)
		h.wants("alice learns of it", h.since(alice, head, h.Journal.Head(), 1), "carol")
		h.wants("the list", h.remote(carol), "A one, B two")
		time.Sleep(24 * time.Hour)
		h.wants("tried in all", h.times(carol), tried)
	})
}

func TestARestartDoesNotForgetWhatIsToBeFetched(t *testing.T) {
	play(t, func(h *house) {
		h.silence(carol)
		h.receive("b.test", UpdateEDU, update(carol, "B", "two", 9, "[8]"))
		synctest.Wait()
		h.answersWith(carol, 9, "B two")
		h = h.again()
		synctest.Wait()
		h.wants("fetched", h.times(carol), 1)
		h.wants("the list", h.remote(carol), "B two")
		h.stop()
	})
}

func TestAServerThatIsDownIsLeftAloneUntilItIsBack(t *testing.T) {
	play(t, func(h *house) {
		h.mu.Lock()
		h.retry = time.Now().Add(10 * time.Hour)
		h.mu.Unlock()
		h.receive("b.test", UpdateEDU, update(carol, "B", "two", 9, "[8]"))
		time.Sleep(time.Hour)
		h.wants("tried", h.times(carol), 1)
		h.answersWith(carol, 9, "B two")
		h.mu.Lock()
		h.retry = time.Time{}
		h.mu.Unlock()
		h.Back("b.test")
		synctest.Wait()
		h.wants("tried when it is back", h.times(carol), 2)
		h.wants("the list", h.remote(carol), "B two")
	})
}

// slowly has the server of carol answer after a while.
func (h *house) slowly(before func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	answer := h.answers[carol]
	h.answers[carol] = func() (canonjson.Value, error) {
		time.Sleep(time.Second)
		before()
		return answer()
	}
}

func TestManyWhoAskAtOnceCostOneRequest(t *testing.T) {
	play(t, func(h *house) {
		h.changes(bob)
		h.join(1, carol) // as if she had left in between
		h.slowly(func() {})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { h.wants("the list", h.remote(carol), "A one") })
		}
		for i := range 10 {
			h.receive("b.test", UpdateEDU, update(carol, "B", "two", int64(9+i), "[8]"))
		}
		wg.Wait()
		time.Sleep(time.Minute)
		if n := h.times(carol); n > 3 {
			t.Errorf("fetched %d times", n)
		}
	})
}

func TestWhatComesWhileAListIsFetchedIsNotLost(t *testing.T) {
	for name, edu := range map[string]string{
		"a gap":     update(carol, "B", "two", 9, "[8]"),
		"no gap":    update(carol, "B", "two", 6, "[5]"),
		"no number": `{"user_id":"@carol:b.test","device_id":"B","deleted":true,"stream_id":6}`,
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(h *house) {
				h.changes(bob)
				h.join(1, carol)
				once := sync.OnceFunc(func() {
					h.receive("b.test", UpdateEDU, edu)
					defer h.answersWith(carol, 9, "B two", "C three")
				})
				h.slowly(once)
				h.remote(carol)
				time.Sleep(time.Minute)
				want := "B two, C three"
				if name == "no gap" {
					want = "A one, B two"
				}
				h.wants("the list", h.remote(carol), want)
			})
		})
	}
}

func TestAChangeBeforeTheFirstListIsThereIsNotLost(t *testing.T) {
	play(t, func(h *house) {
		if err := h.drop(ctx, []id.UserID{carol}); err != nil {
			t.Fatal(err)
		}
		once := sync.OnceFunc(func() {
			h.receive("b.test", UpdateEDU, update(carol, "B", "two", 6, "[5]"))
			defer h.answersWith(carol, 6, "B two")
		})
		h.slowly(once)
		h.remote(carol)
		time.Sleep(time.Minute)
		h.wants("the list", h.remote(carol), "B two")
	})
}

func TestAListThatThereIsNotIsForgotten(t *testing.T) {
	play(t, func(h *house) {
		h.mu.Lock()
		h.answers[carol] = func() (canonjson.Value, error) { return nil, errors.Join(errors.New("404"), ErrRefused) }
		h.mu.Unlock()
		h.receive("b.test", UpdateEDU, update(carol, "B", "two", 9, "[8]"))
		time.Sleep(24 * time.Hour)
		h.wants("fetched", h.times(carol), 2)
		h.wants("the list", h.remote(carol), "unknown")
	})
}

func TestAnswersThatMakeNoSenseChangeNothing(t *testing.T) {
	for _, answer := range []string{
		`{}`, `[]`, `{"user_id":"@alice:a.test","stream_id":9,"devices":[]}`, `{"user_id":"@carol:b.test","stream_id":"9","devices":[]}`,
		`{"user_id":"@carol:b.test","stream_id":9,"devices":{}}`,
	} {
		play(t, func(h *house) {
			h.mu.Lock()
			h.answers[carol] = func() (canonjson.Value, error) { return canonjson.Value(answer), nil }
			h.mu.Unlock()
			h.receive("b.test", UpdateEDU, update(carol, "B", "two", 9, "[8]"))
			synctest.Wait()
			h.wants("after "+answer, h.remote(carol), "unknown")
			h.answersWith(carol, 9, "B two")
			time.Sleep(2 * time.Hour)
			h.wants("later", h.remote(carol), "B two")
		})
	}
}
