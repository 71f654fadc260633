package room

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// A ServedSpace is what another server is told of a room.
type ServedSpace struct {
	Room     SpaceRoom
	Children []Summary
	// Inaccessible are the children that the server may not get to know, and need
	// not ask others about.
	Inaccessible []id.RoomID
}

// mostToldOf is of how many children another server is told.
const mostToldOf = 200

// ServeSpace tells another server of a room and, if that is a space, of its
// children, as far as the server may get to know them: because it has members, or
// users who are invited, or because somebody of it could join or knock. What this
// server is not in it does not tell of. The error is [mxerr.NotFound] for a room
// that is not told of.
// https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1hierarchyroomid
func (g *Engine) ServeSpace(ctx context.Context, server id.ServerName, roomID id.RoomID, suggestedOnly bool) (s ServedSpace, err error) {
	known, err := g.serverPreviews(ctx, server, []id.RoomID{roomID})
	shown := err == nil && known[roomID].shown
	if shown {
		err = g.Admits(ctx, roomID, server)
	}
	if err == nil && !shown || errors.Is(err, mxerr.Forbidden) {
		err = mxerr.New(mxerr.NotFound, "There is no room %s that you may see", roomID)
	}
	if err != nil {
		return s, err
	}
	s.Room.Summary = known[roomID].Summary
	if s.Room.RoomType != spaceRoom {
		return s, nil
	}
	if s.Room.Children, err = g.children(ctx, roomID, suggestedOnly); err != nil {
		return s, err
	}
	children := childrenOf(s.Room)
	children = children[:min(mostToldOf, len(children))]
	if known, err = g.serverPreviews(ctx, server, children); err != nil {
		return s, err
	}
	for _, child := range children {
		switch p, here := known[child]; {
		case here && p.shown:
			s.Children = append(s.Children, p.Summary)
		case here:
			s.Inaccessible = append(s.Inaccessible, child)
		}
	}
	return s, nil
}

// serverPreview is a room that this server is in. shown says that another one may
// get to know it.
type serverPreview struct {
	Summary
	shown bool
}

// serverPreviews returns those of some rooms that this server is in.
func (g *Engine) serverPreviews(ctx context.Context, server id.ServerName, rooms []id.RoomID) (map[id.RoomID]serverPreview, error) {
	found := make(map[id.RoomID]serverPreview, len(rooms))
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
			found[s.RoomID] = serverPreview{Summary: s}
		}
		return g.showTo(tx, server, found)
	})
	if err != nil {
		return nil, fmt.Errorf("reading what rooms are to %s: %w", server, err)
	}
	return found, nil
}

// showTo takes out the rooms that this server is not in, and decides which of the
// others a server gets to know.
func (g *Engine) showTo(tx *store.Tx, server id.ServerName, found map[id.RoomID]serverPreview) error {
	var ask []id.RoomID
	for roomID, p := range found {
		ask = append(append(ask, roomID), p.Allowed...)
	}
	here, err := roomsOfServer(tx, g.server, ask)
	if err != nil {
		return err
	}
	there, err := roomsOfServer(tx, server, ask)
	if err != nil {
		return err
	}
	for roomID, p := range found {
		if !here[roomID] {
			delete(found, roomID)
			continue
		}
		membership, admitted := "", false
		if there[roomID] {
			membership = event.MembershipJoin
		}
		for _, allowed := range p.Allowed {
			admitted = admitted || there[allowed]
		}
		if p.shown = p.mayBeKnown(membership, admitted); !p.shown {
			if p.shown, err = hasInvited(tx, roomID, server); err != nil {
				return err
			}
		}
		found[roomID] = p
	}
	return nil
}

// roomsOfServer returns those of some rooms that a server has members in.
func roomsOfServer(tx *store.Tx, server id.ServerName, rooms []id.RoomID) (map[id.RoomID]bool, error) {
	in, list := tx.In(2, rooms)
	members := make(map[id.RoomID]bool)
	ids, err := store.List[id.RoomID](tx, `
		SELECT r.room_id FROM rooms r JOIN room_servers s ON s.room = r.room
		WHERE s.server = $1 AND s.joined > 0 AND r.room_id `+in, server, list)
	for _, roomID := range ids {
		members[roomID] = true
	}
	return members, err
}

// hasInvited reports whether a user of a server is invited to a room.
func hasInvited(tx *store.Tx, roomID id.RoomID, server id.ServerName) (invited bool, err error) {
	users, err := store.List[id.UserID](tx, `
		SELECT m.user_id FROM memberships m JOIN rooms r ON r.room = m.room
		WHERE r.room_id = $1 AND m.membership = $2`, roomID, event.MembershipInvite)
	return slices.ContainsFunc(users, func(user id.UserID) bool { return user.Server() == server }), err
}
