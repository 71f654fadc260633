package hstest

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/store"
)

// beginToReplace has the server of a new room die when it has committed so much of what
// was to replace it. A room with so much state is replaced in several commits.
func beginToReplace(t *testing.T, commits int) (alice *User, room string) {
	s := New(t).Server("a.test")
	alice = s.Register("alice")
	room = alice.createRoom()
	for i := range 101 {
		alice.Must("POST", "/_matrix/client/v3/rooms/"+room+"/ban", fmt.Sprintf(`{"user_id":"@%d:b.test"}`, i))
	}
	synctest.Wait()
	s.DiesAfter(commits)
	alice.Try("POST", "/_matrix/client/v3/rooms/"+room+"/upgrade", `{"new_version":"11"}`)
	s.Restart()
	return alice, room
}

func (u *User) joined() (rooms []string) {
	u.world.Helper()
	for r := range u.Must("GET", "/_matrix/client/v3/joined_rooms", nil).Get("joined_rooms").Elements() {
		rooms = append(rooms, r.String())
	}
	return rooms
}

// TestWhatWasBegunToReplaceARoomGoesInTheEnd: to ask again makes another one.
func TestWhatWasBegunToReplaceARoomGoesInTheEnd(t *testing.T) {
	for commits := 2; commits < 5; commits++ {
		synctest.Test(t, func(t *testing.T) {
			alice, room := beginToReplace(t, commits)
			next := alice.Must("POST", "/_matrix/client/v3/rooms/"+room+"/upgrade", `{"new_version":"11"}`).Get("replacement_room").String()
			time.Sleep(26 * time.Hour)
			if joined := alice.joined(); !slices.Contains(joined, next) || len(joined) != 2 {
				t.Errorf("killed after %d commits: alice is in %s, and the room was replaced by %s", commits, joined, next)
			}
		})
	}
}

func TestWhatWasBegunToReplaceARoomStaysIfItIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alice, room := beginToReplace(t, 2)
		begun := alice.joined()
		for _, r := range begun {
			alice.Must("PUT", "/_matrix/client/v3/rooms/"+r+"/send/m.room.message/1", `{"msgtype":"m.text","body":"what is this?"}`)
		}
		time.Sleep(26 * time.Hour)
		if joined := alice.joined(); len(begun) != 2 || !slices.Equal(joined, begun) {
			t.Errorf("alice was in %s, beside %s, and is in %s", begun, room, joined)
		}
	})
}

// TestWhatWasHandedOverOfARoomGoesInTheEnd unless it has become that room.
func TestWhatWasHandedOverOfARoomGoesInTheEnd(t *testing.T) {
	for commits := 6; commits < 10; commits++ {
		synctest.Test(t, func(t *testing.T) {
			w := New(t)
			a, b := w.Server("a.test"), w.Server("b.test")
			alice := a.Register("alice")
			room := b.Register("bob").createRoom()
			synctest.Wait()
			a.DiesAfter(commits)
			status, _, _ := alice.Try("POST", "/_matrix/client/v3/join/"+room+"?via=b.test", `{}`)
			b.Stop()
			a.Restart()
			time.Sleep(26 * time.Hour)
			for _, table := range []string{"events", "state_nodes", "sights", "room_servers", "memberships", "unfinished_rooms"} {
				if n := a.rowsWithoutRoom(table); n != 0 {
					t.Errorf("killed after %d commits: %d rows of %s are of no room", commits, n, table)
				}
			}
			joined := alice.Must("GET", "/_matrix/client/v3/joined_rooms", nil)
			if status == 200 && string(joined) != fmt.Sprintf(`{"joined_rooms":[%q]}`, room) {
				t.Errorf("killed after %d commits: alice has joined, and is in %s", commits, joined)
			}
		})
	}
}

// rowsWithoutRoom counts the rows of a table that are of rooms that there are not.
func (s *Server) rowsWithoutRoom(table string) (n int) {
	s.world.Helper()
	db, err := store.Open(s.world.Context(), s.Config.DataDir+"/parley.db")
	if err != nil {
		s.world.Fatal(err)
	}
	defer db.Close()
	err = db.View(s.world.Context(), func(tx *store.Tx) error {
		return tx.Row("SELECT count(*) FROM " + table + " WHERE room NOT IN (SELECT room FROM rooms)").Scan(&n)
	})
	if err != nil {
		s.world.Fatal(err)
	}
	return n
}
