package fedsend

import (
	"context"
	"strconv"
	"time"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/id"
)

// read returns what a server is owed from a position on, as far as it fits into its
// queue, and the position behind that. more says that there is something behind
// it, or may be.
func (s *Sender) read(ctx context.Context, server id.ServerName, from journal.Position) (list []owed, next journal.Position, more bool, err error) {
	head := s.Journal.Head()
	for next = from; next <= head && len(list) < mostQueued; {
		upTo := min(next+room.OwedWindow, head)
		found, err := s.Rooms.OwedTo(ctx, server, next, upTo, mostQueued-len(list))
		if err != nil {
			return nil, 0, false, err
		}
		for _, o := range found {
			list = append(list, owed{o.Pos, o.Event.JSON().Without("unsigned")})
		}
		if next = upTo + 1; len(list) == mostQueued {
			next = list[len(list)-1].pos + 1
		}
	}
	return list, next, next <= head, nil
}

func timestamp(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
