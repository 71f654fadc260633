package e2ee

import (
	"fmt"
	"strings"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// A vault is backups in a database.
type vault struct {
	*Backups
	t *testing.T
}

func keep(t *testing.T, f func(v *vault)) {
	storetest.Each(t, func(t *testing.T, db *store.DB) { f(&vault{NewBackups(db), t}) })
}

const algorithm = "m.megolm_backup.v1.curve25519-aes-sha2"

func (v *vault) create() int64 {
	v.t.Helper()
	version, err := v.Create(v.t.Context(), alice, algorithm, canonjson.Value(`{"public_key":"x"}`))
	if err != nil {
		v.t.Fatal(err)
	}
	return version
}

func sessionKey(room id.RoomID, session string, data string) SessionKey {
	return SessionKey{Room: room, Session: session, Data: canonjson.Value(`{"x":"` + data + `"}`)}
}

func (v *vault) put(version int64, keys ...SessionKey) Stand {
	v.t.Helper()
	s, err := v.Put(v.t.Context(), alice, version, keys)
	if err != nil {
		v.t.Fatal(err)
	}
	return s
}

// all returns the keys of a version as clients get them.
func (v *vault) all(version int64, room id.RoomID) string {
	v.t.Helper()
	u, err := v.Keys(v.t.Context(), alice, version, room)
	if err != nil {
		v.t.Fatal(err)
	}
	var whole []byte
	for more := true; more; {
		if whole, more, err = u.AppendPart(v.t.Context(), whole); err != nil {
			v.t.Fatal(err)
		}
	}
	if !canonjson.IsCanonical(whole, canonjson.Strict) {
		v.t.Errorf("got %s", whole)
	}
	return string(whole)
}

func (v *vault) is(what string, got, want any) {
	v.t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		v.t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func (v *vault) refuses(what string, err error, code mxerr.Code) {
	v.t.Helper()
	(&scene{t: v.t}).refuses(what, err, code)
}

func TestABackupKeepsWhatClientsPutIntoIt(t *testing.T) {
	keep(t, func(v *vault) {
		ctx := t.Context()
		_, err := v.Current(ctx, alice)
		v.refuses("before there is one", err, mxerr.NotFound)
		first := v.create()
		empty := v.put(first)
		v.is("nothing", v.all(first, ""), `{"rooms":{}}`)
		v.is("nothing of a room", v.all(first, "!a:a.test"), `{"sessions":{}}`)
		one := v.put(first, sessionKey("!b:a.test", "s", "1"), sessionKey("!a:a.test", "t", "2"), sessionKey("!a:a.test", "s", "3"))
		v.is("how many", one.Count, 3)
		if one.ETag == empty.ETag {
			t.Error("the etag is the same")
		}
		v.is("the same again", v.put(first, sessionKey("!a:a.test", "s", "3")), one)
		const key = `{"first_message_index":0,"forwarded_count":0,"is_verified":false,"session_data":{"x":"%d"}}`
		a := fmt.Sprintf(`{"sessions":{"s":`+key+`,"t":`+key+`}}`, 3, 2)
		v.is("all", v.all(first, ""), `{"rooms":{"!a:a.test":`+a+`,"!b:a.test":{"sessions":{"s":`+fmt.Sprintf(key, 1)+`}}}}`)
		v.is("of a room", v.all(first, "!a:a.test"), a)
		got, err := v.Key(ctx, alice, first, "!b:a.test", "s")
		v.is("one", string(got.AppendJSON(nil)), fmt.Sprintf(key, 1))
		v.is("error", err, nil)
		_, err = v.Key(ctx, alice, first, "!b:a.test", "t")
		v.refuses("one that there is not", err, mxerr.NotFound)
		for _, user := range []id.UserID{bob, carol} {
			_, err = v.Keys(ctx, user, first, "")
			v.refuses("another user", err, mxerr.NotFound)
		}
		current, err := v.Current(ctx, alice)
		v.is("current", current, Backup{first, algorithm, canonjson.Value(`{"public_key":"x"}`), one})
		v.is("error", err, nil)
	})
}

func TestTheBetterKeyOfASessionStays(t *testing.T) {
	key := func(verified bool, first, forwarded int64, name string) SessionKey {
		return SessionKey{"!a:a.test", "s", first, forwarded, verified, canonjson.Value(`{"x":"` + name + `"}`)}
	}
	old := key(false, 5, 5, "old")
	oldVerified := key(true, 5, 5, "old")
	rows := map[string]struct {
		old, new SessionKey
		replaced bool
	}{
		"the same":                        {old, key(false, 5, 5, "new"), false},
		"verified":                        {old, key(true, 9, 9, "new"), true},
		"not verified":                    {oldVerified, key(false, 0, 0, "new"), false},
		"from earlier on":                 {old, key(false, 4, 9, "new"), true},
		"from later on":                   {old, key(false, 6, 0, "new"), false},
		"forwarded less":                  {old, key(false, 5, 4, "new"), true},
		"forwarded more":                  {old, key(false, 5, 6, "new"), false},
		"both verified, from earlier on":  {oldVerified, key(true, 0, 9, "new"), true},
		"both verified, forwarded more":   {oldVerified, key(true, 5, 6, "new"), false},
		"both verified, from the same on": {oldVerified, key(true, 5, 5, "new"), false},
	}
	keep(t, func(v *vault) {
		for what, row := range rows {
			version := v.create()
			before := v.put(version, row.old)
			after := v.put(version, row.new)
			got, err := v.Key(t.Context(), alice, version, "!a:a.test", "s")
			if err != nil {
				t.Fatal(err)
			}
			v.is(what+", replaced", got.Data.Get("x").Is("new"), row.replaced)
			v.is(what+", count", after.Count, 1)
			v.is(what+", another etag", before.ETag != after.ETag, row.replaced)
		}
	})
}

func TestKeysGoIntoTheCurrentVersionOnly(t *testing.T) {
	keep(t, func(v *vault) {
		ctx := t.Context()
		put := func(version int64) error {
			_, err := v.Put(ctx, alice, version, []SessionKey{sessionKey("!a:a.test", "s", "x")})
			return err
		}
		v.refuses("when there is none", put(1), mxerr.NotFound)
		first := v.create()
		second := v.create()
		for _, version := range []int64{first, second + 1, 0} {
			v.refuses("another", put(version), mxerr.WrongRoomKeysVersion)
		}
		v.is("the current one", put(second), nil)
		if err := v.Delete(ctx, alice, second); err != nil {
			t.Fatal(err)
		}
		v.is("the one before, when the last is gone", put(first), nil)
		v.refuses("the one that is gone", put(second), mxerr.WrongRoomKeysVersion)
		if third := v.create(); third <= second {
			t.Errorf("version %d follows %d", third, second)
		}
	})
}

func TestVersionsAreChangedAndDeleted(t *testing.T) {
	keep(t, func(v *vault) {
		ctx := t.Context()
		version := v.create()
		data := canonjson.Value(`{"public_key":"y"}`)
		v.refuses("another algorithm", v.Update(ctx, alice, version, "other", data), mxerr.InvalidParam)
		v.refuses("another version", v.Update(ctx, alice, version+1, algorithm, data), mxerr.NotFound)
		v.refuses("somebody else's", v.Update(ctx, bob, version, algorithm, data), mxerr.NotFound)
		v.is("the same algorithm", v.Update(ctx, alice, version, algorithm, data), nil)
		b, _ := v.Get(ctx, alice, version)
		v.is("changed", b.AuthData, data)
		v.put(version, sessionKey("!a:a.test", "s", "x"))

		v.refuses("deleting what never was", v.Delete(ctx, alice, version+1), mxerr.NotFound)
		v.refuses("deleting somebody else's", v.Delete(ctx, bob, version), mxerr.NotFound)
		v.is("deleting", v.Delete(ctx, alice, version), nil)
		v.is("deleting again", v.Delete(ctx, alice, version), nil)
		_, err := v.Get(ctx, alice, version)
		v.refuses("what was deleted", err, mxerr.NotFound)
		_, err = v.Keys(ctx, alice, version, "")
		v.refuses("keys of what was deleted", err, mxerr.NotFound)
		_, err = v.Remove(ctx, alice, version, "", "")
		v.refuses("removing keys of what was deleted", err, mxerr.NotFound)
		v.refuses("changing what was deleted", v.Update(ctx, alice, version, algorithm, data), mxerr.NotFound)
	})
}

func TestKeysAreRemoved(t *testing.T) {
	keep(t, func(v *vault) {
		version := v.create()
		var keys []SessionKey
		for _, room := range []id.RoomID{"!a:a.test", "!b:a.test"} {
			for i := range removedAtOnce/2 + 600 {
				keys = append(keys, sessionKey(room, fmt.Sprintf("s%04d", i), "x"))
			}
		}
		full := v.put(version, keys...)
		if got := strings.Count(v.all(version, ""), "session_data"); got != len(keys) {
			t.Errorf("got %d keys of %d", got, len(keys))
		}
		remove := func(room id.RoomID, session string, want int) {
			t.Helper()
			s, err := v.Remove(t.Context(), alice, version, room, session)
			if err != nil {
				t.Fatal(err)
			}
			v.is("count", s.Count, want)
			v.is("the etag moves with the count", s.ETag != full.ETag, s.Count != full.Count)
			full = s
		}
		remove("!a:a.test", "s0000", len(keys)-1)
		remove("!a:a.test", "s0000", len(keys)-1)
		remove("!a:a.test", "", len(keys)/2)
		remove("!c:a.test", "", len(keys)/2)
		v.put(version, keys...)
		full, _ = v.Put(t.Context(), alice, version, nil)
		remove("", "", 0)
		v.is("all", v.all(version, ""), `{"rooms":{}}`)
	})
}

func TestBackupsHaveBounds(t *testing.T) {
	keep(t, func(v *vault) {
		ctx := t.Context()
		_, err := v.Create(ctx, alice, algorithm, canonjson.Value(`[]`))
		v.refuses("no object", err, mxerr.BadJSON)
		_, err = v.Create(ctx, alice, "", canonjson.Value(`{}`))
		v.refuses("no algorithm", err, mxerr.InvalidParam)
		_, err = v.Create(ctx, alice, "a\x00", canonjson.Value(`{}`))
		v.refuses("NUL", err, mxerr.InvalidParam)
		_, err = v.Create(ctx, alice, algorithm, canonjson.Value(`{"x":"`+strings.Repeat("x", maxAuthData)+`"}`))
		v.refuses("too large", err, mxerr.TooLarge)
		version := v.create()
		v.maxBytes = 1000
		large := sessionKey("!a:a.test", "s", strings.Repeat("x", 900))
		_, err = v.Put(ctx, alice, version, []SessionKey{large})
		v.refuses("too much", err, mxerr.TooLarge)
		v.put(version, sessionKey("!a:a.test", "s", strings.Repeat("x", 500)))
		_, err = v.Put(ctx, alice, version, []SessionKey{sessionKey("!a:a.test", "t", strings.Repeat("x", 500))})
		v.refuses("too much together", err, mxerr.TooLarge)
		if _, err = v.Remove(ctx, alice, version, "", ""); err != nil {
			t.Fatal(err)
		}
		v.put(version, sessionKey("!a:a.test", "t", strings.Repeat("x", 500)))
		for range maxBackups - 1 {
			version = v.create()
		}
		_, err = v.Create(ctx, alice, algorithm, canonjson.Value(`{}`))
		v.refuses("too many", err, mxerr.TooLarge)
		if err := v.Delete(ctx, alice, version); err != nil {
			t.Fatal(err)
		}
		v.create()
		if err := v.Forget(ctx, alice); err != nil {
			t.Fatal(err)
		}
		_, err = v.Current(ctx, alice)
		v.refuses("what was forgotten", err, mxerr.NotFound)
	})
}

func TestKeysOfSessionsHaveAForm(t *testing.T) {
	const good = `{"first_message_index":1,"forwarded_count":0,"is_verified":true,"session_data":{}}`
	parse := func(session, json string) error {
		_, err := ParseSessionKey("!a:a.test", session, canonjson.Value(json))
		return err
	}
	if err := parse("s", good); err != nil {
		t.Error(err)
	}
	s := &scene{t: t}
	s.refuses("no session", parse("", good), mxerr.InvalidParam)
	s.refuses("NUL", parse("\x00", good), mxerr.InvalidParam)
	s.refuses("a long name", parse(strings.Repeat("s", 256), good), mxerr.InvalidParam)
	for what, json := range map[string]string{"first_message_index": `"1"`, "forwarded_count": `-1`, "is_verified": `0`, "session_data": `"x"`} {
		s.refuses("another "+what, parse("s", string(edit(canonjson.Value(good), json, what))), mxerr.BadJSON)
		s.refuses("no "+what, parse("s", string(edit(canonjson.Value(good), ``, what))), mxerr.BadJSON)
	}
	s.refuses("a fraction", parse("s", string(edit(canonjson.Value(good), `1.5`, "first_message_index"))), mxerr.BadJSON)
	s.refuses("no object", parse("s", `[]`), mxerr.BadJSON)
	large := `{"x":"` + strings.Repeat("x", maxSessionData) + `"}`
	s.refuses("too large", parse("s", string(edit(canonjson.Value(good), large, "session_data"))), mxerr.TooLarge)
}
