// Package notice sends notices of the server to its users:
// https://spec.matrix.org/v1.19/client-server-api/#server-notices
//
// They come from a user who is nobody, in a room of their own for each user, who
// is invited to it and cannot decline. There users may read and not speak. Who has
// left the room after having joined it is invited again when there is another
// notice.
package notice

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// Tag is the tag of the rooms, by which clients know them.
const Tag = "m.server_notice"

// Rooms is what sending needs of others.
type Rooms struct {
	// Create makes a room that invites a user, who may not speak there. What with
	// adds to the batch is made together with it.
	Create func(ctx context.Context, creator, invited id.UserID, name string, with func(*journal.Batch, id.RoomID) error) (id.RoomID, error)
	// Membership returns what a user is to a room, empty if nothing, or if there is
	// no such room.
	Membership func(ctx context.Context, room id.RoomID, user id.UserID) (string, error)
	Invite     func(ctx context.Context, room id.RoomID, sender, target id.UserID) error
	Send       func(ctx context.Context, room id.RoomID, sender id.UserID, n Notice) (id.EventID, error)
	// Tag gives a room that is being made a tag for a user.
	Tag func(b *journal.Batch, user id.UserID, room id.RoomID, tag string) error
}

// Options of a sender.
type Options struct {
	// User is in whose name notices are sent, and Room what their rooms are called.
	User id.UserID
	Room string
}

// A Notice is an event that is sent to a user.
type Notice struct {
	Type     string
	StateKey *string // nil for an event that is not state
	Content  canonjson.Value
	// Device and Transaction name the request that it comes from, if it can be
	// repeated.
	Device      id.DeviceID
	Transaction string
}

// Sender sends notices. It is safe for concurrent use.
type Sender struct {
	Options
	db    *store.DB
	rooms Rooms

	mu sync.Mutex // is held while a notice is sent, so that a user has one room
}

// New returns a sender.
func New(db *store.DB, rooms Rooms, o Options) *Sender {
	return &Sender{Options: o, db: db, rooms: rooms}
}

// Send sends a notice to a local user, and returns its event.
func (s *Sender) Send(ctx context.Context, to id.UserID, n Notice) (id.EventID, error) {
	if to == s.User {
		return "", mxerr.New(mxerr.InvalidParam, "%s is who sends notices", to)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	room, err := s.room(ctx, to)
	if err != nil {
		return "", fmt.Errorf("preparing a notice to %s: %w", to, err)
	}
	eventID, err := s.rooms.Send(ctx, room, s.User, n)
	if err != nil {
		return "", fmt.Errorf("sending a notice to %s: %w", to, err)
	}
	return eventID, nil
}

// room returns the room of a user, in which the user is, or to which the user is
// invited. One that was deleted is made anew.
func (s *Sender) room(ctx context.Context, to id.UserID) (id.RoomID, error) {
	room, err := s.RoomOf(ctx, to)
	if err != nil {
		return "", err
	}
	own := ""
	if room != "" {
		if own, err = s.rooms.Membership(ctx, room, s.User); err != nil {
			return "", err
		}
	}
	if own != event.MembershipJoin {
		return s.create(ctx, to)
	}
	membership, err := s.rooms.Membership(ctx, room, to)
	if err != nil {
		return "", err
	}
	if membership != event.MembershipJoin && membership != event.MembershipInvite {
		err = s.rooms.Invite(ctx, room, s.User, to)
	}
	return room, err
}

// roomKey is the key of what is written about the room of a user.
type roomKey struct{ user id.UserID }

// create makes a room for a user. That it is the user's, and its tag, are committed
// with it: else a crash in between would leave an invite to a room that nobody knows,
// or one that clients do not know for what it is.
func (s *Sender) create(ctx context.Context, to id.UserID) (id.RoomID, error) {
	return s.rooms.Create(ctx, s.User, to, s.Room, func(b *journal.Batch, room id.RoomID) error {
		b.Write(roomKey{to}, func(tx *store.Tx) error {
			return tx.Queue(`
				INSERT INTO notice_rooms (user_id, room_id) VALUES ($1, $2)
				ON CONFLICT (user_id) DO UPDATE SET room_id = excluded.room_id`, to, room)
		})
		return s.rooms.Tag(b, to, room, Tag)
	})
}

// RoomOf returns the room in which a user gets notices, empty if there is none yet.
func (s *Sender) RoomOf(ctx context.Context, user id.UserID) (room id.RoomID, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT room_id FROM notice_rooms WHERE user_id = $1", user).Scan(&room)
	})
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		return "", fmt.Errorf("looking for the notices room of %s: %w", user, err)
	}
	return room, nil
}

// Forget has the user whose room for notices this is, if it is any, get the next
// one in a new room.
func (s *Sender) Forget(ctx context.Context, room id.RoomID) error {
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("DELETE FROM notice_rooms WHERE room_id = $1", room)
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting the notices room %s: %w", room, err)
	}
	return nil
}

// MayDecline refuses a user who wants to decline the invite to the own notices room.
func (s *Sender) MayDecline(ctx context.Context, room id.RoomID, user id.UserID) error {
	own, err := s.RoomOf(ctx, user)
	if err == nil && own == room {
		return mxerr.New(mxerr.CannotLeaveServerNoticeRoom, "In this room the administrators tell you what you should know: please join it first")
	}
	return err
}
