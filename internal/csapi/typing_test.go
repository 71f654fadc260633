package csapi

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"parley/internal/room"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func TestTypingIsSaidAndEnds(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		one, two := s.create(room.NewRoom{Preset: room.PublicChat}, userBob), s.create(room.NewRoom{Preset: room.PublicChat}, userBob)
		in := func(roomID id.RoomID, user string) string {
			return fmt.Sprintf("PUT rooms/%s/typing/@%s:a.test", roomID, user)
		}
		typing := func(roomID id.RoomID, want ...id.UserID) {
			t.Helper()
			num, err := s.Rooms.Num(s.ctx, roomID)
			if got := s.Typing.Typing(num.Scope()); err != nil || !slices.Equal(got, want) {
				t.Errorf("%v are typing, want %v (%v)", got, want, err)
			}
		}
		s.try([]socialCall{
			{"for as long as usual", "bob", in(one, "bob"), `{"typing":true}`, "", 0},
			{"for ten seconds", "bob", in(two, "bob"), `{"typing":true,"timeout":10000}`, "", 0},
			{"somebody else", "bob", in(one, "alice"), `{"typing":true}`, mxerr.Forbidden, 0},
			{"who is not there", "carol", in(one, "carol"), `{"typing":true}`, mxerr.Forbidden, 0},
			{"nowhere", "bob", in("!x", "bob"), `{"typing":true}`, mxerr.Forbidden, 0},
			{"perhaps", "bob", in(one, "bob"), `{"timeout":1}`, mxerr.MissingParam, 0},
			{"for a word", "bob", in(one, "bob"), `{"typing":true,"timeout":"long"}`, mxerr.BadJSON, 0},
		})
		typing(one, userBob)
		typing(two, userBob)
		time.Sleep(11 * time.Second)
		typing(one, userBob)
		typing(two)
		s.try([]socialCall{
			{"again", "bob", in(two, "bob"), `{"typing":true,"timeout":60000}`, "", 0},
			{"leaving ends it", "bob", fmt.Sprintf("POST rooms/%s/leave", one), ``, "", 0},
		})
		typing(one)
		typing(two, userBob)
		s.try([]socialCall{{"so does being thrown out", "alice", fmt.Sprintf("POST rooms/%s/ban", two), `{"user_id":"@bob:a.test"}`, "", 0}})
		typing(two)
		s.try([]socialCall{
			{"alice begins", "alice", in(one, "alice"), `{"typing":true}`, "", 0},
			{"alice ends", "alice", in(one, "alice"), `{"typing":false}`, "", 0},
		})
		typing(one)
	})
}
