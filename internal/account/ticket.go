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

// A ticket is a token that is good for one thing and for a short time.
type ticket string

const (
	ticketLogin  ticket = "login"  // to log in once as its user
	ticketOpenID ticket = "openid" // to show somebody else who its user is
)

const (
	// LoginTokenLife is how long a token for logging in is good: as long as the
	// specification recommends.
	LoginTokenLife = 2 * time.Minute
	// OpenIDTokenLife is how long a token is good that shows who somebody is.
	OpenIDTokenLife = time.Hour
)

// NewLoginToken returns a token with which somebody can log in once as a user,
// within [LoginTokenLife]. It ends with a change of the password.
//
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv1loginget_token
func (a *Accounts) NewLoginToken(ctx context.Context, user id.UserID) (string, error) {
	return a.newTicket(ctx, ticketLogin, user, LoginTokenLife)
}

// HandOver is [Accounts.NewLoginToken] for a client that waits for the token, which
// is good for some seconds only.
func (a *Accounts) HandOver(ctx context.Context, user id.UserID) (string, error) {
	return a.newTicket(ctx, ticketLogin, user, handOverLife)
}

// handOverLife is somewhat more than the five seconds that the specification advises:
// telephones start their client in that time.
const handOverLife = 20 * time.Second

// UseLoginToken uses up a token and returns who may log in. The refusals are
// [mxerr.Forbidden] and [mxerr.UserLocked].
func (a *Accounts) UseLoginToken(ctx context.Context, token string) (id.UserID, error) {
	if !isToken(token) {
		return "", badLoginToken()
	}
	var user id.UserID
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		err := tx.Row("DELETE FROM tickets WHERE token = $1 AND kind = $2 AND expires > $3 RETURNING user_id",
			digestOf(token).bytes(), string(ticketLogin), time.Now().UnixMilli()).Scan(&user)
		if errors.Is(err, store.ErrNoRows) {
			return badLoginToken()
		}
		if err != nil {
			return err
		}
		info, _, err := readAccount(tx, user)
		if err == nil && info.Locked {
			return lockedOut()
		}
		return err
	})
	if refusal := (*mxerr.Error)(nil); err != nil && !errors.As(err, &refusal) {
		return "", fmt.Errorf("using a login token: %w", err)
	}
	return user, err
}

func badLoginToken() error {
	return mxerr.New(mxerr.Forbidden, "The login token is not known, or not good any more")
}

// NewOpenIDToken returns a token by which a third party can find out who the
// user is, within [OpenIDTokenLife].
//
// https://spec.matrix.org/v1.19/client-server-api/#openid
func (a *Accounts) NewOpenIDToken(ctx context.Context, user id.UserID) (string, error) {
	return a.newTicket(ctx, ticketOpenID, user, OpenIDTokenLife)
}

// OpenIDUser returns the user whom a token of [Accounts.NewOpenIDToken] was given
// to, or [mxerr.UnknownToken].
//
// https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1openiduserinfo
func (a *Accounts) OpenIDUser(ctx context.Context, token string) (id.UserID, error) {
	var user id.UserID
	if !isToken(token) {
		return "", unknownOpenID()
	}
	err := a.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT user_id FROM tickets WHERE token = $1 AND kind = $2 AND expires > $3",
			digestOf(token).bytes(), string(ticketOpenID), time.Now().UnixMilli()).Scan(&user)
	})
	switch {
	case errors.Is(err, store.ErrNoRows):
		return "", unknownOpenID()
	case err != nil:
		return "", fmt.Errorf("looking for an OpenID token: %w", err)
	}
	return user, nil
}

func unknownOpenID() error {
	return mxerr.New(mxerr.UnknownToken, "The access token is not known, or has expired")
}

func (a *Accounts) newTicket(ctx context.Context, kind ticket, user id.UserID, life time.Duration) (string, error) {
	token, d := newToken()
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("INSERT INTO tickets (token, kind, user_id, expires) VALUES ($1, $2, $3, $4)",
			d.bytes(), string(kind), user, time.Now().Add(life).UnixMilli())
		return err
	})
	if err != nil {
		return "", fmt.Errorf("storing a token of %s: %w", user, err)
	}
	return token, nil
}

// isToken reports whether a text may be a token that this server has made.
func isToken(s string) bool { return strings.HasPrefix(s, tokenPrefix) && plausible(s) }

// deleteTickets ends what was given to a user.
func deleteTickets(tx *store.Tx, user id.UserID, kinds ...ticket) error {
	in, list := tx.In(2, kinds)
	_, err := tx.Exec("DELETE FROM tickets WHERE user_id = $1 AND kind "+in, user, list)
	return err
}

// forgetTickets removes what is not good any more.
func (a *Accounts) forgetTickets(ctx context.Context) error {
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("DELETE FROM tickets WHERE expires <= $1", time.Now().UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting old tokens: %w", err)
	}
	return nil
}
