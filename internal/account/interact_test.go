package account

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

func TestFlows(t *testing.T) {
	const a, b, c Stage = "a", "b", "c"
	f := flows{{a, b}, {a, c}, {b}}
	for _, row := range []struct {
		completed []Stage
		done      bool
		next      []Stage
	}{
		{nil, false, []Stage{a, b}},
		{[]Stage{a}, false, []Stage{b, c}},
		{[]Stage{b}, true, nil},
		{[]Stage{a, b}, true, nil},
		{[]Stage{c}, false, nil},
		{[]Stage{b, a}, false, nil},
	} {
		if got := f.done(row.completed); got != row.done {
			t.Errorf("%v is done: %t, want %t", row.completed, got, row.done)
		}
		var next []Stage
		for _, stage := range []Stage{a, b, c} {
			if f.next(row.completed, stage) {
				next = append(next, stage)
			}
		}
		if !slices.Equal(next, row.next) {
			t.Errorf("after %v come %v, want %v", row.completed, next, row.next)
		}
	}
}

func TestChallenge(t *testing.T) {
	f := flows{{StageDummy}, {StageRegistrationToken, StageDummy}}
	for _, row := range []struct {
		name      string
		completed []Stage
		refusal   *mxerr.Error
		want      string
	}{
		{"at first", nil, nil, `{"flows":[{"stages":["m.login.dummy"]},{"stages":["m.login.registration_token","m.login.dummy"]}],"params":{},"session":"S"}`},
		{"with something done", []Stage{StageRegistrationToken}, nil,
			`{"completed":["m.login.registration_token"],"flows":[{"stages":["m.login.dummy"]},{"stages":["m.login.registration_token","m.login.dummy"]}],"params":{},"session":"S"}`},
	} {
		e := f.challenge("S", row.completed, Interaction{}, row.refusal)
		got, err := json.Marshal(e.Fields)
		if err != nil || string(got) != row.want || e.Status != 401 || e.Code != "" {
			t.Errorf("%s: got %d %s %s, %v, want %s", row.name, e.Status, e.Code, got, err, row.want)
		}
	}
	e := f.challenge("S", nil, Interaction{}, mxerr.New(mxerr.Forbidden, "No"))
	if e.Status != 401 || e.Code != mxerr.Forbidden || e.Message != "No" || e.Fields["session"] != "S" {
		t.Errorf("after a refusal: got %+v", e)
	}
}

// body makes canonical JSON of what is written loosely.
func body(s string, args ...any) canonjson.Value {
	v, err := canonjson.Canonical(fmt.Appendf(nil, s, args...), canonjson.Lenient)
	if err != nil {
		panic(err)
	}
	return v
}

// challenged returns the session of the challenge that an error must be.
func (h house) challenged(err error, code mxerr.Code) string {
	h.t.Helper()
	e := (*mxerr.Error)(nil)
	if !errors.As(err, &e) || e.Status != 401 || e.Code != code || e.Fields["session"] == nil {
		h.t.Fatalf("got %v, want a challenge with code %q", err, code)
	}
	return e.Fields["session"].(string)
}

func TestAUserConfirmsWithAPassword(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		h.create(alice)
		h.create(bob)
		i := Interaction{Operation: "x", User: alice, Flows: []Flow{{StagePassword}}}
		interact := func(s string, args ...any) (Confirmed, error) {
			i.Body = body(s, args...)
			return h.Interact(ctx, i)
		}
		_, err := interact(`{"a":1}`)
		session := h.challenged(err, "")
		for name, auth := range map[string]string{
			"a wrong password":           `{"type":"m.login.password","user":"alice","password":"x"}`,
			"no password":                `{"type":"m.login.password","user":"alice"}`,
			"another's password":         `{"type":"m.login.password","user":"bob","password":"correct horse"}`,
			"another server's user":      `{"type":"m.login.password","user":"@alice:b.test","password":"correct horse"}`,
			"a mail address":             `{"type":"m.login.password","identifier":{"type":"m.id.thirdparty","medium":"email","address":"a@a.test"}}`,
			"a stage that is not wanted": `{"type":"m.login.dummy"}`,
			"a stage that there is not":  `{"type":"m.login.magic"}`,
		} {
			_, err := interact(`{"auth":%s}`, string(body("%s", auth).With("session", canonjson.Text(session))))
			if got := h.challenged(err, mxerr.Forbidden); got != session {
				t.Errorf("%s: another session", name)
			}
		}
		_, err = interact(`{"auth":{"session":%q}}`, session)
		h.challenged(err, "")
		done, err := interact(`{"b":2,"auth":{"session":%q,"type":"m.login.password","identifier":{"type":"m.id.user","user":"@alice:a.test"},"password":%q}}`,
			session, secret)
		if err != nil || done.User != alice || string(done.Body) != `{"a":1,"b":2}` {
			t.Errorf("got %+v, %v", done, err)
		}
		_, err = interact(`{"auth":{"session":%q,"type":"m.login.password","user":"alice","password":%q}}`, session, secret)
		if got := h.challenged(err, mxerr.Unknown); got == session {
			t.Error("the session can be used again")
		}
		// Some clients know what will be asked.
		if done, err = interact(`{"auth":{"type":"m.login.password","password":%q}}`, secret); err != nil || done.User != alice {
			t.Errorf("with the password at once: got %+v, %v", done, err)
		}
		// Whoever has no token is known by the password.
		i.User = ""
		if done, err = interact(`{"auth":{"type":"m.login.password","user":"bob","password":%q}}`, secret); err != nil || done.User != bob {
			t.Errorf("without a token: got %+v, %v", done, err)
		}
	})
}

func TestASessionIsForOneOperationOfOneUser(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		i := Interaction{Operation: "x", User: alice, Flows: []Flow{{StageDummy}}}
		_, err := h.Interact(ctx, i)
		i.Body = body(`{"auth":{"session":%q,"type":"m.login.dummy"}}`, h.challenged(err, ""))
		for _, other := range []Interaction{{Operation: "y", User: alice}, {Operation: "x", User: bob}, {Operation: "x"}} {
			other.Flows, other.Body = i.Flows, i.Body
			_, err := h.Interact(ctx, other)
			if e := (*mxerr.Error)(nil); !errors.As(err, &e) || e.Status != 403 || e.Code != mxerr.Forbidden {
				t.Errorf("%s by %q: got %v", other.Operation, other.User, err)
			}
		}
		if _, err := h.Interact(ctx, i); err != nil {
			t.Error(err)
		}
	})
}

func TestStagesAreDoneInOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		h.create(alice)
		_, err := h.CreateRegistrationToken(ctx, RegistrationToken{Token: "t"})
		h.must(err)
		i := Interaction{Operation: "x", Flows: []Flow{{StagePassword, StageRegistrationToken, StageDummy}}}
		session := ""
		for _, row := range []struct {
			auth      string
			code      mxerr.Code
			completed int
		}{
			{`{}`, "", 0},
			{`{"type":"m.login.dummy"}`, mxerr.Forbidden, 0},
			{`{"type":"m.login.password","user":"alice","password":"correct horse"}`, "", 1},
			{`{"type":"m.login.password","user":"alice","password":"correct horse"}`, "", 1}, // is not tried again
			{`{"type":"m.login.registration_token","token":"u"}`, mxerr.Forbidden, 1},
			{`{"type":"m.login.registration_token","token":"t"}`, "", 2},
		} {
			auth := body("%s", row.auth)
			if session != "" {
				auth = auth.With("session", canonjson.Text(session))
			}
			i.Body = body(`{"auth":%s}`, auth)
			_, err := h.Interact(ctx, i)
			session = h.challenged(err, row.code)
			e := (*mxerr.Error)(nil)
			errors.As(err, &e)
			completed, _ := e.Fields["completed"].([]Stage)
			if len(completed) != row.completed {
				t.Errorf("%s: completed are %v, want %d", row.auth, completed, row.completed)
			}
		}
		i.Body = body(`{"auth":{"session":%q,"type":"m.login.dummy"}}`, session)
		done, err := h.Interact(ctx, i)
		if err != nil || done.User != alice || done.Token != "t" {
			t.Errorf("got %+v, %v", done, err)
		}
	})
}

func TestANewPasswordIsRememberedAsItsHash(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		i := Interaction{Operation: "register", Flows: []Flow{{StageDummy}}, Secret: "password"}
		i.Body = body(`{"username":"alice","password":"short"}`)
		_, err := h.Interact(ctx, i)
		h.refused(err, mxerr.WeakPassword)
		i.Body = body(`{"username":"alice","password":%q}`, secret)
		_, err = h.Interact(ctx, i)
		session := h.challenged(err, "")
		var stored []byte
		h.must(db.View(ctx, func(tx *store.Tx) error {
			return tx.Row("SELECT request FROM auth_sessions WHERE session = $1", session).Scan(&stored)
		}))
		if strings.Contains(string(stored), secret) {
			t.Errorf("stored is %s", stored)
		}
		i.Body = body(`{"auth":{"session":%q,"type":"m.login.dummy"}}`, session)
		done, err := h.Interact(ctx, i)
		if err != nil || string(done.Body) != `{"username":"alice"}` {
			t.Fatalf("got %+v, %v", done, err)
		}
		_, err = h.Create(ctx, NewAccount{Localpart: "alice", Password: done.Password})
		h.must(err)
		_, err = h.CheckPassword(ctx, alice, secret)
		h.must(err)
	})
}

func TestOneOfSeveralRequestsCompletesASession(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		i := Interaction{Operation: "x", Flows: []Flow{{StageDummy}}}
		_, err := h.Interact(ctx, i)
		i.Body = body(`{"auth":{"session":%q,"type":"m.login.dummy"}}`, h.challenged(err, ""))
		var done atomic.Int64
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				_, err := h.Interact(ctx, i)
				if e := (*mxerr.Error)(nil); err == nil {
					done.Add(1)
				} else if !errors.As(err, &e) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if done.Load() != 1 {
			t.Errorf("%d requests completed it", done.Load())
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	location := t.TempDir() + "/parley.db"
	synctest.Test(t, func(t *testing.T) {
		h := open(t, storetest.Open(t, location), Options{})
		i := Interaction{Operation: "x", Flows: []Flow{{StageDummy}}}
		_, err := h.Interact(ctx, i)
		i.Body = body(`{"auth":{"session":%q,"type":"m.login.dummy"}}`, h.challenged(err, ""))
		time.Sleep(sessionLength)
		_, err = h.Interact(ctx, i)
		h.challenged(err, mxerr.Unknown)
		h.must(h.forgetInteractions(ctx))
		var left int
		h.must(h.db.View(ctx, func(tx *store.Tx) error { return tx.Row("SELECT count(*) FROM auth_sessions").Scan(&left) }))
		if left != 1 {
			t.Errorf("%d sessions are left, want the new one", left)
		}
		h.db.Close()
	})
}

func TestMalformedInteractions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		h.create(alice)
		for _, row := range []struct {
			body string
			code mxerr.Code
		}{
			{`{"auth":1}`, mxerr.BadJSON},
			{`{"auth":[]}`, mxerr.BadJSON},
			{`{"auth":{"session":1}}`, mxerr.BadJSON},
			{`{"auth":{"session":"\u0000"}}`, mxerr.BadJSON},
			{`{"auth":{"type":{}}}`, mxerr.BadJSON},
			{`{"auth":{"type":"m.login.password","identifier":1}}`, mxerr.BadJSON},
			{`{"auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":1}}}`, mxerr.BadJSON},
			{`{"auth":{"type":"m.login.password","user":"\u0000","password":"x"}}`, mxerr.BadJSON},
			{`{"auth":{"type":"m.login.password","user":"alice","password":1}}`, mxerr.BadJSON},
			{`{"new":1}`, mxerr.BadJSON},
			{`{"auth":null}`, ""},
			{`{"auth":{}}`, ""},
			{`{"auth":{"session":"gone"}}`, mxerr.Unknown},
			{`{"a":"` + strings.Repeat("x", maxInteraction) + `"}`, mxerr.TooLarge},
		} {
			_, err := h.Interact(ctx, Interaction{Operation: "x", Flows: []Flow{{StagePassword}}, Body: body("%s", row.body), Secret: "new"})
			if e := (*mxerr.Error)(nil); !errors.As(err, &e) || e.Code != row.code {
				t.Errorf("%.80s: got %v, want %q", row.body, err, row.code)
			}
		}
	})
}

func FuzzReadAttempt(f *testing.F) {
	for _, s := range []string{`{}`, `{"auth":{"session":"x","type":"m.login.dummy"},"b":1}`, `{"auth":null}`, `{"a":[],"auth":{"type":7}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := canonjson.Canonical([]byte(s), canonjson.Lenient)
		if err != nil || v.Kind() != canonjson.Object {
			return
		}
		request, _, err := readAttempt(v)
		if err != nil {
			return
		}
		if !canonjson.IsCanonical(request, canonjson.Lenient) || request.Get("auth") != nil {
			t.Errorf("%s leaves %s", v, request)
		}
		both, err := merge(request, v)
		if err != nil || string(both) != string(v) {
			t.Errorf("%s and %s together are %s, %v", request, v, both, err)
		}
	})
}
