package e2ee

import (
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
