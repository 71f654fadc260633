package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/internal/errand"
	"parley/internal/store"
	"parley/matrix/id"
)

// Deactivate closes an account for good: nobody can log in any more, and its name
// is not given out again. What that means elsewhere is done in the background, by
// Options.Departed. To erase is to want what the user said to be forgotten, see
// [Accounts.Erased]. An account can be deactivated again to erase it later.
func (a *Accounts) Deactivate(ctx context.Context, user id.UserID, erase bool) error {
	all := func(id.DeviceID) bool { return true }
	err := a.removeDevices(ctx, user, all, func(tx *store.Tx) error {
		err := changeOne(tx, `
			UPDATE accounts SET deactivated = $2, departing = $2, erased = (erased OR $3), password = '' WHERE user_id = $1`,
			user, true, erase)
		if err != nil {
			return err
		}
		if _, err := tx.Exec("DELETE FROM threepids WHERE user_id = $1", user); err != nil {
			return err
		}
		return deleteTickets(tx, user, ticketLogin, ticketOpenID)
	})
	a.departures.Add(user)
	if erase {
		a.erased.Change(user, func(erasure) erasure { return erasure{} }) // asked again
	}
	if err != nil {
		return fmt.Errorf("deactivating %s: %w", user, missing(user, err))
	}
	return nil
}

// depart runs what has to be done about deactivated accounts.
func (a *Accounts) depart(ctx context.Context) {
	a.departures.Run(ctx, errand.Work[id.UserID]{
		What: "clearing up after a deactivated account", Recall: a.departing, Do: a.seeOff, AtOnce: 2, Log: a.log,
	})
}

func (a *Accounts) departing(ctx context.Context) ([]id.UserID, error) {
	return a.users(ctx, "SELECT user_id FROM accounts WHERE departing")
}

// lookForDepartures finds what other processes have noted.
func (a *Accounts) lookForDepartures(ctx context.Context) error {
	users, err := a.departing(ctx)
	a.departures.Add(users...)
	return err
}

// seeOff does what is to be done about one account, and removes the note.
func (a *Accounts) seeOff(ctx context.Context, user id.UserID) error {
	var departing, erased bool
	err := a.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT departing, erased FROM accounts WHERE user_id = $1", user).Scan(&departing, &erased)
	})
	if errors.Is(err, store.ErrNoRows) || err == nil && !departing {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading account %s: %w", user, err)
	}
	if err := a.departed(ctx, user, erased); err != nil {
		return err
	}
	again := false
	err = a.db.Update(ctx, func(tx *store.Tx) error {
		// Unless it is to be erased, too, by now.
		n, err := tx.Exec("UPDATE accounts SET departing = $3 WHERE user_id = $1 AND erased = $2", user, erased, false)
		again = n == 0
		return err
	})
	if err != nil {
		return fmt.Errorf("noting that all is done about %s: %w", user, err)
	}
	if again {
		a.departures.Add(user)
	}
	return nil
}

// An erasure is what is remembered of whether a user was erased, and until when.
type erasure struct {
	erased bool
	until  time.Time
}

// Erased returns which of some users wanted to be forgotten. Their events are
// shown in their redacted form to users, and to servers, that come to see them
// only afterwards. Only users of this server can be known to have been erased. It
// answers from memory mostly; by another node, for at most ten seconds wrongly.
//
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate
func (a *Accounts) Erased(ctx context.Context, users []id.UserID) (map[id.UserID]bool, error) {
	var erased map[id.UserID]bool // nil as long as nobody was
	note := func(user id.UserID) {
		if erased == nil {
			erased = make(map[id.UserID]bool)
		}
		erased[user] = true
	}
	versions := make(map[id.UserID]uint64)
	var unknown []id.UserID
	now := time.Now()
	for _, user := range users {
		if user.Server() != a.server {
			continue
		}
		switch e, ok := a.erased.Get(user); {
		case !ok || !now.Before(e.until):
			unknown, versions[user] = append(unknown, user), a.erased.Version(user)
		case e.erased:
			note(user)
		}
	}
	if len(unknown) == 0 {
		return erased, nil
	}
	found, err := a.readErased(ctx, unknown)
	if err != nil {
		return nil, err
	}
	for _, user := range unknown {
		if found[user] {
			note(user)
		}
		a.erased.PutSince(user, erasure{found[user], now.Add(sessionAge)}, versions[user])
	}
	return erased, nil
}

func (a *Accounts) readErased(ctx context.Context, users []id.UserID) (map[id.UserID]bool, error) {
	found := make(map[id.UserID]bool)
	err := a.db.View(ctx, func(tx *store.Tx) error {
		in, list := tx.In(1, users)
		erased, err := store.List[id.UserID](tx, "SELECT user_id FROM accounts WHERE erased AND user_id "+in, list)
		for _, user := range erased {
			found[user] = true
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for users who were erased: %w", err)
	}
	return found, nil
}
