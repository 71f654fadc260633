package profile

import (
	"context"
	"fmt"

	"parley/internal/store"
	"parley/matrix/canonjson"
)

// Avatars returns the pictures of local users.
func (k *Keeper) Avatars(ctx context.Context) (uris []string, err error) {
	err = k.DB.View(ctx, func(tx *store.Tx) error {
		values, err := store.List[[]byte](tx, "SELECT value FROM profile_fields WHERE field = $1 AND value IS NOT NULL", AvatarURL)
		for _, value := range values {
			if u, ok := canonjson.Value(value).Text(); ok && u != "" {
				uris = append(uris, u)
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the pictures of users: %w", err)
	}
	return uris, nil
}
