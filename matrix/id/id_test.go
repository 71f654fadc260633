package id

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// A parseTest gives the reason of the refusal, or a part of it; an empty reason
// means that the input is valid.
type parseTest struct {
	name   string
	in     string
	reason string
}

// testParse checks that valid inputs come back unchanged and that the others
// are refused with an error that shows kind, input and reason.
func testParse[T ~string](t *testing.T, kind Kind, parse func(string) (T, error), tests []parseTest) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Helper()
			got, err := parse(tt.in)
			if tt.reason == "" {
				if err != nil || string(got) != tt.in {
					t.Fatalf("parsing %q: got %q, %v, want it accepted unchanged", tt.in, got, err)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("parsing %q: got %q, %v, want an *Error", tt.in, got, err)
			}
			if got != "" || e.Kind != kind || !strings.Contains(e.Reason, tt.reason) {
				t.Errorf("parsing %q: got %q, %s: %s, want %s: %s", tt.in, got, e.Kind, e.Reason, kind, tt.reason)
			}
		})
	}
}

// hash is the text of a reference hash that both base64 alphabets can express.
const hash = "Rqnc0F0dvnEYJTyHq0iKxU2bZ1CI920kuZq3a5lr5Zg"

func TestErrorQuotesAndCutsHostileInput(t *testing.T) {
	_, err := ParseUserID("@a\x00\n:b")
	if got, want := err.Error(), `invalid user ID "@a\x00\n:b": NUL at byte 2`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	long := "@" + strings.Repeat("é", 5000)
	_, err = ParseUserID(long)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error", err)
	}
	if len(e.Input) > displayLength+len("…") || !strings.HasSuffix(e.Input, "é…") || !utf8.ValidString(e.Input) {
		t.Errorf("got input %q, want whole characters of at most %d bytes and an ellipsis", e.Input, displayLength)
	}
}

func TestNamespacedAndOpaqueGrammars(t *testing.T) {
	for _, tt := range []struct {
		name               string
		in                 string
		namespaced, opaque bool
	}{
		{"empty", "", false, false},
		{"one letter", "a", true, true},
		{"reverse domain", "com.example.some-thing_2", true, true},
		{"digit first", "2a", false, true},
		{"dot first", ".a", false, true},
		{"upper case", "aB", false, true},
		{"tilde", "a~b", false, true},
		{"slash", "a/b", false, false},
		{"beyond ASCII", "é", false, false},
		{"255 bytes", strings.Repeat("a", 255), true, true},
		{"256 bytes", strings.Repeat("a", 256), false, false},
	} {
		if got := IsNamespaced(tt.in); got != tt.namespaced {
			t.Errorf("%s: IsNamespaced(%q) = %t", tt.name, tt.in, got)
		}
		if got := IsOpaque(tt.in); got != tt.opaque {
			t.Errorf("%s: IsOpaque(%q) = %t", tt.name, tt.in, got)
		}
	}
}

// Every accessor must survive values that no parser has seen.
func TestAccessorsOfUnparsedValues(t *testing.T) {
	for _, s := range []string{"", "@", "!", "$", "#", ":", "@:", "!:", "$:", "#:", "[", "]", "[]", "[:", "[]:", "mxc://", "mxc:///", "\x00", "\xff", "é"} {
		exercise(s)
	}
	if got := UserID("alice:example.org").Localpart(); got != "" {
		t.Errorf("localpart without sigil: got %q, want none", got)
	}
	if got, ok := RoomID("$" + hash).CreateEventID(); ok {
		t.Errorf("create event of an event ID: got %q, want none", got)
	}
	if got := KeyID("ed25519").Algorithm(); got != "" {
		t.Errorf("algorithm without version: got %q, want none", got)
	}
}

// exercise calls every accessor of every type on s.
func exercise(s string) {
	n := ServerName(s)
	_, _ = n.Addr()
	_, _, _ = n.Host(), n.Port(), n.IsIPLiteral()
	u := UserID(s)
	_, _, _ = u.Localpart(), u.Server(), u.Compliant()
	r := RoomID(s)
	_, _ = r.Server()
	_, _ = r.CreateEventID()
	a := RoomAlias(s)
	_, _ = a.Localpart(), a.Server()
	e := EventID(s)
	_, _ = e.Server()
	_, _ = e.RoomID()
	for f := range Form(4) {
		_, _ = r.HasForm(f), e.HasForm(f)
	}
	k := KeyID(s)
	_, _ = k.Algorithm(), k.Version()
	c := ContentURI(s)
	_, _ = c.Server(), c.MediaID()
}

func TestParsingValidInputAllocatesNothing(t *testing.T) {
	for name, f := range map[string]func() error{
		"server name":        func() error { _, err := ParseServerName("matrix.example.org:8448"); return err },
		"IPv4 server name":   func() error { _, err := ParseServerName("192.0.2.1:8448"); return err },
		"IPv6 server name":   func() error { _, err := ParseServerName("[2001:db8::1]:8448"); return err },
		"strict server name": func() error { _, err := ParseStrictServerName("matrix.example.org:8448"); return err },
		"user ID":            func() error { _, err := ParseUserID("@Älice:example.org:8448"); return err },
		"strict user ID":     func() error { _, err := ParseStrictUserID("@alice:example.org"); return err },
		"room ID":            func() error { _, err := ParseRoomID("!abc:example.org"); return err },
		"hashed room ID":     func() error { _, err := ParseRoomID("!" + hash); return err },
		"room alias":         func() error { _, err := ParseRoomAlias("#general:example.org"); return err },
		"event ID":           func() error { _, err := ParseEventID("$" + hash); return err },
		"key ID":             func() error { _, err := ParseKeyID("ed25519:a_1"); return err },
		"strict key ID":      func() error { _, err := ParseStrictKeyID("ed25519:a_1"); return err },
		"content URI":        func() error { _, err := ParseContentURI("mxc://example.org/abc-DEF_1"); return err },
		"device ID":          func() error { _, err := ParseDeviceID("JLAFKJWSCS"); return err },
		"strict device ID":   func() error { _, err := ParseStrictDeviceID("JLAFKJWSCS"); return err },
	} {
		var err error
		if n := testing.AllocsPerRun(100, func() { err = f() }); n != 0 || err != nil {
			t.Errorf("%s: %v allocations, error %v, want none", name, n, err)
		}
	}
}
