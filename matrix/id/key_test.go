package id

import (
	"strings"
	"testing"
)

func TestParseKeyID(t *testing.T) {
	testParse(t, KindKeyID, ParseKeyID, []parseTest{
		{"server key", "ed25519:auto", ""},
		{"policy server key", "ed25519:policy_server", ""},
		{"device key", "curve25519:JLAFKJ-WSCS~", ""},
		{"cross-signing key", "ed25519:ilFPhUO1/DSbk4y0+5kHZ0qGPBnq0wXSBMZ5xYKmzkE", ""},
		{"colon in version", "ed25519:a:b", ""},
		{"255 bytes", "a:" + strings.Repeat("b", 253), ""},

		{"empty", "", "empty"},
		{"256 bytes", "a:" + strings.Repeat("b", 254), "256 bytes long"},
		{"no colon", "ed25519", "no ':'"},
		{"no algorithm", ":auto", "algorithm is empty"},
		{"no version", "ed25519:", "version is empty"},
		{"NUL", "ed25519:\x00", "NUL at byte 8"},
		{"invalid UTF-8", "\xff:1", "invalid UTF-8 at byte 0"},
	})
}

func TestParseStrictKeyID(t *testing.T) {
	testParse(t, KindKeyID, ParseStrictKeyID, []parseTest{
		{"all kinds of characters", "ed25519:aZ09_", ""},
		{"hyphen", "ed25519:a-b", "character '-' at byte 9 is not allowed in a version"},
		{"colon in version", "ed25519:a:b", "character ':' at byte 9"},
		{"no version", "ed25519:", "version is empty"},
	})
}

func TestKeyIDParts(t *testing.T) {
	k, err := NewKeyID("ed25519", "a_1")
	if err != nil || k.Algorithm() != "ed25519" || k.Version() != "a_1" {
		t.Errorf("got %q of %q and %q, %v", k, k.Algorithm(), k.Version(), err)
	}
	if k := KeyID("ed25519:a:b"); k.Algorithm() != "ed25519" || k.Version() != "a:b" {
		t.Errorf("%q: got %q and %q, want the first colon to separate", k, k.Algorithm(), k.Version())
	}
	if k, err := NewKeyID("ed25519", "not allowed"); err == nil {
		t.Errorf("got %q, want an error", k)
	}
}
