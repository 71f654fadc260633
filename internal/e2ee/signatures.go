package e2ee

import (
	"context"
	"fmt"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// A signature is one of a key, as it is stored.
type signature struct {
	signer id.UserID
	keyID  string // with which it was made
	text   canonjson.Value
}

// signatures are those that somebody may see, by what is signed.
type signatures map[signedKey]signatureList

type signedKey struct {
	user   id.UserID
	target string // device or public key
}

type signatureList []signature

func (s signatures) of(user id.UserID, target string) signatureList {
	return s[signedKey{user, target}]
}

// readSignatures reads the signatures of keys of users that the users themselves
// have made, or who wants to see them. Others are nobody else's business:
// https://spec.matrix.org/v1.19/client-server-api/#key-and-signature-security
func readSignatures(tx *store.Tx, viewer Viewer, users []id.UserID) (signatures, error) {
	found := make(signatures)
	in, list := tx.In(1, users)
	rows := tx.Query(`
		SELECT user_id, target, signer, key_id, signature FROM key_signatures
		WHERE user_id `+in+` AND (signer = user_id OR signer = $2)`, list, string(viewer))
	for row, err := range rows {
		var k signedKey
		var s signature
		var text string
		if err == nil {
			err = row.Scan(&k.user, &k.target, &s.signer, &s.keyID, &text)
		}
		if err != nil {
			return nil, err
		}
		s.text = canonjson.Text(text)
		found[k] = append(found[k], s)
	}
	return found, nil
}

// attach adds signatures to a key.
func (list signatureList) attach(key canonjson.Value) canonjson.Value {
	if len(list) == 0 {
		return key
	}
	all := object(key.Get("signatures"))
	for _, s := range list {
		all = all.With(string(s.signer), object(all.Get(string(s.signer))).With(s.keyID, s.text))
	}
	return key.With("signatures", all)
}

// object returns what is an object, and an empty one for anything else.
func object(v canonjson.Value) canonjson.Value {
	if v.Kind() != canonjson.Object {
		return canonjson.Value("{}")
	}
	return v
}

// deleteSignaturesOf removes the signatures of a key that is not there any more.
func deleteSignaturesOf(tx *store.Tx, user id.UserID, target string) error {
	return tx.Queue("DELETE FROM key_signatures WHERE user_id = $1 AND target = $2", user, target)
}

// deleteSignaturesBy removes what was signed with a key that is not there any more.
func deleteSignaturesBy(tx *store.Tx, user id.UserID, target string) error {
	return tx.Queue("DELETE FROM key_signatures WHERE signer = $1 AND key_id = $2", user, keyIDOf(target))
}

// writeSignatures stores signatures. pos is 0 unless only the signer is told.
func writeSignatures(tx *store.Tx, list []newSignature, pos journal.Position) error {
	for _, s := range list {
		err := tx.Queue(`
			INSERT INTO key_signatures (user_id, target, signer, key_id, signature, pos) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (user_id, target, signer, key_id) DO UPDATE SET signature = excluded.signature, pos = excluded.pos`,
			s.user, s.target, s.signer, s.keyID, s.text.String(), int64(pos))
		if err != nil {
			return err
		}
	}
	return nil
}

// Signed returns whose keys a user has signed behind a position, up to another: that
// is told to nobody else. The user is among them if the user-signing key was
// replaced.
func (k *Keys) Signed(ctx context.Context, user id.UserID, after, upTo journal.Position) (users []id.UserID, err error) {
	err = k.db.View(ctx, func(tx *store.Tx) error {
		users, err = store.List[id.UserID](tx, `
			SELECT DISTINCT user_id FROM key_signatures WHERE signer = $1 AND pos > $2 AND pos <= $3 ORDER BY user_id`, user, after, upTo)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading whose keys %s has signed from %d to %d: %w", user, after, upTo, err)
	}
	return users, nil
}
