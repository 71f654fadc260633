package id

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParseServerName(t *testing.T) {
	testParse(t, KindServerName, ParseServerName, []parseTest{
		{"DNS name", "matrix.org", ""},
		{"DNS name with port", "matrix.org:8888", ""},
		{"IPv4", "1.2.3.4", ""},
		{"IPv4 with port", "1.2.3.4:1234", ""},
		{"IPv6", "[1234:5678::abcd]", ""},
		{"IPv6 with port", "[1234:5678::abcd]:5678", ""},
		{"IPv6 with embedded IPv4", "[::ffff:192.0.2.1]", ""},
		{"IPv6 in upper case", "[2001:DB8::A]", ""},
		{"shortest IPv6", "[::]", ""},
		{"single label", "localhost", ""},
		{"upper case", "MATRIX.org", ""},
		{"odd but in the grammar", "-a..b-.", ""},
		{"port beyond 65535", "a:99999", ""},
		{"port with leading zeros", "a:00001", ""},
		{"highest IPv4", "255.255.255.255", ""},
		{"IPv4 with leading zeros", "001.002.003.004", ""},
		{"three numbers are a DNS name", "1.2.3", ""},
		{"five numbers are a DNS name", "1.2.3.4.5", ""},
		{"number with letters is a DNS name", "1.2.3.4a", ""},
		{"255 bytes", strings.Repeat("a", 255), ""},

		{"empty", "", "empty"},
		{"256 bytes", strings.Repeat("a", 256), "256 bytes long"},
		{"only a port", ":8448", "no host"},
		{"empty port", "a:", "port at byte 2 has 0 characters"},
		{"six digits of port", "a:123456", "port at byte 2 has 6 characters"},
		{"letter in port", "a:12b", "character 'b' at byte 4 is not allowed in a port"},
		{"sign in port", "a:+12", "character '+' at byte 2"},
		{"two ports", "a:1:2", "character ':' at byte 3"},
		{"IPv4 number above 255", "1.2.3.256", "not an IPv4 address"},
		{"IPv4 number of four digits", "1.2.3.0004", "not an IPv4 address"},
		{"IPv4 with huge number", "1.2.3.18446744073709551617", "not an IPv4 address"},
		{"IPv6 without brackets", "2001:db8::1", "port at byte 5 has 6 characters"},
		{"unclosed bracket", "[::1", "not closed"},
		{"lone bracket", "[", "not closed"},
		{"empty brackets", "[]", "not an IPv6 address"},
		{"text after bracket", "[::1]a", "not closed"},
		{"two closing brackets", "[::1]]", "character ']' at byte 4"},
		{"port missing after bracket", "[::1]:", "has 0 characters"},
		{"IPv6 zone", "[fe80::1%eth0]", "character '%' at byte 8"},
		{"IPv4 in brackets", "[1.2.3.4]", "not an IPv6 address"},
		{"IPv6 of nine groups", "[1:2:3:4:5:6:7:8:9]", "not an IPv6 address"},
		{"IPv6 with two gaps", "[1::2::3]", "not an IPv6 address"},
		{"IPv6 of 46 characters", "[" + strings.Repeat("0", 46) + "]", "longer than 45"},
		{"underscore", "my_server", "character '_' at byte 2"},
		{"beyond ASCII", "bücher.example", "character 'ü' at byte 1"},
		{"invalid UTF-8", "a\xff", "invalid UTF-8 at byte 1"},
		{"NUL", "a\x00", "character '\\x00' at byte 1"},
		{"space", " a", "character ' ' at byte 0"},
		{"slash", "a/b", "character '/' at byte 1"},
		{"user part", "u@a", "character '@' at byte 1"},
	})
}

func TestParseStrictServerName(t *testing.T) {
	label := strings.Repeat("a", 63)
	testParse(t, KindServerName, ParseStrictServerName, []parseTest{
		{"DNS name with port", "matrix.example.org:8448", ""},
		{"IPv4", "192.0.2.1:65535", ""},
		{"IPv6", "[2001:db8::1]:1", ""},
		{"inner hyphens", "a--b.xn--c", ""},
		{"label of 63 bytes", label + ".org", ""},
		{"230 bytes", strings.Repeat(label+".", 3) + strings.Repeat("a", 38), ""},

		{"outside the grammar", "a_b", "character '_'"},
		{"231 bytes", strings.Repeat(label+".", 3) + strings.Repeat("a", 39), "231 bytes long"},
		{"upper case", "example.Org", "upper-case letter 'O' at byte 8"},
		{"upper case in IPv6", "[2001:DB8::1]", "upper-case letter 'D'"},
		{"port zero", "a:0", "port 0"},
		{"port beyond 65535", "a:65536", "port 65536"},
		{"leading zeros in IPv4", "192.0.02.1", "leading zeros"},
		{"trailing dot", "example.org.", "empty label"},
		{"label of 64 bytes", label + "a", "64 bytes"},
		{"hyphen first", "a.-b", "hyphen"},
		{"hyphen last", "a-.b", "hyphen"},
	})
}

func TestServerNameParts(t *testing.T) {
	for _, tt := range []struct {
		in         ServerName
		host, port string
		addr       string // empty if not a literal
	}{
		{"example.org", "example.org", "", ""},
		{"example.org:80", "example.org", "80", ""},
		{"1.2.3", "1.2.3", "", ""},
		{"1.2.3.4:80", "1.2.3.4", "80", "1.2.3.4"},
		{"010.2.3.4", "010.2.3.4", "", "10.2.3.4"},
		{"[::1]", "[::1]", "", "::1"},
		{"[::1]:80", "[::1]", "80", "::1"},
		{"[::ffff:10.0.0.1]", "[::ffff:10.0.0.1]", "", "::ffff:10.0.0.1"},
		{"::1", "", ":1", ""},
		{"[::1]80", "[::1]80", "", ""},
	} {
		if host, port := tt.in.Host(), tt.in.Port(); host != tt.host || port != tt.port {
			t.Errorf("%q: got host %q and port %q, want %q and %q", tt.in, host, port, tt.host, tt.port)
		}
		var want netip.Addr
		if tt.addr != "" {
			want = netip.MustParseAddr(tt.addr)
		}
		got, ok := tt.in.Addr()
		if got != want || ok != want.IsValid() || tt.in.IsIPLiteral() != ok {
			t.Errorf("%q: got address %v, %t, want %q", tt.in, got, ok, tt.addr)
		}
	}
}
