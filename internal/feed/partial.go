package feed

import (
	"context"

	"parley/internal/room"
)

// A room that this server has joined without knowing its members is told of at once
// only to clients that load members lazily: the others would be told a state that
// lacks them. For those it begins when all members are known.

// partial reports whether a room is not told of yet.
func (a *answer) partial(ctx context.Context, n *news) (bool, error) {
	if a.q.Filter.Room.State.LazyLoadMembers {
		return false, nil
	}
	return a.Rooms.Partial(ctx, n.id, a.now.Pos)
}

// untold reports whether a room was not told of at the last answer.
func (a *answer) untold(ctx context.Context, n *news) (bool, error) {
	if a.q.Filter.Room.State.LazyLoadMembers {
		return false, nil
	}
	return a.Rooms.Partial(ctx, n.id, a.since.Pos)
}

// becameWhole notes that all members of a room are known since the last answer.
func (a *answer) becameWhole(ctx context.Context, num room.Num) error {
	n := a.about(num)
	if n == nil || n.fresh {
		return nil
	}
	if a.q.Filter.Room.State.LazyLoadMembers {
		n.events, n.whole = true, true
		return nil
	}
	return a.stays(ctx, n, true)
}
