package hstest

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestWhoIsLockedStopsWaitingForNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(t).Server("a.test")
		alice, bob := a.Register("alice"), a.Register("bob")
		if err := a.Accounts().SetAdmin(t.Context(), alice.ID, true); err != nil {
			t.Fatal(err)
		}
		at := token(bob.Must("GET", syncPath("", 0), nil))
		waits := func() <-chan time.Duration {
			begin, over := time.Now(), make(chan time.Duration, 1)
			go func() {
				bob.Do("GET", syncPath(at, time.Minute), nil)
				over <- time.Since(begin)
			}()
			synctest.Wait()
			return over
		}
		over := waits()
		time.Sleep(time.Second)
		alice.Must("PUT", "/_matrix/client/v1/admin/lock/"+string(bob.ID), `{"locked":true}`)
		if d := <-over; d != time.Second {
			t.Errorf("the wait ended after %v", d)
		}
		if status, body := bob.Do("GET", syncPath(at, 0), nil); status != 401 || !body.Get("errcode").Is("M_USER_LOCKED") {
			t.Errorf("got %d %s", status, body)
		}
		alice.Must("PUT", "/_matrix/client/v1/admin/lock/"+string(bob.ID), `{"locked":false}`)
		over = waits()
		time.Sleep(time.Second)
		bob.Must("POST", "/_matrix/client/v3/logout", nil)
		if d := <-over; d != time.Second {
			t.Errorf("after logout the wait ended after %v", d)
		}
	})
}
