package signing

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"

	"parley/matrix/canonjson"
)

// testKey is the signing key of the specification's cryptographic test
// vectors.
func testKey(t testing.TB) Key {
	seed, err := DecodeBase64("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1")
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewKey("ed25519:1", seed)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestSignVectors(t *testing.T) {
	rows := []struct{ name, in, want string }{
		{"an empty object", `{}`,
			`{"signatures":{"domain":{"ed25519:1":"K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ"}}}`},
		{"an object with data", `{"one":1,"two":"Two"}`,
			`{"one":1,"signatures":{"domain":{"ed25519:1":"KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw"}},"two":"Two"}`},
	}
	key := testKey(t)
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			got := Sign(canonjson.Value(r.in), "domain", key)
			if string(got) != r.want {
				t.Errorf("signed %s\nwant   %s", got, r.want)
			}
			if err := Verify(got, "domain", key.ID, key.Public()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestUnsignedIsNotCovered(t *testing.T) {
	key := testKey(t)
	signed := Sign(canonjson.Value(`{"one":1,"unsigned":{"age":1}}`), "domain", key)
	changed := signed.With("unsigned", canonjson.Value(`{"age":2}`))
	if err := Verify(changed, "domain", key.ID, key.Public()); err != nil {
		t.Error(err)
	}
}

func TestSignaturesOfOthersStay(t *testing.T) {
	key := testKey(t)
	object := Sign(canonjson.Value(`{"one":1}`), "first", key)
	object = Sign(object, "second", key)
	for _, name := range []string{"first", "second"} {
		if err := Verify(object, name, key.ID, key.Public()); err != nil {
			t.Error(err)
		}
	}
}

func TestVerifyRefusals(t *testing.T) {
	key := testKey(t)
	signed := Sign(canonjson.Value(`{"one":1}`), "domain", key)
	with := func(signature string) canonjson.Value {
		return signed.With("signatures", canonjson.Value(`{"domain":{"ed25519:1":`+signature+`}}`))
	}
	rows := []struct {
		name   string
		object canonjson.Value
		public ed25519.PublicKey
		want   string
	}{
		{"the object was changed", signed.With("one", canonjson.Value("2")), key.Public(), "does not match"},
		{"another key made it", signed, bytes.Repeat([]byte{7}, 32), "does not match"},
		{"a key of the wrong length", signed, []byte{1, 2}, "2 bytes instead of 32"},
		{"no signatures", canonjson.Value(`{"one":1}`), key.Public(), "no signature of domain"},
		{"signatures are no object", canonjson.Value(`{"signatures":[]}`), key.Public(), "no signature of domain"},
		{"the signature is no string", with("1"), key.Public(), "not a string"},
		{"the signature is no Base64", with(`"!"`), key.Public(), "Base64"},
		{"the signature is short", with(`"Zm9v"`), key.Public(), "3 bytes instead of 64"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			err := Verify(r.object, "domain", key.ID, r.public)
			if err == nil || !strings.Contains(err.Error(), r.want) {
				t.Errorf("got %v, want an error with %q", err, r.want)
			}
		})
	}
}

func TestNewKeyRefusals(t *testing.T) {
	if _, err := NewKey("curve25519:1", make([]byte, 32)); err == nil {
		t.Error("a curve25519 key was made")
	}
	if _, err := NewKey("ed25519:1", make([]byte, 31)); err == nil {
		t.Error("a short seed was accepted")
	}
}

func TestBase64(t *testing.T) {
	for plain, encoded := range map[string]string{
		"": "", "f": "Zg", "fo": "Zm8", "foo": "Zm9v", "foob": "Zm9vYg", "fooba": "Zm9vYmE", "foobar": "Zm9vYmFy",
	} {
		if got := EncodeBase64([]byte(plain)); got != encoded {
			t.Errorf("EncodeBase64(%q) = %q, want %q", plain, got, encoded)
		}
		padded := encoded + strings.Repeat("=", (4-len(encoded)%4)%4)
		for _, s := range []string{encoded, padded} {
			if got, err := DecodeBase64(s); err != nil || string(got) != plain {
				t.Errorf("DecodeBase64(%q) = %q, %v", s, got, err)
			}
		}
	}
	if got, err := DecodeBase64("-_-_"); err != nil || !bytes.Equal(got, []byte{0xfb, 0xff, 0xbf}) {
		t.Errorf("URL-safe Base64 gives %x, %v", got, err)
	}
}

func FuzzVerify(f *testing.F) {
	key := testKey(f)
	f.Add([]byte(Sign(canonjson.Value(`{"one":1}`), "domain", key)))
	f.Add([]byte(`{"signatures":{"domain":{"ed25519:1":"AAAA"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		object, err := canonjson.Canonical(b, canonjson.Strict)
		if err != nil || object.Kind() != canonjson.Object {
			return
		}
		if Verify(Sign(object, "domain", key), "domain", key.ID, key.Public()) != nil {
			t.Fatalf("own signature of %s does not verify", object)
		}
		_ = Verify(object, "domain", key.ID, key.Public())
	})
}
