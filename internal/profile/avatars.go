package profile

import (
	"context"
	"fmt"

	"parley/internal/store"
	"parley/matrix/canonjson"
)

// Avatars returns the pictures of local users.
func (k *Keeper) Avatars(ctx context.Context) (uris []string, err error) {
	err = k.db.View(ctx, func(tx *store.Tx) error {
		profiles, err := store.List[[]byte](tx, "SELECT fields FROM profiles")
		for _, fields := range profiles {
			if u, ok := canonjson.Value(fields).Get(AvatarURL).Text(); ok && u != "" {
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
