package rendezvous

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/matrix/mxerr"
)

func TestWhoHasReadTheLastMayReplaceIt(t *testing.T) {
	s := New()
	begun, err := s.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	next, err := s.Put(begun.ID, begun.Token, "b", true)
	if err != nil || next.Data != "b" || next.Token == begun.Token || next.Expires != begun.Expires {
		t.Fatalf("got %+v, %v", next, err)
	}
	if again, err := s.Put(begun.ID, begun.Token, "b", true); err != nil || again != next {
		t.Errorf("repeated: %+v, %v", again, err)
	}
	for _, data := range []string{"a", "c"} {
		if now, err := s.Put(begun.ID, begun.Token, data, true); !errors.Is(err, ConcurrentWrite) || now != next {
			t.Errorf("%q with an old token: %+v, %v", data, now, err)
		}
	}
	if _, err := s.Put(begun.ID, begun.Token, "b", false); !errors.Is(err, ConcurrentWrite) {
		t.Errorf("repeated where that does not count: %v", err)
	}
	if same, err := s.Put(begun.ID, next.Token, "b", true); err != nil || same.Token == next.Token {
		t.Errorf("the same once more: %+v, %v", same, err)
	}
	if _, err := s.Put(begun.ID, next.Token, strings.Repeat("x", MaxData+1), true); !errors.Is(err, mxerr.TooLarge) {
		t.Errorf("too much: %v", err)
	}
}

func TestSessionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		gone, _ := s.Create("a")
		if err := s.Delete(gone.ID); err != nil {
			t.Fatal(err)
		}
		old, _ := s.Create("b")
		time.Sleep(life)
		for _, sessionID := range []string{gone.ID, old.ID, "x"} {
			_, read := s.Get(sessionID)
			_, written := s.Put(sessionID, old.Token, "b", true)
			for _, err := range []error{read, written, s.Delete(sessionID)} {
				if !errors.Is(err, mxerr.NotFound) {
					t.Errorf("%s: %v", sessionID, err)
				}
			}
		}
	})
}

func TestThereAreSoManySessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		for range mostSessions {
			if _, err := s.Create("a"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Create("a"); !errors.Is(err, mxerr.LimitExceeded) {
			t.Errorf("one more: %v", err)
		}
		time.Sleep(life)
		if _, err := s.Create("a"); err != nil || len(s.byID) != 1 {
			t.Errorf("later: %v, with %d", err, len(s.byID))
		}
	})
}
