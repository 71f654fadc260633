package id

import (
	"strings"
	"testing"
)

func TestParseUserID(t *testing.T) {
	testParse(t, KindUserID, ParseUserID, []parseTest{
		{"plain", "@alice:example.org", ""},
		{"server with port", "@alice:example.org:8448", ""},
		{"IPv6 server", "@alice:[::1]:8448", ""},
		{"empty localpart", "@:example.org", ""},
		{"upper case", "@Alice:example.org", ""},
		{"control characters", "@\x01\n\x7f:example.org", ""},
		{"at sign in localpart", "@a@b:example.org", ""},
		{"beyond ASCII", "@Ålice 🦊:example.org", ""},
		{"replacement character itself", "@\uFFFD:example.org", ""},
		{"noncharacter", "@\U0010FFFF:example.org", ""},
		{"255 bytes", "@" + strings.Repeat("a", 242) + ":example.org", ""},

		{"empty", "", "empty"},
		{"256 bytes", "@" + strings.Repeat("a", 243) + ":example.org", "256 bytes long"},
		{"255 characters in more bytes", "@" + strings.Repeat("é", 242) + ":example.org", "497 bytes long"},
		{"no sigil", "alice:example.org", "does not start with '@'"},
		{"other sigil", "!alice:example.org", "does not start with '@'"},
		{"sigil only", "@", "no ':'"},
		{"no server", "@alice", "no ':'"},
		{"empty server", "@alice:", "no host"},
		{"NUL", "@a\x00:example.org", "NUL at byte 2"},
		{"invalid UTF-8", "@é\xff:example.org", "invalid UTF-8 at byte 3"},
		{"encoded surrogate", "@\xed\xa0\x80:example.org", "invalid UTF-8 at byte 1"},
		{"overlong encoding", "@\xc0\xaf:example.org", "invalid UTF-8 at byte 1"},
		{"what follows the first colon is the server", "@a:b_c:example.org", "port at byte 7"},
		{"offsets count from the sigil", "@alice:exam_ple.org", "character '_' at byte 11"},
	})
}

func TestParseStrictUserID(t *testing.T) {
	testParse(t, KindUserID, ParseStrictUserID, []parseTest{
		{"all allowed characters", "@abcdefghijklmnopqrstuvwxyz0123456789-.=_/+:example.org", ""},
		{"empty localpart", "@:example.org", "localpart is empty"},
		{"upper case", "@aB:example.org", "character 'B' at byte 2"},
		{"asterisk", "@a*:example.org", "character '*' at byte 2"},
		{"beyond ASCII", "@å:example.org", "character 'å' at byte 1"},
		{"outside the tolerant grammar", "@a", "no ':'"},
	})
}

func TestUserIDParts(t *testing.T) {
	for _, tt := range []struct {
		in        UserID
		localpart string
		server    ServerName
		compliant bool
	}{
		{"@user:host", "user", "host", true},
		{"@user:host:8448", "user", "host:8448", true},
		{"@user:[::1]:8448", "user", "[::1]:8448", true},
		{"@:host", "", "host", false},
		{"@!~Aa*:host", "!~Aa*", "host", true},
		{"@a b:host", "a b", "host", false},
		{"@a\x7f:host", "a\x7f", "host", false},
		{"@é:host", "é", "host", false},
		{"@user", "", "", false},
	} {
		if l, s, c := tt.in.Localpart(), tt.in.Server(), tt.in.Compliant(); l != tt.localpart || s != tt.server || c != tt.compliant {
			t.Errorf("%q: got %q, %q, compliant %t, want %q, %q, %t", tt.in, l, s, c, tt.localpart, tt.server, tt.compliant)
		}
	}
}

func TestNewUserID(t *testing.T) {
	if got, err := NewUserID("alice", "example.org:8448"); got != "@alice:example.org:8448" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for name, localpart := range map[string]string{
		"empty":                           "",
		"upper case":                      "Alice",
		"colon moves the server boundary": "alice:evil.example",
		"beyond ASCII":                    "é",
		"too long":                        strings.Repeat("a", 250),
	} {
		if got, err := NewUserID(localpart, "example.org"); got != "" || err == nil {
			t.Errorf("%s: got %q, want an error", name, got)
		}
	}
}
