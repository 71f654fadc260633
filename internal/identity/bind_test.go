package identity

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
	"parley/matrix/signing"
	"parley/matrix/xmatrix"
)

func TestBind(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   mxerr.Code // empty: it is bound
	}{
		{"it is bound", 200, `{"address":"bob@example.org","medium":"email","mxid":"@bob:a.test"}`, ""},
		{"no address", 200, `{}`, mxerr.BadStatus},
		{"a NUL", 200, `{"address":"bob\u0000@example.org","medium":"email"}`, mxerr.BadStatus},
		{"another medium", 200, `{"address":"1","medium":"fax"}`, mxerr.BadStatus},
		{"no JSON", 200, `<html>`, mxerr.BadStatus},
		{"not validated", 400, `{"errcode":"M_SESSION_NOT_VALIDATED"}`, mxerr.SessionNotValidated},
		{"too old", 400, `{"errcode":"M_SESSION_EXPIRED"}`, mxerr.SessionExpired},
		{"not known", 404, `{"errcode":"M_NO_VALID_SESSION"}`, mxerr.NoValidSession},
		{"terms", 403, `{"errcode":"M_TERMS_NOT_SIGNED"}`, mxerr.TermsNotSigned},
		{"a bad token", 401, `{"errcode":"M_UNAUTHORIZED"}`, mxerr.ThreePIDAuthFailed},
		{"a fault", 500, ``, mxerr.BadStatus},
	} {
		f := newFake(t)
		f.answers["3pid/bind"] = []answer{{tt.status, tt.body}}
		medium, address, err := f.Bind(t.Context(), Binding{f.name, "secret", "sid", "s3cret"}, "@bob:a.test")
		if (err == nil) != (tt.want == "") || err != nil && !errors.Is(err, tt.want) || err == nil && medium+address != "emailbob@example.org" {
			t.Errorf("%s: got %s %s, %v", tt.name, medium, address, err)
		}
		const want = `POST 3pid/bind? Bearer secret {"client_secret":"s3cret","mxid":"@bob:a.test","sid":"sid"}`
		if len(f.asked) != 1 || f.asked[0] != want {
			t.Errorf("%s: asked %q", tt.name, f.asked)
		}
	}
	f := newFake(t)
	for _, b := range []Binding{{}, {f.name, "", "sid", "s"}, {f.name, "a\nb", "sid", "s"}, {f.name, "secret", "", "s"}, {f.name, "secret", "sid", ""}} {
		if _, _, err := f.Bind(t.Context(), b, "@bob:a.test"); err == nil {
			t.Errorf("%+v: bound", b)
		}
	}
	if len(f.asked) != 0 {
		t.Errorf("asked %q", f.asked)
	}
}

func TestUnbind(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		done   bool
		want   mxerr.Code
	}{
		{"it is unbound", 200, `{}`, true, ""},
		{"not even JSON", 200, ``, true, ""},
		{"it does no such thing", 404, `not found`, false, ""},
		{"nor does this", 501, ``, false, ""},
		{"nor this", 400, `{}`, false, ""},
		{"it has no such path", 404, `{"errcode":"M_UNRECOGNIZED"}`, false, ""},
		{"it will not", 403, `{"errcode":"M_FORBIDDEN"}`, false, mxerr.Forbidden},
		{"it does not know the server", 401, ``, false, mxerr.Forbidden},
		{"terms", 403, `{"errcode":"M_TERMS_NOT_SIGNED"}`, false, mxerr.TermsNotSigned},
		{"a fault", 500, ``, false, mxerr.BadStatus},
	} {
		f := newFake(t)
		f.answers["3pid/unbind"] = []answer{{tt.status, tt.body}}
		done, err := f.Unbind(t.Context(), f.name, "@bob:a.test", "email", "bob@example.org")
		if done != tt.done || (err == nil) != (tt.want == "") || err != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: got %t, %v", tt.name, done, err)
		}
		if len(f.asked) != 1 {
			t.Fatalf("%s: asked %q", tt.name, f.asked)
		}
		const body = `{"mxid":"@bob:a.test","threepid":{"address":"bob@example.org","medium":"email"}}`
		header := strings.TrimSuffix(strings.TrimPrefix(f.asked[0], "POST 3pid/unbind? "), " "+body)
		c, err := xmatrix.Parse(header)
		if err != nil {
			t.Fatalf("%s: asked %q: %v", tt.name, f.asked, err)
		}
		seed := sha256.Sum256([]byte("here"))
		key, err := signing.NewKey("ed25519:0", seed[:])
		if err != nil {
			t.Fatal(err)
		}
		signed := xmatrix.Request{
			Method: "POST", URI: "/_matrix/identity/v2/3pid/unbind", Origin: "a.test", Destination: f.name, Content: canonjson.Value(body),
		}
		if err := signed.Verify(c, key.Private.Public().(ed25519.PublicKey)); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
