package room

import (
	"context"
	"fmt"
	"slices"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// JoinedScopes returns the scopes of the rooms that a user is in, as they are in a
// transaction.
func JoinedScopes(tx *store.Tx, user id.UserID) ([]journal.Scope, error) {
	rooms, err := store.List[Num](tx, "SELECT room FROM memberships WHERE user_id = $1 AND membership = $2", user, event.MembershipJoin)
	scopes := make([]journal.Scope, len(rooms))
	for i, num := range rooms {
		scopes[i] = num.Scope()
	}
	if err != nil {
		return nil, fmt.Errorf("reading the rooms of %s: %w", user, err)
	}
	return scopes, nil
}

// KnownSince returns since which position of the journal users have shared a room
// with users of this server, without a break, as it is in a transaction: at the
// latest. Users who share none are not in it.
func (g *Engine) KnownSince(tx *store.Tx, users []id.UserID) (map[id.UserID]journal.Position, error) {
	since := make(map[id.UserID]journal.Position)
	in, list := tx.In(3, users)
	for row, err := range tx.Query(`
		SELECT m.user_id, min(CASE WHEN m.pos > s.pos THEN m.pos ELSE s.pos END)
		FROM memberships m JOIN room_servers s ON s.room = m.room AND s.server = $1 AND s.joined > 0
		WHERE m.membership = $2 AND m.user_id `+in+` GROUP BY m.user_id`, g.server, event.MembershipJoin, list) {
		if err != nil {
			return nil, fmt.Errorf("looking for rooms of %d users: %w", len(users), err)
		}
		var user id.UserID
		var pos journal.Position
		if err := row.Scan(&user, &pos); err != nil {
			return nil, fmt.Errorf("looking for rooms of %d users: %w", len(users), err)
		}
		since[user] = pos
	}
	return since, nil
}

// Sharers returns those of some users who share a room with a user.
func (g *Engine) Sharers(ctx context.Context, user id.UserID, among []id.UserID) (sharers []id.UserID, err error) {
	for some := range slices.Chunk(among, sharersAtOnce) {
		err = g.db.View(ctx, func(tx *store.Tx) error {
			in, list := tx.In(3, some)
			found, err := store.List[id.UserID](tx, `
				SELECT DISTINCT others.user_id FROM memberships others
				JOIN memberships mine ON mine.room = others.room AND mine.user_id = $1 AND mine.membership = $2
				WHERE others.membership = $2 AND others.user_id `+in, user, event.MembershipJoin, list)
			sharers = append(sharers, found...)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("looking for those of %d users who share a room with %s: %w", len(some), user, err)
		}
	}
	return sharers, nil
}

// sharersAtOnce is how many users one query is about.
const sharersAtOnce = 1000

// AllSharers returns everybody who shares a room with a user.
func (g *Engine) AllSharers(ctx context.Context, user id.UserID) (sharers []id.UserID, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		sharers, err = store.List[id.UserID](tx, `
			SELECT DISTINCT others.user_id FROM memberships mine
			JOIN memberships others ON others.room = mine.room AND others.membership = $2
			WHERE mine.user_id = $1 AND mine.membership = $2 ORDER BY others.user_id`, user, event.MembershipJoin)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for everybody who shares a room with %s: %w", user, err)
	}
	return sharers, nil
}

// NewSharers returns the members of a room that a user has come into behind a
// position of the journal, without those who surely shared another room with the
// user all the time.
func (g *Engine) NewSharers(ctx context.Context, user id.UserID, room Num, since journal.Position) (members []id.UserID, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		members, err = store.List[id.UserID](tx, `
			SELECT m.user_id FROM memberships m
			WHERE m.room = $1 AND m.membership = $2 AND m.user_id <> $3 AND NOT EXISTS (
				SELECT 1 FROM memberships o
				JOIN memberships mine ON mine.room = o.room AND mine.user_id = $3 AND mine.membership = $2 AND mine.pos <= $4
				WHERE o.user_id = m.user_id AND o.membership = $2 AND o.pos <= $4)`,
			room, event.MembershipJoin, user, since)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for whom %s shares room %d with: %w", user, room, err)
	}
	return members, nil
}

// LostSharers returns those who were in a room that a user has left behind a
// position of the journal, and share none with the user any more.
func (g *Engine) LostSharers(ctx context.Context, user id.UserID, room Num, since journal.Position) (members []id.UserID, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		members, err = store.List[id.UserID](tx, `
			SELECT m.user_id FROM memberships m
			WHERE m.room = $1 AND (m.membership = $2 OR m.pos > $4) AND m.user_id <> $3 AND NOT EXISTS (
				SELECT 1 FROM memberships o
				JOIN memberships mine ON mine.room = o.room AND mine.user_id = $3 AND mine.membership = $2
				WHERE o.user_id = m.user_id AND o.membership = $2)`,
			room, event.MembershipJoin, user, since)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for whom %s shared room %d with: %w", user, room, err)
	}
	return members, nil
}

// Moved returns who came into a room and who left it between two positions of the
// journal, by its state at each. Who left and came again has come, too. It costs no
// query if the states are the same.
func (g *Engine) Moved(ctx context.Context, num Num, before, after statetrie.Root, from, to journal.Position) (came, left []id.UserID, err error) {
	if before == after {
		return nil, nil, nil
	}
	turns, nums, err := g.memberTurns(ctx, num, before, after)
	if err != nil || len(turns) == 0 {
		return nil, nil, err
	}
	roomID, err := g.RoomID(ctx, num)
	if err != nil {
		return nil, nil, err
	}
	// Of one that was purged nobody knows any more: who is in the room came in then.
	items, err := g.ItemsLeft(ctx, roomID, nums)
	if err != nil {
		return nil, nil, err
	}
	joined := make(map[stateres.Num]bool)
	for _, it := range items {
		joined[it.Num] = it.Event.Membership() == event.MembershipJoin
	}
	var stayed []id.UserID
	for user, t := range turns {
		switch was, is := joined[t.was], joined[t.is]; {
		case is && was:
			stayed = append(stayed, user)
		case is:
			came = append(came, user)
		case was:
			left = append(left, user)
		}
	}
	again, err := g.returned(ctx, num, stayed, from, to)
	return append(came, again...), left, err
}

// A memberTurn is the member events of a user in two states, 0 for none.
type memberTurn struct{ was, is stateres.Num }

// memberTurns returns whose member events differ between two states, and the numbers
// of all of these.
func (g *Engine) memberTurns(ctx context.Context, num Num, before, after statetrie.Root) (map[id.UserID]memberTurn, []stateres.Num, error) {
	diff, err := g.StateDiff(ctx, num, before, after)
	if err != nil {
		return nil, nil, err
	}
	turns := make(map[id.UserID]memberTurn)
	var nums []stateres.Num
	for _, c := range diff {
		if c.Type != event.TypeMember || !isUser(c.StateKey) {
			continue
		}
		turns[id.UserID(c.StateKey)] = memberTurn{stateres.Num(c.Old), stateres.Num(c.New)}
		for _, n := range []uint64{c.Old, c.New} {
			if n != 0 {
				nums = append(nums, stateres.Num(n))
			}
		}
	}
	slices.Sort(nums)
	return turns, slices.Compact(nums), nil
}

// returned returns those of some members of a room who were not in it all the time
// between two positions of the journal.
func (g *Engine) returned(ctx context.Context, num Num, members []id.UserID, from, to journal.Position) (again []id.UserID, err error) {
	if len(members) == 0 {
		return nil, nil
	}
	err = g.db.View(ctx, func(tx *store.Tx) error {
		in, list := tx.In(5, members)
		again, err = store.List[id.UserID](tx, `
			SELECT DISTINCT user_id FROM sights
			WHERE room = $1 AND pos > $2 AND pos <= $3 AND value <> $4 AND user_id `+in, num, from, to, event.MembershipJoin, list)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for those of %d members who were not in room %d all the time: %w", len(members), num, err)
	}
	return again, nil
}
