package e2ee

import (
	"crypto/ed25519"
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/signing"
)

// How much there may be of something.
const (
	maxKeyObject  = 16 << 10 // bytes of the keys of a device, or of a cross-signing key
	maxOneTime    = 2 << 10  // bytes of a one-time key
	maxKeyID      = 255      // bytes of the name of a one-time key
	maxAlgorithms = 50       // that a device supports
	maxUpload     = 500      // one-time keys in one upload
	maxLeft       = 1000     // one-time keys of a device at a time
)

// The algorithms of one-time and fallback keys.
const (
	signedCurve25519 = "signed_curve25519"
	plainCurve25519  = "curve25519"
)

const keySize = 32 // of public keys of Ed25519 and of Curve25519

func bad(format string, args ...any) error { return mxerr.New(mxerr.BadJSON, format, args...) }

// checkObject refuses what is not an object that can be signed, or is too large.
func checkObject(what string, v canonjson.Value, most int) error {
	switch {
	case v.Kind() != canonjson.Object:
		return bad("%s has to be an object", what)
	case len(v) > most:
		return mxerr.New(mxerr.TooLarge, "%s can have %d bytes and not more", what, most)
	case !canonjson.IsCanonical(v, canonjson.Strict):
		return bad("%s has a number that is not an integer, or out of range", what)
	}
	return nil
}

// publicKey reads a key of 32 bytes in unpadded Base64.
func publicKey(v canonjson.Value) (key []byte, ok bool) {
	text, ok := v.Text()
	if !ok {
		return nil, false
	}
	key, err := signing.DecodeBase64(text)
	return key, err == nil && len(key) == keySize && signing.EncodeBase64(key) == text
}

// signedBy reports whether an object has a signature under a name and key ID that
// the key has made.
func signedBy(object canonjson.Value, user id.UserID, keyID string, public ed25519.PublicKey) bool {
	return signing.Verify(object, string(user), id.KeyID(keyID), public) == nil
}

// A deviceKeys is the identity keys of a device.
type deviceKeys struct {
	object   canonjson.Value // as it is stored
	identity canonjson.Value // its member keys
	ed25519  ed25519.PublicKey
}

// parseDeviceKeys checks the identity keys that a device uploads.
// https://spec.matrix.org/v1.19/client-server-api/#uploading-keys
func parseDeviceKeys(v canonjson.Value, user id.UserID, device id.DeviceID) (deviceKeys, error) {
	if err := checkObject("device_keys", v, maxKeyObject); err != nil {
		return deviceKeys{}, err
	}
	if !v.Get("user_id").Is(string(user)) || !v.Get("device_id").Is(string(device)) {
		return deviceKeys{}, bad("device_keys are of another user or device")
	}
	algorithms := 0
	for a := range v.Get("algorithms").Elements() {
		if algorithms++; a.Kind() != canonjson.String {
			return deviceKeys{}, bad("algorithms in device_keys has to be a list of strings")
		}
	}
	if v.Get("algorithms").Kind() != canonjson.Array || algorithms > maxAlgorithms {
		return deviceKeys{}, bad("algorithms in device_keys has to be a list of at most %d", maxAlgorithms)
	}
	d := deviceKeys{object: v.Without("unsigned"), identity: v.Get("keys")}
	if d.identity.Kind() != canonjson.Object || v.Get("signatures").Kind() != canonjson.Object {
		return deviceKeys{}, bad("keys and signatures in device_keys have to be objects")
	}
	for name, key := range d.identity.Members() {
		text, _ := name.Text()
		algorithm, of, _ := strings.Cut(text, ":")
		switch {
		case key.Kind() != canonjson.String || algorithm == "" || of != string(device):
			return deviceKeys{}, bad("keys in device_keys are strings with names such as ed25519:%s", device)
		case algorithm == "ed25519" || algorithm == plainCurve25519:
			raw, ok := publicKey(key)
			if !ok {
				return deviceKeys{}, bad("the %s key of the device is not %d bytes in unpadded Base64", algorithm, keySize)
			}
			if algorithm == "ed25519" {
				d.ed25519 = raw
			}
		}
	}
	if d.ed25519 == nil {
		return deviceKeys{}, bad("device_keys have no ed25519 key of the device")
	}
	// Signatures of others come by another way, where they are checked.
	own := v.Get("signatures").Get(string(user))
	if own.Kind() != canonjson.Object {
		own = canonjson.Value("{}")
	}
	d.object = d.object.With("signatures", canonjson.Value(nil).With(string(user), own))
	if !signedBy(d.object, user, "ed25519:"+string(device), d.ed25519) {
		return deviceKeys{}, invalidSignature("The device has not signed its keys")
	}
	return d, nil
}

func invalidSignature(format string, args ...any) error {
	return mxerr.New(mxerr.InvalidSignature, format, args...)
}

// storedDeviceKeys reads what parseDeviceKeys has let through.
func storedDeviceKeys(object canonjson.Value, device id.DeviceID) deviceKeys {
	d := deviceKeys{object: object, identity: object.Get("keys")}
	d.ed25519, _ = publicKey(d.identity.Get("ed25519:" + string(device)))
	return d
}

// A oneTimeKey is a one-time or fallback key.
type oneTimeKey struct {
	algorithm, id string
	key           canonjson.Value
}

func (k oneTimeKey) name() string { return k.algorithm + ":" + k.id }

// parseOneTimeKeys checks the form of one-time or fallback keys.
func parseOneTimeKeys(what string, v canonjson.Value) (keys []oneTimeKey, err error) {
	switch v.Kind() {
	case canonjson.Absent, canonjson.Null:
		return nil, nil
	case canonjson.Object:
	default:
		return nil, bad("%s has to be an object", what)
	}
	n := 0
	for range v.Members() {
		n++
	}
	if n > maxUpload {
		return nil, mxerr.New(mxerr.TooLarge, "%s can have %d keys at a time", what, maxUpload)
	}
	for name, key := range v.Members() {
		text, _ := name.Text()
		k := oneTimeKey{key: key}
		var ok bool
		if k.algorithm, k.id, ok = strings.Cut(text, ":"); !ok || k.id == "" || len(text) > maxKeyID || strings.Contains(text, "\x00") {
			return nil, bad("The names in %s are an algorithm, a colon and a name of the key, and have at most %d bytes", what, maxKeyID)
		}
		if err := k.check(); err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func (k oneTimeKey) check() error {
	public := k.key
	switch k.algorithm {
	case signedCurve25519:
		if err := checkObject("A one-time key", k.key, maxOneTime); err != nil {
			return err
		}
		if k.key.Get("signatures").Kind() != canonjson.Object {
			return bad("A key of algorithm %s has signatures", k.algorithm)
		}
		public = k.key.Get("key")
	case plainCurve25519:
	default:
		return mxerr.New(mxerr.InvalidParam, "One-time keys are of algorithm %s", signedCurve25519)
	}
	if _, ok := publicKey(public); !ok {
		return bad("A one-time key is not %d bytes in unpadded Base64", keySize)
	}
	return nil
}

// signed refuses a key that has to be signed by its device, and is not.
func (k oneTimeKey) signed(user id.UserID, device id.DeviceID, public ed25519.PublicKey) error {
	if k.algorithm == signedCurve25519 && !signedBy(k.key, user, "ed25519:"+string(device), public) {
		return invalidSignature("The device has not signed its key %s", k.name())
	}
	return nil
}
