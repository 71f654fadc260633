package e2ee

import (
	"encoding/json"
	"strings"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func TestKeysOfADeviceAreThereForOthers(t *testing.T) {
	play(t, func(s *scene) {
		phone := newClient(alice, "PHONE")
		s.upload(phone, Upload{Device: phone.keys().With("unsigned", canonjson.Value(`{"x":1}`))})
		s.has("told", s.told(), "[@alice:a.test]")
		want := string(phone.keys().With("unsigned", canonjson.Value(`{"device_display_name":"the PHONE"}`)))
		s.has("as bob sees it", string(s.local(Viewer(bob), alice).Devices["PHONE"]), want)
		s.has("as another server sees it", string(s.local("", alice).Devices["PHONE"]), string(phone.keys()))
		if keys := s.local(Viewer(alice), bob); keys.Devices == nil || len(keys.Devices) != 0 {
			t.Errorf("got %v for who has none", keys)
		}
		s.upload(phone, Upload{Device: phone.keys()})
		s.has("told of the same again", s.told(), "[]")
	})
}

func TestADeviceThatKeepsItsOneTimeKeysIsToldNothingOfThem(t *testing.T) {
	play(t, func(s *scene) {
		phone := newClient(alice, "PHONE")
		s.upload(phone, Upload{Device: phone.keys(), OneTime: phone.oneTime("A")})
		s.told()
		head := s.journal.Head()
		more := phone.sign(phone.unsignedKeys().With("algorithms", canonjson.Value(`["m.megolm.v1.aes-sha2"]`)))
		s.upload(phone, Upload{Device: more, OneTime: phone.oneTime("A")})
		s.has("told of what the device supports", s.told(), "[@alice:a.test]")
		if now := s.journal.Head(); now != head {
			t.Errorf("there are %d entries about one-time keys", now-head)
		}
		s.has("counts", s.counts(phone), "map[signed_curve25519:1] []")
	})
}

func TestOneTimeKeysAreGivenOutInOrderAndOnce(t *testing.T) {
	play(t, func(s *scene) {
		phone := newClient(alice, "PHONE")
		// The names say nothing of the order.
		s.upload(phone, Upload{OneTime: phone.oneTime("B")})
		s.upload(phone, Upload{Device: phone.keys(), OneTime: phone.oneTime("A"), Fallback: phone.fallback("F")})
		s.has("counts", s.counts(phone), "map[signed_curve25519:2] [signed_curve25519]")
		s.has("first", s.claim(phone), "B")
		s.has("counts", s.counts(phone), "map[signed_curve25519:1] [signed_curve25519]")
		s.has("second", s.claim(phone), "A")
		s.has("third", s.claim(phone), "F")
		s.has("counts", s.counts(phone), "map[signed_curve25519:0] []")
		s.has("fourth", s.claim(phone), "F")
		s.upload(phone, Upload{Fallback: phone.fallback("F")})
		s.has("counts when the used fallback key came again", s.counts(phone), "map[signed_curve25519:0] []")
		s.upload(phone, Upload{Fallback: phone.fallback("G")})
		s.has("counts when there is a new one", s.counts(phone), "map[signed_curve25519:0] [signed_curve25519]")
		s.has("fifth", s.claim(phone), "G")
	})
}

func TestARepeatedUploadBringsNoKeyBack(t *testing.T) {
	play(t, func(s *scene) {
		phone := newClient(alice, "PHONE")
		u := Upload{Device: phone.keys(), OneTime: phone.oneTime("A", "B")}
		s.upload(phone, u)
		first := s.claim(phone)
		s.upload(phone, u)
		s.has("counts", s.counts(phone), "map[signed_curve25519:1] []")
		if second := s.claim(phone); second == first || second == "" {
			t.Errorf("got %q after %q", second, first)
		}
		s.has("third", s.claim(phone), "")
		// Who has lost what it had counts from the beginning.
		other := newClient(alice, "PHONE", "other")
		again := canonjson.Value("{}").With("signed_curve25519:A", phone.sign(mustValue(map[string]string{"key": curve("new")})))
		s.upload(phone, Upload{OneTime: again})
		s.has("counts", s.counts(phone), "map[signed_curve25519:1] []")
		s.upload(other, Upload{Device: other.keys(), OneTime: other.oneTime("A", "B", "C")})
		s.has("counts of new identity keys", s.counts(phone), "map[signed_curve25519:3] []")
		s.has("told", s.told(), "[@alice:a.test @alice:a.test]")
	})
}

func TestAnotherKeyUnderTheSameNameIsRefused(t *testing.T) {
	play(t, func(s *scene) {
		phone := newClient(alice, "PHONE")
		s.upload(phone, Upload{Device: phone.keys(), OneTime: phone.oneTime("A")})
		other := phone.oneTime("A", "B").With("signed_curve25519:A", phone.sign(mustValue(map[string]string{"key": curve("x")})))
		err := s.Upload(s.ctx, alice, "PHONE", Upload{OneTime: other})
		s.refuses("another key", err, mxerr.InvalidParam)
		// Clients take this message apart.
		_, old, _ := strings.Cut(err.Error(), "already exists. Old key: ")
		old, now, _ := strings.Cut(old, "; new key: ")
		if !json.Valid([]byte(old)) || !json.Valid([]byte(now)) || !strings.Contains(err.Error(), "One time key signed_curve25519:A ") {
			t.Errorf("got %v", err)
		}
		s.has("counts", s.counts(phone), "map[signed_curve25519:1] []")
	})
}

// edit returns an object with a member at a path replaced by JSON, or removed if
// that is empty.
func edit(v canonjson.Value, json string, path ...string) canonjson.Value {
	if len(path) > 1 {
		return v.With(path[0], edit(v.Get(path[0]), json, path[1:]...))
	}
	if json == "" {
		return v.Without(path[0])
	}
	return v.With(path[0], canonjson.Value(json))
}

func TestWhatIsWrongWithKeysIsRefused(t *testing.T) {
	phone := newClient(alice, "PHONE")
	mallory := newClient(alice, "PHONE", "mallory")
	deviceKeys := func(json string, path ...string) Upload { return Upload{Device: edit(phone.keys(), json, path...)} }
	resigned := func(json string, path ...string) Upload {
		return Upload{Device: phone.sign(edit(phone.unsignedKeys(), json, path...))}
	}
	oneTime := func(json string, path ...string) Upload {
		return Upload{Device: phone.keys(), OneTime: edit(phone.oneTime("A"), json, path...)}
	}
	many := canonjson.Value("{}")
	for _, name := range numbered(0, maxUpload) {
		many = many.With("signed_curve25519:"+name, canonjson.Value("{}"))
	}
	const name = "signed_curve25519:A"
	rows := map[string]struct {
		upload Upload
		code   mxerr.Code
	}{
		"no object":             {Upload{Device: canonjson.Value(`[]`)}, mxerr.BadJSON},
		"another user":          {resigned(`"@bob:a.test"`, "user_id"), mxerr.BadJSON},
		"another device":        {resigned(`"LAPTOP"`, "device_id"), mxerr.BadJSON},
		"no algorithms":         {resigned(``, "algorithms"), mxerr.BadJSON},
		"strange algorithms":    {resigned(`[1]`, "algorithms"), mxerr.BadJSON},
		"no keys":               {resigned(``, "keys"), mxerr.BadJSON},
		"no signing key":        {resigned(``, "keys", "ed25519:PHONE"), mxerr.BadJSON},
		"a short key":           {resigned(`"AAAA"`, "keys", "curve25519:PHONE"), mxerr.BadJSON},
		"a padded key":          {resigned(`"`+curve("x")+`="`, "keys", "curve25519:PHONE"), mxerr.BadJSON},
		"a key that is a list":  {resigned(`[]`, "keys", "curve25519:PHONE"), mxerr.BadJSON},
		"a key of another":      {resigned(`"`+curve("x")+`"`, "keys", "curve25519:LAPTOP"), mxerr.BadJSON},
		"no signatures":         {deviceKeys(``, "signatures"), mxerr.BadJSON},
		"signed by nobody":      {deviceKeys(`{}`, "signatures"), mxerr.InvalidSignature},
		"changed afterwards":    {deviceKeys(`["m.other"]`, "algorithms"), mxerr.InvalidSignature},
		"signed by another":     {Upload{Device: mallory.sign(phone.unsignedKeys())}, mxerr.InvalidSignature},
		"a fraction":            {deviceKeys(`1.5`, "x"), mxerr.BadJSON},
		"too large":             {resigned(`"`+strings.Repeat("x", maxKeyObject)+`"`, "x"), mxerr.TooLarge},
		"one-time: no object":   {Upload{OneTime: canonjson.Value(`"x"`)}, mxerr.BadJSON},
		"one-time: no name":     {Upload{OneTime: canonjson.Value(`{"signed_curve25519:":{}}`)}, mxerr.BadJSON},
		"one-time: NUL":         {Upload{OneTime: canonjson.Value(`{"signed_curve25519:\u0000":{}}`)}, mxerr.BadJSON},
		"one-time: algorithm":   {Upload{OneTime: canonjson.Value(`{"rot13:A":"x"}`)}, mxerr.InvalidParam},
		"one-time: text":        {oneTime(`"x"`, name), mxerr.BadJSON},
		"one-time: short":       {oneTime(`"AAAA"`, name, "key"), mxerr.BadJSON},
		"one-time: changed":     {oneTime(`"`+curve("x")+`"`, name, "key"), mxerr.InvalidSignature},
		"one-time: not signed":  {oneTime(`{}`, name, "signatures"), mxerr.InvalidSignature},
		"one-time: by another":  {Upload{Device: phone.keys(), OneTime: mallory.oneTime("A")}, mxerr.InvalidSignature},
		"one-time: too large":   {oneTime(`"`+strings.Repeat("x", maxOneTime)+`"`, name, "x"), mxerr.TooLarge},
		"one-time: too many":    {Upload{OneTime: many}, mxerr.TooLarge},
		"fallback: two":         {Upload{Fallback: phone.oneTime("A", "B")}, mxerr.InvalidParam},
		"fallback: not signed":  {Upload{Device: phone.keys(), Fallback: mallory.fallback("A")}, mxerr.InvalidSignature},
		"fallback: algorithm":   {Upload{Fallback: canonjson.Value(`{"rot13:A":"x"}`)}, mxerr.InvalidParam},
		"plain: no Base64":      {Upload{OneTime: canonjson.Value(`{"curve25519:A":"!"}`)}, mxerr.BadJSON},
		"plain: no text at all": {Upload{OneTime: canonjson.Value(`{"curve25519:A":{}}`)}, mxerr.BadJSON},
	}
	play(t, func(s *scene) {
		for what, row := range rows {
			s.refuses(what, s.Upload(s.ctx, alice, "PHONE", row.upload), row.code)
			s.has(what+", counts", s.counts(phone), "map[signed_curve25519:0] []")
			s.has(what+", told", s.told(), "[]")
		}
	})
}

func TestADeviceHasOnlySoManyKeys(t *testing.T) {
	play(t, func(s *scene) {
		phone := newClient(alice, "PHONE")
		for i := range maxLeft / maxUpload {
			s.upload(phone, Upload{OneTime: phone.oneTime(numbered(i*maxUpload+1, (i+1)*maxUpload)...)})
		}
		s.refuses("one more", s.Upload(s.ctx, alice, "PHONE", Upload{OneTime: phone.oneTime("X")}), mxerr.TooLarge)
		s.has("first", s.claim(phone)[:1], "K")
		s.upload(phone, Upload{OneTime: phone.oneTime("X")})
	})
}

func TestWhoeverIsRemovedTakesTheirKeysAlong(t *testing.T) {
	play(t, func(s *scene) {
		phone, laptop := newClient(alice, "PHONE"), newClient(alice, "LAPTOP")
		for _, c := range []*client{phone, laptop} {
			s.upload(c, Upload{Device: c.keys(), OneTime: c.oneTime("A", "B"), Fallback: c.fallback("F")})
		}
		s.claim(phone)
		s.told()
		s.gone["PHONE"] = true
		if err := s.RemoveDevices(s.ctx, alice, []id.DeviceID{"PHONE", "UNKNOWN"}); err != nil {
			t.Fatal(err)
		}
		s.has("told", s.told(), "[@alice:a.test]")
		s.has("counts", s.counts(phone), "map[signed_curve25519:0] []")
		s.has("a key of what is gone", s.claim(phone), "")
		s.has("a key of what is left", s.claim(laptop)[:1], "A")
		if devices := s.local(Viewer(bob), alice).Devices; len(devices) != 1 || devices["LAPTOP"] == nil {
			t.Errorf("got %v", devices)
		}
		s.refuses("an upload that was under way", s.Upload(s.ctx, alice, "PHONE", Upload{Device: phone.keys()}), mxerr.UnknownToken)
		// A device of the same name begins with nothing.
		s.gone["PHONE"] = false
		s.upload(phone, Upload{Device: phone.keys(), OneTime: phone.oneTime("A", "B")})
		s.has("counts", s.counts(phone), "map[signed_curve25519:2] []")
	})
}

func TestDevicesThatAreBeingRemovedAreNotShown(t *testing.T) {
	play(t, func(s *scene) {
		phone := newClient(alice, "PHONE")
		s.upload(phone, Upload{Device: phone.keys()})
		s.missing["PHONE"] = true
		if devices := s.local(Viewer(bob), alice).Devices; len(devices) != 0 {
			t.Errorf("got %v", devices)
		}
	})
}
