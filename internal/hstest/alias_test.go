package hstest

import (
	"net/url"
	"testing"
	"testing/synctest"
)

// TestARoomIsNotCalledByAnAliasThatIsGone: of an alias that is gone nobody can ask again
// to have it deleted.
func TestARoomIsNotCalledByAnAliasThatIsGone(t *testing.T) {
	for commits := 1; commits < 4; commits++ {
		synctest.Test(t, func(t *testing.T) {
			s := New(t).Server("a.test")
			alice := s.Register("alice")
			room, _ := alice.Must("POST", "/_matrix/client/v3/createRoom", `{"room_alias_name":"room"}`).Get("room_id").Text()
			path := "/_matrix/client/v3/directory/room/" + url.PathEscape("#room:a.test")
			synctest.Wait()
			s.DiesAfter(commits)
			alice.Try("DELETE", path, nil)
			s.Restart()
			alice.Do("DELETE", path, nil)
			if status, _ := alice.Do("GET", path, nil); status != 404 {
				t.Errorf("killed after %d commits: the alias is resolved with %d", commits, status)
			}
			if got := alice.Must("GET", "/_matrix/client/v3/rooms/"+room+"/state/m.room.canonical_alias", nil); string(got) != "{}" {
				t.Errorf("killed after %d commits: the room is called %s", commits, got)
			}
		})
	}
}
