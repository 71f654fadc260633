package account

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"parley/internal/store"
	"parley/matrix/mxerr"
)

// validation is the row of one.
type validation struct {
	ThreePID
	sid, operation, token, nextLink string
	secret                          []byte
	attempt, tries                  int64
	due                             bool
	validated                       time.Time // zero: not yet
}

const validationColumns = "sid, operation, medium, address, secret, token, attempt, due, tries, next_link, validated"

func scanValidation(scan func(...any) error) (v validation, err error) {
	var validated int64
	err = scan(&v.sid, &v.operation, &v.Medium, &v.Address, &v.secret, &v.token, &v.attempt, &v.due, &v.tries, &v.nextLink, &validated)
	if validated != 0 {
		v.validated = time.UnixMilli(validated)
	}
	return v, err
}

// readValidation reads one that has not expired.
func readValidation(tx *store.Tx, sid string, now time.Time) (validation, error) {
	return scanValidation(tx.Row("SELECT "+validationColumns+" FROM validations WHERE sid = $1 AND expires > $2", sid, now.UnixMilli()).Scan)
}

// tryValidation is readValidation for who tries a token, which is counted before
// anybody knows whether it is right.
func tryValidation(tx *store.Tx, sid string, now time.Time) (validation, error) {
	return scanValidation(tx.Row("UPDATE validations SET tries = tries + 1 WHERE sid = $1 AND expires > $2 RETURNING "+validationColumns,
		sid, now.UnixMilli()).Scan)
}

func markValidated(tx *store.Tx, sid string, now time.Time) error {
	_, err := tx.Exec("UPDATE validations SET validated = $2, due = $3, expires = $4 WHERE sid = $1",
		sid, now.UnixMilli(), false, now.Add(validatedLife).UnixMilli())
	return err
}

// useValidation ends a validation and returns it. The refusal is
// [mxerr.ThreePIDAuthFailed].
func useValidation(tx *store.Tx, operation, sid string) (validation, error) {
	v, err := scanValidation(tx.Row("DELETE FROM validations WHERE sid = $1 AND operation = $2 AND validated > 0 AND expires > $3 RETURNING "+validationColumns,
		sid, operation, time.Now().UnixMilli()).Scan)
	if errors.Is(err, store.ErrNoRows) {
		return v, notValidated()
	}
	return v, err
}

// beginValidation stores that an address is to be validated, with a token if it is
// not already, and reports whether something is to be sent.
func beginValidation(tx *store.Tx, r ValidationRequest, token string, now time.Time) (sid string, due bool, err error) {
	key := []any{string(r.Medium), r.Address, r.Operation, digestOf(r.Secret).bytes()}
	const found = " WHERE medium = $1 AND address = $2 AND operation = $3 AND secret = $4"
	if _, err := tx.Exec("DELETE FROM validations"+found+" AND expires <= $5", append(key, now.UnixMilli())...); err != nil {
		return "", false, err
	}
	_, err = tx.Exec(`
		INSERT INTO validations (medium, address, operation, secret, sid, token, attempt, due, sent, asked, tries, next_link, validated, expires)
		VALUES ($1, $2, $3, $4, $5, $6, -1, $7, 0, 0, 0, '', 0, $8)
		ON CONFLICT (medium, address, operation, secret) DO NOTHING`,
		append(key, rand.Text(), token, false, now.Add(validationLife).UnixMilli())...)
	if err != nil {
		return "", false, err
	}
	v, err := scanValidation(tx.Row("SELECT "+validationColumns+" FROM validations"+found, key...).Scan)
	if err != nil || !v.validated.IsZero() || r.Attempt <= v.attempt {
		return v.sid, false, err
	}
	if err := checkSent(tx, r.ThreePID, now); err != nil {
		return "", false, err
	}
	_, err = tx.Exec(`
		UPDATE validations SET attempt = $2, due = $3, sent = sent + 1, asked = $4, next_link = $5, expires = $6 WHERE sid = $1`,
		v.sid, r.Attempt, true, now.UnixMilli(), r.NextLink, now.Add(validationLife).UnixMilli())
	return v.sid, true, err
}

// checkSent refuses to send more to an address than anybody needs to get.
func checkSent(tx *store.Tx, t ThreePID, now time.Time) error {
	var sent, first int64
	err := tx.Row("SELECT CAST(coalesce(sum(sent), 0) AS bigint), coalesce(min(asked), 0) FROM validations WHERE medium = $1 AND address = $2 AND asked > $3",
		string(t.Medium), t.Address, now.Add(-time.Hour).UnixMilli()).Scan(&sent, &first)
	if err != nil || sent < maxSent {
		return err
	}
	wait := time.UnixMilli(first).Add(time.Hour).Sub(now)
	return mxerr.New(mxerr.LimitExceeded, "Much was sent to this address lately").With("retry_after_ms", max(wait, time.Second).Milliseconds())
}

// noteSent notes that something was sent, unless more was asked for meanwhile.
func (a *Accounts) noteSent(ctx context.Context, v validation) error {
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("UPDATE validations SET due = $3 WHERE sid = $1 AND attempt = $2", v.sid, v.attempt, false)
		return err
	})
	if err != nil {
		return fmt.Errorf("noting that a message was sent: %w", err)
	}
	return nil
}

// dueValidations returns those for which something is to be sent.
func (a *Accounts) dueValidations(ctx context.Context) (sids []string, err error) {
	err = a.db.View(ctx, func(tx *store.Tx) error {
		sids, err = store.List[string](tx, "SELECT sid FROM validations WHERE due")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for messages to be sent: %w", err)
	}
	return sids, nil
}

// forgetValidations removes those that have expired.
func (a *Accounts) forgetValidations(ctx context.Context) error {
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("DELETE FROM validations WHERE expires <= $1", time.Now().UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting old validations: %w", err)
	}
	return nil
}
