package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"parley/internal/errand"
	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// UpgradingGuest returns the guest whose access token that is, who asks to become
// a user with a name that must be the guest's. The refusals are [mxerr.Forbidden]
// and, for the token, those of a request with it.
//
// https://spec.matrix.org/v1.19/client-server-api/#guest-access
func (a *Accounts) UpgradingGuest(ctx context.Context, token, localpart string) (id.UserID, error) {
	session, err := a.Authenticate(ctx, token)
	switch {
	case err != nil:
		return "", err
	case session.Locked:
		return "", lockedOut()
	case !session.Guest:
		return "", mxerr.New(mxerr.Forbidden, "The token is not that of a guest")
	case session.UserID.Localpart() != lowerASCII(localpart):
		return "", mxerr.New(mxerr.Forbidden, "The token is that of another guest: guests keep their names")
	}
	return session.UserID, nil
}

// GuestRooms are what is needed of rooms to keep guests out of them.
type GuestRooms struct {
	// Joined returns the rooms that a user is in, Members the local users who are
	// in a room.
	Joined  func(ctx context.Context, user id.UserID) ([]id.RoomID, error)
	Members func(ctx context.Context, room id.RoomID) ([]id.UserID, error)
	// Admits reports whether guests can join a room.
	Admits func(ctx context.Context, room id.RoomID) (bool, error)
	// Leave has a user leave a room. A *mxerr.Error says that the room does not
	// let it happen, and that trying again would not help.
	Leave func(ctx context.Context, room id.RoomID, user id.UserID) error
}

// A Doorman has guests leave the rooms that do not want guests any more.
//
// Nothing is noted of what is to be done, since it can be found out: a Doorman
// that begins looks at the rooms of all guests.
type Doorman struct {
	accounts *Accounts
	rooms    GuestRooms
	queue    *errand.Queue[id.RoomID]
	log      *slog.Logger
}

// NewDoorman returns one for rooms.
func (a *Accounts) NewDoorman(rooms GuestRooms) *Doorman {
	return &Doorman{a, rooms, errand.New[id.RoomID](), a.log}
}

// Look has the guests of a room leave it, if it does not want any by now. It does
// not wait for that.
func (d *Doorman) Look(room id.RoomID) { d.queue.Add(room) }

// Run does it until the context ends. It must run once.
func (d *Doorman) Run(ctx context.Context) {
	d.queue.Run(ctx, errand.Work[id.RoomID]{
		What: "having guests leave a room", Recall: d.ofGuests, Do: d.clear, AtOnce: 2, Log: d.log,
	})
}

// ofGuests returns the rooms that guests are in.
func (d *Doorman) ofGuests(ctx context.Context) ([]id.RoomID, error) {
	guests, err := d.accounts.users(ctx, "SELECT user_id FROM accounts WHERE guest AND NOT deactivated")
	if err != nil {
		return nil, err
	}
	var rooms []id.RoomID
	seen := make(map[id.RoomID]bool)
	for _, guest := range guests {
		joined, err := d.rooms.Joined(ctx, guest)
		if err != nil {
			return nil, err
		}
		for _, room := range joined {
			if !seen[room] {
				seen[room] = true
				rooms = append(rooms, room)
			}
		}
	}
	return rooms, nil
}

// clear has the guests of one room leave, if they have to.
func (d *Doorman) clear(ctx context.Context, room id.RoomID) error {
	admits, err := d.rooms.Admits(ctx, room)
	if admits || err != nil {
		return err
	}
	members, err := d.rooms.Members(ctx, room)
	if err != nil {
		return err
	}
	guests, err := d.accounts.guestsAmong(ctx, members)
	if err != nil {
		return err
	}
	for _, guest := range guests {
		err := d.rooms.Leave(ctx, room, guest)
		if refusal := (*mxerr.Error)(nil); errors.As(err, &refusal) {
			d.log.InfoContext(ctx, "a guest cannot leave a room", "user", guest, "room", room, "err", err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// guestsAmong returns which of some users are guests.
func (a *Accounts) guestsAmong(ctx context.Context, users []id.UserID) (guests []id.UserID, err error) {
	err = a.db.View(ctx, func(tx *store.Tx) error {
		in, list := tx.In(1, users)
		guests, err = store.List[id.UserID](tx, "SELECT user_id FROM accounts WHERE guest AND user_id "+in, list)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for guests: %w", err)
	}
	return guests, nil
}

// users reads a column of user IDs in a transaction of its own.
func (a *Accounts) users(ctx context.Context, query string) (users []id.UserID, err error) {
	err = a.db.View(ctx, func(tx *store.Tx) error {
		users, err = store.List[id.UserID](tx, query)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for accounts: %w", err)
	}
	return users, nil
}
