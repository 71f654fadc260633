package server

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"parley/internal/room"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// depart does what it means outside of accounts that one was deactivated. It may
// be done again. Aliases stay: others find their rooms by them.
func (p *parts) depart(ctx context.Context, user id.UserID, erased bool) error {
	if err := p.delayed.Forget(ctx, user); err != nil {
		return err
	}
	if err := p.leaveAll(ctx, user); err != nil {
		return err
	}
	steps := []func(context.Context, id.UserID) error{p.unbind, p.data.Remove, p.threads.Forget, p.pushers.RemoveAll, p.filters.Remove, p.keys.Forget, p.backups.Forget}
	if erased {
		steps = append(steps, p.profiles.Clear)
	}
	for _, step := range steps {
		if err := step(ctx, user); err != nil {
			return err
		}
	}
	return nil
}

// leaveAll has a user leave all rooms, decline all invites and take back all
// knocks, as far as the rooms let it happen. It looks again afterwards: a request
// of the user's that was under way may have entered another room.
func (p *parts) leaveAll(ctx context.Context, user id.UserID) error {
	stays := make(map[id.RoomID]bool)
	for range 10 {
		rooms, err := p.rooms.Rooms(ctx, user)
		if err != nil {
			return err
		}
		rooms = slices.DeleteFunc(rooms, func(m room.Membership) bool {
			in := m.Membership == event.MembershipJoin || m.Membership == event.MembershipInvite || m.Membership == event.MembershipKnock
			return !in || stays[m.RoomID]
		})
		if len(rooms) == 0 {
			return nil
		}
		for _, m := range rooms {
			err := p.leave(ctx, m.RoomID, user)
			if refusal := (*mxerr.Error)(nil); errors.As(err, &refusal) {
				p.log.InfoContext(ctx, "a deactivated user cannot leave a room", "user", user, "room", m.RoomID, "err", err)
				stays[m.RoomID] = true
			} else if err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("%s enters rooms as fast as they are left", user)
}

// admitsGuests reports whether guests can be in a room.
func (p *parts) admitsGuests(ctx context.Context, roomID id.RoomID) (bool, error) {
	summary, err := p.rooms.Summary(ctx, roomID)
	return summary.GuestCanJoin, err
}

// leave has a user leave a room.
func (p *parts) leave(ctx context.Context, roomID id.RoomID, user id.UserID) error {
	_, err := p.rooms.Leave(ctx, roomID, room.Move{Sender: user})
	return err
}
