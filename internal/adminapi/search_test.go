package adminapi_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/config"
)

func TestTheIndexOfMessagesIsMadeAnew(t *testing.T) {
	play(t, func(s *scene) {
		roomID := text(s.alice.Must("POST", c+"createRoom", `{}`), "room_id")
		for i := range 3 {
			s.alice.Must("PUT", fmt.Sprintf(c+"rooms/%s/send/m.room.message/%d", roomID, i), `{"msgtype":"m.text","body":"hello"}`)
		}
		const index = "/_parley/admin/v1/search_index"
		begun := s.admin.Must("POST", index+"/rebuild", `{}`)
		if number(begun, "total") == 0 || number(begun, "done") != 0 || string(begun.Get("complete")) != "false" {
			t.Errorf("at first it is %s", begun)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		ended := s.admin.Must("GET", index, nil)
		if number(ended, "done") != number(ended, "total") || string(ended.Get("complete")) != "true" || number(ended, "behind") != 0 {
			t.Errorf("in the end it is %s", ended)
		}
		found := s.alice.Must("POST", c+"search", `{"search_categories":{"room_events":{"search_term":"hello"}}}`)
		if n := number(found, "search_categories", "room_events", "count"); n != 3 {
			t.Errorf("%d messages are found, want 3", n)
		}
		if status, _ := s.alice.Do("GET", index, nil); status != 403 {
			t.Errorf("who is no administrator gets %d", status)
		}
	})
}

func TestAServerWithoutSearch(t *testing.T) {
	play(t, func(s *scene) {
		if status, answer := s.alice.Do("POST", c+"search", `{"search_categories":{"room_events":{"search_term":"hello"}}}`); status != 400 || text(answer, "errcode") != "M_UNKNOWN" {
			t.Errorf("searching: got %d %s", status, answer)
		}
		for method, path := range map[string]string{"GET": "search_index", "POST": "search_index/rebuild"} {
			if status, answer := s.admin.Do(method, "/_parley/admin/v1/"+path, nil); status != 404 || text(answer, "errcode") != "M_NOT_FOUND" {
				t.Errorf("%s: got %d %s", path, status, answer)
			}
		}
	}, func(c *config.Config) { c.Search.Enabled = false })
}
