package errand

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// play runs a queue in a bubble while f does something.
func play(t *testing.T, w Work[string], f func(q *Queue[string])) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		q, ended := New[string](), make(chan bool)
		if w.Recall == nil {
			w.Recall = func(context.Context) ([]string, error) { return nil, nil }
		}
		if w.Log == nil {
			w.Log = slog.New(slog.DiscardHandler)
		}
		w.AtOnce = 1
		go func() {
			q.Run(ctx, w)
			close(ended)
		}()
		f(q)
		cancel()
		<-ended
	})
}

func TestErrandsAreDoneInTurn(t *testing.T) {
	var done []string
	w := Work[string]{
		Recall: func(context.Context) ([]string, error) { return []string{"left", "behind"}, nil },
		Do:     func(_ context.Context, key string) error { done = append(done, key); return nil },
	}
	play(t, w, func(q *Queue[string]) {
		synctest.Wait()
		q.Add("a", "b", "a")
		synctest.Wait()
		q.Add("a")
		synctest.Wait()
		if want := []string{"left", "behind", "a", "b", "a"}; !slices.Equal(done, want) {
			t.Errorf("done are %v, want %v", done, want)
		}
	})
}

func TestAFaultIsTriedAgainLaterAndLater(t *testing.T) {
	var log bytes.Buffer
	var begin time.Time
	var at []time.Duration
	w := Work[string]{
		What: "testing", Log: slog.New(slog.NewTextHandler(&log, nil)),
		Do: func(context.Context, string) error {
			if at = append(at, time.Since(begin)); len(at) < 4 {
				return errors.New("broken")
			}
			return nil
		},
	}
	play(t, w, func(q *Queue[string]) {
		begin = time.Now()
		q.Add("a")
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := fmt.Sprint(at); got != "[0s 1s 3s 7s]" || strings.Count(log.String(), "testing: trying again later") != 3 {
			t.Errorf("tried at %s, the log says %s", got, log.String())
		}
	})
}

func TestWhatIsAddedMeanwhileHasAnotherTurn(t *testing.T) {
	var q *Queue[string]
	done := 0
	w := Work[string]{Do: func(context.Context, string) error {
		if done++; done == 1 {
			q.Add("a")
			return errors.New("broken")
		}
		return nil
	}}
	play(t, w, func(made *Queue[string]) {
		q = made
		q.Add("a")
		time.Sleep(firstWait)
		synctest.Wait()
		if done != 2 {
			t.Errorf("done %d times, want 2", done)
		}
	})
}

func TestWhatWaitsAfterAFaultIsTriedAtOnceWhenThereIsNews(t *testing.T) {
	done := 0
	w := Work[string]{Do: func(context.Context, string) error {
		if done++; done < 4 {
			return errors.New("broken")
		}
		return nil
	}}
	play(t, w, func(q *Queue[string]) {
		q.Add("a")
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if done != 3 {
			t.Fatalf("tried %d times", done)
		}
		q.Add("a")
		synctest.Wait()
		if done != 4 {
			t.Errorf("tried %d times, want 4", done)
		}
	})
}

func TestWhatWasLeftIsLookedForUntilThatSucceeds(t *testing.T) {
	asked, done := 0, 0
	w := Work[string]{
		Recall: func(context.Context) ([]string, error) {
			if asked++; asked < 3 {
				return nil, errors.New("broken")
			}
			return []string{"a"}, nil
		},
		Do: func(context.Context, string) error { done++; return nil },
	}
	play(t, w, func(*Queue[string]) {
		time.Sleep(time.Minute)
		synctest.Wait()
		if asked != 3 || done != 1 {
			t.Errorf("asked %d times, done %d", asked, done)
		}
	})
}
