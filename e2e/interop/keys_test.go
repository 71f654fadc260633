package interop

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"testing"
)

// A signer is a key of a device, or a cross-signing key of a user. It is made of
// names: who makes it again makes the same.
type signer struct {
	user, name string // of whom, and of the key
	private    ed25519.PrivateKey
}

func seeded(parts ...string) ed25519.PrivateKey {
	sum := sha256.Sum256([]byte(strings.Join(parts, " ")))
	return ed25519.NewKeyFromSeed(sum[:])
}

// deviceKey signs for the device that somebody is logged in with.
func (u *user) deviceKey() signer { return signer{u.id, u.device, seeded("device", u.id, u.device)} }

// crossKey is a cross-signing key of a usage, such as master. Each generation has
// others.
func (u *user) crossKey(usage, generation string) signer {
	s := signer{user: u.id, private: seeded(usage, u.id, generation)}
	s.name = s.public()
	return s
}

func unpadded(b []byte) string { return base64.RawStdEncoding.EncodeToString(b) }

func (s signer) public() string { return unpadded(s.private.Public().(ed25519.PublicKey)) }

// signs returns an object with the signature added.
func (s signer) signs(o object) object {
	bare := maps.Clone(o)
	delete(bare, "signatures")
	delete(bare, "unsigned")
	var text bytes.Buffer
	canonical := json.NewEncoder(&text) // sorts the names, and there is nothing that it writes otherwise
	canonical.SetEscapeHTML(false)
	if err := canonical.Encode(bare); err != nil {
		panic(err)
	}
	signature := unpadded(ed25519.Sign(s.private, bytes.TrimSuffix(text.Bytes(), []byte("\n"))))
	signed, all := maps.Clone(o), object{}
	if before, ok := o["signatures"].(object); ok {
		all = maps.Clone(before)
	}
	all[s.user] = object{"ed25519:" + s.name: signature}
	signed["signatures"] = all
	return signed
}

// cross is the key as it is uploaded for a usage, less signatures.
func (s signer) cross(usage string) object {
	return object{"user_id": s.user, "usage": []string{usage}, "keys": object{"ed25519:" + s.name: s.public()}}
}

// curve is a key with which nobody computes anything.
func curve(name string) string {
	sum := sha256.Sum256([]byte(name))
	return unpadded(sum[:])
}

func (s signer) oneTime(name string) object { return s.signs(object{"key": curve(s.public() + name)}) }

func (s signer) fallback(name string) object {
	return s.signs(object{"key": curve(s.public() + name), "fallback": true})
}

// deviceKeys are the identity keys of the device that somebody is logged in with.
func (u *user) deviceKeys() object {
	k := u.deviceKey()
	return k.signs(object{
		"user_id": u.id, "device_id": u.device,
		"algorithms": []string{"m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"},
		"keys":       object{"ed25519:" + u.device: k.public(), "curve25519:" + u.device: curve(k.public())},
	})
}

// uploads uploads the keys of a device, with some one-time keys and a fallback key.
func (u *user) uploads(fallback string, oneTime ...string) {
	u.t.Helper()
	k, keys, body := u.deviceKey(), object{}, object{"device_keys": u.deviceKeys()}
	for _, name := range oneTime {
		keys["signed_curve25519:"+name] = k.oneTime(name)
	}
	if fallback != "" {
		body["fallback_keys"] = object{"signed_curve25519:" + fallback: k.fallback(fallback)}
	}
	body["one_time_keys"] = keys
	u.must("POST", path("keys", "upload"), body)
}

// crossSigns uploads cross-signing keys of a generation, with the password if that
// is asked for.
func (u *user) crossSigns(generation string) {
	u.t.Helper()
	master := u.crossKey("master", generation)
	body := object{"master_key": master.cross("master")}
	for _, usage := range []string{"self_signing", "user_signing"} {
		body[usage+"_key"] = master.signs(u.crossKey(usage, generation).cross(usage))
	}
	status, answer := u.do("POST", path("keys", "device_signing", "upload"), body)
	if status == 401 {
		body["auth"] = u.auth(answer)
		u.must("POST", path("keys", "device_signing", "upload"), body)
	} else if status != 200 {
		u.t.Fatalf("%s uploads cross-signing keys on %s: got %d %s", u.id, u.server, status, answer)
	}
}

// signsOwn signs the device with the self-signing key of a generation.
func (u *user) signsOwn(generation string) {
	u.t.Helper()
	signed := u.crossKey("self_signing", generation).signs(u.deviceKeys())
	answer := u.must("POST", path("keys", "signatures", "upload"), object{u.id: object{u.device: signed}})
	if len(answer.failures()) > 0 {
		u.t.Errorf("%s signs a device on %s: %s", u.id, u.server, answer)
	}
}

// asks asks for the keys of somebody.
func (u *user) asks(of *user) object {
	u.t.Helper()
	return u.must("POST", path("keys", "query"), object{"device_keys": object{of.id: []string{}}})
}

// knows waits until somebody has the keys of just these devices of another, as they
// are signed by themselves, if they have some.
func (u *user) knows(of *user, devices ...*user) {
	u.t.Helper()
	until(u.t, u.id+" knows the devices of "+of.id+" on "+u.String(), func() string {
		answer := u.asks(of)
		known, _ := answer.at("device_keys", of.id).(map[string]any)
		for _, d := range devices {
			want := d.deviceKeys()["signatures"].(object)[d.id].(object)["ed25519:"+d.device]
			if answer.at("device_keys", of.id, d.device, "signatures", d.id, "ed25519:"+d.device) != want {
				return d.device + " is not in " + answer.String()
			}
		}
		if len(known) != len(devices) {
			return "there are others in " + answer.String()
		}
		return ""
	})
}

// knowsCross waits until somebody has the cross-signing keys of a generation of
// another, and that no user-signing key is among them.
func (u *user) knowsCross(of *user, generation string) {
	u.t.Helper()
	until(u.t, u.id+" knows the cross-signing keys "+generation+" of "+of.id+" on "+u.String(), func() string {
		answer := u.asks(of)
		for _, usage := range []string{"master", "self_signing"} {
			k := of.crossKey(usage, generation)
			if answer.at(usage+"_keys", of.id, "keys", "ed25519:"+k.name) != k.public() {
				return usage + ": " + answer.String()
			}
		}
		if answer.at("user_signing_keys", of.id) != nil {
			return "there is a user-signing key: " + answer.String()
		}
		return ""
	})
}

// claims claims a key of somebody's device, and returns its name, "" if there is
// none.
func (u *user) claims(of *user) string {
	u.t.Helper()
	answer := u.must("POST", path("keys", "claim"), object{"one_time_keys": object{
		of.id: object{of.device: "signed_curve25519", "UNKNOWN": "signed_curve25519"}, "@nobody:" + of.name: object{"A": "signed_curve25519"},
	}})
	if len(answer.failures()) > 0 {
		u.t.Errorf("%s claims a key of %s on %s: %s", u.id, of.id, u.server, answer)
	}
	devices, _ := answer.at("one_time_keys", of.id).(map[string]any)
	if devices["UNKNOWN"] != nil {
		u.t.Errorf("a device that is not there has keys: %s", answer)
	}
	keys, _ := devices[of.device].(map[string]any)
	for name := range keys {
		short := strings.TrimPrefix(name, "signed_curve25519:")
		if want := curve(of.deviceKey().public() + short); object(keys).at(name, "key") != want {
			u.t.Errorf("the key %s is %v, want %s", name, keys[name], want)
		}
		return short
	}
	return ""
}

func TestOneTimeKeysAreClaimedOnce(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		alice, bob, carol := here.register(t, "alice"), there.register(t, "bob"), there.register(t, "carol")
		bob.uploads("F", "A", "B", "C")
		claimed := map[string]int{}
		for range 3 {
			claimed[alice.claims(bob)]++
		}
		for _, name := range []string{"A", "B", "C"} {
			if claimed[name] != 1 {
				t.Errorf("claimed %v", claimed)
			}
		}
		for range 2 {
			if name := alice.claims(bob); name != "F" {
				t.Errorf("got the key %q when none but the fallback key was left", name)
			}
		}
		if count, _ := bob.syncs().at("device_one_time_keys_count", "signed_curve25519").(float64); count != 0 {
			t.Errorf("%s has %v keys left", bob.id, count)
		}
		if name := alice.claims(carol); name != "" {
			t.Errorf("got the key %q of who has uploaded none", name)
		}
	})
}

func TestOneTimeKeysAreClaimedByManyAtOnce(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		bob := there.register(t, "bob")
		var names []string
		for i := range 20 {
			names = append(names, "K"+string(rune('A'+i)))
		}
		bob.uploads("", names...)
		claimed := make(chan string, len(names))
		for range names {
			alice := here.register(t, "alice")
			go func() { claimed <- alice.claims(bob) }()
		}
		got := map[string]bool{}
		for range names {
			got[<-claimed] = true
		}
		if len(got) != len(names) || got[""] {
			t.Errorf("%d claimed the keys %v", len(names), got)
		}
	})
}
