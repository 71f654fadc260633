package report

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

var ctx = context.Background()

func file(t *testing.T, s *Store, r Report) {
	t.Helper()
	if err := s.File(ctx, r); err != nil {
		t.Fatal(err)
	}
}

func TestReportsAreListedByWhatTheyAreAbout(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := New(db)
		for i, reporter := range []id.UserID{"@alice:a.test", "@bob:a.test", "@al:a.test"} {
			file(t, s, Report{Kind: Event, Reporter: reporter, Room: id.RoomID(fmt.Sprintf("!r%d:a.test", i)), Event: "$e", User: "@mallory:a.test", Reason: fmt.Sprint("event ", i)})
		}
		file(t, s, Report{Kind: Room, Reporter: "@alice:a.test", Room: "!r1:a.test", Reason: "room"})
		file(t, s, Report{Kind: User, Reporter: "@alice:a.test", User: "@mallory:a.test", Reason: "user"})
		for _, tt := range []struct {
			name  string
			q     Query
			want  []string
			total int64
		}{
			{"events, the newest first", Query{Kind: Event, Limit: 10}, []string{"event 2", "event 1", "event 0"}, 3},
			{"events, the oldest first", Query{Kind: Event, Limit: 10, Oldest: true}, []string{"event 0", "event 1", "event 2"}, 3},
			{"a page", Query{Kind: Event, Limit: 1, Skip: 1}, []string{"event 1"}, 3},
			{"behind the last page", Query{Kind: Event, Limit: 5, Skip: 3}, nil, 3},
			{"by a part of who reports", Query{Kind: Event, Limit: 10, Reporter: "@al"}, []string{"event 2", "event 0"}, 2},
			{"by a part of the room", Query{Kind: Event, Limit: 10, Room: "r1:"}, []string{"event 1"}, 1},
			{"a part is no pattern", Query{Kind: Event, Limit: 10, Room: "%"}, nil, 0},
			{"by who is reported", Query{Kind: Event, Limit: 10, User: "@mallory:a.test"}, []string{"event 2", "event 1", "event 0"}, 3},
			{"who is reported is named as a whole", Query{Kind: Event, Limit: 10, User: "@mallory"}, nil, 0},
			{"rooms", Query{Kind: Room, Limit: 10}, []string{"room"}, 1},
			{"users", Query{Kind: User, Limit: 10}, []string{"user"}, 1},
		} {
			list, total, err := s.List(ctx, tt.q)
			var reasons []string
			for _, r := range list {
				reasons = append(reasons, r.Reason)
			}
			if err != nil || total != tt.total || !slices.Equal(reasons, tt.want) {
				t.Errorf("%s: got %q of %d, %v, want %q of %d", tt.name, reasons, total, err, tt.want, tt.total)
			}
		}
	})
}

func TestAReportIsReadAndDeletedByItsNumber(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := New(db)
		file(t, s, Report{Kind: Event, Reporter: "@alice:a.test", Room: "!r", Event: "$e", User: "@mallory:a.test", Reason: "no\x00thing"})
		list, _, err := s.List(ctx, Query{Kind: Event, Limit: 1})
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		number := list[0].ID
		r, err := s.Get(ctx, Event, number)
		if err != nil || r != list[0] || r.Reason != "nothing" || r.Room != "!r" || r.Event != "$e" || r.Received.IsZero() {
			t.Errorf("got %+v, %v", r, err)
		}
		if _, err := s.Get(ctx, User, number); !errors.Is(err, mxerr.NotFound) {
			t.Errorf("as a report of a user: %v", err)
		}
		if err := s.Delete(ctx, Room, number); !errors.Is(err, mxerr.NotFound) {
			t.Errorf("deleted as a report of a room: %v", err)
		}
		if err := s.Delete(ctx, Event, number); err != nil {
			t.Error(err)
		}
		if _, err := s.Get(ctx, Event, number); !errors.Is(err, mxerr.NotFound) {
			t.Errorf("after it was deleted: %v", err)
		}
		file(t, s, Report{Kind: Event, Reporter: "@alice:a.test"})
		if list, _, err = s.List(ctx, Query{Kind: Event, Limit: 1}); err != nil || list[0].ID <= number {
			t.Errorf("the number of a deleted report is given out again: %v, %v", list, err)
		}
	})
}

func TestAReasonHasAnEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := New(db)
		if err := s.File(ctx, Report{Kind: User, Reporter: "@alice:a.test", Reason: strings.Repeat("x", maxReason)}); err != nil {
			t.Error(err)
		}
		if err := s.File(ctx, Report{Kind: User, Reporter: "@alice:a.test", Reason: strings.Repeat("x", maxReason+1)}); !errors.Is(err, mxerr.TooLarge) {
			t.Errorf("got %v", err)
		}
	})
}
