package room

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// saying are the types of events by which something is said in a room, so that
// it is of interest to those who look for a room to read.
// https://github.com/matrix-org/matrix-spec-proposals/pull/4186
var saying = [...]string{
	event.TypeCreate, "m.room.message", "m.room.encrypted", "m.sticker", "m.call.invite", "m.poll.start", "m.beacon_info",
}

func isSaying(eventType string) bool { return slices.Contains(saying[:], eventType) }

// A Standing is a room as a list of a user's rooms has it.
type Standing struct {
	Membership
	// Active is the position of the last event in the room, as far as it was news.
	Active journal.Position
	// Facts are what the room is at present: it is not asked whether the user may know.
	Facts Facts
	// Was and Removed are about a room that the user is not in any more and has not
	// forgotten: the user was a member, and it was somebody else who ended that.
	Was, Removed bool
}

// Facts are what a room is by a state of it.
type Facts struct {
	Root      statetrie.Root
	RoomType  string // empty: an ordinary room
	Encrypted bool
}

// Standings returns what a user is to rooms, as Rooms does, with what a list of them
// needs: of some rooms, or without any of all. It is one query for all of that, since
// who has many rooms waits for it.
func (g *Engine) Standings(ctx context.Context, user id.UserID, rooms ...Num) ([]Standing, error) {
	var list []Standing
	err := g.db.View(ctx, func(tx *store.Tx) error {
		where, args := "memberships.user_id = $1", []any{user}
		if len(rooms) > 0 {
			in, arg := tx.In(2, rooms)
			where, args = where+" AND memberships.room "+in, append(args, arg)
		}
		gone := make(map[Num]int)
		for row, err := range tx.Query(`
			SELECT rooms.room_id, rooms.room, memberships.membership, memberships.pos, memberships.forgotten, rooms.pos,
				rooms.root, coalesce(summaries.room_type, ''), summaries.summary
			FROM memberships JOIN rooms ON rooms.room = memberships.room LEFT JOIN summaries ON summaries.room = memberships.room
			WHERE `+where, args...) {
			if err != nil {
				return err
			}
			var l Standing
			var summary []byte
			err := row.Scan(&l.RoomID, &l.Room, &l.Membership.Membership, &l.Pos, &l.Forgotten, &l.Active,
				&l.Facts.Root, &l.Facts.RoomType, &summary)
			if err != nil {
				return err
			}
			// Within a string the quotation marks would have backslashes.
			l.Facts.Encrypted = bytes.Contains(summary, []byte(`"encryption":"`))
			if m := l.Membership.Membership; !l.Forgotten && (m == event.MembershipLeave || m == event.MembershipBan) {
				gone[l.Room] = len(list)
			}
			list = append(list, l)
		}
		return listGone(tx, user, list, gone, where, args)
	})
	if err != nil {
		return nil, fmt.Errorf("listing the rooms of %s: %w", user, err)
	}
	return list, nil
}

// listGone finds out how a user came to be out of rooms, which are in the places
// of a list that gone says.
func listGone(tx *store.Tx, user id.UserID, list []Standing, gone map[Num]int, where string, args []any) error {
	if len(gone) == 0 {
		return nil
	}
	join, leave, ban := len(args)+1, len(args)+2, len(args)+3
	for row, err := range tx.Query(fmt.Sprintf(`
		SELECT memberships.room, events.json,
			EXISTS (SELECT 1 FROM sights WHERE sights.room = memberships.room AND sights.user_id = memberships.user_id AND sights.value = $%d)
		FROM memberships JOIN events ON events.event = memberships.event
		WHERE %s AND NOT memberships.forgotten AND memberships.membership IN ($%d, $%d)`, join, where, leave, ban),
		append(slices.Clone(args), event.MembershipJoin, event.MembershipLeave, event.MembershipBan)...) {
		if err != nil {
			return err
		}
		var room Num
		var json []byte
		var was bool
		if err := row.Scan(&room, &json, &was); err != nil {
			return err
		}
		if i, ok := gone[room]; ok {
			list[i].Was, list[i].Removed = was, !canonjson.Value(json).Get("sender").Is(string(user))
		}
	}
	return nil
}
