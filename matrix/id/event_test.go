package id

import (
	"strings"
	"testing"
)

func TestParseEventID(t *testing.T) {
	testParse(t, KindEventID, ParseEventID, []parseTest{
		{"room version 1", "$143273582443PhrSn:example.org", ""},
		{"room version 3", "$acR1l0raoZnm60CBwAVgqbZqoO/mYU81xysh1u7XcJk", ""},
		{"room version 4", "$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg", ""},
		{"unknown opaque text", "$x y", ""},
		{"255 bytes", "$" + strings.Repeat("a", 254), ""},

		{"empty", "", "empty"},
		{"sigil only", "$", "nothing after the sigil"},
		{"room sigil", "!" + hash, "does not start with '$'"},
		{"empty server", "$abc:", "no host"},
		{"NUL", "$\x00", "NUL at byte 1"},
		{"256 bytes", "$" + strings.Repeat("a", 255), "256 bytes long"},
	})
}

func TestEventIDServer(t *testing.T) {
	if got, ok := EventID("$abc:example.org:80").Server(); got != "example.org:80" || !ok {
		t.Errorf("got %q, %t", got, ok)
	}
	if got, ok := EventID("$" + hash).Server(); got != "" || ok {
		t.Errorf("got %q, %t, want none", got, ok)
	}
	if got, ok := EventID("$abc:example.org").RoomID(); got != "" || ok {
		t.Errorf("got room %q, %t, want none", got, ok)
	}
}
