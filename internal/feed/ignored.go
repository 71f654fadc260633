package feed

import (
	"context"
	"errors"

	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// Ignored returns the users that a user wants to hear nothing of.
// https://spec.matrix.org/v1.19/client-server-api/#ignoring-users
func (f *Feed) Ignored(ctx context.Context, user id.UserID) (map[id.UserID]bool, error) {
	list, err := f.AccountData.Get(ctx, user, "", "m.ignored_user_list")
	if errors.Is(err, mxerr.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ignored := make(map[id.UserID]bool)
	for name := range list.Get("ignored_users").Members() {
		if other, _ := name.Text(); id.UserID(other) != user {
			ignored[id.UserID(other)] = true
		}
	}
	return ignored, nil
}
