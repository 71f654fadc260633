package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// An ExternalID is by what an identity provider knows somebody.
type ExternalID struct {
	Provider string `json:"auth_provider"`
	Subject  string `json:"external_id"`
}

// ExternalUser returns the user whom a provider knows by an ID, or
// [mxerr.NotFound].
func (a *Accounts) ExternalUser(ctx context.Context, e ExternalID) (user id.UserID, err error) {
	err = a.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT user_id FROM external_ids WHERE provider = $1 AND subject = $2", e.Provider, e.Subject).Scan(&user)
	})
	if errors.Is(err, store.ErrNoRows) {
		return "", mxerr.New(mxerr.NotFound, "Nobody here is known to the identity provider by this")
	}
	if err != nil {
		return "", fmt.Errorf("looking for who is known to an identity provider: %w", err)
	}
	return user, nil
}

// ExternalIDs returns by what providers know a user.
func (a *Accounts) ExternalIDs(ctx context.Context, user id.UserID) (list []ExternalID, err error) {
	err = a.db.View(ctx, func(tx *store.Tx) error {
		list, err = store.Collect(tx.Query("SELECT provider, subject FROM external_ids WHERE user_id = $1 ORDER BY provider, subject", user),
			func(scan func(...any) error) (e ExternalID, err error) {
				err = scan(&e.Provider, &e.Subject)
				return e, err
			})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading by what %s is known elsewhere: %w", user, err)
	}
	return list, nil
}

// AddExternalID notes by what a provider knows a user. The refusal is
// [mxerr.Forbidden] if that is somebody else.
func (a *Accounts) AddExternalID(ctx context.Context, user id.UserID, e ExternalID) error {
	err := a.db.Update(ctx, func(tx *store.Tx) error { return insertExternalID(tx, user, e) })
	if err != nil {
		return fmt.Errorf("noting by what %s is known elsewhere: %w", user, err)
	}
	return nil
}

// SetExternalIDs has a user be known by these IDs and no others, because an
// administrator says so. The refusals are that of [Accounts.AddExternalID], and
// [mxerr.InvalidParam].
func (a *Accounts) SetExternalIDs(ctx context.Context, user id.UserID, list []ExternalID) error {
	for _, e := range list {
		if e.Provider == "" || e.Subject == "" || strings.ContainsRune(e.Provider+e.Subject, 0) {
			return mxerr.New(mxerr.InvalidParam, "An external ID has an auth_provider and an external_id")
		}
	}
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec("DELETE FROM external_ids WHERE user_id = $1", user); err != nil {
			return err
		}
		for _, e := range list {
			if err := insertExternalID(tx, user, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("setting by what %s is known elsewhere: %w", user, err)
	}
	return nil
}

func insertExternalID(tx *store.Tx, user id.UserID, e ExternalID) error {
	n, err := tx.Exec(`
		INSERT INTO external_ids (provider, subject, user_id, added) VALUES ($1, $2, $3, $4)
		ON CONFLICT (provider, subject) DO UPDATE SET added = excluded.added WHERE external_ids.user_id = excluded.user_id`,
		e.Provider, e.Subject, user, time.Now().UnixMilli())
	if err == nil && n == 0 {
		err = mxerr.New(mxerr.Forbidden, "This is somebody else already")
	}
	return err
}

// insertVerified gives a user an address of which somebody else has made sure that it is
// theirs, if there is one and the user can have it.
func (a *Accounts) insertVerified(tx *store.Tx, user id.UserID, t ThreePID) error {
	if t == (ThreePID{}) || !a.allows(t) {
		return nil
	}
	now := time.Now()
	err := insertContact(tx, user, t, now, now)
	if refusal := (*mxerr.Error)(nil); errors.As(err, &refusal) {
		return nil
	}
	return err
}

// HasPassword reports whether there is any password that a user could log in with.
func (a *Accounts) HasPassword(ctx context.Context, user id.UserID) (bool, error) {
	var hash Hash
	err := a.db.View(ctx, func(tx *store.Tx) (err error) {
		_, hash, err = readAccount(tx, user)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("reading account %s: %w", user, missing(user, err))
	}
	return hash != "", nil
}
