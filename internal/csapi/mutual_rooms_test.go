package csapi

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// mutual asks for the rooms that a user shares with another.
func (s *socialScene) mutual(user, with, from string) (rooms []id.RoomID, count, next string, code mxerr.Code) {
	query := url.Values{}
	if with != "" {
		query.Set("user_id", with)
	}
	if from != "" {
		query.Set("from", from)
	}
	r := httptest.NewRequest("GET", "/_matrix/client/v1/mutual_rooms?"+query.Encode(), nil)
	r.Header.Set("Authorization", "Bearer "+user)
	w := httptest.NewRecorder()
	s.table.ServeHTTP(w, r)
	v, err := canonjson.Canonical(w.Body.Bytes(), canonjson.Strict)
	if err != nil {
		s.t.Fatal(err)
	}
	for room := range v.Get("joined").Elements() {
		text, _ := room.Text()
		rooms = append(rooms, id.RoomID(text))
	}
	next, _ = v.Get("next_batch").Text()
	text, _ := v.Get("errcode").Text()
	return rooms, string(v.Get("count")), next, mxerr.Code(text)
}

func TestMutualRooms(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		both := s.create(room.NewRoom{Preset: room.PublicChat}, userBob)
		s.create(room.NewRoom{Preset: room.PublicChat})                                // alice is alone
		s.create(room.NewRoom{Preset: room.PublicChat, Invites: []id.UserID{userBob}}) // bob has not come yet
		left := s.create(room.NewRoom{Preset: room.PublicChat}, userBob)
		if _, err := s.Rooms.Leave(s.ctx, left, room.Move{Sender: userBob}); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms?user_id=@bob:a.test", nil)
		r.Header.Set("Authorization", "Bearer alice")
		w := httptest.NewRecorder()
		s.table.ServeHTTP(w, r)
		if got, want := w.Body.String(), fmt.Sprintf(`{"joined":[%q],"count":1}`, both); strings.TrimSpace(got) != want {
			t.Errorf("as it was called before: got %s, want %s", got, want)
		}
		for _, tt := range []struct {
			name, user, with, from string
			want                   []id.RoomID
			code                   mxerr.Code
		}{
			{"of somebody", "alice", "@bob:a.test", "", []id.RoomID{both}, ""},
			{"the other way", "bob", "@alice:a.test", "", []id.RoomID{both}, ""},
			{"with a stranger", "alice", "@carol:a.test", "", nil, ""},
			{"with nobody", "alice", "@nobody:a.test", "", nil, ""},
			{"with oneself", "alice", "@alice:a.test", "", nil, mxerr.InvalidParam},
			{"with what is no user", "alice", "bob", "", nil, mxerr.InvalidParam},
			{"with an ID of the past", "alice", "@b b:a.test", "", nil, mxerr.InvalidParam},
			{"with a name that is empty", "alice", "@:a.test", "", nil, mxerr.InvalidParam},
			{"not saying with whom", "alice", "", "", nil, mxerr.MissingParam},
			{"from a strange token", "alice", "@bob:a.test", "x", nil, mxerr.InvalidParam},
			{"from one that is none", "alice", "@bob:a.test", "m1_-1", nil, mxerr.InvalidParam},
			{"a guest", "guest", "@bob:a.test", "", nil, mxerr.GuestAccessForbidden},
		} {
			got, count, next, code := s.mutual(tt.user, tt.with, tt.from)
			wantCount := fmt.Sprint(len(tt.want))
			if tt.code != "" {
				wantCount = ""
			}
			if code != tt.code || !slices.Equal(got, tt.want) || count != wantCount || next != "" {
				t.Errorf("%s: got %v, %s, %q, %s, want %v %s", tt.name, got, count, next, code, tt.want, tt.code)
			}
		}
	})
}

func TestMutualRoomsComeInPages(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		var want []id.RoomID
		for range 2*mostMutual + 1 {
			want = append(want, s.create(room.NewRoom{Preset: room.PublicChat}, userBob))
		}
		var got []id.RoomID
		from := ""
		for page := 0; page == 0 || from != ""; page++ {
			rooms, count, next, _ := s.mutual("alice", "@bob:a.test", from)
			if len(rooms) > mostMutual || count != fmt.Sprint(len(want)) || len(got) > len(want) {
				t.Fatalf("page %d has %d rooms of %s", page, len(rooms), count)
			}
			got, from = append(got, rooms...), next
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("got %d rooms, want %d", len(got), len(want))
		}
	})
}
