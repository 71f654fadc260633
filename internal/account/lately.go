package account

import (
	"context"
	"fmt"
	"time"

	"parley/internal/store"
	"parley/matrix/id"
)

// SeenLately returns the users, at most so many, of whom a device was seen within
// a time before the last one was, as far as that was written.
func (a *Accounts) SeenLately(ctx context.Context, within time.Duration, limit int) (users []id.UserID, err error) {
	err = a.db.View(ctx, func(tx *store.Tx) error {
		users, err = store.List[id.UserID](tx, `
			SELECT user_id FROM devices WHERE seen > (SELECT max(seen) FROM devices) - $1
			GROUP BY user_id ORDER BY max(seen) DESC LIMIT $2`, within.Milliseconds(), limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for the users who were seen last: %w", err)
	}
	return users, nil
}
