package server

import (
	"context"
	"errors"
	"fmt"

	"parley/internal/account"
	"parley/internal/journal"
	"parley/internal/notice"
	"parley/internal/profile"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// noticeRooms is what notices need of others.
func (p *parts) noticeRooms() notice.Rooms {
	return notice.Rooms{
		Create: func(ctx context.Context, creator, invited id.UserID, name string, with func(*journal.Batch, id.RoomID) error) (id.RoomID, error) {
			profiles := make(map[id.UserID]canonjson.Value)
			for _, user := range []id.UserID{creator, invited} {
				var err error
				if profiles[user], err = p.profiles.Member(ctx, user); err != nil {
					return "", err
				}
			}
			roomID, _, err := p.rooms.Create(ctx, room.NewRoom{
				Creator: creator, Name: name, Invites: []id.UserID{invited}, Profiles: profiles,
				Levels: canonjson.Value(`{"users_default":-10}`), With: with,
			})
			return roomID, err
		},
		Membership: p.rooms.Membership,
		Invite: func(ctx context.Context, roomID id.RoomID, sender, target id.UserID) error {
			about, err := p.profiles.Member(ctx, target)
			if err != nil {
				return err
			}
			_, err = p.rooms.Invite(ctx, roomID, room.Move{Sender: sender, Target: target, Content: about})
			return err
		},
		Send: func(ctx context.Context, roomID id.RoomID, sender id.UserID, n notice.Notice) (id.EventID, error) {
			sent, err := p.rooms.Send(ctx, roomID, room.Draft{
				Type: n.Type, StateKey: n.StateKey, Sender: sender, Content: n.Content,
				Transaction: room.Transaction{Device: n.Device, ID: n.Transaction},
			})
			return sent.EventID, err
		},
		Tag: p.data.TagWith,
	}
}

// mayDecline refuses to decline the invite to a room for notices. Who is
// deactivated has nobody to tell anything any more.
func (p *parts) mayDecline(ctx context.Context, roomID id.RoomID, user id.UserID) error {
	if p.notices == nil {
		return nil
	}
	err := p.notices.MayDecline(ctx, roomID, user)
	if !errors.Is(err, mxerr.CannotLeaveServerNoticeRoom) {
		return err
	}
	info, failed := p.accounts.Info(ctx, user)
	switch {
	case failed != nil:
		return failed
	case info.Deactivated:
		return nil
	}
	return err
}

// notify sends a notice, for administrators. It is nil if there are none.
func (p *parts) notify() func(context.Context, id.UserID, string, *string, canonjson.Value, room.Transaction) (id.EventID, error) {
	if p.notices == nil {
		return nil
	}
	return func(ctx context.Context, to id.UserID, eventType string, stateKey *string, content canonjson.Value, txn room.Transaction) (id.EventID, error) {
		return p.notices.Send(ctx, to, notice.Notice{
			Type: eventType, StateKey: stateKey, Content: content, Device: txn.Device, Transaction: txn.ID,
		})
	}
}

// ensureNotifier makes the account in whose name notices are sent, to which nobody
// can log in, and gives it its name.
func (p *parts) ensureNotifier(ctx context.Context, displayName string) error {
	if p.notices == nil {
		return nil
	}
	user := p.notices.User
	_, err := p.accounts.Create(ctx, account.NewAccount{Localpart: user.Localpart()})
	if err != nil && !errors.Is(err, mxerr.UserInUse) {
		return fmt.Errorf("making the account for notices: %w", err)
	}
	fields, err := p.profiles.Get(ctx, user)
	if err != nil {
		return err
	}
	if name := canonjson.Text(displayName); string(fields.Get(profile.Displayname)) != string(name) {
		return p.profiles.Set(ctx, user, profile.Displayname, name)
	}
	return nil
}
