package csapi

import (
	"fmt"
	"slices"
	"testing"

	"parley/internal/room"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func TestReceiptsAreSent(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		roomID := s.create(room.NewRoom{Preset: room.PublicChat}, userBob)
		elsewhere := s.say(s.create(room.NewRoom{}), userAlice)
		one, two := s.say(roomID, userAlice), s.say(roomID, userAlice)
		to := func(kind string, e id.EventID) string {
			return fmt.Sprintf("POST rooms/%s/receipt/%s/%s", roomID, kind, e)
		}
		s.try([]socialCall{
			{"public", "bob", to("m.read", one), `{}`, "", 0},
			{"without a body", "bob", to("m.read", one), ``, "", 0},
			{"private", "bob", to("m.read.private", two), `{}`, "", 0},
			{"in a thread", "bob", to("m.read", one), `{"thread_id":"main"}`, "", 0},
			{"fully read", "bob", to("m.fully_read", two), `{}`, "", 0},
			{"fully read in a thread", "bob", to("m.fully_read", one), `{"thread_id":"main"}`, mxerr.InvalidParam, 0},
			{"an empty thread", "bob", to("m.read", one), `{"thread_id":""}`, mxerr.InvalidParam, 0},
			{"no thread", "bob", to("m.read", one), `{"thread_id":null}`, mxerr.InvalidParam, 0},
			{"a thread that is a number", "bob", to("m.read", one), `{"thread_id":1}`, mxerr.InvalidParam, 0},
			{"an unknown type", "bob", to("m.seen", one), `{}`, mxerr.InvalidParam, 0},
			{"an event of another room", "bob", to("m.read", elsewhere), `{}`, mxerr.NotFound, 0},
			{"fully read elsewhere", "bob", to("m.fully_read", elsewhere), `{}`, mxerr.NotFound, 0},
			{"no member", "carol", to("m.read", one), `{}`, mxerr.Forbidden, 0},
			{"no such room", "bob", "POST rooms/!x/receipt/m.read/" + string(one), `{}`, mxerr.Forbidden, 0},
			{"a guest", "guest", to("m.read", one), `{}`, mxerr.GuestAccessForbidden, 0},
		})
		num, _ := s.Rooms.Num(s.ctx, roomID)
		found, err := s.Receipts.All(s.ctx, []int64{int64(num)}, userBob, s.journal.Head())
		if err != nil || len(found[int64(num)]) != 3 {
			t.Errorf("got %v, %v", found, err)
		}
		if got := s.fullyRead(roomID, userBob); got != two {
			t.Errorf("fully read up to %s", got)
		}
	})
}

func TestReadMarkersAreSet(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		roomID := s.create(room.NewRoom{Preset: room.PublicChat}, userBob)
		one, two, three := s.say(roomID, userAlice), s.say(roomID, userAlice), s.say(roomID, userAlice)
		call := fmt.Sprintf("POST rooms/%s/read_markers", roomID)
		s.try([]socialCall{
			{"nothing", "bob", call, `{}`, "", 0},
			{"all", "bob", call, fmt.Sprintf(`{"m.fully_read":%q,"m.read":%q,"m.read.private":%q}`, one, two, three), "", 0},
			{"an unknown event", "bob", call, `{"m.fully_read":"$x"}`, mxerr.NotFound, 0},
			{"no event", "bob", call, `{"m.read":"x"}`, mxerr.BadJSON, 0},
			{"null is nothing", "bob", call, `{"m.fully_read":null,"m.read":null}`, "", 0},
			{"no member", "carol", call, fmt.Sprintf(`{"m.read":%q}`, one), mxerr.Forbidden, 0},
		})
		num, _ := s.Rooms.Num(s.ctx, roomID)
		marks, err := s.Receipts.Marks(s.ctx, userBob, []int64{int64(num)})
		it, _, _ := s.Rooms.Item(s.ctx, roomID, three)
		if err != nil || marks[int64(num)].All.Place != it.Place {
			t.Errorf("got %v, %v", marks, err)
		}
		if got := s.fullyRead(roomID, userBob); got != one {
			t.Errorf("fully read up to %s", got)
		}
	})
}

func TestTypingIsShown(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		roomID := s.create(room.NewRoom{Preset: room.PublicChat}, userBob)
		num, _ := s.Rooms.Num(s.ctx, roomID)
		call := func(user string) string { return fmt.Sprintf("PUT rooms/%s/typing/@%s:a.test", roomID, user) }
		s.try([]socialCall{
			{"typing", "bob", call("bob"), `{"typing":true,"timeout":30000}`, "", 0},
			{"for very long", "alice", call("alice"), `{"typing":true,"timeout":9007199254740991}`, "", 0},
			{"not said", "bob", call("bob"), `{}`, mxerr.MissingParam, 0},
			{"for another", "bob", call("alice"), `{"typing":false}`, mxerr.Forbidden, 0},
			{"no member", "carol", call("carol"), `{"typing":true}`, mxerr.Forbidden, 0},
		})
		if got := s.Typing.Typing(num.Scope()); !slices.Equal(got, []id.UserID{userAlice, userBob}) {
			t.Errorf("%v are typing", got)
		}
		s.try([]socialCall{{"stopped", "bob", call("bob"), `{"typing":false}`, "", 0}})
		if got := s.Typing.Typing(num.Scope()); !slices.Equal(got, []id.UserID{userAlice}) {
			t.Errorf("%v are typing", got)
		}
	})
}
