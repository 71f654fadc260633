package fedsend

import (
	"testing"
	"testing/synctest"

	"parley/internal/ephemeral"
)

func TestWhoSaysSomethingDoesNotWaitForTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails where all wait
		s := &Sender{said: make(chan struct{}, 1)}
		s.mu.Lock() // as it is held while what was sent is stored
		defer s.mu.Unlock()
		s.Typing(1, "@a:a.test", true)
		s.Presence("@a:a.test", nil, ephemeral.Status{})
		if len(s.gossip.typing) != 1 || len(s.gossip.presence) != 1 {
			t.Errorf("taken in: %v", s.gossip)
		}
	})
}
