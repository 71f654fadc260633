package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// Info is what there is to know of an account.
type Info struct {
	UserID      id.UserID
	Admin       bool
	Guest       bool
	Locked      bool
	Suspended   bool
	Deactivated bool
	Erased      bool // what the user said is not shown to who had not seen it
	Created     time.Time
}

const accountColumns = "user_id, admin, guest, locked, suspended, deactivated, erased, created, password"

// scanAccount reads accountColumns.
func scanAccount(scan func(...any) error) (Info, Hash, error) {
	var i Info
	var hash Hash
	var created int64
	err := scan(&i.UserID, &i.Admin, &i.Guest, &i.Locked, &i.Suspended, &i.Deactivated, &i.Erased, &created, &hash)
	i.Created = time.UnixMilli(created)
	return i, hash, err
}

// scanInfo reads accountColumns, and leaves out the password.
func scanInfo(scan func(...any) error) (Info, error) {
	info, _, err := scanAccount(scan)
	return info, err
}

func readAccount(tx *store.Tx, user id.UserID) (Info, Hash, error) {
	return scanAccount(tx.Row("SELECT "+accountColumns+" FROM accounts WHERE user_id = $1", user).Scan)
}

// Info returns what there is to know of an account, or [mxerr.NotFound].
func (a *Accounts) Info(ctx context.Context, user id.UserID) (info Info, err error) {
	err = a.db.View(ctx, func(tx *store.Tx) error {
		info, _, err = readAccount(tx, user)
		return err
	})
	if err != nil {
		return Info{}, fmt.Errorf("reading account %s: %w", user, missing(user, err))
	}
	return info, nil
}

// missing turns the error that there is no row into one for the client.
func missing(user id.UserID, err error) error {
	if errors.Is(err, store.ErrNoRows) {
		return mxerr.New(mxerr.NotFound, "There is no account %s", user)
	}
	return err
}

// List returns up to limit accounts in the order of their IDs, those after a
// given one.
func (a *Accounts) List(ctx context.Context, after id.UserID, limit int) (list []Info, err error) {
	err = a.db.View(ctx, func(tx *store.Tx) error {
		list, err = store.Collect(tx.Query("SELECT "+accountColumns+" FROM accounts WHERE user_id > $1 ORDER BY user_id LIMIT $2",
			string(after), limit), scanInfo)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing accounts: %w", err)
	}
	return list, nil
}

// Listed returns which of some users of this server others may find: those whose accounts
// are in use, and who are not guests.
func (a *Accounts) Listed(ctx context.Context, users []id.UserID) (map[id.UserID]bool, error) {
	listed := make(map[id.UserID]bool)
	if len(users) == 0 {
		return listed, nil
	}
	err := a.db.View(ctx, func(tx *store.Tx) error {
		in, list := tx.In(1, users)
		found, err := store.List[id.UserID](tx, "SELECT user_id FROM accounts WHERE NOT deactivated AND NOT locked AND NOT guest AND user_id "+in, list)
		for _, user := range found {
			listed[user] = true
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for %d accounts: %w", len(users), err)
	}
	return listed, nil
}

// CheckPassword returns the account that a user ID and a password belong to. It
// may differ from the given ID by capital letters, if there is none that is
// spelt so. The refusals are [mxerr.Forbidden], which does not tell whether there
// is such an account, [mxerr.UserDeactivated] and [mxerr.UserLocked].
func (a *Accounts) CheckPassword(ctx context.Context, user id.UserID, password string) (Info, error) {
	var info Info
	var hash Hash
	err := a.db.View(ctx, func(tx *store.Tx) (err error) {
		info, hash, err = readAccount(tx, user)
		if errors.Is(err, store.ErrNoRows) {
			info, hash, err = readAccount(tx, id.UserID(lowerASCII(string(user))))
		}
		if errors.Is(err, store.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return Info{}, fmt.Errorf("reading account %s: %w", user, err)
	}
	matches, err := a.passwords.matches(ctx, hash, password)
	switch {
	case err != nil:
		return Info{}, fmt.Errorf("checking the password of %s: %w", user, err)
	case info.Deactivated:
		return Info{}, deactivated()
	case !matches:
		return Info{}, wrongPassword()
	case info.Locked:
		return Info{}, lockedOut()
	}
	return info, nil
}

func wrongPassword() error { return mxerr.New(mxerr.Forbidden, "Wrong username or password") }

func lockedOut() error {
	return mxerr.New(mxerr.UserLocked, "This account is locked").With("soft_logout", true)
}

func deactivated() error { return mxerr.New(mxerr.UserDeactivated, "This account was deactivated") }

// SetPassword changes a password. Devices that keep does not want are removed; a
// nil keep wants all.
func (a *Accounts) SetPassword(ctx context.Context, user id.UserID, password Hash, keep func(id.DeviceID) bool) error {
	lose := func(d id.DeviceID) bool { return keep != nil && !keep(d) }
	err := a.removeDevices(ctx, user, lose, func(tx *store.Tx) error {
		err := changeOne(tx, "UPDATE accounts SET password = $2 WHERE user_id = $1 AND NOT deactivated", user, string(password))
		if err != nil {
			return err
		}
		return deleteTickets(tx, user, ticketLogin)
	})
	if err != nil {
		return fmt.Errorf("changing the password of %s: %w", user, missing(user, err))
	}
	return nil
}

// SetAdmin says whether a user administers the server.
func (a *Accounts) SetAdmin(ctx context.Context, user id.UserID, admin bool) error {
	return a.set(ctx, user, "UPDATE accounts SET admin = $2 WHERE user_id = $1", admin)
}

// SetLocked says whether an account is locked:
// https://spec.matrix.org/v1.19/client-server-api/#account-locking
func (a *Accounts) SetLocked(ctx context.Context, user id.UserID, locked bool) error {
	return a.set(ctx, user, "UPDATE accounts SET locked = $2 WHERE user_id = $1", locked)
}

// SetSuspended says whether an account is suspended:
// https://spec.matrix.org/v1.19/client-server-api/#account-suspension
func (a *Accounts) SetSuspended(ctx context.Context, user id.UserID, suspended bool) error {
	return a.set(ctx, user, "UPDATE accounts SET suspended = $2 WHERE user_id = $1", suspended)
}

func (a *Accounts) set(ctx context.Context, user id.UserID, statement string, value bool) error {
	err := a.db.Update(ctx, func(tx *store.Tx) error { return changeOne(tx, statement, user, value) })
	a.sessions.dropUser(user)
	if err != nil {
		return fmt.Errorf("changing account %s: %w", user, missing(user, err))
	}
	return nil
}

// changeOne is for statements that change one row; it returns ErrNoRows if they
// did not.
func changeOne(tx *store.Tx, statement string, args ...any) error {
	n, err := tx.Exec(statement, args...)
	if err == nil && n == 0 {
		return store.ErrNoRows
	}
	return err
}
