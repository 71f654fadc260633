package e2ee

import (
	"bytes"
	"crypto/ed25519"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// parsed returns JSON from outside in canonical form, as handlers get it.
func parsed(data []byte) (canonjson.Value, bool) {
	v, err := canonjson.Canonical(bytes.Clone(data), canonjson.Lenient)
	return v, err == nil
}

// FuzzUpload: what is taken of an upload is signed by the device, has the form that
// it promises, and is taken again as it is.
func FuzzUpload(f *testing.F) {
	phone := newClient(alice, "PHONE")
	f.Add([]byte(mustValue(map[string]any{"device_keys": phone.keys(), "one_time_keys": phone.oneTime("A", "B"), "fallback_keys": phone.fallback("F")})))
	f.Add([]byte(`{"device_keys":{"keys":{"ed25519:PHONE":"AAAA"}},"one_time_keys":{"curve25519:A":"` + curve("x") + `"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		body, ok := parsed(data)
		if !ok {
			return
		}
		u, err := parseUpload(alice, "PHONE", Upload{Device: body.Get("device_keys"), OneTime: body.Get("one_time_keys"), Fallback: body.Get("fallback_keys")})
		if err != nil {
			return
		}
		if object := u.identity.object; object != nil {
			if !canonjson.IsCanonical(object, canonjson.Strict) || !signedBy(object, alice, "ed25519:PHONE", u.identity.ed25519) {
				t.Errorf("took %s", object)
			}
			again, err := parseDeviceKeys(object, alice, "PHONE")
			if err != nil || !bytes.Equal(again.object, object) {
				t.Errorf("%s: again %s, %v", object, again.object, err)
			}
			if stored := storedDeviceKeys(object, "PHONE"); !bytes.Equal(stored.ed25519, u.identity.ed25519) || !bytes.Equal(stored.identity, u.identity.identity) {
				t.Errorf("%s is read back as %+v", object, stored)
			}
		}
		for _, k := range append(u.oneTime, u.fallback...) {
			if k.algorithm == "" || k.id == "" || hasNUL(k.name()) || len(k.key) > maxOneTime || !canonjson.IsCanonical(k.key, canonjson.Strict) {
				t.Errorf("took %+v", k)
			}
		}
		_ = u.verify(phone.private.Public().(ed25519.PublicKey))
	})
}

// FuzzCrossSigning: what is taken is a key of the user, under its own name.
func FuzzCrossSigning(f *testing.F) {
	u := newIdentity(alice).upload()
	f.Add([]byte(mustValue(map[string]any{"master_key": u.Master, "self_signing_key": u.SelfSigning, "user_signing_key": u.UserSigning})))
	f.Fuzz(func(t *testing.T, data []byte) {
		body, ok := parsed(data)
		if !ok {
			return
		}
		keys, signed, err := parseCrossSigning(alice, CrossSigning{body.Get("master_key"), body.Get("self_signing_key"), body.Get("user_signing_key")})
		if err != nil {
			return
		}
		for usage, k := range keys {
			if len(k.ed25519()) != keySize || !k.key.Get("user_id").Is(string(alice)) || k.key.Get("signatures") != nil || !sameKey(k.key, signed[usage]) {
				t.Errorf("took %+v", k)
			}
			signersOf(signed[usage], alice)
		}
	})
}

// FuzzAnswer: what is passed on of another server is about its own users, and names
// the user and device that it is said to be of.
func FuzzAnswer(f *testing.F) {
	theirs, friend := newClient(carol, "PHONE"), newIdentity(carol)
	f.Add([]byte(mustValue(map[string]any{
		"device_keys": map[string]any{string(carol): map[string]any{"PHONE": theirs.keys()}},
		"master_keys": map[string]any{string(carol): friend.upload().Master}, "self_signing_keys": map[string]any{string(carol): friend.upload().SelfSigning},
		"one_time_keys": map[string]any{string(carol): map[string]any{"PHONE": theirs.oneTime("A")}},
	})))
	f.Fuzz(func(t *testing.T, data []byte) {
		answer, ok := parsed(data)
		if !ok {
			return
		}
		for user, keys := range ReadAnswer("b.test", answer) {
			for device, object := range keys.Devices {
				if !object.Get("user_id").Is(string(user)) || !object.Get("device_id").Is(string(device)) {
					t.Errorf("passed on %s", object)
				}
			}
			for _, key := range []canonjson.Value{keys.Master, keys.SelfSigning} {
				if key != nil && (publicOf(key) == "" || !key.Get("user_id").Is(string(user))) {
					t.Errorf("passed on %s", key)
				}
			}
			if user.Server() != "b.test" || keys.UserSigning != nil {
				t.Errorf("passed on %+v of %s", keys, user)
			}
		}
		wanted := map[id.UserID]map[id.DeviceID]string{carol: {"PHONE": "signed_curve25519"}}
		for _, c := range readClaimed(answer.Get("one_time_keys"), wanted) {
			if c.Wish != (Wish{carol, "PHONE", "signed_curve25519"}) || len(c.Key) == 0 {
				t.Errorf("got %+v", c)
			}
		}
	})
}

// FuzzSessionKey: what is taken of a backed up key comes back as it was.
func FuzzSessionKey(f *testing.F) {
	f.Add("s", []byte(`{"first_message_index":1,"forwarded_count":0,"is_verified":true,"session_data":{"x":1}}`))
	f.Fuzz(func(t *testing.T, session string, data []byte) {
		v, ok := parsed(data)
		if !ok {
			return
		}
		k, err := ParseSessionKey("!a:a.test", session, v)
		if err != nil {
			return
		}
		shown, err := canonjson.Canonical(k.AppendJSON(nil), canonjson.Lenient)
		if err != nil {
			t.Fatalf("%s: %v", v, err)
		}
		again, err := ParseSessionKey("!a:a.test", session, shown)
		if err != nil || again.First != k.First || again.Forwarded != k.Forwarded || again.Verified != k.Verified || !bytes.Equal(again.Data, k.Data) {
			t.Errorf("got %+v, %v after %+v", again, err, k)
		}
	})
}
