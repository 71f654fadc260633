package server

import (
	"context"
	"fmt"

	"parley/internal/store"
	"parley/matrix/id"
)

// rememberName makes sure that the database is that of the server with a name.
// One that was nobody's becomes its own; known says that it was already.
func rememberName(ctx context.Context, db *store.DB, name id.ServerName) (known bool, err error) {
	var owner id.ServerName
	err = db.Update(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec("INSERT INTO server (one, name) VALUES (1, $1) ON CONFLICT (one) DO NOTHING", name)
		if err != nil {
			return err
		}
		known = n == 0
		return tx.Row("SELECT name FROM server").Scan(&owner)
	})
	if err != nil {
		return false, fmt.Errorf("looking whose data this is: %w", err)
	}
	if owner != name {
		return true, fmt.Errorf("this is the data of %s, and the configuration says server_name %s: "+
			"the name of a server cannot be changed, because it is in every event that its users sent", owner, name)
	}
	return known, nil
}
