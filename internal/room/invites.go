package room

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"parley/internal/errand"
	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// Who is of another server is invited into a new room after it was made. Nobody could
// ask again for that: to ask for the room makes another one. So the invites are noted
// with the room, each until it is answered.

// invitesAtOnce is how many servers are asked at the same time to take an invite.
const invitesAtOnce = 8

// inviteTime is after what time nobody expects an invite any more.
const inviteTime = 24 * time.Hour

var insertOwedInvites = &store.Insert{Table: "owed_invites", Columns: []store.Column{
	{Name: "room", Type: store.Int}, {Name: "user_id", Type: store.Text}, {Name: "sender", Type: store.Text},
	{Name: "content", Type: store.Blob}, {Name: "since", Type: store.Int},
}}

// owe adds to the batch that makes the room who is invited afterwards.
func (n NewRoom) owe(b *journal.Batch, room Num) {
	for _, user := range n.abroad {
		b.Insert(insertOwedInvites, room, user, n.Creator, []byte(n.member(user, event.MembershipInvite)), time.Now().UnixMilli())
	}
}

// inviteAll invites the users of other servers into a new room.
func (g *Engine) inviteAll(ctx context.Context, roomID id.RoomID, n NewRoom) error {
	errs := make([]error, len(n.abroad))
	var wg sync.WaitGroup
	slots := make(chan struct{}, invitesAtOnce)
	for i, user := range n.abroad {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			content := n.member(user, event.MembershipInvite)
			_, errs[i] = g.Invite(ctx, roomID, Move{Sender: n.Creator, Target: user, Content: content})
		})
	}
	wg.Wait()
	if err := g.settleInvites(ctx, roomID, n.abroad, errs); err != nil {
		return err
	}
	for i, err := range errs {
		if errors.Is(err, mxerr.IncompatibleRoomVersion) {
			return mxerr.New(mxerr.UnsupportedRoomVersion, "The server of %s does not support room version %s", n.abroad[i], n.Version).Wrap(err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// settleInvites notes which invites were answered, and has the others gone on with.
func (g *Engine) settleInvites(ctx context.Context, roomID id.RoomID, users []id.UserID, errs []error) error {
	var answered []id.UserID
	for i, user := range users {
		if refusal := (*mxerr.Error)(nil); errs[i] == nil || errors.As(errs[i], &refusal) && ctx.Err() == nil {
			answered = append(answered, user)
		}
	}
	if len(answered) < len(users) || ctx.Err() != nil && len(users) > 0 {
		g.owing.Add(roomID) // where who is invited already is not invited once more
	}
	if len(answered) == 0 || ctx.Err() != nil {
		return nil
	}
	return g.answeredInvites(ctx, roomID, answered)
}

// RunInvites invites whom a crash, or a client that did not wait, has kept from being
// invited into a new room, until the context ends. It is run once.
func (g *Engine) RunInvites(ctx context.Context) {
	g.owing.Run(ctx, errand.Work[id.RoomID]{
		What: "inviting into a new room", Recall: g.owingInvites, Do: g.goOnInviting, AtOnce: 2, Log: g.log,
		Usual: func(err error) bool { return errors.Is(err, mxerr.NotFound) },
	})
}

func (g *Engine) owingInvites(ctx context.Context) (rooms []id.RoomID, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		rooms, err = store.List[id.RoomID](tx, "SELECT room_id FROM rooms WHERE room IN (SELECT room FROM owed_invites)")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for rooms with invites to be sent: %w", err)
	}
	return rooms, nil
}

// An owedInvite is one that was not answered.
type owedInvite struct {
	Move
	since int64
}

// goOnInviting sends the invites that a room owes. Servers that cannot be reached are
// tried again.
func (g *Engine) goOnInviting(ctx context.Context, roomID id.RoomID) error {
	var list []owedInvite
	err := g.db.View(ctx, func(tx *store.Tx) (err error) {
		list, err = store.Collect(tx.Query(`
			SELECT user_id, sender, content, since FROM owed_invites
			WHERE room = (SELECT room FROM rooms WHERE room_id = $1) ORDER BY user_id`, roomID),
			func(scan func(...any) error) (o owedInvite, err error) {
				err = scan(&o.Target, &o.Sender, (*[]byte)(&o.Content), &o.since)
				return o, err
			})
		return err
	})
	if err != nil {
		return fmt.Errorf("reading which invites %s owes: %w", roomID, err)
	}
	var first error
	for _, o := range list {
		err := g.inviteOwed(ctx, roomID, o)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			err = g.answeredInvites(ctx, roomID, []id.UserID{o.Target})
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// inviteOwed sends one, unless the user is something to the room already. There is no
// error if to try again would not help.
func (g *Engine) inviteOwed(ctx context.Context, roomID id.RoomID, o owedInvite) error {
	membership, err := g.Membership(ctx, roomID, o.Target)
	if err != nil || membership != "" || time.Since(time.UnixMilli(o.since)) > inviteTime {
		return err
	}
	_, err = g.Invite(ctx, roomID, o.Move)
	if refusal := (*mxerr.Error)(nil); errors.As(err, &refusal) && (refusal.Code != mxerr.NotFound || answered(err)) {
		g.log.Info("an invite into a new room is refused", "room", roomID, "user", o.Target, "err", err)
		return nil
	}
	return err
}

// answeredInvites notes that invites were answered.
func (g *Engine) answeredInvites(ctx context.Context, roomID id.RoomID, users []id.UserID) error {
	err := g.db.Update(ctx, func(tx *store.Tx) error {
		in, list := tx.In(2, users)
		return tx.Queue("DELETE FROM owed_invites WHERE room = (SELECT room FROM rooms WHERE room_id = $1) AND user_id "+in, roomID, list)
	})
	if err != nil {
		return fmt.Errorf("noting that %d users are invited to %s: %w", len(users), roomID, err)
	}
	return nil
}
