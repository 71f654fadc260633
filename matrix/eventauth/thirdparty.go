package eventauth

import (
	"crypto/ed25519"
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/signing"
)

// maxInviteChecks is how many signatures are verified for one third-party
// invite. An honest invite has one signature and two keys; without a bound an
// event of 64 kB could demand a hundred thousand.
const maxInviteChecks = 256

// signedByAny reports whether any signature in signed is by any of the public
// keys in the content of an m.room.third_party_invite.
func signedByAny(signed, content canonjson.Value) bool {
	keys := inviteKeys(content)
	message := signing.Message(signed)
	checks := 0
	for _, byKey := range signed.Get("signatures").Members() {
		for keyID, signature := range byKey.Members() {
			raw, err := signing.Decode(signature)
			if err != nil || !strings.HasPrefix(keyID.String(), "ed25519:") {
				continue
			}
			for _, key := range keys {
				if checks++; checks > maxInviteChecks {
					return false
				}
				if ed25519.Verify(key, message, raw[:]) {
					return true
				}
			}
		}
	}
	return false
}

// inviteKeys returns the usable keys: public_key, then public_keys.
func inviteKeys(content canonjson.Value) []ed25519.PublicKey {
	var keys []ed25519.PublicKey
	add := func(v canonjson.Value) {
		text, _ := v.Text()
		if key, err := signing.DecodeBase64(text); err == nil && len(key) == ed25519.PublicKeySize {
			keys = append(keys, key)
		}
	}
	add(content.Get("public_key"))
	for entry := range content.Get("public_keys").Elements() {
		add(entry.Get("public_key"))
	}
	return keys
}
