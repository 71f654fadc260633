package fedsend

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"parley/internal/journal"
	"parley/internal/remote"
	"parley/internal/room"
	"parley/matrix/event"
	"parley/matrix/id"
)

// read returns what a server is owed from a position on up to another one, as far
// as it fits into its queue, and the position behind that. more says that there is
// something behind it, or may be.
func (s *Sender) read(ctx context.Context, server id.ServerName, from, to journal.Position) (list []owed, next journal.Position, more bool, err error) {
	apart, err := s.readApart(ctx, server, from, to, mostQueued)
	if err != nil {
		return nil, 0, false, err
	}
	list, next, err = s.readInside(ctx, server, from, to)
	if err != nil {
		return nil, 0, false, err
	}
	if len(apart) == mostQueued {
		next = min(next, apart[len(apart)-1].pos+1)
	}
	kept, keptTo, err := s.readKept(ctx, server, from, to, mostQueued)
	if err != nil {
		return nil, 0, false, err
	}
	next = min(next, keptTo+1)
	stuck, err := s.Rooms.OwedSticky(ctx, server, from, to)
	if err != nil {
		return nil, 0, false, err
	}
	there := make(map[journal.Position]bool) // in both: it was in the room then, and is not now
	for _, o := range list {
		there[o.pos] = true
	}
	apart = slices.DeleteFunc(apart, func(o owed) bool { return o.json == nil || there[o.pos] })
	list = slices.DeleteFunc(slices.Concat(queue(nil, stuck), list, apart, kept), func(o owed) bool { return o.pos >= next })
	slices.SortStableFunc(list, func(a, b owed) int { return cmp.Compare(a.pos, b.pos) })
	return list, next, next <= to, nil
}

// readInside is read for rooms that the server is in.
func (s *Sender) readInside(ctx context.Context, server id.ServerName, from, to journal.Position) (list []owed, next journal.Position, err error) {
	next = from
	if floor := min(s.Journal.Floor(), to); next <= floor {
		var found []room.Owed
		if found, next, err = s.Rooms.OwedLast(ctx, server, next, floor, mostQueued); err != nil {
			return nil, 0, err
		}
		if list = queue(list, found); next <= floor {
			return list, next, nil
		}
	}
	for next <= to && len(list) < mostQueued {
		upTo := min(next+room.OwedWindow, to)
		found, err := s.Rooms.OwedTo(ctx, server, next, upTo, mostQueued-len(list))
		if err != nil {
			return nil, 0, err
		}
		list = queue(list, found)
		if next = upTo + 1; len(list) >= mostQueued {
			next = list[len(list)-1].pos + 1
		}
	}
	return list, next, nil
}

func queue(list []owed, found []room.Owed) []owed {
	for _, o := range found {
		list = append(list, owed{pos: o.Pos, json: pduOf(o.Event)})
	}
	return list
}

// pduOf is an event as it is sent.
func pduOf(e *event.Event) []byte { return e.JSON().Without("unsigned") }

// probeTime is how long a server may take to show that it is back.
const probeTime = 30 * time.Second

// probe finds out whether a server is back, before it is read what it is owed.
func (s *Sender) probe(ctx context.Context, server id.ServerName) error {
	_, err := s.Remote.Do(ctx, remote.Call{
		Server: server, Method: http.MethodGet, Path: "/_matrix/key/v2/server", Unsigned: true, Timeout: probeTime,
	})
	if refusal := (*remote.Refusal)(nil); errors.As(err, &refusal) && refusal.Status < http.StatusInternalServerError {
		return nil // it is there
	}
	return err
}
