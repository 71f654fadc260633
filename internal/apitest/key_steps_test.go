package apitest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/signing"
)

// signer is a key pair that is made of its name.
func signer(name string) (private ed25519.PrivateKey, public string) {
	sum := sha256.Sum256([]byte(name))
	private = ed25519.NewKeyFromSeed(sum[:])
	return private, signing.EncodeBase64(private.Public().(ed25519.PublicKey))
}

// signedAs signs JSON as Alice, by a key of some name.
func signedAs(json, keyID string, private ed25519.PrivateKey) string {
	object, err := canonjson.Canonical([]byte(json), canonjson.Strict)
	if err != nil {
		panic(err)
	}
	return string(signing.Sign(object, "@alice:a.test", signing.Key{ID: id.KeyID("ed25519:" + keyID), Private: private}))
}

const backedUpKey = `{"first_message_index":1,"forwarded_count":0,"is_verified":true,"session_data":{"ephemeral":"x","ciphertext":"y","mac":"z"}}`

// keySteps are those of end-to-end encryption, with keys that are really signed.
func keySteps() []step {
	private, public := signer("tower")
	_, curve := signer("curve")
	device := signedAs(fmt.Sprintf(`{"user_id":"@alice:a.test","device_id":"TOWER","algorithms":["m.megolm.v1.aes-sha2"],
		"keys":{"ed25519:TOWER":"%s","curve25519:TOWER":"%s"}}`, public, curve), "TOWER", private)
	oneTime := signedAs(`{"key":"`+curve+`"}`, "TOWER", private)
	fallback := signedAs(`{"fallback":true,"key":"`+curve+`"}`, "TOWER", private)
	masterKey, master := signer("master")
	_, self := signer("self")
	cross := func(usage, public string) string {
		return fmt.Sprintf(`{"user_id":"@alice:a.test","usage":["%s"],"keys":{"ed25519:%s":"%s"}}`, usage, public, public)
	}
	return []step{
		{"", "POST login", `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"alice"},"password":"password of alice","device_id":"TOWER"}`, "tower=access_token"},
		{"tower", "POST keys/upload", `{"device_keys":` + device + `,"one_time_keys":{"signed_curve25519:A":` + oneTime + `},"fallback_keys":{"signed_curve25519:F":` + fallback + `}}`, ""},
		{"tower", "POST keys/device_signing/upload", `{"master_key":` + cross("master", master) + `,"self_signing_key":` + signedAs(cross("self_signing", self), master, masterKey) + `}`, ""},
		{"tower", "POST keys/signatures/upload", `{"@alice:a.test":{"` + master + `":` + signedAs(cross("master", master), "TOWER", private) + `,"UNKNOWN":{}}}`, ""},
		{"bob", "POST keys/query", `{"device_keys":{"@alice:a.test":[],"@carol:a.test":["X"]},"timeout":1000}`, ""},
		{"bob", "POST keys/claim", `{"one_time_keys":{"@alice:a.test":{"TOWER":"signed_curve25519"}}}`, ""},
		{"bob", "POST room_keys/version", `{"algorithm":"m.megolm_backup.v1.curve25519-aes-sha2","auth_data":{"public_key":"` + curve + `"}}`, "backup=version"},
		{"bob", "GET room_keys/version", "", ""},
		{"bob", "GET room_keys/version/<backup>", "", ""},
		{"bob", "PUT room_keys/version/<backup>", `{"algorithm":"m.megolm_backup.v1.curve25519-aes-sha2","auth_data":{"public_key":"` + curve + `","signatures":{}},"version":"<backup>"}`, ""},
		{"bob", "PUT room_keys/keys/<room>/s1?version=<backup>", backedUpKey, ""},
		{"bob", "PUT room_keys/keys/<room>?version=<backup>", `{"sessions":{"s2":` + backedUpKey + `,"s3":` + backedUpKey + `}}`, ""},
		{"bob", "PUT room_keys/keys?version=<backup>", `{"rooms":{"<room>":{"sessions":{"s4":` + backedUpKey + `}}}}`, ""},
		{"bob", "GET room_keys/keys/<room>/s1?version=<backup>", "", ""},
		{"bob", "GET room_keys/keys/<room>?version=<backup>", "", ""},
		{"bob", "GET room_keys/keys?version=<backup>", "", ""},
		{"bob", "DELETE room_keys/keys/<room>/s1?version=<backup>", "", ""},
		{"bob", "DELETE room_keys/keys/<room>?version=<backup>", "", ""},
		{"bob", "DELETE room_keys/keys?version=<backup>", "", ""},
		{"bob", "DELETE room_keys/version/<backup>", "", ""},
	}
}
