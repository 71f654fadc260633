package id

import (
	"strings"
	"testing"
)

func TestParseRoomID(t *testing.T) {
	testParse(t, KindRoomID, ParseRoomID, []parseTest{
		{"with server", "!abc:example.org", ""},
		{"with server and port", "!abc:example.org:8448", ""},
		{"odd localpart", "!\x01 é/?:example.org", ""},
		{"empty localpart", "!:example.org", ""},
		{"hash", "!" + hash, ""},
		{"opaque text without server", "!x", ""},
		{"255 bytes without server", "!" + strings.Repeat("a", 254), ""},

		{"empty", "", "empty"},
		{"sigil only", "!", "nothing after the sigil"},
		{"event sigil", "$" + hash, "does not start with '!'"},
		{"empty server", "!abc:", "no host"},
		{"bad server", "!abc:a b", "character ' ' at byte 6"},
		{"NUL with server", "!a\x00:b", "NUL at byte 2"},
		{"NUL without server", "!a\x00", "NUL at byte 2"},
		{"invalid UTF-8 without server", "!\xff", "invalid UTF-8 at byte 1"},
		{"256 bytes without server", "!" + strings.Repeat("a", 255), "256 bytes long"},
		{"256 bytes with server", "!" + strings.Repeat("a", 243) + ":example.org", "256 bytes long"},
	})
}

func TestParseRoomAlias(t *testing.T) {
	testParse(t, KindRoomAlias, ParseRoomAlias, []parseTest{
		{"plain", "#general:example.org", ""},
		{"beyond ASCII", "#größe #1:example.org", ""},
		{"empty localpart", "#:example.org", ""},
		{"255 bytes", "#" + strings.Repeat("a", 242) + ":example.org", ""},

		{"empty", "", "empty"},
		{"256 bytes", "#" + strings.Repeat("a", 243) + ":example.org", "256 bytes long"},
		{"no sigil", "general:example.org", "does not start with '#'"},
		{"no server", "#general", "no ':'"},
		{"NUL", "#a\x00:example.org", "NUL at byte 2"},
	})
}

func TestRoomIDParts(t *testing.T) {
	for _, tt := range []struct {
		in        RoomID
		server    ServerName
		hasServer bool
		create    EventID
	}{
		{"!abc:example.org:80", "example.org:80", true, ""},
		{"!" + hash, "", false, "$" + hash},
		{"!", "", false, ""},
	} {
		server, ok := tt.in.Server()
		if server != tt.server || ok != tt.hasServer {
			t.Errorf("%q: got server %q, %t, want %q, %t", tt.in, server, ok, tt.server, tt.hasServer)
		}
		create, ok := tt.in.CreateEventID()
		if create != tt.create || ok != (tt.create != "") {
			t.Errorf("%q: got create event %q, %t, want %q", tt.in, create, ok, tt.create)
		}
		if !ok {
			continue
		}
		if back, ok := create.RoomID(); back != tt.in || !ok {
			t.Errorf("%q: got room %q, %t, want %q", create, back, ok, tt.in)
		}
	}
}

func TestForms(t *testing.T) {
	std := strings.Replace(hash, "0", "+", 1)
	url := strings.Replace(hash, "0", "_", 1)
	for _, tt := range []struct {
		name                         string
		opaque                       string
		qualified, base64, base64URL bool
	}{
		{"server name", "abc:example.org", true, false, false},
		{"hash in either alphabet", hash, false, true, true},
		{"standard alphabet", std, false, true, false},
		{"URL-safe alphabet", url, false, false, true},
		{"42 characters", hash[1:], false, false, false},
		{"44 characters", hash + "A", false, false, false},
		{"padding", hash[1:] + "=", false, false, false},
		{"bits beyond the hash", hash[:42] + "h", false, false, false},
		{"other text", "abc", false, false, false},
		{"nothing", "", false, false, false},
	} {
		want := map[Form]bool{Qualified: tt.qualified, Base64: tt.base64, Base64URL: tt.base64URL}
		for form, want := range want {
			if got := EventID("$" + tt.opaque).HasForm(form); got != want {
				t.Errorf("%s: event ID has form %v: got %t, want %t", tt.name, form, got, want)
			}
			if got := RoomID("!" + tt.opaque).HasForm(form); got != want {
				t.Errorf("%s: room ID has form %v: got %t, want %t", tt.name, form, got, want)
			}
		}
	}
}

func TestNewRoomIdentifiers(t *testing.T) {
	if got, err := NewRoomID("abc", "example.org"); got != "!abc:example.org" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := NewRoomAlias("größe", "example.org"); got != "#größe:example.org" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := NewEventID("abc", "example.org"); got != "$abc:example.org" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for name, localpart := range map[string]string{"empty": "", "colon": "a:b", "NUL": "\x00", "invalid UTF-8": "\xff"} {
		if got, err := NewRoomAlias(localpart, "example.org"); got != "" || err == nil {
			t.Errorf("%s: got %q, want an error", name, got)
		}
	}
}
