package appservice

import (
	"context"
	"errors"
	"slices"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
)

// An interest is why a service is told of a room, just before the event that is
// looked at. It belongs to the service's worker.
type interest struct {
	// named says that the ID of the room is in a namespace, or an alias of it.
	named bool
	// aliases is how often aliases had changed when those of the room were looked at.
	aliases uint64
	// members are the service's users who are in the room.
	members map[id.UserID]bool
}

// is reports whether the service is told of the room.
func (in *interest) is() bool { return in.named || len(in.members) > 0 }

// interestMemory is how many bytes the interests of one service may take.
const interestMemory = 8 << 20

func (in *interest) weigh() int {
	if in == nil { // it has to be looked at anew
		return 50
	}
	return 150 + 100*len(in.members)
}

// interestBefore returns the interest in a room just before an event of it. It is
// loaded once, and then follows the events by note.
func (w *worker) interestBefore(ctx context.Context, num room.Num, roomID id.RoomID, it room.Item) (*interest, error) {
	return w.interest(ctx, num, roomID, it.Pos-1, func(user id.UserID) (bool, error) {
		membership, err := w.Rooms.MembershipBefore(ctx, roomID, it, user)
		return membership == event.MembershipJoin, err
	})
}

// interestAt returns the interest in a room at a position of the journal, up to which
// the worker has come. Who has come or gone since then counts as one who was there.
func (w *worker) interestAt(ctx context.Context, num room.Num, at journal.Position) (*interest, error) {
	if in, ok := w.rooms.Get(num); ok && in != nil && w.namedStill(in) {
		return in, nil
	}
	roomID, err := w.Rooms.RoomID(ctx, num)
	if errors.Is(err, store.ErrNoRows) {
		return &interest{}, nil // the room is gone
	}
	if err != nil {
		return nil, err
	}
	return w.interest(ctx, num, roomID, at, nil)
}

// interest returns the interest in a room at a position. Was tells whether somebody was
// there who has come or gone since then; nil: nobody knows, and it is not remembered.
func (w *worker) interest(ctx context.Context, num room.Num, roomID id.RoomID, at journal.Position, was func(id.UserID) (bool, error)) (*interest, error) {
	if in, ok := w.rooms.Get(num); ok && in != nil {
		if w.namedStill(in) {
			return in, nil
		}
		return in, w.nameAnew(ctx, roomID, in)
	}
	in := &interest{members: make(map[id.UserID]bool)}
	locals, err := w.Rooms.Locals(ctx, num)
	if err != nil {
		return nil, err
	}
	sure := true
	for _, l := range locals {
		if !w.service.Owns(l.User) {
			continue
		}
		there := l.Membership == event.MembershipJoin
		if l.Pos > at && was != nil {
			if there, err = was(l.User); err != nil {
				return nil, err
			}
		} else if l.Pos > at {
			there, sure = true, false
		}
		if there {
			in.members[l.User] = true
		}
	}
	if err := w.nameAnew(ctx, roomID, in); err != nil {
		return nil, err
	}
	if sure {
		w.rooms.Put(num, in)
	}
	return in, nil
}

// namedStill reports whether a room has the same aliases as when it was looked at, as far
// as that matters.
func (w *worker) namedStill(in *interest) bool {
	return len(w.service.aliases) == 0 || in.aliases == w.Aliases.Changes()
}

// nameAnew finds out whether a room is of interest by its ID or aliases.
func (w *worker) nameAnew(ctx context.Context, roomID id.RoomID, in *interest) error {
	in.aliases = w.Aliases.Changes()
	in.named = w.service.rooms.match(string(roomID))
	if in.named || len(w.service.aliases) == 0 {
		return nil
	}
	aliases, err := w.Aliases.Of(ctx, roomID)
	in.named = slices.ContainsFunc(aliases, w.service.OwnsAlias)
	return err
}

// note takes in an event of a room: in its state before, the interest was this.
func (w *worker) note(num room.Num, it room.Item, in *interest) {
	if it.Merges { // the memberships of others may have changed, too
		w.rooms.Put(num, nil)
		return
	}
	key, _ := it.Event.StateKey()
	if it.Event.Type() != event.TypeMember || !w.service.Owns(id.UserID(key)) {
		return
	}
	if it.Event.Membership() == event.MembershipJoin {
		in.members[id.UserID(key)] = true
	} else {
		delete(in.members, id.UserID(key))
	}
}

// target returns the user of the service whose membership an event changes, if that
// is what it does.
func (w *worker) target(e *event.Event) (user id.UserID, ok bool) {
	key, isState := e.StateKey()
	user = id.UserID(key)
	return user, isState && e.Type() == event.TypeMember && w.service.Owns(user)
}
