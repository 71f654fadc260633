package remote

import (
	"context"
	"fmt"
	"time"

	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/signing"
)

// OwnKeys are the keys of this server: the one that it signs with, and those that
// it signed with before.
type OwnKeys struct {
	server id.ServerName
	key    signing.Key
	past   map[id.KeyID]event.VerifyKey
}

// OpenOwnKeys notes that the server signs with a key from now on. Another one that
// it signed with until now becomes a past one, with which what it has signed can
// still be verified.
func OpenOwnKeys(ctx context.Context, db *store.DB, server id.ServerName, key signing.Key) (*OwnKeys, error) {
	o := &OwnKeys{server: server, key: key, past: make(map[id.KeyID]event.VerifyKey)}
	err := db.Update(ctx, func(tx *store.Tx) error {
		now := time.Now().UnixMilli()
		if _, err := tx.Exec("UPDATE own_keys SET expired = $1 WHERE expired = 0 AND key_id <> $2", now, key.ID); err != nil {
			return err
		}
		_, err := tx.Exec(`
			INSERT INTO own_keys (key_id, public, expired) VALUES ($1, $2, 0)
			ON CONFLICT (key_id) DO UPDATE SET public = excluded.public, expired = 0`, key.ID, []byte(key.Public()))
		if err != nil {
			return err
		}
		for row, err := range tx.Query("SELECT key_id, public, expired FROM own_keys WHERE expired > 0") {
			if err != nil {
				return err
			}
			var keyID id.KeyID
			var public []byte
			var expired int64
			if err := row.Scan(&keyID, &public, &expired); err != nil {
				return err
			}
			o.past[keyID] = event.VerifyKey{Public: public, ValidUntil: expired, Expired: expired}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the keys that this server has signed with: %w", err)
	}
	return o, nil
}

// publishedFor is for how long others may take what is published to be so.
const publishedFor = 24 * time.Hour

// Published returns the signed object by which others get to know the keys.
// https://spec.matrix.org/v1.19/server-server-api/#get_matrixkeyv2server
func (o *OwnKeys) Published() canonjson.Value {
	verify, old := canonjson.Value("{}"), canonjson.Value("{}")
	about := func(public []byte) canonjson.Value {
		return canonjson.Value("{}").With("key", canonjson.Text(signing.EncodeBase64(public)))
	}
	verify = verify.With(string(o.key.ID), about(o.key.Public()))
	for keyID, key := range o.past {
		old = old.With(string(keyID), about(key.Public).With("expired_ts", canonjson.Integer(key.Expired)))
	}
	object := canonjson.Value("{}").
		With("server_name", canonjson.Text(string(o.server))).
		With("valid_until_ts", canonjson.Integer(time.Now().Add(publishedFor).UnixMilli())).
		With("verify_keys", verify).With("old_verify_keys", old)
	return o.Sign(object)
}

// Sign returns an object with this server's signature added.
func (o *OwnKeys) Sign(object canonjson.Value) canonjson.Value {
	return signing.Sign(object, string(o.server), o.key)
}

// get returns one of the keys.
func (o *OwnKeys) get(keyID id.KeyID) (event.VerifyKey, bool) {
	if keyID == o.key.ID {
		return event.VerifyKey{Public: o.key.Public(), ValidUntil: canonjson.MaxInt}, true
	}
	key, ok := o.past[keyID]
	return key, ok
}
