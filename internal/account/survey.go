package account

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"parley/internal/store"
	"parley/matrix/id"
)

// A Query says which accounts an administrator wants to see. A nil condition is
// none.
type Query struct {
	// Part is a part of the user ID, whatever its case.
	Part string
	// Guests, Admins, Deactivated and Locked are what the accounts are to be.
	Guests, Admins, Deactivated, Locked *bool
	// ByAge sorts by when they were created instead of by their IDs, and Backwards
	// turns the order round.
	ByAge, Backwards bool
	// Skip is how many are left out, and Limit how many come then.
	Skip, Limit int64
}

func (q Query) where() (condition string, args []any) {
	condition = "1 = 1"
	add := func(format string, value any) {
		args = append(args, value)
		condition += " AND " + strings.ReplaceAll(format, "?", "$"+strconv.Itoa(len(args)))
	}
	if q.Part != "" {
		add("length(replace(user_id, ?, '')) < length(user_id)", lowerASCII(q.Part))
	}
	for _, c := range []struct {
		column string
		is     *bool
	}{{"guest", q.Guests}, {"admin", q.Admins}, {"deactivated", q.Deactivated}, {"locked", q.Locked}} {
		if c.is != nil {
			add(c.column+" = ?", *c.is)
		}
	}
	return condition, args
}

// Survey returns a page of accounts, never nil, and how many there are on all
// pages.
func (a *Accounts) Survey(ctx context.Context, q Query) (list []Info, total int64, err error) {
	where, args := q.where()
	order := "user_id"
	if q.ByAge {
		order = "created"
	}
	if q.Backwards {
		order += " DESC"
	}
	if q.ByAge {
		order += ", user_id"
	}
	n := len(args)
	page := fmt.Sprintf("SELECT "+accountColumns+" FROM accounts WHERE %s ORDER BY %s LIMIT $%d OFFSET $%d", where, order, n+1, n+2)
	err = a.db.View(ctx, func(tx *store.Tx) error {
		if err := tx.Row("SELECT count(*) FROM accounts WHERE "+where, args...).Scan(&total); err != nil {
			return err
		}
		list, err = store.Collect(tx.Query(page, append(args, q.Limit, q.Skip)...), scanInfo)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("surveying the accounts: %w", err)
	}
	return list, total, nil
}

// Reactivate opens an account again that was deactivated. It has no password then.
// Who was erased is so no longer: what the user says from now on is for everybody.
// What has not been cleared up by now stays as it is.
func (a *Accounts) Reactivate(ctx context.Context, user id.UserID) error {
	err := a.set(ctx, user, "UPDATE accounts SET deactivated = $2, departing = $2, erased = $2 WHERE user_id = $1", false)
	a.erased.Change(user, func(erasure) erasure { return erasure{} }) // asked again
	return err
}

// RegistrationTokenInfo returns a registration token, or a M_NOT_FOUND.
func (a *Accounts) RegistrationTokenInfo(ctx context.Context, token string) (t RegistrationToken, err error) {
	if !id.IsOpaque(token) {
		return t, noSuchRegistrationToken()
	}
	err = a.db.View(ctx, func(tx *store.Tx) error {
		t, err = scanRegistrationToken(tx.Row("SELECT "+registrationTokenColumns+" FROM registration_tokens WHERE token = $2", time.Now().UnixMilli(), token).Scan)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNoRows):
		return RegistrationToken{}, noSuchRegistrationToken()
	case err != nil:
		return RegistrationToken{}, fmt.Errorf("reading a registration token: %w", err)
	}
	return t, nil
}

// ChangeRegistrationToken sets how often a token may be used, 0 for any number, and
// when it expires, the zero time for never.
func (a *Accounts) ChangeRegistrationToken(ctx context.Context, token string, uses int64, expires time.Time) error {
	var limit, end any // NULL if there is none
	if uses != 0 {
		limit = uses
	}
	if !expires.IsZero() {
		end = expires.UnixMilli()
	}
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		return changeOne(tx, "UPDATE registration_tokens SET uses = $2, expires = $3 WHERE token = $1", token, limit, end)
	})
	if errors.Is(err, store.ErrNoRows) {
		return noSuchRegistrationToken()
	}
	if err != nil {
		return fmt.Errorf("changing a registration token: %w", err)
	}
	return nil
}
