package feed

import (
	"context"
	"slices"

	"parley/internal/room"
	"parley/internal/statetrie"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
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

// memberNum returns the number of a user's member event in a state of a room, 0 if
// there is none. While members are missing, who says something has the one that what
// they say is authorised by: said is what may be of them.
func (a *answer) memberNum(ctx context.Context, n *news, root statetrie.Root, user id.UserID, said []room.Item) (stateres.Num, error) {
	num, err := a.Rooms.StateNum(ctx, n.num, root, event.Tuple{Type: event.TypeMember, StateKey: string(user)})
	if num != 0 || err != nil {
		return num, err
	}
	i := slices.IndexFunc(said, func(it room.Item) bool { return it.Event.Sender() == user })
	if i < 0 {
		return 0, nil
	}
	if partial, err := a.Rooms.Partial(ctx, n.id, a.now.Pos); err != nil || !partial {
		return 0, err
	}
	return a.Rooms.SenderNum(ctx, n.id, root, said[i])
}
