package xmatrix_test

import (
	"bytes"
	"strings"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/signing"
	"parley/matrix/xmatrix"
)

func key(t testing.TB) signing.Key {
	t.Helper()
	k, err := signing.NewKey("ed25519:1", bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func request() xmatrix.Request {
	return xmatrix.Request{
		Method: "PUT", URI: "/_matrix/federation/v1/send/1?a=%20b", Origin: "origin.test", Destination: "destination.test:8448",
		Content: canonjson.Value(`{"pdus":[]}`),
	}
}

func TestWhatIsSignedVerifies(t *testing.T) {
	for name, change := range map[string]func(*xmatrix.Request){
		"as it is":              func(*xmatrix.Request) {},
		"without content":       func(r *xmatrix.Request) { r.Content = nil },
		"without a destination": func(r *xmatrix.Request) { r.Destination = "" },
		"to an IPv6 address":    func(r *xmatrix.Request) { r.Destination = "[::1]:8448" },
	} {
		r := request()
		change(&r)
		c, err := xmatrix.Parse(r.Sign(key(t)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := r.Verify(c, key(t).Public()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestASignatureCoversAllOfTheRequest(t *testing.T) {
	signed, err := xmatrix.Parse(request().Sign(key(t)))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*xmatrix.Request, *xmatrix.Credentials){
		"method":      func(r *xmatrix.Request, _ *xmatrix.Credentials) { r.Method = "POST" },
		"target":      func(r *xmatrix.Request, _ *xmatrix.Credentials) { r.URI += "&c" },
		"content":     func(r *xmatrix.Request, _ *xmatrix.Credentials) { r.Content = canonjson.Value(`{}`) },
		"no content":  func(r *xmatrix.Request, _ *xmatrix.Credentials) { r.Content = nil },
		"destination": func(r *xmatrix.Request, c *xmatrix.Credentials) { r.Destination, c.Destination = "x.test", "x.test" },
		"origin":      func(r *xmatrix.Request, c *xmatrix.Credentials) { r.Origin, c.Origin = "x.test", "x.test" },
		"header only": func(_ *xmatrix.Request, c *xmatrix.Credentials) { c.Destination = "x.test" },
		"signature":   func(_ *xmatrix.Request, c *xmatrix.Credentials) { c.Signature = strings.Repeat("A", 86) },
		"no base64":   func(_ *xmatrix.Request, c *xmatrix.Credentials) { c.Signature = "?" },
	} {
		r, c := request(), signed
		change(&r, &c)
		if r.Verify(c, key(t).Public()) == nil {
			t.Errorf("the signature is good for another %s", name)
		}
	}
}

func TestHeadersAreReadAsTheGrammarAllows(t *testing.T) {
	want := xmatrix.Credentials{Origin: "a.test:8448", Destination: "b.test", Key: "ed25519:1", Signature: "ABC+/="}
	old := want
	old.Destination = ""
	for header, want := range map[string]xmatrix.Credentials{
		want.String(): want,
		`X-Matrix origin=a.test:8448,destination=b.test,key=ed25519:1,sig=ABC+/=`:                      want,
		`x-matrix  sig="ABC+/=" , key="ed25519:1",destination="b.test"	,origin="a.test:8448"`:          want,
		`X-Matrix ,, ORIGIN = "a.test:8448", Destination="b.test", key="ed25519:1",sig="ABC+/=",`:      want,
		`X-Matrix origin="a\.test:8448",destination="b.test",key="ed25519:1",sig="ABC+/=",new="\"a,b"`: want,
		`X-Matrix origin="a.test:8448",key="ed25519:1",sig="ABC+/="`:                                   old,
	} {
		got, err := xmatrix.Parse(header)
		if err != nil {
			t.Errorf("%s: %v", header, err)
		} else if got != want {
			t.Errorf("%s: got %+v, want %+v", header, got, want)
		}
	}
}

func TestOtherHeadersAreRefused(t *testing.T) {
	for _, header := range []string{
		"", "Bearer abc", "X-Matrix", `X-Matrixorigin="a"`, "X-Matrix =",
		`X-Matrix origin="a.test",key="ed25519:1"`,
		`X-Matrix origin="a.test",sig="A"`,
		`X-Matrix key="ed25519:1",sig="A"`,
		`X-Matrix origin="a b",key="ed25519:1",sig="A"`,
		`X-Matrix origin="a.test",destination="",key="ed25519:1",sig="A"`,
		`X-Matrix origin="a.test",key="nothing",sig="A"`,
		`X-Matrix origin="a.test" key="ed25519:1",sig="A"`,
		`X-Matrix origin="a.test",origin="b.test",key="ed25519:1",sig="A"`,
		`X-Matrix origin="a.test",key="ed25519:1",sig="A`,
		`X-Matrix origin="a.test",key="ed25519:1",sig="A\`,
		`X-Matrix origin=,key="ed25519:1",sig="A"`,
	} {
		if c, err := xmatrix.Parse(header); err == nil {
			t.Errorf("%s: got %+v", header, c)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(request().Sign(key(f)))
	f.Add(`x-matrix origin=a.test:8448 , sig="\"", key=ed25519:1,, new=[::1]`)
	f.Fuzz(func(t *testing.T, header string) {
		c, err := xmatrix.Parse(header)
		if err != nil || strings.ContainsAny(c.Signature, `"\`) {
			return
		}
		if again, err := xmatrix.Parse(c.String()); err != nil || again != c {
			t.Errorf("%q was read as %+v, which is written as %q and read as %+v, %v", header, c, c.String(), again, err)
		}
		if _, err := id.ParseServerName(string(c.Origin)); err != nil {
			t.Error(err)
		}
	})
}
