package room

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"parley/internal/errand"
	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/stateres"
)

// A Deletion says how a room is to be removed from this server.
type Deletion struct {
	// Purge says that all that is stored of it is to go, and Force that this is to
	// happen even if users cannot be made to leave.
	Purge bool `json:"purge,omitempty"`
	Force bool `json:"force,omitempty"`
	// Creator, unless empty, is the local user who makes a new room, to which the
	// members are invited. Name is its name, and Message what is said there.
	Creator id.UserID `json:"creator,omitempty"`
	Name    string    `json:"name,omitempty"`
	Message string    `json:"message,omitempty"`
}

// Delete makes the local users leave a room and forget it, and then has all of it
// removed, in the background. It returns the name by which that can be asked for.
// Until that is done nobody can enter.
//
// A client that was not there meanwhile learns that the user has left: the row of
// the room stays, and what local users are to it.
func (g *Engine) Delete(ctx context.Context, roomID id.RoomID, d Deletion) (string, error) {
	if _, err := g.room(ctx, roomID); err != nil {
		return "", err
	}
	if d.Creator != "" && d.Creator.Server() != g.server {
		return "", mxerr.New(mxerr.InvalidParam, "%s is not a user of this server", d.Creator)
	}
	return g.schedule(ctx, roomID, PurgeRoom, PurgeTask{Deletion: &d})
}

// deleteRoom does a deletion. It can be repeated from any point.
func (g *Engine) deleteRoom(ctx context.Context, p *Purge) error {
	num, left, err := g.numOf(ctx, p.Room)
	if err != nil {
		return err
	}
	if !left.deleted {
		if err := g.empty(ctx, p, num); err != nil || !p.Deletion.Purge {
			return err
		}
	} else if !left.busy {
		return nil
	}
	if !errand.Pause(ctx, g.purges.grace) {
		return ctx.Err()
	}
	if err := g.deleteRows(ctx, p, num); err != nil {
		return err
	}
	if g.purges.Deleted != nil {
		if err := g.purges.Deleted(ctx, p.Room, num); err != nil {
			return err
		}
	}
	return g.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("UPDATE room_remains SET busy = $2 WHERE room = $1", num, false)
		return err
	})
}

// numOf returns the number of a room, whether it is there or was deleted.
func (g *Engine) numOf(ctx context.Context, roomID id.RoomID) (num Num, left remains, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		if err := tx.Row("SELECT room FROM rooms WHERE room_id = $1", roomID).Scan(&num); err != nil {
			return err
		}
		left, err = readRemains(tx, num)
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return 0, left, mxerr.New(mxerr.NotFound, "There is no room %s", roomID)
	}
	if err != nil {
		return 0, left, fmt.Errorf("reading what is left of %s: %w", roomID, err)
	}
	return num, left, nil
}

// empty makes the local users leave and forget a room, and hides it.
func (g *Engine) empty(ctx context.Context, p *Purge, num Num) error {
	d := p.Deletion
	if d.Creator != "" && !p.Said {
		if err := g.refuge(ctx, p); err != nil {
			return err
		}
	}
	// Who has entered while others left is found the next time round.
	for range attempts {
		if err := g.evict(ctx, p, num); err != nil {
			return err
		}
		if g.purges.Closing != nil {
			aliases, err := g.purges.Closing(ctx, p.Room, p.NewRoom)
			if err != nil {
				return err
			}
			p.Aliases = append(p.Aliases, aliases...)
		}
		if len(p.Stuck) > 0 && d.Purge && !d.Force {
			return mxerr.New(mxerr.Unknown, "Users could not be made to leave, and so nothing was removed: %s", p.Stuck)
		}
		if err := g.forgetMembers(ctx, num, d.Purge && d.Force); err != nil || !d.Purge {
			return err
		}
		if err := g.savePurge(ctx, p); err != nil {
			return err
		}
		_, err := g.changeRemains(ctx, p.Room, num, func(b *journal.Batch, left remains) (remains, error) {
			var inside int64
			err := b.Row(`
				SELECT count(*) FROM memberships WHERE room = $1 AND user_id LIKE $2 AND membership IN ($3, $4, $5)`,
				num, "%:"+string(g.server), event.MembershipJoin, event.MembershipInvite, event.MembershipKnock).Scan(&inside)
			if err == nil && inside > 0 {
				err = errConflict
			}
			left.deleted, left.busy = true, true
			return left, err
		})
		if !errors.Is(err, errConflict) {
			return err
		}
	}
	return fmt.Errorf("emptying %s: %w", p.Room, errConflict)
}

// What is said in the room that members are invited to, if nothing else is to be.
const (
	refugeName    = "Content Violation Notification"
	refugeMessage = "The room that you were in was removed from this server by its administrators."
)

// refuge makes the room to which members are invited, and says there why. They can read
// there, and not speak.
func (g *Engine) refuge(ctx context.Context, p *Purge) error {
	if p.NewRoom == "" {
		if err := g.makeRefuge(ctx, p); err != nil {
			return err
		}
	}
	message := p.Deletion.Message
	if message == "" {
		message = refugeMessage
	}
	_, err := g.Send(ctx, p.NewRoom, Draft{
		Type: "m.room.message", Sender: p.Deletion.Creator, Content: canonjson.Value(`{"msgtype":"m.text"}`).With("body", canonjson.Text(message)),
		Transaction: Transaction{purgeDevice, p.ID}, // a crash may come before it is noted that it was said
	})
	p.Said = err == nil
	return err
}

// purgeDevice stands for a device in the transactions of purges.
const purgeDevice id.DeviceID = "(purge)"

// makeRefuge makes the room, and notes together with it that it is there: after a crash
// in between there would be another one.
func (g *Engine) makeRefuge(ctx context.Context, p *Purge) error {
	d := p.Deletion
	profiles, err := g.profiles(ctx, d.Creator)
	if err != nil {
		return err
	}
	name := d.Name
	if name == "" {
		name = refugeName
	}
	p.NewRoom, _, err = g.Create(ctx, NewRoom{
		Creator: d.Creator, Name: name, Levels: canonjson.Value(`{"users_default":-10}`), Profiles: profiles,
		With: func(b *journal.Batch, roomID id.RoomID) error {
			now := *p
			now.NewRoom = roomID
			b.Write(purgeKey{p.ID}, now.put)
			return nil
		},
	})
	return err
}

// purgeKey names what is stored of a purge, in a batch.
type purgeKey struct{ purge string }

// profiles returns what the member events of a user say beside the membership.
func (g *Engine) profiles(ctx context.Context, user id.UserID) (map[id.UserID]canonjson.Value, error) {
	if g.purges.Profile == nil {
		return nil, nil
	}
	profile, err := g.purges.Profile(ctx, user)
	return map[id.UserID]canonjson.Value{user: profile}, err
}

// A localMember is what a local user is to a room.
type localMember struct {
	user       id.UserID
	event      stateres.Num
	membership string
	pos        journal.Position
	forgotten  bool
}

func (m localMember) inside() bool { return !event.IsOut(m.membership) }

// localMembers returns what local users are to a room.
func (g *Engine) localMembers(ctx context.Context, room Num) (list []localMember, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query("SELECT user_id, event, membership, pos, forgotten FROM memberships WHERE room = $1", room) {
			if err != nil {
				return err
			}
			var m localMember
			if err := row.Scan(&m.user, &m.event, &m.membership, &m.pos, &m.forgotten); err != nil {
				return err
			}
			if m.user.Server() == g.server {
				list = append(list, m)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the local members of room %d: %w", room, err)
	}
	return list, nil
}

// An Evictee is a local user who is about to be made to leave.
type Evictee struct {
	User id.UserID `json:"user"`
	// Member says that the user is a member, and not only invited.
	Member bool `json:"member,omitempty"`
}

// evictAtOnce is how many users are noted before they are made to leave.
const evictAtOnce = 100

// evict makes the local users leave, and invites those to the new room who were
// members. Who is about to leave is noted before, since of those who have left nobody
// can tell afterwards why.
func (g *Engine) evict(ctx context.Context, p *Purge, num Num) error {
	members, err := g.localMembers(ctx, num)
	if err != nil {
		return err
	}
	inside := make(map[id.UserID]bool)
	var all []Evictee
	for _, m := range members {
		if m.inside() {
			inside[m.user] = true
			all = append(all, Evictee{m.user, m.membership == event.MembershipJoin})
		}
	}
	p.Stuck = nil
	if err := g.evictNoted(ctx, p, inside); err != nil { // what a crash has interrupted
		return err
	}
	for noted := range slices.Chunk(all, evictAtOnce) {
		p.Leaving = slices.DeleteFunc(noted, func(e Evictee) bool { return !inside[e.User] })
		if err := g.savePurge(ctx, p); err != nil {
			return err
		}
		if err := g.evictNoted(ctx, p, inside); err != nil {
			return err
		}
	}
	return g.savePurge(ctx, p)
}

// evictNoted makes those leave who are noted, unless they are out already.
func (g *Engine) evictNoted(ctx context.Context, p *Purge, inside map[id.UserID]bool) error {
	for len(p.Leaving) > 0 {
		e := p.Leaving[0]
		stuck, err := g.evictOne(ctx, p, e, inside[e.User])
		if err != nil {
			return err
		}
		delete(inside, e.User)
		p.Leaving = p.Leaving[1:]
		if stuck {
			p.Stuck = append(p.Stuck, e.User)
		} else {
			p.Members = append(p.Members, e.User)
		}
	}
	return nil
}

// evictOne makes a user leave who is inside, and invites who was a member. It reports
// whether the user could not be made to leave.
func (g *Engine) evictOne(ctx context.Context, p *Purge, e Evictee, inside bool) (stuck bool, err error) {
	if inside {
		leave := Move{Sender: e.User, Target: e.User}.draft(event.MembershipLeave)
		leave.evicts = true
		_, err := g.Send(ctx, p.Room, leave)
		if refusal := (*mxerr.Error)(nil); errors.As(err, &refusal) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
	if p.NewRoom == "" || !e.Member || e.User == p.Deletion.Creator {
		return false, nil
	}
	return false, g.inviteTo(ctx, p, e.User)
}

func (g *Engine) inviteTo(ctx context.Context, p *Purge, user id.UserID) error {
	profiles, err := g.profiles(ctx, user)
	if err != nil {
		return err
	}
	_, err = g.Invite(ctx, p.NewRoom, Move{Sender: p.Deletion.Creator, Target: user, Content: profiles[user]})
	if refusal := (*mxerr.Error)(nil); errors.As(err, &refusal) {
		return nil // it is not worth that the other room stays
	}
	return err
}

// forgetMembers makes the room forgotten for all local users. If it is forced, who is
// still in there is not any more, without an event that says so.
func (g *Engine) forgetMembers(ctx context.Context, num Num, force bool) error {
	members, err := g.localMembers(ctx, num)
	if err != nil {
		return err
	}
	const together = 50
	var chunk []localMember
	flush := func() error {
		list := chunk
		chunk = nil
		if len(list) == 0 {
			return nil
		}
		_, err := g.journal.Append(ctx, func(b *journal.Batch) error {
			for _, m := range list {
				g.forgetOne(b, num, m)
			}
			return nil
		})
		return err
	}
	for _, m := range members {
		if m.forgotten && !m.inside() || m.inside() && !force {
			continue
		}
		if chunk = append(chunk, m); len(chunk) == together {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

func (g *Engine) forgetOne(b *journal.Batch, num Num, m localMember) {
	scope := journal.UserScope(m.user)
	if m.inside() {
		pos := b.Append(scope, journal.KindMembership, int64(num))
		b.Write(memberKey{num, m.user}, func(tx *store.Tx) error {
			_, err := tx.Exec("UPDATE memberships SET membership = $3, pos = $4, forgotten = $5 WHERE user_id = $1 AND room = $2",
				m.user, num, event.MembershipLeave, pos, true)
			return err
		})
		return
	}
	b.Append(scope, journal.KindForget, int64(num))
	b.Write(forgetKey{num, m.user}, func(tx *store.Tx) error {
		_, err := tx.Exec("UPDATE memberships SET forgotten = $3 WHERE user_id = $1 AND room = $2 AND membership = $4", m.user, num, true, m.membership)
		return err
	})
}

// deleteRows deletes what is stored of a room.
func (g *Engine) deleteRows(ctx context.Context, p *Purge, num Num) error {
	if err := g.eachLocal(ctx, num, func(tx *store.Tx, user id.UserID) error {
		for _, table := range []string{"spoken", "highlights", "transactions"} {
			if _, err := tx.Exec("DELETE FROM "+table+" WHERE user_id = $1 AND room = $2", user, num); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if err := g.deleteAllEvents(ctx, p, num); err != nil {
		return err
	}
	for _, t := range []struct{ table, key, only string }{
		{"state_nodes", "room, address", ""},
		{"sights", "room, user_id, place", ""},
		{"hidden", "room, user_id, place", ""},
		{"relations", "room, parent, rel_type, place", ""},
		{"summaries", "room", ""},
		{"network_rooms", "network, room", ""},
		{"heirs", "user_id, room", ""},
		{"room_servers", "room, server", ""},
		{"outside", "room, user_id", ""},
		{"owed_invites", "room, user_id", ""},
		{"gaps", "room, place", ""},
		{"partial_joins", "room", ""},
		{"early_redactions", "room, target, event", ""},
		{"threads", "room, thread", ""},
		{"sticky", "event", ""},
		{"memberships", "user_id, room", " AND user_id NOT LIKE $3"},
	} {
		var nodes *int64
		if t.table == "state_nodes" {
			nodes = &p.Nodes
		}
		if err := g.deleteOf(ctx, num, t.table, t.key, t.only, nodes); err != nil {
			return err
		}
	}
	return g.savePurge(ctx, p)
}

// deleteOf deletes the rows of a room in a table with a primary key, in steps, and adds
// to count how many there were. Only says which, and may name those of local users by
// $3.
func (g *Engine) deleteOf(ctx context.Context, num Num, table, key, only string, count *int64) error {
	statement := "DELETE FROM " + table + " WHERE (" + key + ") IN (SELECT " + key + " FROM " + table + " WHERE room = $1" + only + " LIMIT $2)"
	err := inSteps(ctx, func(limit int) (int, error) {
		args := []any{num, limit}
		if only != "" {
			args = append(args, "%:"+string(g.server))
		}
		var n int64
		err := g.db.Update(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.Exec(statement, args...)
			return err
		})
		if err == nil && count != nil {
			*count += n
		}
		return int(n), err
	})
	if err != nil {
		return fmt.Errorf("deleting %s of room %d: %w", table, num, err)
	}
	return nil
}

// deleteAllEvents deletes the events of a room: those that are shown, and those
// that are not.
func (g *Engine) deleteAllEvents(ctx context.Context, p *Purge, num Num) error {
	for _, which := range []string{"IS NOT NULL ORDER BY place", "IS NULL ORDER BY event"} {
		saved := time.Now()
		err := inSteps(ctx, func(limit int) (n int, err error) {
			err = g.db.Update(ctx, func(tx *store.Tx) error {
				var nums []stateres.Num
				var bytes int64
				for row, err := range tx.Query("SELECT event, length(json) FROM events WHERE room = $1 AND place "+which+" LIMIT $2", num, limit) {
					if err != nil {
						return err
					}
					var e stateres.Num
					var size int64
					if err := row.Scan(&e, &size); err != nil {
						return err
					}
					nums, bytes = append(nums, e), bytes+size
				}
				n = len(nums)
				return deleteEvents(tx, num, nums, bytes)
			})
			if p.Events += int64(n); err == nil && time.Since(saved) > time.Second {
				saved, err = time.Now(), g.savePurge(ctx, p)
			}
			return n, err
		})
		if err != nil {
			return fmt.Errorf("deleting events of %s: %w", p.Room, err)
		}
	}
	return nil
}
