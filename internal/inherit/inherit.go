// Package inherit gives users of this server what they have set for a room in the
// room that replaces it, once they have joined that: tags, direct chats, push
// rules. https://spec.matrix.org/v1.19/client-server-api/#room-upgrades
//
// Who joins a room that says it replaces another is noted in the append of the
// join, see [room.Heir]; [Keeper.Run] deals with the notes in the background. A
// note goes only when everything is done, and to do it twice changes nothing, so a
// crash in between costs nothing.
//
// That a room says so is not enough: anybody can make such a room. The old room has
// to name it as its replacement, as far as this server knows.
package inherit

import (
	"context"
	"errors"
	"log/slog"

	"parley/internal/accountdata"
	"parley/internal/errand"
	"parley/internal/room"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// Keeper hands on what users have set for rooms. It is safe for concurrent use.
type Keeper struct {
	rooms *room.Engine
	data  *accountdata.Store
	queue *errand.Queue[room.Heir]
	log   *slog.Logger
}

// New returns a keeper, which Expect has to be told of new heirs. The log gets what went wrong and is tried again; nil:
// nobody does.
func New(rooms *room.Engine, data *accountdata.Store, log *slog.Logger) *Keeper {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Keeper{rooms, data, errand.New[room.Heir](), log}
}

// Expect takes in that there is an heir. It does not wait.
func (k *Keeper) Expect(h room.Heir) { k.queue.Add(h) }

// Run deals with the notes that are left from before, and then with those of which
// Expect tells, until the context ends. It must run once.
func (k *Keeper) Run(ctx context.Context) {
	k.queue.Run(ctx, errand.Work[room.Heir]{
		What: "handing settings on to the room that replaces another", Recall: k.rooms.Heirs, Do: k.Settle, AtOnce: 1, Log: k.log,
	})
}

// Settle gives one heir everything, who gets nothing after leaving again.
func (k *Keeper) Settle(ctx context.Context, h room.Heir) error {
	from, err := k.inheritsFrom(ctx, h.Room)
	if room.IsGone(err) {
		return k.rooms.Inherited(ctx, h) // the room was deleted meanwhile
	}
	if err != nil {
		return err
	}
	membership, err := k.rooms.Membership(ctx, h.Room, h.User)
	if err != nil {
		return err
	}
	if from != "" && membership == event.MembershipJoin {
		if err := k.data.Succeed(ctx, h.User, from, h.Room); err != nil {
			return err
		}
	}
	return k.rooms.Inherited(ctx, h)
}

// inheritsFrom returns the room that a room replaces by the word of both, empty if
// there is none.
func (k *Keeper) inheritsFrom(ctx context.Context, roomID id.RoomID) (id.RoomID, error) {
	from, err := k.rooms.Predecessor(ctx, roomID)
	if err != nil || from == "" {
		return "", err
	}
	replacement, err := k.rooms.Replacement(ctx, from)
	if errors.Is(err, mxerr.NotFound) || err == nil && replacement != roomID {
		return "", nil
	}
	return from, err
}
