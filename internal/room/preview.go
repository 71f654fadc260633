package room

import (
	"cmp"
	"context"
	"fmt"

	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// A Preview is what a room is to somebody who may get to know it.
type Preview struct {
	Summary
	// Membership is what the user is to the room, empty if nothing.
	Membership string
}

// Previews returns those of some rooms that a user may get to know, by being a
// member, because of being able to join or knock, or since everybody may read them;
// with no user, those that anybody may get to know. What this server does not know
// is not among them.
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidhierarchy
func (g *Engine) Previews(ctx context.Context, user id.UserID, rooms []id.RoomID) (map[id.RoomID]Preview, error) {
	found := make(map[id.RoomID]Preview, len(rooms))
	if len(rooms) == 0 {
		return found, nil
	}
	err := g.db.View(ctx, func(tx *store.Tx) error {
		in, list := tx.In(1, rooms)
		summaries, err := readSummaries(tx, "r.room_id "+in, list)
		if err != nil {
			return err
		}
		for _, s := range summaries {
			found[s.RoomID] = Preview{Summary: s}
		}
		return hide(tx, user, found)
	})
	if err != nil {
		return nil, fmt.Errorf("reading what rooms are to %s: %w", user, err)
	}
	return found, nil
}

// hide fills in the memberships of a user, and takes out what the user may not get
// to know.
func hide(tx *store.Tx, user id.UserID, found map[id.RoomID]Preview) error {
	ask := make(map[id.RoomID]bool)
	for roomID, p := range found {
		ask[roomID] = true
		for _, allowed := range p.Allowed {
			ask[allowed] = true
		}
	}
	memberships, err := readMembershipsIn(tx, user, ask)
	if err != nil {
		return err
	}
	for roomID, p := range found {
		p.Membership = memberships[roomID]
		found[roomID] = p
		admitted := false
		for _, allowed := range p.Allowed {
			admitted = admitted || memberships[allowed] == event.MembershipJoin
		}
		if !p.mayBeKnown(p.Membership, admitted) {
			delete(found, roomID)
		}
	}
	return nil
}

// readMembershipsIn returns what a user is to rooms.
func readMembershipsIn(tx *store.Tx, user id.UserID, rooms map[id.RoomID]bool) (map[id.RoomID]string, error) {
	memberships := make(map[id.RoomID]string)
	if user == "" || len(rooms) == 0 {
		return memberships, nil
	}
	var ids []id.RoomID
	for roomID := range rooms {
		ids = append(ids, roomID)
	}
	in, list := tx.In(2, ids)
	for row, err := range tx.Query(`
		SELECT r.room_id, m.membership FROM memberships m JOIN rooms r ON r.room = m.room
		WHERE m.user_id = $1 AND r.room_id `+in, user, list) {
		if err != nil {
			return nil, err
		}
		var roomID id.RoomID
		var membership string
		if err := row.Scan(&roomID, &membership); err != nil {
			return nil, err
		}
		memberships[roomID] = membership
	}
	return memberships, nil
}

// mayBeKnown decides who gets to know the room: by membership, and by being
// admitted as a member of another room.
func (s Summary) mayBeKnown(membership string, admitted bool) bool {
	// Of a room of another server the version may not have been told.
	rules, known := roomver.Lookup(cmp.Or(s.Version, roomver.Default))
	switch {
	case membership == event.MembershipJoin, membership == event.MembershipInvite, s.WorldReadable:
		return true
	case membership == event.MembershipBan || !known:
		return false
	}
	switch s.JoinRule {
	case "public":
		return true
	case "knock":
		return rules.Knock
	case "knock_restricted":
		return rules.KnockRestricted
	case "restricted":
		return rules.Restricted && admitted
	}
	return false
}
