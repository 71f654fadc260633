package account

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nyaruka/phonenumbers"

	"parley/internal/mail"
	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// A Medium is a kind of addresses: https://spec.matrix.org/v1.19/appendices/#3pid-types
type Medium string

// The kinds that there are.
const (
	Email  Medium = "email"
	MSISDN Medium = "msisdn"
)

// A ThreePID is a third-party identifier: a mail address or telephone number in the
// form in which everybody knows it. It comes from one of the functions that parse.
type ThreePID struct {
	Medium  Medium `json:"medium"`
	Address string `json:"address"`
}

// ParseEmail returns a mail address that somebody has written, or
// [mxerr.InvalidParam].
func ParseEmail(text string) (ThreePID, error) {
	address, err := mail.ParseAddress(text)
	if err != nil {
		return ThreePID{}, mxerr.New(mxerr.InvalidParam, "This is not a mail address").Wrap(err)
	}
	return ThreePID{Email, string(address)}, nil
}

// ParseNumber returns a telephone number as it is dialled in a country, named by
// its two letters; that matters only if it does not begin with the code of one. The
// refusal is [mxerr.InvalidParam].
func ParseNumber(country, text string) (ThreePID, error) {
	refusal := mxerr.New(mxerr.InvalidParam, "This is not a telephone number")
	if len(text) > 64 || len(country) > 2 {
		return ThreePID{}, refusal
	}
	number, err := phonenumbers.Parse(text, strings.ToUpper(country))
	if err != nil || !phonenumbers.IsPossibleNumber(number) {
		return ThreePID{}, refusal.Wrap(err)
	}
	return ThreePID{MSISDN, strings.TrimPrefix(phonenumbers.Format(number, phonenumbers.E164), "+")}, nil
}

// ParseThreePID returns an address that is in its common form already, but perhaps
// for capitals. The refusals are [mxerr.InvalidParam] and
// [mxerr.ThreePIDMediumNotSupported].
func ParseThreePID(medium, address string) (ThreePID, error) {
	switch Medium(medium) {
	case Email:
		return ParseEmail(address)
	case MSISDN:
		if address == "" || len(address) > 15 || strings.Trim(address, "0123456789") != "" {
			return ThreePID{}, mxerr.New(mxerr.InvalidParam, "A telephone number is written in digits, with the code of the country")
		}
		return ThreePID{MSISDN, address}, nil
	}
	return ThreePID{}, notSupported()
}

func notSupported() error {
	return mxerr.New(mxerr.ThreePIDMediumNotSupported, "This server has nothing to do with such addresses")
}

// A Contact is an address of an account.
type Contact struct {
	ThreePID
	Validated time.Time
	Added     time.Time
}

// maxContacts is how many addresses an account may have.
const maxContacts = 50

// Contacts returns the addresses of a user, in the order in which they were added.
func (a *Accounts) Contacts(ctx context.Context, user id.UserID) (list []Contact, err error) {
	err = a.db.View(ctx, func(tx *store.Tx) error {
		list, err = contacts(tx, user)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the addresses of %s: %w", user, err)
	}
	return list, nil
}

func contacts(tx *store.Tx, user id.UserID) ([]Contact, error) {
	return store.Collect(tx.Query(`
		SELECT medium, address, validated, added FROM threepids WHERE user_id = $1 ORDER BY added, medium, address`, user),
		func(scan func(...any) error) (c Contact, err error) {
			var validated, added int64
			err = scan(&c.Medium, &c.Address, &validated, &added)
			c.Validated, c.Added = time.UnixMilli(validated), time.UnixMilli(added)
			return c, err
		})
}

// Owner returns the user whose address that is, or [mxerr.ThreePIDNotFound].
func (a *Accounts) Owner(ctx context.Context, t ThreePID) (user id.UserID, err error) {
	err = a.db.View(ctx, func(tx *store.Tx) error {
		user, err = owner(tx, t)
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return "", mxerr.New(mxerr.ThreePIDNotFound, "No account has this address")
	}
	if err != nil {
		return "", fmt.Errorf("looking for whose address it is: %w", err)
	}
	return user, nil
}

func owner(tx *store.Tx, t ThreePID) (user id.UserID, err error) {
	err = tx.Row("SELECT user_id FROM threepids WHERE medium = $1 AND address = $2", string(t.Medium), t.Address).Scan(&user)
	return user, err
}

// insertContact gives a user an address that is nobody's or already theirs.
func insertContact(tx *store.Tx, user id.UserID, t ThreePID, validated, now time.Time) error {
	var has int64
	if err := tx.Row("SELECT count(*) FROM threepids WHERE user_id = $1", user).Scan(&has); err != nil {
		return err
	}
	if has >= maxContacts {
		return mxerr.New(mxerr.ThreePIDDenied, "An account has %d addresses at most", maxContacts).WithStatus(http.StatusBadRequest)
	}
	n, err := tx.Exec(`
		INSERT INTO threepids (medium, address, user_id, validated, added) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (medium, address) DO UPDATE SET validated = excluded.validated WHERE threepids.user_id = excluded.user_id`,
		string(t.Medium), t.Address, user, validated.UnixMilli(), now.UnixMilli())
	if err == nil && n == 0 {
		err = mxerr.New(mxerr.ThreePIDInUse, "The address belongs to another account")
	}
	return err
}

// AddContact gives a user an address whose validation was for [ToAdd]. The refusals
// are [mxerr.ThreePIDAuthFailed], if it was not validated, [mxerr.ThreePIDInUse]
// and [mxerr.ThreePIDDenied].
func (a *Accounts) AddContact(ctx context.Context, user id.UserID, p Proof) error {
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := p.read(tx, ToAdd); err != nil {
			return err
		}
		return takeUp(tx, user, ToAdd, []string{p.SID})
	})
	if err != nil {
		return fmt.Errorf("adding an address to %s: %w", user, err)
	}
	return nil
}

// takeUp gives a user the addresses of validations, which end by that.
func takeUp(tx *store.Tx, user id.UserID, operation string, sids []string) error {
	for _, sid := range sids {
		v, err := useValidation(tx, operation, sid)
		if err != nil {
			return err
		}
		if err := insertContact(tx, user, v.ThreePID, v.validated, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// RemoveContact takes an address from a user, who need not have it.
func (a *Accounts) RemoveContact(ctx context.Context, user id.UserID, t ThreePID) error {
	err := a.db.Update(ctx, func(tx *store.Tx) error { return deleteContact(tx, user, t) })
	if err != nil {
		return fmt.Errorf("removing an address of %s: %w", user, err)
	}
	return nil
}

func deleteContact(tx *store.Tx, user id.UserID, t ThreePID) error {
	_, err := tx.Exec("DELETE FROM threepids WHERE medium = $1 AND address = $2 AND user_id = $3", string(t.Medium), t.Address, user)
	return err
}

// SetContacts has a user have these addresses and no others, because an
// administrator says so; those that the user has already stay as they are. The
// refusals are those of [Accounts.AddContact].
func (a *Accounts) SetContacts(ctx context.Context, user id.UserID, list []ThreePID) error {
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		had, err := contacts(tx, user)
		if err != nil {
			return err
		}
		stays := make(map[ThreePID]bool)
		for _, c := range had {
			stays[c.ThreePID] = slices.Contains(list, c.ThreePID)
			if stays[c.ThreePID] {
				continue
			}
			if err := deleteContact(tx, user, c.ThreePID); err != nil {
				return err
			}
		}
		now := time.Now()
		for _, t := range list {
			if stays[t] {
				continue
			}
			if err := insertContact(tx, user, t, now, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("setting the addresses of %s: %w", user, err)
	}
	return nil
}
