package room

import (
	"context"
	"fmt"
	"iter"

	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
)

// authoriser returns the local user in whose name somebody may join a room
// without an invite, because of being a member of another room; empty when the
// join rule asks for no such thing.
// https://spec.matrix.org/v1.19/client-server-api/#restricted-rooms
func (g *Engine) authoriser(ctx context.Context, roomID id.RoomID, user id.UserID) (id.UserID, error) {
	now, err := g.Now(ctx, roomID)
	if err != nil {
		return "", err
	}
	rule, err := g.State(ctx, roomID, now.Root, event.Tuple{Type: event.TypeJoinRules})
	if err != nil || rule == nil {
		return "", err
	}
	if name, _ := rule.Content().Get("join_rule").Text(); !isRestricted(name, rule.Rules()) {
		return "", nil
	}
	admitted, err := g.admitted(ctx, rule, user)
	if err != nil {
		return "", err
	}
	if !admitted {
		return "", mxerr.New(mxerr.Forbidden, "You are in none of the rooms whose members may join %s", roomID)
	}
	return g.inviter(ctx, roomID)
}

// isRestricted reports whether a join rule lets members of other rooms in, where
// the version knows it.
func isRestricted(rule string, rules *roomver.Rules) bool {
	return rule == "restricted" && rules.Restricted || rule == "knock_restricted" && rules.KnockRestricted
}

// allowedBy yields the rooms whose members a restricted join rule lets in.
func allowedBy(rule *event.Event) iter.Seq[id.RoomID] {
	return func(yield func(id.RoomID) bool) {
		for condition := range rule.Content().Get("allow").Elements() {
			text, _ := condition.Get("room_id").Text()
			roomID, err := id.ParseRoomID(text)
			if err == nil && condition.Get("type").Is("m.room_membership") && !yield(roomID) {
				return
			}
		}
	}
}

// admitted reports whether a user is in one of the rooms that a join rule names.
// It is M_UNABLE_TO_AUTHORISE_JOIN when this server does not know all of them and
// the user is in none that it knows.
func (g *Engine) admitted(ctx context.Context, rule *event.Event, user id.UserID) (bool, error) {
	unknown := false
	for roomID := range allowedBy(rule) {
		membership, err := g.Membership(ctx, roomID, user)
		if err != nil {
			return false, err
		}
		if membership == event.MembershipJoin {
			return true, nil
		}
		abroad, err := g.isAbroad(ctx, roomID)
		if err != nil {
			return false, err
		}
		unknown = unknown || abroad
	}
	if unknown {
		return false, mxerr.New(mxerr.UnableToAuthoriseJoin, "This server does not know a room that decides who may join")
	}
	return false, nil
}

// inviter returns a local member of a room who may invite. There being none is
// M_UNABLE_TO_GRANT_JOIN.
func (g *Engine) inviter(ctx context.Context, roomID id.RoomID) (id.UserID, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return "", err
	}
	levels, err := g.levels(ctx, roomID)
	if err != nil {
		return "", err
	}
	var found id.UserID
	err = g.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query("SELECT user_id FROM memberships WHERE room = $1 AND membership = $2 ORDER BY event", r.num, event.MembershipJoin) {
			if err != nil {
				return err
			}
			var user id.UserID
			if err := row.Scan(&user); err != nil {
				return err
			}
			if user.Server() == g.server && levels.User(user) >= levels.Invite() {
				found = user
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("looking for who may invite into %s: %w", roomID, err)
	}
	if found == "" {
		return "", mxerr.New(mxerr.UnableToGrantJoin, "Nobody of this server may invite into %s", roomID)
	}
	return found, nil
}

// MaySend reports whether the power levels of a room let a member send an event
// of a type.
func (g *Engine) MaySend(ctx context.Context, roomID id.RoomID, user id.UserID, eventType string, state bool) (bool, error) {
	levels, err := g.levels(ctx, roomID)
	if err != nil {
		return false, err
	}
	membership, err := g.Membership(ctx, roomID, user)
	return membership == event.MembershipJoin && levels.User(user) >= levels.Send(eventType, state), err
}

// MayInvite reports whether the power levels of a room let a member invite.
func (g *Engine) MayInvite(ctx context.Context, roomID id.RoomID, user id.UserID) (bool, error) {
	levels, err := g.levels(ctx, roomID)
	if err != nil {
		return false, err
	}
	membership, err := g.Membership(ctx, roomID, user)
	return membership == event.MembershipJoin && levels.User(user) >= levels.Invite(), err
}

// MayRedact reports whether the power levels of a room let a member redact what
// others sent.
func (g *Engine) MayRedact(ctx context.Context, roomID id.RoomID, user id.UserID) (bool, error) {
	levels, err := g.levels(ctx, roomID)
	if err != nil {
		return false, err
	}
	membership, err := g.Membership(ctx, roomID, user)
	return membership == event.MembershipJoin && levels.User(user) >= levels.Redact(), err
}

func (g *Engine) levels(ctx context.Context, roomID id.RoomID) (eventauth.Levels, error) {
	now, err := g.Now(ctx, roomID)
	if err != nil {
		return eventauth.Levels{}, err
	}
	create, err := g.State(ctx, roomID, now.Root, event.Tuple{Type: event.TypeCreate})
	if err != nil {
		return eventauth.Levels{}, err
	}
	power, err := g.State(ctx, roomID, now.Root, event.Tuple{Type: event.TypePowerLevels})
	return eventauth.NewLevels(create, power), err
}
