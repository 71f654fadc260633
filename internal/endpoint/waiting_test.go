package endpoint

import (
	"context"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// watchers are users whose sessions can end.
type watchers struct {
	Authenticator
	watched map[context.Context]context.CancelFunc
}

func (w *watchers) Watch(Caller) (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	w.watched[ctx] = cancel
	return ctx, func() { delete(w.watched, ctx) }
}

func TestWhoWaitsIsToldThatTheSessionHasChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := quietly(t)
		w := &watchers{config.Users, make(map[context.Context]context.CancelFunc)}
		config.Users = w
		table := New(config, []Route{On("GET /news", Policy{Auth: User, Waits: true}, func(ctx context.Context, _ Caller, _ Empty) (Empty, error) {
			<-ctx.Done()
			if cause := context.Cause(ctx); cause != ErrStopping {
				t.Errorf("the cause is %v", cause)
			}
			return Empty{}, nil
		})})
		done := make(chan *httptest.ResponseRecorder, 1)
		go func() { done <- request{target: "/news", token: "alice"}.send(table) }()
		synctest.Wait()
		if len(w.watched) != 1 {
			t.Fatalf("%d are watched", len(w.watched))
		}
		for _, cancel := range w.watched {
			cancel()
		}
		if r := <-done; r.Code != 200 || len(w.watched) != 0 {
			t.Errorf("got %d, and %d are watched still", r.Code, len(w.watched))
		}
	})
}

func TestWaitingIsLimitedByUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := quietly(t)
		config.MaxWaiting = 2
		policy := Policy{Auth: User, Waits: true}
		sleepy := func(pattern string, policy Policy) Route {
			return On(pattern, policy, func(context.Context, Caller, Empty) (Empty, error) {
				time.Sleep(time.Minute)
				return Empty{}, nil
			})
		}
		table := New(config, []Route{sleepy("GET /news", policy), sleepy("GET /other", policy), sleepy("GET /slow", Policy{Auth: User})})
		type step struct {
			target, token string
			want          int // status
		}
		ask := func(steps ...step) {
			t.Helper()
			answers := make([]<-chan *httptest.ResponseRecorder, len(steps))
			for i, s := range steps {
				done := make(chan *httptest.ResponseRecorder, 1)
				go func() { done <- request{target: s.target, token: s.token}.send(table) }()
				synctest.Wait()
				answers[i] = done
			}
			for i, s := range steps {
				if w := <-answers[i]; w.Code != s.want {
					t.Errorf("%s of %s, request %d: got %d %s, want %d", s.target, s.token, i, w.Code, w.Body, s.want)
				}
			}
		}
		for range 2 { // what has waited is forgotten
			ask(step{"/news", "alice", 200}, step{"/other", "alice", 200}, step{"/news", "alice", 429}, step{"/other", "alice", 429},
				step{"/news", "bob", 200}, step{"/slow", "alice", 200}, step{"/slow", "alice", 200},
				step{"/news", "bridge", 200}, step{"/news", "bridge", 200}, step{"/news", "bridge", 200})
		}
		if n := len(table.waiting.byUser); n != 0 {
			t.Errorf("%d users are remembered", n)
		}
	})
}
