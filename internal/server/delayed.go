package server

import (
	"context"
	"errors"

	"parley/internal/delay"
	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// sendDelayed sends an event whose time has come, unless its sender may not send
// anything any more.
func (p *parts) sendDelayed(ctx context.Context, e delay.Event, along func(*journal.Batch, id.EventID) error) (id.EventID, error) {
	info, err := p.accounts.Info(ctx, e.User)
	switch {
	case err != nil:
		return "", err
	case info.Deactivated:
		return "", mxerr.New(mxerr.UserDeactivated, "The account is deactivated")
	case info.Locked:
		return "", mxerr.New(mxerr.UserLocked, "The account is locked")
	case info.Suspended:
		return "", mxerr.New(mxerr.UserSuspended, "Your account is suspended")
	}
	d := room.Draft{
		Type: e.Type, StateKey: e.StateKey, Sender: e.User, Content: e.Content, Sticky: e.Sticky, Time: e.Time,
		Transaction: room.Delayed(e.ID), Along: along,
	}
	if e.Type == event.TypeRedaction && e.StateKey == nil {
		target, _ := e.Content.Get("redacts").Text()
		d.Redacts = id.EventID(target)
	}
	sent, err := p.rooms.Send(ctx, e.Room, d)
	if !errors.Is(err, mxerr.NotFound) && !errors.Is(err, mxerr.Forbidden) {
		return sent.EventID, err
	}
	// A room that is not there looks like one that the user has nothing to do with.
	switch membership, failed := p.rooms.Membership(ctx, e.Room, e.User); {
	case failed != nil:
		return "", failed
	case membership == "" || membership == event.MembershipLeave:
		return "", mxerr.New(mxerr.Forbidden, "You are not in room %s", e.Room).Wrap(err)
	}
	return "", err
}
