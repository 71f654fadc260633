package endpoint

import (
	"context"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// watchers are users whose sessions can end.
type watchers struct {
	Authenticator
	session context.Context
	watched atomic.Int64
}

func (w *watchers) Watch(Caller) (context.Context, func()) {
	w.watched.Add(1)
	return w.session, func() { w.watched.Add(-1) }
}

func TestWhoWaitsIsToldThatTheSessionHasChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := quietly(t)
		session, end := context.WithCancel(t.Context())
		w := &watchers{Authenticator: config.Users, session: session}
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
		if n := w.watched.Load(); n != 1 {
			t.Fatalf("%d are watched", n)
		}
		end()
		if r := <-done; r.Code != 200 || w.watched.Load() != 0 {
			t.Errorf("got %d, and %d are watched still", r.Code, w.watched.Load())
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
