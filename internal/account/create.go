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

// NewAccount is an account to be made.
type NewAccount struct {
	// Localpart is empty if one is to be made up.
	Localpart string
	// Password is from [Accounts.HashPassword]; empty: none will do.
	Password Hash
	Admin    bool
	// Guest makes a guest, whose Localpart is always made up.
	Guest bool
	// Service makes a user of an application service, whose names are for it to
	// choose.
	Service bool
	// Upgrades says that there is a guest with the Localpart, who is to be one no
	// longer. The caller knows that it is they who ask.
	Upgrades bool
	// Token is the registration token that allows it. Empty: the caller does.
	Token string
	// Accepted is which policies were accepted, from [Confirmed].
	Accepted string
	// Proofs are validations for [ToRegister], from [Confirmed], by which it gets
	// addresses.
	Proofs []string
	// External, unless nil, is by what an identity provider knows the user.
	External *ExternalID
	// Name is how the user is called; empty: nobody has said.
	Name string
	// Verified, unless zero, is an address of which somebody else has made sure that it
	// is theirs. The account is made without it if it is another's, or not allowed.
	Verified ThreePID
	// Login is the device to log in with, if any; its User is ignored.
	Login *NewDevice
}

// Create makes an account and, if asked to, logs in. A registration token is
// used up in the same transaction, so one that may be used once makes one
// account. The refusals are those of [Accounts.Available], [mxerr.Forbidden]
// for the registration token, those of [Accounts.AddContact] for the addresses, and
// those of [Accounts.Login].
func (a *Accounts) Create(ctx context.Context, n NewAccount) (Login, error) {
	switch {
	case n.Guest:
		n.Localpart = inventLocalpart("guest-")
	case n.Localpart == "":
		n.Localpart = inventLocalpart("u")
	}
	user, err := a.newUserID(n.Localpart, n.Service)
	if err != nil {
		return Login{}, err
	}
	login := Login{UserID: user}
	if n.Login != nil {
		n.Login.User = user
		if login, err = a.newLogin(*n.Login); err != nil {
			return Login{}, err
		}
	}
	change := changeAlone(a.db)
	if n.Upgrades { // others may know the guest
		change = a.change
	}
	concerns := func(tx *store.Tx) (bool, error) { return n.Login != nil, nil }
	err = change(ctx, user, concerns, func(tx *store.Tx) error {
		if n.Token != "" {
			admin, err := useRegistrationToken(tx, n.Token, time.Now())
			if err != nil {
				return err
			}
			n.Admin = n.Admin || admin
		}
		if err := n.store(tx, user); err != nil {
			return err
		}
		if !n.Upgrades {
			if err := a.created(tx, user, n.Name); err != nil {
				return err
			}
		}
		if err := insertAccepted(tx, user, n.Accepted); err != nil {
			return err
		}
		if err := takeUp(tx, user, ToRegister, n.Proofs); err != nil {
			return err
		}
		if n.External != nil {
			if err := insertExternalID(tx, user, *n.External); err != nil {
				return err
			}
		}
		if err := a.insertVerified(tx, user, n.Verified); err != nil {
			return err
		}
		if n.Login == nil {
			return nil
		}
		return login.insert(tx)
	})
	if err != nil {
		return Login{}, fmt.Errorf("creating account %s: %w", user, err)
	}
	a.inhabited.Store(true)
	a.sessions.dropUser(user)
	return login, nil
}

func (n NewAccount) store(tx *store.Tx, user id.UserID) error {
	if n.Upgrades {
		err := changeOne(tx, "UPDATE accounts SET guest = $2, password = $3, admin = $4 WHERE user_id = $1 AND guest AND NOT deactivated",
			user, false, string(n.Password), n.Admin)
		if errors.Is(err, store.ErrNoRows) {
			return inUse()
		}
		return err
	}
	inserted, err := tx.Exec(`
		INSERT INTO accounts (user_id, password, admin, guest, locked, suspended, deactivated, erased, departing, created)
		VALUES ($1, $2, $3, $4, $5, $5, $5, $5, $5, $6)
		ON CONFLICT (user_id) DO NOTHING`,
		user, string(n.Password), n.Admin, n.Guest, false, time.Now().UnixMilli())
	if err != nil {
		return err
	}
	if inserted == 0 {
		return inUse()
	}
	return nil
}

func inUse() error { return mxerr.New(mxerr.UserInUse, "This username is taken") }

// Available returns nil if an account could be made with this localpart, and
// otherwise [mxerr.InvalidUsername] or [mxerr.UserInUse].
func (a *Accounts) Available(ctx context.Context, localpart string) error {
	user, err := a.newUserID(localpart, false)
	if err != nil {
		return err
	}
	taken, err := a.Exists(ctx, user)
	if err == nil && taken {
		return inUse()
	}
	return err
}

// Exists reports whether there is or was an account: names are not given out
// again.
func (a *Accounts) Exists(ctx context.Context, user id.UserID) (bool, error) {
	_, err := a.Info(ctx, user)
	if errors.Is(err, mxerr.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// Inhabited reports whether there is any account.
func (a *Accounts) Inhabited(ctx context.Context) (bool, error) {
	if a.inhabited.Load() {
		return true, nil
	}
	var inhabited bool
	err := a.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT EXISTS (SELECT 1 FROM accounts)").Scan(&inhabited)
	})
	if err != nil {
		return false, fmt.Errorf("looking for accounts: %w", err)
	}
	if inhabited {
		a.inhabited.Store(true)
	}
	return inhabited, nil
}
