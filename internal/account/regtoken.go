package account

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// maxRegistrationToken is how long a registration token may be:
// https://spec.matrix.org/v1.19/client-server-api/#token-authenticated-registration
const maxRegistrationToken = 64

// A RegistrationToken lets people make accounts.
type RegistrationToken struct {
	// Token is 1 to 64 of a-z, A-Z, 0-9, '.', '_', '~' and '-'.
	Token string
	// Admin says that it makes administrators.
	Admin bool
	// Uses is how many accounts it may make in all, 0 for any number, and Used
	// how many it has made.
	Uses, Used int64
	// Expires is when it ends to be good; zero: never.
	Expires time.Time
	Created time.Time
	// Good says that an account could be made with it when it was read.
	Good bool
}

// CreateRegistrationToken stores a new token. An empty Token is made up; Used
// and Created are set. It refuses with [mxerr.InvalidParam].
func (a *Accounts) CreateRegistrationToken(ctx context.Context, t RegistrationToken) (RegistrationToken, error) {
	if t.Token == "" {
		t.Token = rand.Text()
	}
	if !id.IsOpaque(t.Token) || len(t.Token) > maxRegistrationToken || t.Uses < 0 {
		return t, mxerr.New(mxerr.InvalidParam, "A registration token is 1 to %d of a-z, A-Z, 0-9 and ._~- and has no negative number of uses",
			maxRegistrationToken)
	}
	t.Used, t.Created = 0, time.Now()
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		n, err := insertRegistrationToken(tx, t, false)
		if err == nil && n == 0 {
			return mxerr.New(mxerr.InvalidParam, "There is such a registration token already")
		}
		return err
	})
	if err != nil {
		return t, fmt.Errorf("storing a registration token: %w", err)
	}
	return t, nil
}

// insertRegistrationToken does nothing if there is one with the same text, or
// another founder.
func insertRegistrationToken(tx *store.Tx, t RegistrationToken, founder bool) (inserted int64, err error) {
	var uses, expires any // NULL if there is no limit
	if t.Uses != 0 {
		uses = t.Uses
	}
	if !t.Expires.IsZero() {
		expires = t.Expires.UnixMilli()
	}
	return tx.Exec(`
		INSERT INTO registration_tokens (token, admin, founder, uses, used, expires, created)
		VALUES ($1, $2, $3, $4, 0, $5, $6)
		ON CONFLICT DO NOTHING`,
		t.Token, t.Admin, founder, uses, expires, t.Created.UnixMilli())
}

// good says which registration tokens make an account: $1 is the time.
const good = `(uses IS NULL OR used < uses)
	AND (expires IS NULL OR expires > $1)
	AND (NOT founder OR NOT EXISTS (SELECT 1 FROM accounts))`

// useRegistrationToken counts one use of a token, and reports whether what it
// makes is an administrator.
func useRegistrationToken(tx *store.Tx, token string, now time.Time) (admin bool, err error) {
	if !id.IsOpaque(token) {
		return false, badRegistrationToken()
	}
	err = tx.Row("UPDATE registration_tokens SET used = used + 1 WHERE "+good+" AND token = $2 RETURNING admin", now.UnixMilli(), token).Scan(&admin)
	if errors.Is(err, store.ErrNoRows) {
		return false, badRegistrationToken()
	}
	return admin, err
}

func badRegistrationToken() error {
	return mxerr.New(mxerr.Forbidden, "The registration token is not known, or not good any more")
}

// RegistrationTokenGood reports whether an account could be made with a token at
// present.
func (a *Accounts) RegistrationTokenGood(ctx context.Context, token string) (ok bool, err error) {
	if !id.IsOpaque(token) {
		return false, nil
	}
	err = a.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT EXISTS (SELECT 1 FROM registration_tokens WHERE "+good+" AND token = $2)", time.Now().UnixMilli(), token).Scan(&ok)
	})
	if err != nil {
		return false, fmt.Errorf("checking a registration token: %w", err)
	}
	return ok, nil
}

// registrationTokenColumns are read by scanRegistrationToken. $1 is the time.
const registrationTokenColumns = "token, admin, uses, used, expires, created, " + good

func scanRegistrationToken(scan func(...any) error) (t RegistrationToken, err error) {
	var expires, created int64
	err = scan(&t.Token, &t.Admin, &t.Uses, &t.Used, &expires, &created, &t.Good)
	if expires != 0 {
		t.Expires = time.UnixMilli(expires)
	}
	t.Created = time.UnixMilli(created)
	return t, err
}

// RegistrationTokens returns all tokens, the newest last, those that are not good
// any more among them.
func (a *Accounts) RegistrationTokens(ctx context.Context) (list []RegistrationToken, err error) {
	err = a.db.View(ctx, func(tx *store.Tx) error {
		rows := tx.Query("SELECT "+registrationTokenColumns+" FROM registration_tokens ORDER BY created, token", time.Now().UnixMilli())
		list, err = store.Collect(rows, scanRegistrationToken)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing registration tokens: %w", err)
	}
	return list, nil
}

// DeleteRegistrationToken removes a token, or refuses with [mxerr.NotFound].
func (a *Accounts) DeleteRegistrationToken(ctx context.Context, token string) error {
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		return changeOne(tx, "DELETE FROM registration_tokens WHERE token = $1", token)
	})
	if errors.Is(err, store.ErrNoRows) {
		return noSuchRegistrationToken()
	}
	if err != nil {
		return fmt.Errorf("deleting a registration token: %w", err)
	}
	return nil
}

func noSuchRegistrationToken() error {
	return mxerr.New(mxerr.NotFound, "There is no such registration token")
}

// EnsureFirstToken returns the token with which the first account is made, an
// administrator, and which is good for nothing once there is any account. It is
// the same at each call, and empty when there are accounts.
func (a *Accounts) EnsureFirstToken(ctx context.Context) (token string, err error) {
	inhabited, err := a.Inhabited(ctx)
	if inhabited || err != nil {
		return "", err
	}
	err = a.db.Update(ctx, func(tx *store.Tx) error {
		// Of several nodes that start at once one inserts. The statement after
		// that sees its token.
		first := RegistrationToken{Token: rand.Text(), Admin: true, Uses: 1, Created: time.Now()}
		if _, err := insertRegistrationToken(tx, first, true); err != nil {
			return err
		}
		return tx.Row("SELECT token FROM registration_tokens WHERE founder").Scan(&token)
	})
	if err != nil {
		return "", fmt.Errorf("making the first registration token: %w", err)
	}
	return token, nil
}
