package hstest

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/matrix/id"
)

// invitedTo returns the rooms that a user is invited to.
func (u *User) invitedTo() (rooms []string) {
	u.world.Helper()
	for room := range u.Must("GET", syncPath("", 0), nil).Get("rooms").Get("invite").Members() {
		rooms = append(rooms, room.String())
	}
	return rooms
}

// TestWhoIsInvitedIntoANewRoomIsSoWheneverTheServerDies: to ask for the room again makes
// another one.
func TestWhoIsInvitedIntoANewRoomIsSoWheneverTheServerDies(t *testing.T) {
	for commits := 1; commits < 6; commits++ {
		synctest.Test(t, func(t *testing.T) {
			w := New(t)
			a, b := w.Server("a.test"), w.Server("b.test")
			alice, bob := a.Register("alice"), b.Register("bob")
			synctest.Wait()
			a.DiesAfter(commits)
			alice.Try("POST", "/_matrix/client/v3/createRoom", map[string]any{"is_direct": true, "invite": []any{bob.ID}})
			a.Restart()
			time.Sleep(time.Minute)
			made := alice.joined()
			if got := bob.invitedTo(); len(got) != len(made) {
				t.Errorf("killed after %d commits: alice is in %s, and bob invited to %s", commits, made, got)
			}
			for _, room := range made {
				if _, v := alice.Do("GET", "/_matrix/client/v3/rooms/"+room+"/state/m.room.member/"+string(bob.ID), nil); !v.Get("is_direct").True() {
					t.Errorf("killed after %d commits: the invite is %s", commits, v)
				}
			}
		})
	}
}

// TestWhoIsInvitedIntoANewRoomIsSoThoughNobodyWaits for a server that is slow.
func TestWhoIsInvitedIntoANewRoomIsSoThoughNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		w := New(t)
		w.Post(func(from, to id.ServerName, r *http.Request) (f Fate) {
			if strings.Contains(r.URL.Path, "/invite/") {
				f = Fate{Delay: 10 * time.Second, Lost: time.Since(begun) < time.Minute}
			}
			return f
		})
		a, b := w.Server("a.test"), w.Server("b.test")
		alice, bob := a.Register("alice"), b.Register("bob")
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		r, err := http.NewRequestWithContext(ctx, "POST", "http://a.test/_matrix/client/v3/createRoom", strings.NewReader(`{"invite":["@bob:b.test"]}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+alice.Token)
		if resp, err := w.client.Do(r); err == nil {
			resp.Body.Close()
			t.Error("the request was answered")
		}
		time.Sleep(10 * time.Minute)
		if made, got := alice.joined(), bob.invitedTo(); len(made) != 1 || len(got) != 1 {
			t.Errorf("alice is in %s, and bob invited to %s", made, got)
		}
	})
}
