package hstest

import (
	"fmt"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
)

// token is where a sync has come to.
func token(sync canonjson.Value) string {
	next, _ := sync.Get("next_batch").Text()
	return next
}

func syncPath(since string, wait time.Duration) string {
	return fmt.Sprintf("/_matrix/client/v3/sync?set_presence=offline&since=%s&timeout=%d", url.QueryEscape(since), wait.Milliseconds())
}

// bodies returns the messages of a room in a sync.
func bodies(sync canonjson.Value, room string) []string {
	list := []string{}
	for e := range sync.Get("rooms").Get("join").Get(room).Get("timeline").Get("events").Elements() {
		if body, ok := e.Get("content").Get("body").Text(); ok {
			list = append(list, body)
		}
	}
	return list
}

// createRoom makes a room that everybody may join.
func (u *User) createRoom() string {
	u.world.Helper()
	room, _ := u.Must("POST", "/_matrix/client/v3/createRoom", `{"preset":"public_chat"}`).Get("room_id").Text()
	return room
}

func (u *User) says(room, body string) {
	u.world.Helper()
	u.Must("PUT", "/_matrix/client/v3/rooms/"+url.PathEscape(room)+"/send/m.room.message/"+url.PathEscape(body),
		map[string]string{"msgtype": "m.text", "body": body})
}

func TestPeopleTalkAndTheirServerIsKilledMeanwhile(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		a := New(t).Server("a.test", Database(location))
		alice, bob := a.Register("alice"), a.Register("bob")
		room := alice.createRoom()
		bob.Must("POST", "/_matrix/client/v3/join/"+url.PathEscape(room), `{}`)
		at := token(bob.Must("GET", syncPath("", 0), nil))
		alice.says(room, "one")
		a.Restart()
		alice.says(room, "two")
		alice.says(room, "one") // once more with the transaction of then
		sync := bob.Must("GET", syncPath(at, 0), nil)
		if got := fmt.Sprint(bodies(sync, room)); got != "[one two]" {
			t.Errorf("bob sees %s", got)
		}
	})
}

func TestWhoWaitsHearsOfNewsAndOfTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(t).Server("a.test")
		alice, bob := a.Register("alice"), a.Register("bob")
		room := alice.createRoom()
		bob.Must("POST", "/_matrix/client/v3/join/"+url.PathEscape(room), `{}`)
		at := token(bob.Must("GET", syncPath("", 0), nil))

		waits := func() <-chan canonjson.Value {
			answer := make(chan canonjson.Value, 1)
			go func() {
				status, sync := bob.Do("GET", syncPath(at, time.Minute), nil)
				if status != 200 {
					t.Errorf("got %d %s", status, sync)
				}
				answer <- sync
			}()
			synctest.Wait()
			return answer
		}
		answer, begin := waits(), time.Now()
		time.Sleep(10 * time.Second)
		alice.says(room, "hello")
		sync := <-answer
		if got := bodies(sync, room); len(got) != 1 || time.Since(begin) != 10*time.Second {
			t.Errorf("after %v bob sees %v", time.Since(begin), got)
		}

		at = token(sync)
		answer, begin = waits(), time.Now()
		a.Stop()
		if sync = <-answer; token(sync) == "" || time.Since(begin) > time.Second {
			t.Errorf("after %v the end is %s", time.Since(begin), sync)
		}
		a.Start()
		alice.says(room, "again")
		if got := bodies(bob.Must("GET", syncPath(token(sync), 0), nil), room); len(got) != 1 {
			t.Errorf("after the restart bob sees %v", got)
		}
	})
}
