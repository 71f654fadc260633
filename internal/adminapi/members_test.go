package adminapi_test

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// TestWhoIsBroughtInWhileTheProfileChangesHasTheLastOne: in each of the rooms.
func TestWhoIsBroughtInWhileTheProfileChangesHasTheLastOne(t *testing.T) {
	play(t, func(s *scene) {
		var rooms []string
		for i := range 30 {
			rooms = append(rooms, s.room(fmt.Sprint("Room ", i)))
		}
		name := ""
		for i, roomID := range rooms {
			name = fmt.Sprint("Bob ", i)
			var wg sync.WaitGroup
			wg.Go(func() { s.admin.Must("POST", a+"v1/join/"+roomID, `{"user_id":"@bob:a.test"}`) })
			wg.Go(func() { s.bob.Must("PUT", c+"profile/@bob:a.test/displayname", map[string]string{"displayname": name}) })
			wg.Wait()
			time.Sleep(time.Minute) // for the rooms to be told
			v := s.bob.Must("GET", c+"rooms/"+roomID+"/state/m.room.member/@bob:a.test", nil)
			if got := text(v, "displayname"); got != name {
				t.Errorf("%s has %q, want %q", roomID, got, name)
			}
		}
	})
}
