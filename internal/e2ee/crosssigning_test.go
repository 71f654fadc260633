package e2ee

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"parley/internal/journal"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// An identity is the private cross-signing keys of a user.
type identity struct {
	user                             id.UserID
	master, selfSigning, userSigning ed25519.PrivateKey
}

func newIdentity(user id.UserID, seed ...string) *identity {
	key := func(usage string) ed25519.PrivateKey { return privateKey(fmt.Sprint(user, usage, seed)) }
	return &identity{user, key("m"), key("s"), key("u")}
}

// crossKey is a cross-signing key without signatures.
func (i *identity) crossKey(usage string, private ed25519.PrivateKey) canonjson.Value {
	public := publicText(private)
	return mustValue(map[string]any{"user_id": i.user, "usage": []string{usage}, "keys": map[string]string{"ed25519:" + public: public}})
}

func (i *identity) byMaster(object canonjson.Value) canonjson.Value {
	return sign(object, i.user, publicText(i.master), i.master)
}

func (i *identity) upload() CrossSigning {
	return CrossSigning{
		Master:      i.crossKey("master", i.master),
		SelfSigning: i.byMaster(i.crossKey("self_signing", i.selfSigning)),
		UserSigning: i.byMaster(i.crossKey("user_signing", i.userSigning)),
	}
}

// signs returns a device's keys with the signature of the self-signing key.
func (i *identity) signs(c *client) canonjson.Value {
	return sign(c.unsignedKeys(), i.user, publicText(i.selfSigning), i.selfSigning)
}

// signsOther returns the master key of another user with the signature of the
// user-signing key.
func (i *identity) signsOther(other *identity) canonjson.Value {
	return sign(other.crossKey("master", other.master), i.user, publicText(i.userSigning), i.userSigning)
}

func (s *scene) put(i *identity) {
	s.t.Helper()
	if err := s.PutCrossSigning(s.ctx, i.user, i.upload(), true); err != nil {
		s.t.Fatal(err)
	}
}

// signed signs one object, and returns why it was not taken, empty if it was.
func (s *scene) signed(by, of id.UserID, target string, object canonjson.Value) mxerr.Code {
	s.t.Helper()
	failures, err := s.Sign(s.ctx, by, Signing{of: {target: object}})
	if err != nil {
		s.t.Fatal(err)
	}
	if failure := failures[of][target]; failure != nil {
		return failure.Code
	}
	return ""
}

// signers are the names of the keys that have signed an object.
func signers(object canonjson.Value) (names []string) {
	for user, list := range object.Get("signatures").Members() {
		for keyID := range list.Members() {
			names = append(names, user.String()+" "+keyID.String())
		}
	}
	return names
}

func TestCrossSigningKeysAreForThoseWhoMaySeeThem(t *testing.T) {
	play(t, func(s *scene) {
		i := newIdentity(alice)
		if err := s.PutCrossSigning(s.ctx, alice, i.upload(), false); err != nil {
			t.Fatal(err)
		}
		s.has("told", s.told(), "[@alice:a.test]")
		own, others, abroad := s.local(Viewer(alice), alice), s.local(Viewer(bob), alice), s.local("", alice)
		s.has("own user-signing key", string(own.UserSigning), string(i.upload().UserSigning))
		for _, keys := range []UserKeys{own, others, abroad} {
			s.has("master key", string(keys.Master), string(i.upload().Master))
			s.has("self-signing key", string(keys.SelfSigning), string(i.upload().SelfSigning))
		}
		if others.UserSigning != nil || abroad.UserSigning != nil {
			t.Errorf("others see the user-signing key")
		}
	})
}

func TestOnlyReplacingHasToBeConfirmed(t *testing.T) {
	play(t, func(s *scene) {
		i, other := newIdentity(alice), newIdentity(alice, "other")
		first := i.upload()
		if err := s.PutCrossSigning(s.ctx, alice, CrossSigning{Master: first.Master}, false); err != nil {
			t.Fatal(err)
		}
		put := func(what string, c CrossSigning, want error) {
			t.Helper()
			if err := s.PutCrossSigning(s.ctx, alice, c, false); !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", what, err, want)
			}
		}
		put("more keys", first, ErrUnconfirmed)
		if err := s.PutCrossSigning(s.ctx, alice, first, true); err != nil {
			t.Fatal(err)
		}
		s.told()
		put("the same", first, nil)
		put("the same master key", CrossSigning{Master: first.Master}, nil)
		put("the same self-signing key", CrossSigning{SelfSigning: first.SelfSigning}, nil)
		put("nothing", CrossSigning{}, nil)
		put("another master key", CrossSigning{Master: other.upload().Master}, ErrUnconfirmed)
		put("other keys", other.upload(), ErrUnconfirmed)
		s.has("told", s.told(), "[]")
		s.has("master key", string(s.local("", alice).Master), string(first.Master))
	})
}

func TestWhatIsReplacedTakesItsSignaturesAlong(t *testing.T) {
	play(t, func(s *scene) {
		i, friend, phone := newIdentity(alice), newIdentity(bob), newClient(alice, "PHONE")
		s.upload(phone, Upload{Device: phone.keys()})
		s.put(i)
		s.put(friend)
		master := publicText(i.master)
		for what, refused := range map[string]mxerr.Code{
			"device": s.signed(alice, alice, "PHONE", i.signs(phone)),
			"master": s.signed(alice, alice, master, phone.sign(i.crossKey("master", i.master))),
			"friend": s.signed(alice, bob, publicText(friend.master), i.signsOther(friend)),
		} {
			s.has(what, string(refused), "")
		}
		keys := s.local(Viewer(bob), alice)
		s.has("who signed the device", fmt.Sprint(signers(keys.Devices["PHONE"])), fmt.Sprint(slices.Sorted(slices.Values([]string{
			string(alice) + " ed25519:PHONE", string(alice) + " ed25519:" + publicText(i.selfSigning)}))))
		s.has("who signed the master key", fmt.Sprint(signers(keys.Master)), "["+string(alice)+" ed25519:PHONE]")

		// With a new self-signing key the device is not signed any more.
		other := newIdentity(alice, "other")
		self := CrossSigning{SelfSigning: i.byMaster(i.crossKey("self_signing", other.selfSigning))}
		if err := s.PutCrossSigning(s.ctx, alice, self, true); err != nil {
			t.Fatal(err)
		}
		keys = s.local(Viewer(alice), alice)
		s.has("who signed the device", fmt.Sprint(signers(keys.Devices["PHONE"])), "["+string(alice)+" ed25519:PHONE]")
		s.has("who signed the master key", fmt.Sprint(signers(keys.Master)), "["+string(alice)+" ed25519:PHONE]")
		s.has("who signed the friend", fmt.Sprint(signers(s.local(Viewer(alice), bob).Master)), "["+string(alice)+" ed25519:"+publicText(i.userSigning)+"]")

		// With a new master key nothing is left of the old ones.
		if err := s.PutCrossSigning(s.ctx, alice, CrossSigning{Master: other.upload().Master}, true); err != nil {
			t.Fatal(err)
		}
		keys = s.local(Viewer(alice), alice)
		if keys.SelfSigning != nil || keys.UserSigning != nil || len(signers(keys.Master)) > 0 {
			t.Errorf("got %+v", keys)
		}
		s.has("who signed the friend", fmt.Sprint(signers(s.local(Viewer(alice), bob).Master)), "[]")
	})
}

func TestSignaturesOfOthersAreForTheSignerAlone(t *testing.T) {
	play(t, func(s *scene) {
		i, friend := newIdentity(alice), newIdentity(bob)
		s.put(i)
		s.put(friend)
		s.told()
		before := s.journal.Head()
		s.has("refused", string(s.signed(alice, bob, publicText(friend.master), i.signsOther(friend))), "")
		after := s.journal.Head()
		s.has("refused again", string(s.signed(alice, bob, publicText(friend.master), i.signsOther(friend))), "")
		if s.journal.Head() != after {
			t.Error("the same signature again is news")
		}
		s.has("told", s.told(), "[]")
		for viewer, want := range map[Viewer]int{Viewer(alice): 1, Viewer(bob): 0, "": 0} {
			if got := signers(s.local(viewer, bob).Master); len(got) != want {
				t.Errorf("%s sees signatures by %v", viewer, got)
			}
		}
		signed := func(user id.UserID, after, upTo journal.Position) string {
			list, err := s.Signed(s.ctx, user, after, upTo)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(list)
		}
		s.has("whom alice has signed", signed(alice, before, after), "[@bob:a.test]")
		s.has("whom alice has signed before", signed(alice, 0, before), "[]")
		s.has("whom bob has signed", signed(bob, 0, after), "[]")
		// A new user-signing key is news for the user alone.
		other := CrossSigning{UserSigning: i.byMaster(i.crossKey("user_signing", newIdentity(alice, "x").userSigning))}
		if err := s.PutCrossSigning(s.ctx, alice, other, true); err != nil {
			t.Fatal(err)
		}
		s.has("told", s.told(), "[]")
		s.has("whom alice has signed", signed(alice, after, s.journal.Head()), "[@alice:a.test]")
	})
}

func TestCrossSigningKeysThatAreWrongAreRefused(t *testing.T) {
	i, mallory := newIdentity(alice), newIdentity(alice, "mallory")
	good := i.upload()
	master := func(json string, path ...string) CrossSigning {
		return CrossSigning{Master: edit(good.Master, json, path...)}
	}
	phone := newClient(alice, "PHONE")
	rows := map[string]struct {
		c    CrossSigning
		code mxerr.Code
	}{
		"no object":              {CrossSigning{Master: canonjson.Value(`[]`)}, mxerr.BadJSON},
		"another user":           {master(`"@bob:a.test"`, "user_id"), mxerr.InvalidParam},
		"another usage":          {master(`["self_signing"]`, "usage"), mxerr.InvalidParam},
		"no usage":               {master(``, "usage"), mxerr.InvalidParam},
		"no keys":                {master(`{}`, "keys"), mxerr.InvalidParam},
		"two keys":               {master(`"`+curve("x")+`"`, "keys", "ed25519:"+curve("x")), mxerr.InvalidParam},
		"a key called otherwise": {master(`{"ed25519:x":"`+curve("x")+`"}`, "keys"), mxerr.InvalidParam},
		"a short key":            {master(`{"ed25519:AAAA":"AAAA"}`, "keys"), mxerr.InvalidParam},
		"a fraction":             {master(`0.5`, "x"), mxerr.BadJSON},
		"too large":              {master(`"`+strings.Repeat("x", maxKeyObject)+`"`, "x"), mxerr.TooLarge},
		"no master key":          {CrossSigning{SelfSigning: good.SelfSigning}, mxerr.MissingParam},
		"not signed":             {CrossSigning{Master: good.Master, SelfSigning: i.crossKey("self_signing", i.selfSigning)}, mxerr.InvalidSignature},
		"signed by another":      {CrossSigning{Master: good.Master, UserSigning: mallory.upload().UserSigning}, mxerr.InvalidSignature},
		"the same key twice":     {CrossSigning{Master: good.Master, SelfSigning: i.byMaster(i.crossKey("self_signing", i.master))}, mxerr.Forbidden},
		"called as a device":     {CrossSigning{Master: i.crossKey("master", privateKey("device"))}, mxerr.Forbidden},
		"falsely by a device":    {CrossSigning{Master: edit(phone.sign(good.Master), string(good.SelfSigning.Get("signatures").Get(string(alice)).Get("ed25519:"+publicText(i.master))), "signatures", string(alice), "ed25519:PHONE")}, mxerr.InvalidSignature},
	}
	play(t, func(s *scene) {
		named := newClient(alice, id.DeviceID(publicText(privateKey("device"))))
		s.upload(named, Upload{Device: named.keys()})
		s.upload(phone, Upload{Device: phone.keys()})
		s.told()
		for what, row := range rows {
			s.refuses(what, s.PutCrossSigning(s.ctx, alice, row.c, true), row.code)
			s.has(what+", told", s.told(), "[]")
			if keys := s.local(Viewer(alice), alice); keys.Master != nil || keys.SelfSigning != nil || keys.UserSigning != nil {
				t.Errorf("%s: got %+v", what, keys)
			}
		}
	})
}

func TestADeviceIsNotCalledAsACrossSigningKey(t *testing.T) {
	play(t, func(s *scene) {
		i := newIdentity(alice)
		s.put(i)
		c := newClient(alice, id.DeviceID(publicText(i.selfSigning)))
		s.refuses("the device", s.Upload(s.ctx, alice, c.device, Upload{Device: c.keys()}), mxerr.Forbidden)
	})
}

func TestSignaturesThatProveNothingAreNotTaken(t *testing.T) {
	play(t, func(s *scene) {
		i, friend, mallory := newIdentity(alice), newIdentity(bob), newIdentity(alice, "mallory")
		phone, laptop, other := newClient(alice, "PHONE"), newClient(alice, "LAPTOP"), newClient(bob, "OTHER")
		for _, c := range []*client{phone, laptop, other} {
			s.upload(c, Upload{Device: c.keys()})
		}
		s.has("a device before there is a key to sign it with", string(s.signed(alice, alice, "PHONE", i.signs(phone))), "M_NOT_FOUND")
		s.put(i)
		s.put(friend)
		s.told()
		head := s.journal.Head()
		master, theirs := publicText(i.master), publicText(friend.master)
		for what, row := range map[string]struct {
			of     id.UserID
			target string
			object canonjson.Value
			want   mxerr.Code
		}{
			"an unknown device":             {alice, "UNKNOWN", i.signs(phone), mxerr.NotFound},
			"an unknown key":                {alice, curve("x"), i.signs(phone), mxerr.NotFound},
			"nothing":                       {alice, "", i.signs(phone), mxerr.NotFound},
			"what is no name":               {alice, "a\x00b", i.signs(phone), mxerr.NotFound},
			"not signed":                    {alice, "PHONE", phone.unsignedKeys(), mxerr.InvalidSignature},
			"signed by an old key":          {alice, "PHONE", mallory.signs(phone), mxerr.InvalidSignature},
			"signed and changed":            {alice, "PHONE", edit(i.signs(phone), `[]`, "algorithms"), mxerr.InvalidSignature},
			"other keys":                    {alice, "PHONE", i.signs(newClient(alice, "PHONE", "other")), mxerr.InvalidSignature},
			"another device":                {alice, "PHONE", i.signs(laptop), mxerr.InvalidSignature},
			"by another device":             {alice, "PHONE", laptop.sign(phone.unsignedKeys()), mxerr.InvalidSignature},
			"the master key by no device":   {alice, master, i.byMaster(i.crossKey("master", i.master)), mxerr.InvalidSignature},
			"the master key by a liar":      {alice, master, newClient(alice, "PHONE", "x").sign(i.crossKey("master", i.master)), mxerr.InvalidSignature},
			"another master key":            {alice, master, phone.sign(mallory.crossKey("master", mallory.master)), mxerr.InvalidSignature},
			"a device of another":           {bob, "OTHER", sign(other.unsignedKeys(), alice, publicText(i.userSigning), i.userSigning), mxerr.NotFound},
			"another by the wrong key":      {bob, theirs, sign(friend.crossKey("master", friend.master), alice, publicText(i.selfSigning), i.selfSigning), mxerr.InvalidSignature},
			"another's other key":           {bob, publicText(friend.selfSigning), i.signsOther(friend), mxerr.NotFound},
			"another as themselves":         {bob, theirs, sign(friend.crossKey("master", friend.master), bob, publicText(friend.userSigning), friend.userSigning), mxerr.InvalidSignature},
			"somebody without keys":         {"@nobody:a.test", theirs, i.signsOther(friend), mxerr.NotFound},
			"what is no object of the kind": {alice, "PHONE", canonjson.Value(`{}`), mxerr.InvalidSignature},
		} {
			s.has(what, string(s.signed(alice, row.of, row.target, row.object)), string(row.want))
		}
		if s.journal.Head() != head {
			t.Error("what was not taken is news")
		}
		s.has("told", s.told(), "[]")
	})
}
