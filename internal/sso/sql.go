package sso

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"parley/internal/store"
	"parley/matrix/id"
)

// session is the row of a browser.
type session struct {
	state, provider, nonce, verifier string
	goal                             Goal
	identity                         []byte
}

func digest(browser string) []byte {
	sum := sha256.Sum256([]byte(browser))
	return sum[:]
}

func (l *Logins) insert(ctx context.Context, s session, browser string) error {
	err := l.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`
			INSERT INTO sso_sessions (state, browser, provider, nonce, verifier, redirect, session, identity, expires)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			s.state, digest(browser), s.provider, s.nonce, s.verifier, s.goal.Redirect, s.goal.Session, []byte{}, time.Now().Add(sessionLength).UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("storing a login: %w", err)
	}
	return nil
}

// find reads the session of a browser that has not expired.
func find(tx *store.Tx, state, browser string) (s session, err error) {
	if !id.IsOpaque(state) { // those that this server made up are
		return s, store.ErrNoRows
	}
	err = tx.Row(`
		SELECT state, provider, nonce, verifier, redirect, session, identity FROM sso_sessions
		WHERE state = $1 AND browser = $2 AND expires > $3`, state, digest(browser), time.Now().UnixMilli()).
		Scan(&s.state, &s.provider, &s.nonce, &s.verifier, &s.goal.Redirect, &s.goal.Session, &s.identity)
	return s, err
}

// read returns the session of a browser. The error is ErrExpired if there is none.
func (l *Logins) read(ctx context.Context, state, browser string) (s session, err error) {
	err = l.db.View(ctx, func(tx *store.Tx) error {
		s, err = find(tx, state, browser)
		return err
	})
	return s, gone(err)
}

// take is read, and can be done once before the browser has arrived.
func (l *Logins) take(ctx context.Context, state, browser string) (s session, err error) {
	err = l.db.Update(ctx, func(tx *store.Tx) error {
		if s, err = find(tx, state, browser); err != nil {
			return err
		}
		n, err := tx.Exec("UPDATE sso_sessions SET nonce = '' WHERE state = $1 AND nonce <> ''", state)
		if err == nil && n == 0 {
			err = store.ErrNoRows
		}
		return err
	})
	return s, gone(err)
}

func gone(err error) error {
	if errors.Is(err, store.ErrNoRows) {
		return ErrExpired
	}
	if err != nil {
		return fmt.Errorf("reading a login: %w", err)
	}
	return nil
}

// arrived notes who a provider says that somebody is.
func (l *Logins) arrived(ctx context.Context, state string, i Identity) error {
	said, err := json.Marshal(i)
	if err != nil {
		return err
	}
	err = l.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("UPDATE sso_sessions SET identity = $2 WHERE state = $1", state, said)
		return err
	})
	if err != nil {
		return fmt.Errorf("storing an identity: %w", err)
	}
	return nil
}

// End ends a login. Of several requests that end it one gets through, and others get
// ErrExpired.
func (l *Logins) End(ctx context.Context, a Arrival) error {
	err := l.db.Update(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec("DELETE FROM sso_sessions WHERE state = $1", a.State)
		if err == nil && n == 0 {
			err = store.ErrNoRows
		}
		return err
	})
	return gone(err)
}

// Forget removes logins that nobody went on with.
func (l *Logins) Forget(ctx context.Context) error {
	err := l.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("DELETE FROM sso_sessions WHERE expires <= $1", time.Now().UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting old logins: %w", err)
	}
	return nil
}
