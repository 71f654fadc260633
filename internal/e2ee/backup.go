package e2ee

import (
	"context"
	"fmt"
	"strconv"

	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// How much there may be of backups.
const (
	maxBackups     = 100       // of a user, less those that were deleted
	maxAuthData    = 64 << 10  // bytes
	maxSessionData = 64 << 10  // bytes of one key
	maxSessionID   = 255       // bytes
	maxBackupBytes = 512 << 20 // of all backups of a user together
	// keptTombs is how many versions that were deleted are remembered of a user.
	keptTombs = 100
)

// Backups are the backups of the keys of rooms, which clients encrypt. It is safe
// for concurrent use.
// https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups
type Backups struct {
	db       *store.DB
	maxBytes int64
}

// NewBackups returns the backups in a database.
func NewBackups(db *store.DB) *Backups { return &Backups{db, maxBackupBytes} }

// A Backup is one version of a user's backup, less the keys.
type Backup struct {
	Version   int64
	Algorithm string
	AuthData  canonjson.Value
	Stand
}

// A Stand is how far a backup has come. ETag is another one after each change of
// its keys.
type Stand struct {
	ETag  int64
	Count int64
}

func noBackup() error { return mxerr.New(mxerr.NotFound, "There is no such backup") }

// ParseVersion reads a version of a backup, or refuses what cannot be one with
// [mxerr.NotFound].
func ParseVersion(s string) (int64, error) {
	version, err := strconv.ParseInt(s, 10, 64)
	if err != nil || version <= 0 || strconv.FormatInt(version, 10) != s {
		return 0, noBackup()
	}
	return version, nil
}

func checkAuthData(algorithm string, authData canonjson.Value) error {
	switch {
	case algorithm == "" || len(algorithm) > maxKeyID || hasNUL(algorithm):
		return mxerr.New(mxerr.InvalidParam, "The algorithm has from 1 to %d bytes, and no NUL", maxKeyID)
	case authData.Kind() != canonjson.Object:
		return bad("auth_data has to be an object")
	case len(authData) > maxAuthData:
		return mxerr.New(mxerr.TooLarge, "auth_data can have %d bytes and not more", maxAuthData)
	}
	return nil
}

// Create begins a new version, which is the current one from then on. How keys are
// encrypted is for clients to understand. The refusals are [mxerr.InvalidParam],
// [mxerr.BadJSON] and [mxerr.TooLarge].
func (b *Backups) Create(ctx context.Context, user id.UserID, algorithm string, authData canonjson.Value) (version int64, err error) {
	if err := checkAuthData(algorithm, authData); err != nil {
		return 0, err
	}
	if err := b.sweep(ctx, user); err != nil {
		return 0, err
	}
	for made := false; !made && err == nil; {
		err = b.db.Update(ctx, func(tx *store.Tx) error {
			version, made, err = create(tx, user, algorithm, authData)
			return err
		})
	}
	if err != nil {
		return 0, fmt.Errorf("making a backup of %s: %w", user, err)
	}
	return version, nil
}

// create makes a version, unless somebody was faster.
func create(tx *store.Tx, user id.UserID, algorithm string, authData canonjson.Value) (version int64, made bool, err error) {
	var there int64
	err = tx.Row("SELECT count(*) FROM key_backups WHERE user_id = $1 AND NOT deleted", user).Scan(&there)
	if err == nil && there >= maxBackups {
		err = mxerr.New(mxerr.TooLarge, "You have %d backups: delete one", maxBackups)
	}
	if err == nil {
		err = tx.Row("SELECT coalesce(max(version), 0) + 1 FROM key_backups WHERE user_id = $1", user).Scan(&version)
	}
	if err != nil {
		return 0, false, err
	}
	n, err := tx.Exec(`
		INSERT INTO key_backups (user_id, version, algorithm, auth_data, etag, keys, bytes, deleted) VALUES ($1, $2, $3, $4, 0, 0, 0, $5)
		ON CONFLICT (user_id, version) DO NOTHING`, user, version, algorithm, []byte(authData), false)
	if err == nil {
		_, err = tx.Exec("DELETE FROM key_backups WHERE user_id = $1 AND deleted AND keys = 0 AND version < $2", user, version-keptTombs)
	}
	return version, n == 1, err
}

const backupColumns = "version, algorithm, auth_data, etag, keys"

func (b *Backup) scan(row store.Row) error {
	err := row.Scan(&b.Version, &b.Algorithm, &b.AuthData, &b.ETag, &b.Count)
	if none(err) {
		return noBackup()
	}
	return err
}

// Current returns the version that was made last, or [mxerr.NotFound].
func (b *Backups) Current(ctx context.Context, user id.UserID) (found Backup, err error) {
	err = b.db.View(ctx, func(tx *store.Tx) error {
		return found.scan(tx.Row("SELECT "+backupColumns+" FROM key_backups WHERE user_id = $1 AND NOT deleted ORDER BY version DESC LIMIT 1", user))
	})
	if err != nil {
		return Backup{}, fmt.Errorf("reading the backup of %s: %w", user, err)
	}
	return found, nil
}

// Get returns a version, or [mxerr.NotFound].
func (b *Backups) Get(ctx context.Context, user id.UserID, version int64) (found Backup, err error) {
	err = b.db.View(ctx, func(tx *store.Tx) error { return found.get(tx, user, version) })
	if err != nil {
		return Backup{}, fmt.Errorf("reading backup %d of %s: %w", version, user, err)
	}
	return found, nil
}

func (b *Backup) get(tx *store.Tx, user id.UserID, version int64) error {
	return b.scan(tx.Row("SELECT "+backupColumns+" FROM key_backups WHERE user_id = $1 AND version = $2 AND NOT deleted", user, version))
}

// Update replaces the auth_data of a version. It is refused with
// [mxerr.InvalidParam] if the algorithm is another one, and with [mxerr.NotFound].
func (b *Backups) Update(ctx context.Context, user id.UserID, version int64, algorithm string, authData canonjson.Value) error {
	if err := checkAuthData(algorithm, authData); err != nil {
		return err
	}
	err := b.db.Update(ctx, func(tx *store.Tx) error {
		var old Backup
		if err := old.get(tx, user, version); err != nil {
			return err
		}
		if old.Algorithm != algorithm {
			return mxerr.New(mxerr.InvalidParam, "The algorithm of a backup does not change, and this one has %s", old.Algorithm)
		}
		_, err := tx.Exec("UPDATE key_backups SET auth_data = $3 WHERE user_id = $1 AND version = $2 AND NOT deleted", user, version, []byte(authData))
		return err
	})
	if err != nil {
		return fmt.Errorf("changing backup %d of %s: %w", version, user, err)
	}
	return nil
}

// Delete deletes a version with its keys. One that was deleted is deleted again
// without complaint; for one that never was the refusal is [mxerr.NotFound].
func (b *Backups) Delete(ctx context.Context, user id.UserID, version int64) error {
	err := b.db.Update(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec("UPDATE key_backups SET deleted = $3, auth_data = $4 WHERE user_id = $1 AND version = $2", user, version, true, []byte("{}"))
		if err == nil && n == 0 {
			err = noBackup()
		}
		return err
	})
	if err == nil {
		_, err = b.removeKeys(ctx, user, version, "", "")
	}
	if err != nil {
		return fmt.Errorf("deleting backup %d of %s: %w", version, user, err)
	}
	return nil
}

// sweep removes what a crash has left of versions that were deleted.
func (b *Backups) sweep(ctx context.Context, user id.UserID) error {
	var versions []int64
	err := b.db.View(ctx, func(tx *store.Tx) (err error) {
		versions, err = store.List[int64](tx, "SELECT version FROM key_backups WHERE user_id = $1 AND deleted AND keys > 0", user)
		return err
	})
	for _, version := range versions {
		if err == nil {
			_, err = b.removeKeys(ctx, user, version, "", "")
		}
	}
	if err != nil {
		return fmt.Errorf("removing deleted backups of %s: %w", user, err)
	}
	return nil
}

// Forget removes all backups of a user whose account was deactivated.
func (b *Backups) Forget(ctx context.Context, user id.UserID) error {
	err := b.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("UPDATE key_backups SET deleted = $2 WHERE user_id = $1", user, true)
		return err
	})
	if err == nil {
		err = b.sweep(ctx, user)
	}
	if err == nil {
		err = b.db.Update(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec("DELETE FROM key_backups WHERE user_id = $1", user)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("removing the backups of %s: %w", user, err)
	}
	return nil
}
