package id

import (
	"strings"
	"testing"
)

// Each parser at a usual size and, where it differs, at the greatest.
func BenchmarkParse(b *testing.B) {
	for _, bb := range []struct {
		name  string
		in    string
		parse func(string) error
	}{
		{"server/dns", "matrix.example.org:8448", func(s string) error { _, err := ParseServerName(s); return err }},
		{"server/ipv4", "192.0.2.1:8448", func(s string) error { _, err := ParseServerName(s); return err }},
		{"server/ipv6", "[2001:db8::1]:8448", func(s string) error { _, err := ParseServerName(s); return err }},
		{"server/255", strings.Repeat("a", 255), func(s string) error { _, err := ParseServerName(s); return err }},
		{"user/usual", "@alice:matrix.example.org", func(s string) error { _, err := ParseUserID(s); return err }},
		{"user/255", "@" + strings.Repeat("é", 121) + ":example.org", func(s string) error { _, err := ParseUserID(s); return err }},
		{"user/strict", "@alice:matrix.example.org", func(s string) error { _, err := ParseStrictUserID(s); return err }},
		{"room/hash", "!" + hash, func(s string) error { _, err := ParseRoomID(s); return err }},
		{"event/hash", "$" + hash, func(s string) error { _, err := ParseEventID(s); return err }},
		{"key", "ed25519:a_RXGa", func(s string) error { _, err := ParseKeyID(s); return err }},
		{"content", "mxc://matrix.example.org/FHyPlCeYUSFFxlgbQYZmoEoe", func(s string) error { _, err := ParseContentURI(s); return err }},
		{"refused/1MB", strings.Repeat("@", 1<<20), func(s string) error {
			if _, err := ParseUserID(s); err == nil {
				b.Fatal("accepted")
			}
			return nil
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := bb.parse(bb.in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
