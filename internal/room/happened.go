package room

import (
	"context"
	"errors"
	"fmt"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// Happened returns an event of a room by its number, with the room's ID; ok is false
// if it was purged, alone or with its room.
func (g *Engine) Happened(ctx context.Context, num Num, n int64) (it Item, roomID id.RoomID, ok bool, err error) {
	r, err := g.roomLeft(ctx, num)
	if r == nil || err != nil {
		return Item{}, "", false, err
	}
	if it, ok := r.recent.find(stateres.Num(n)); ok {
		return it, r.id, true, nil
	}
	found, err := g.itemsFound(ctx, r, []stateres.Num{stateres.Num(n)})
	if err != nil || found[0].Event == nil {
		return Item{}, "", false, err
	}
	return found[0], r.id, true, nil
}

// A Local is what a local user is to a room, since the last change in the journal.
type Local struct {
	User       id.UserID
	Membership string
	Pos        journal.Position
}

// Locals returns the local users who have, or had, to do with a room, in no order. It
// costs a look at all members.
func (g *Engine) Locals(ctx context.Context, room Num) (list []Local, err error) {
	members, err := g.localMembers(ctx, room)
	for _, m := range members {
		list = append(list, Local{m.user, m.membership, m.pos})
	}
	return list, err
}

// OutsideAt returns what a local user became to a room that this server is not in by
// the entry of the journal at a position, with the room's ID; ok is false if it was
// no such entry, or the user is something else by now.
func (g *Engine) OutsideAt(ctx context.Context, room Num, pos journal.Position) (o Outside, roomID id.RoomID, ok bool, err error) {
	r, err := g.roomLeft(ctx, room)
	if r == nil || err != nil {
		return o, "", false, err
	}
	var user id.UserID
	err = g.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT user_id FROM outside WHERE room = $1 AND pos = $2", room, pos).Scan(&user)
	})
	if errors.Is(err, store.ErrNoRows) {
		return o, "", false, nil
	}
	if err != nil {
		return o, "", false, fmt.Errorf("reading who waits before room %d: %w", room, err)
	}
	o, ok, err = g.Outside(ctx, r.id, user)
	return o, r.id, ok, err
}

// MembershipBefore returns what a user was to a room just before an event, empty if
// nothing.
func (g *Engine) MembershipBefore(ctx context.Context, roomID id.RoomID, it Item, user id.UserID) (string, error) {
	e, err := g.State(ctx, roomID, it.Before, event.Tuple{Type: event.TypeMember, StateKey: string(user)})
	if err != nil || e == nil {
		return "", err
	}
	return e.Membership(), nil
}
