package account

import (
	"context"
	"fmt"

	"parley/internal/store"
	"parley/matrix/id"
)

// A Binding is an address that an identity server tells others to be a user's. It
// need not be an address of the account.
type Binding struct {
	ThreePID
	Server id.ServerName
}

// MaxBindings is how many bindings a user may have. It is for the caller to see to.
const MaxBindings = 100

// AddBinding notes that an address of a user was bound, so that it can be unbound.
func (a *Accounts) AddBinding(ctx context.Context, user id.UserID, b Binding) error {
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`
			INSERT INTO threepid_bindings (user_id, medium, address, id_server) VALUES ($1, $2, $3, $4)
			ON CONFLICT (user_id, medium, address, id_server) DO NOTHING`,
			user, string(b.Medium), b.Address, string(b.Server))
		return err
	})
	if err != nil {
		return fmt.Errorf("noting a binding of %s: %w", user, err)
	}
	return nil
}

// Bindings returns the bindings of a user.
func (a *Accounts) Bindings(ctx context.Context, user id.UserID) (list []Binding, err error) {
	err = a.db.View(ctx, func(tx *store.Tx) error {
		list, err = store.Collect(tx.Query(`
			SELECT medium, address, id_server FROM threepid_bindings WHERE user_id = $1 ORDER BY medium, address, id_server`, user),
			func(scan func(...any) error) (b Binding, err error) {
				err = scan(&b.Medium, &b.Address, &b.Server)
				return b, err
			})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the bindings of %s: %w", user, err)
	}
	return list, nil
}

// ForgetBinding notes that there is a binding no longer.
func (a *Accounts) ForgetBinding(ctx context.Context, user id.UserID, b Binding) error {
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("DELETE FROM threepid_bindings WHERE user_id = $1 AND medium = $2 AND address = $3 AND id_server = $4",
			user, string(b.Medium), b.Address, string(b.Server))
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting a binding of %s: %w", user, err)
	}
	return nil
}
