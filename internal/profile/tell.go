package profile

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"parley/internal/errand"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// How many users are told about at once, and in how many of the rooms of each.
const (
	usersAtOnce = 4
	roomsAtOnce = 4
)

// Run tells rooms of changed profiles until the context ends: of what was left
// from before, then of each change. It must run once.
func (k *Keeper) Run(ctx context.Context) {
	k.queue.Run(ctx, errand.Work[id.UserID]{
		What: "telling rooms of a profile", Recall: k.noted, Do: k.tell, AtOnce: usersAtOnce, Log: k.Log,
	})
}

func (k *Keeper) noted(ctx context.Context) (users []id.UserID, err error) {
	err = k.DB.View(ctx, func(tx *store.Tx) error {
		users, err = store.List[id.UserID](tx, "SELECT user_id FROM profile_updates ORDER BY user_id")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading whose profiles have to be told: %w", err)
	}
	return users, nil
}

// tell tells all rooms of a user, and removes the note if there was no change
// since it began.
func (k *Keeper) tell(ctx context.Context, user id.UserID) error {
	changed, noted, err := k.noteOf(ctx, user)
	if err != nil || !noted {
		return err
	}
	// Who is held from now on reads this change or a later one.
	held := k.holds.owe(user)
	rooms, err := k.Rooms.Joined(ctx, user)
	if err != nil {
		return fmt.Errorf("looking for the rooms of %s: %w", user, err)
	}
	if err := k.tellRooms(ctx, user, rooms); err != nil || held {
		return err
	}
	again := false
	err = k.DB.Update(ctx, func(tx *store.Tx) (err error) {
		again, err = told(tx, user, changed)
		return err
	})
	if err != nil {
		return fmt.Errorf("noting that the rooms of %s were told: %w", user, err)
	}
	if again {
		k.queue.Add(user)
	}
	return nil
}

// noteOf returns which change of a user is the last, and whether something has
// to be told.
func (k *Keeper) noteOf(ctx context.Context, user id.UserID) (changed int64, noted bool, err error) {
	err = k.DB.View(ctx, func(tx *store.Tx) error {
		return tx.Row(`
			SELECT profiles.changed FROM profiles JOIN profile_updates ON profile_updates.user_id = profiles.user_id
			WHERE profiles.user_id = $1`, user).Scan(&changed)
	})
	if errors.Is(err, store.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("reading what has to be told of %s: %w", user, err)
	}
	return changed, true, nil
}

// told removes the note of a user whose rooms were told when the profile had a
// certain change. If it has another by now, another node may have told the rooms
// of that, removed the note, and had its work undone by ours: so there is a note
// again.
func told(tx *store.Tx, user id.UserID, when int64) (again bool, err error) {
	var changed int64
	if err := tx.Row("SELECT changed FROM profiles WHERE user_id = $1", user).Scan(&changed); err != nil {
		return false, err
	}
	if changed != when {
		return true, note(tx, user)
	}
	// A change that is committed at this moment has a note of its own.
	_, err = tx.Exec("DELETE FROM profile_updates WHERE user_id = $1 AND changed <= $2", user, when)
	return false, err
}

// tellRooms tells rooms, and goes on with the others when one has a fault.
func (k *Keeper) tellRooms(ctx context.Context, user id.UserID, rooms []id.RoomID) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var fault error // the first
	slots := make(chan struct{}, roomsAtOnce)
	for _, room := range rooms {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := k.tellRoom(ctx, user, room); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if fault == nil {
					fault = err
				}
			}
		})
	}
	wg.Wait()
	if fault == nil {
		return ctx.Err()
	}
	return fault
}

// tellRoom tells one room what the profile says now.
func (k *Keeper) tellRoom(ctx context.Context, user id.UserID, room id.RoomID) error {
	fields, err := k.Get(ctx, user)
	if err != nil {
		return err
	}
	err = k.Rooms.Update(ctx, room, user, func(content canonjson.Value) canonjson.Value { return Member(content, fields) })
	if refusal := (*mxerr.Error)(nil); errors.As(err, &refusal) {
		k.Log.InfoContext(ctx, "a room does not take a changed profile", "user", user, "room", room, "err", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("telling %s of the profile of %s: %w", room, user, err)
	}
	return nil
}
