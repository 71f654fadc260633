package room

import (
	"context"
	"errors"
	"fmt"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// A Move is what somebody wants to do to the membership of a user.
type Move struct {
	Sender, Target id.UserID
	// Content is what the member event says beside the membership: displayname
	// and avatar_url as the target's profile has them, a reason, is_direct. Nil
	// for nothing.
	Content canonjson.Value
	// Transaction is the request that it comes from.
	Transaction Transaction
	// Via are servers to ask if this one is not in the room, in this order.
	Via []id.ServerName
}

func (m Move) draft(membership string) Draft {
	target := string(m.Target)
	return Draft{
		Type: event.TypeMember, StateKey: &target, Sender: m.Sender, Transaction: m.Transaction,
		Content: m.Content.With("membership", canonjson.Text(membership)),
	}
}

// Join makes a user a member of a room. Who is one already stays one, with the
// same member event.
// https://spec.matrix.org/v1.19/client-server-api/#joining-rooms
func (g *Engine) Join(ctx context.Context, roomID id.RoomID, m Move) (Sent, error) {
	m.Target = m.Sender
	if err := g.Whole(ctx, roomID); err != nil {
		return Sent{}, err
	}
	membership, err := g.Membership(ctx, roomID, m.Sender)
	if err != nil {
		return Sent{}, err
	}
	if membership == event.MembershipJoin {
		return Sent{Pos: g.journal.Head()}, nil
	}
	if abroad, err := g.isAbroad(ctx, roomID); err != nil || abroad {
		if err != nil {
			return Sent{}, err
		}
		return g.joinAbroad(ctx, roomID, m)
	}
	d := m.draft(event.MembershipJoin)
	if membership != event.MembershipInvite {
		authoriser, err := g.authoriser(ctx, roomID, m.Sender)
		if errors.Is(err, mxerr.UnableToAuthoriseJoin) || errors.Is(err, mxerr.UnableToGrantJoin) {
			return g.joinByHelp(ctx, roomID, m, err)
		}
		if err != nil {
			return Sent{}, err
		}
		d.authoriser = authoriser
	}
	return g.Send(ctx, roomID, d)
}

// Leave ends the membership of a user, or takes back a knock, or declines an
// invite. https://spec.matrix.org/v1.19/client-server-api/#leaving-rooms
func (g *Engine) Leave(ctx context.Context, roomID id.RoomID, m Move) (Sent, error) {
	m.Target = m.Sender
	abroad, err := g.isAbroad(ctx, roomID)
	switch {
	case err != nil:
		return Sent{}, err
	case abroad:
		return g.leaveAbroad(ctx, roomID, m)
	}
	return g.Send(ctx, roomID, m.draft(event.MembershipLeave))
}

// Knock asks for an invite.
// https://spec.matrix.org/v1.19/client-server-api/#knocking-on-rooms
func (g *Engine) Knock(ctx context.Context, roomID id.RoomID, m Move) (Sent, error) {
	m.Target = m.Sender
	abroad, err := g.isAbroad(ctx, roomID)
	switch {
	case err != nil:
		return Sent{}, err
	case abroad:
		return g.knockAbroad(ctx, roomID, m)
	}
	return g.move(ctx, roomID, m, event.MembershipKnock)
}

// Invite invites the target.
func (g *Engine) Invite(ctx context.Context, roomID id.RoomID, m Move) (Sent, error) {
	if err := g.Whole(ctx, roomID); err != nil {
		return Sent{}, err
	}
	if m.Target.Server() != g.server && g.elsewhere != nil {
		return g.inviteAbroad(ctx, roomID, m)
	}
	return g.Send(ctx, roomID, m.draft(event.MembershipInvite))
}

// Kick makes the target leave. Somebody who has nothing to do with the room
// cannot be kicked.
func (g *Engine) Kick(ctx context.Context, roomID id.RoomID, m Move) (Sent, error) {
	if err := g.Whole(ctx, roomID); err != nil {
		return Sent{}, err
	}
	membership, err := g.Membership(ctx, roomID, m.Target)
	if err != nil {
		return Sent{}, err
	}
	switch membership {
	case event.MembershipJoin, event.MembershipInvite, event.MembershipKnock:
		return g.Send(ctx, roomID, m.draft(event.MembershipLeave))
	}
	return Sent{}, mxerr.New(mxerr.Forbidden, "%s is not in the room", m.Target)
}

// Ban keeps the target out of the room.
func (g *Engine) Ban(ctx context.Context, roomID id.RoomID, m Move) (Sent, error) {
	return g.move(ctx, roomID, m, event.MembershipBan)
}

// move sends a member event for which it has to be known what the target is.
func (g *Engine) move(ctx context.Context, roomID id.RoomID, m Move, membership string) (Sent, error) {
	if err := g.Whole(ctx, roomID); err != nil {
		return Sent{}, err
	}
	return g.Send(ctx, roomID, m.draft(membership))
}

// Unban lifts a ban.
func (g *Engine) Unban(ctx context.Context, roomID id.RoomID, m Move) (Sent, error) {
	if err := g.Whole(ctx, roomID); err != nil {
		return Sent{}, err
	}
	membership, err := g.Membership(ctx, roomID, m.Target)
	if err != nil {
		return Sent{}, err
	}
	if membership != event.MembershipBan {
		return Sent{}, mxerr.New(mxerr.BadState, "%s is not banned", m.Target)
	}
	return g.Send(ctx, roomID, m.draft(event.MembershipLeave))
}

// UpdateMember changes what the member event of a joined user says beside the
// membership. Nothing happens if the user is not joined or the event says so
// already.
func (g *Engine) UpdateMember(ctx context.Context, roomID id.RoomID, user id.UserID, change func(canonjson.Value) canonjson.Value) error {
	for range attempts {
		now, err := g.Now(ctx, roomID)
		if err != nil {
			return err
		}
		e, err := g.State(ctx, roomID, now.Root, event.Tuple{Type: event.TypeMember, StateKey: string(user)})
		if err != nil || e == nil || e.Membership() != event.MembershipJoin {
			return err
		}
		content := change(e.Content())
		if string(content) == string(e.Content()) {
			return nil
		}
		key := string(user)
		_, err = g.Send(ctx, roomID, Draft{
			Type: event.TypeMember, StateKey: &key, Sender: user, Instead: e.ID(),
			// What is true of the join that was is not of this event.
			Content: content.Without(authorisedVia, "reason", "third_party_invite"),
		})
		switch {
		case errors.Is(err, ErrSuperseded): // perhaps the user has left: look again
		case errors.Is(err, mxerr.Forbidden): // somebody who is banned needs no new profile
			return nil
		default:
			return err
		}
	}
	return fmt.Errorf("updating the member event of %s in %s: %w", user, roomID, ErrSuperseded)
}
