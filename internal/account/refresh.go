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

// Tokens are what a client proves itself with.
type Tokens struct {
	// Token is the access token.
	Token string
	// Refresh gets the client new tokens; empty if there is no such.
	Refresh string
	// Life is how long the access token is good, 0 if it does not end by itself.
	Life time.Duration

	access, refresh digest
}

// lives are how long access tokens are good, 0 for ever.
type lives struct{ refreshed, lasting time.Duration }

func (a *Accounts) newTokens(refreshes bool) Tokens {
	t := Tokens{Life: a.lives.lasting}
	t.Token, t.access = newToken()
	if refreshes {
		t.Refresh, t.refresh = newToken()
		t.Life = a.lives.refreshed
	}
	return t
}

// The states of a refresh token and of the access token that came with it.
const (
	tokensNew   = 0 // they were given out for the ones in use, and nobody has used them yet
	tokensInUse = 1
	tokensSpent = 2 // others took their place
)

// maxNew is how many answers to one refresh token may be under way. Whoever
// repeats a request more often than that does not wait for the answers.
const maxNew = 8

func (t Tokens) insert(tx *store.Tx, user id.UserID, device id.DeviceID, state int) error {
	now := time.Now()
	var expires, refresh any // NULL if there is none
	if t.Life != 0 {
		expires = now.Add(t.Life).UnixMilli()
	}
	if t.Refresh != "" {
		refresh = t.refresh.bytes()
		_, err := tx.Exec("INSERT INTO refresh_tokens (token, user_id, device_id, state, created) VALUES ($1, $2, $3, $4, $5)",
			refresh, user, device, state, now.UnixMilli())
		if err != nil {
			return err
		}
	}
	_, err := tx.Exec("INSERT INTO access_tokens (token, user_id, device_id, refresh, created, expires) VALUES ($1, $2, $3, $4, $5, $6)",
		t.access.bytes(), user, device, refresh, now.UnixMilli(), expires)
	return err
}

// tokenRow is what there is to know of an access token beside whose it is.
type tokenRow struct {
	expires time.Time // zero: never
	refresh []byte    // the digest of its refresh token, nil if there is none
	state   int
}

func (r tokenRow) expired(now time.Time) bool { return !r.expires.IsZero() && !now.Before(r.expires) }

// Refresh gives a client new tokens for a refresh token. Those before stay good
// until one of the new ones is used, so that the request can be repeated if the
// answer is lost. It refuses with [mxerr.UnknownToken] and [mxerr.UserLocked].
//
// https://spec.matrix.org/v1.19/client-server-api/#refreshing-access-tokens
func (a *Accounts) Refresh(ctx context.Context, token string) (Tokens, error) {
	if !plausible(token) {
		return Tokens{}, unknownToken()
	}
	d, fresh := digestOf(token), a.newTokens(true)
	var user id.UserID
	var device id.DeviceID
	err := a.db.Update(ctx, func(tx *store.Tx) (err error) {
		if user, device, err = ownerOf(tx, d); err != nil {
			return err
		}
		// To refresh with a new token is to use it.
		if err := settle(tx, user, device, d.bytes()); err != nil {
			return err
		}
		if err := dropNew(tx, user, device); err != nil {
			return err
		}
		return fresh.insert(tx, user, device, tokensNew)
	})
	if err := a.tokensChanged(user, device, err); err != nil {
		return Tokens{}, err
	}
	return fresh, nil
}

// tokensChanged is called after an update of a device's tokens with its error. Unless it
// was refused, so that nothing has changed, whoever uses the tokens asks again.
func (a *Accounts) tokensChanged(user id.UserID, device id.DeviceID, err error) error {
	if refusal := (*mxerr.Error)(nil); errors.As(err, &refusal) {
		return err
	}
	a.sessions.dropDevice(user, device)
	if err != nil {
		return fmt.Errorf("putting new tokens of %s in the place of old ones: %w", user, err)
	}
	return nil
}

// ownerOf returns whose refresh token that is, if it may be used at present.
func ownerOf(tx *store.Tx, d digest) (user id.UserID, device id.DeviceID, err error) {
	var locked bool
	err = tx.Row(`
		SELECT r.user_id, r.device_id, a.locked FROM refresh_tokens r JOIN accounts a ON a.user_id = r.user_id
		WHERE r.token = $1 AND NOT a.deactivated`, d.bytes()).Scan(&user, &device, &locked)
	switch {
	case errors.Is(err, store.ErrNoRows):
		err = unknownToken()
	case err == nil && locked:
		err = lockedOut()
	}
	return user, device, err
}

// dropNew makes room for one more answer to a refresh token.
func dropNew(tx *store.Tx, user id.UserID, device id.DeviceID) error {
	return dropTokens(tx, `
		SELECT token FROM refresh_tokens WHERE user_id = $1 AND device_id = $2 AND state = $3
		ORDER BY created DESC, token LIMIT 1000 OFFSET $4`, user, device, tokensNew, maxNew-1)
}

// settle notes that tokens are used that were new. From then on those that they
// took the place of are not good, and other answers to the same refresh token
// are not either. The last that were spent are remembered, so that a part of the
// client that does not know of the new ones yet is not told that the device is
// gone.
func (a *Accounts) settle(ctx context.Context, user id.UserID, device id.DeviceID, refresh []byte) error {
	err := a.db.Update(ctx, func(tx *store.Tx) error { return settle(tx, user, device, refresh) })
	return a.tokensChanged(user, device, err)
}

// settle refuses a token that is not there or was spent, and does nothing if it
// is in use.
func settle(tx *store.Tx, user id.UserID, device id.DeviceID, refresh []byte) error {
	// The row of the device orders all who do this.
	if _, err := tx.Exec("UPDATE devices SET seen = seen WHERE user_id = $1 AND device_id = $2", user, device); err != nil {
		return err
	}
	var state int
	err := tx.Row("SELECT state FROM refresh_tokens WHERE token = $1", refresh).Scan(&state)
	switch {
	case errors.Is(err, store.ErrNoRows):
		return unknownToken()
	case err != nil:
		return err
	case state == tokensSpent:
		return softLogout()
	case state == tokensInUse:
		return nil
	}
	err = dropTokens(tx, "SELECT token FROM refresh_tokens WHERE user_id = $1 AND device_id = $2 AND state = $3", user, device, tokensSpent)
	if err != nil {
		return err
	}
	if _, err := tx.Exec("UPDATE refresh_tokens SET state = $3 WHERE user_id = $1 AND device_id = $2", user, device, tokensSpent); err != nil {
		return err
	}
	_, err = tx.Exec("UPDATE refresh_tokens SET state = $2 WHERE token = $1", refresh, tokensInUse)
	return err
}

// dropTokens removes the refresh tokens that a query selects, and the access
// tokens that belong to them.
func dropTokens(tx *store.Tx, query string, args ...any) error {
	var tokens [][]byte
	for row, err := range tx.Query(query, args...) {
		if err != nil {
			return err
		}
		var token []byte
		if err := row.Scan(&token); err != nil {
			return err
		}
		tokens = append(tokens, token)
	}
	if len(tokens) == 0 {
		return nil
	}
	in, list := tx.In(3, tokens)
	if _, err := tx.Exec("DELETE FROM access_tokens WHERE user_id = $1 AND device_id = $2 AND refresh "+in, args[0], args[1], list); err != nil {
		return err
	}
	in, list = tx.In(1, tokens)
	_, err := tx.Exec("DELETE FROM refresh_tokens WHERE token "+in, list)
	return err
}
