package id

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A ServerName is the name of a homeserver: a host name, IPv4 address or
// bracketed IPv6 address, with an optional port. Names are case-sensitive.
//
// https://spec.matrix.org/v1.19/appendices/#server-name
type ServerName string

const (
	// maxOwnServerName leaves room for a localpart beside the server name.
	maxOwnServerName = 230
	maxPortDigits    = 5
	maxIPv6Chars     = 45
	maxDNSLabel      = 63
)

var (
	dnsChars   = chars(digits, upper, lower, "-.")
	digitChars = chars(digits)
	ipv6Chars  = chars(digits, "ABCDEFabcdef:.")
)

// ParseServerName accepts what the grammar of the specification does, up to
// [MaxLength] bytes in all, since a longer name fits into no identifier. The
// port is 1 to 5 digits of any value. A DNS name is any sequence of letters,
// digits, '-' and '.', except four numbers that are not an IPv4 address.
func ParseServerName(s string) (ServerName, error) {
	return parse[ServerName](KindServerName, s, checkWholeServerName)
}

// ParseStrictServerName accepts the names that the specification recommends, for
// checking the configured name of this server: at most 230 bytes, no upper-case
// letters, DNS labels of 1 to 63 letters, digits and inner hyphens, IPv4
// numbers without leading zeros, and a port from 1 to 65535.
func ParseStrictServerName(s string) (ServerName, error) {
	return parse[ServerName](KindServerName, s, checkOwnServerName)
}

func checkWholeServerName(s string) string {
	if reason := checkLength(s); reason != "" {
		return reason
	}
	return checkServerName(s, 0)
}

// checkServerName leaves the length to the whole that the name is a part of.
func checkServerName(s string, at int) string {
	host, port, hasPort := splitPort(s)
	if hasPort {
		if len(port) < 1 || len(port) > maxPortDigits {
			return fmt.Sprintf("port at byte %d has %d characters, want 1 to %d digits", at+len(host)+1, len(port), maxPortDigits)
		}
		if reason := checkChars(port, at+len(host)+1, &digitChars, "port"); reason != "" {
			return reason
		}
	}
	switch {
	case host == "":
		return "server name has no host"
	case host[0] == '[':
		return checkIPv6(host, at)
	}
	if reason := checkChars(host, at, &dnsChars, "host name"); reason != "" {
		return reason
	}
	if _, looks, ok := parseIPv4(host); looks && !ok {
		return fmt.Sprintf("%q is not an IPv4 address: each number has 1 to 3 digits and is at most 255", host)
	}
	return ""
}

func checkIPv6(host string, at int) string {
	if len(host) < 2 || host[len(host)-1] != ']' {
		return fmt.Sprintf("'[' at byte %d is not closed by a ']' at the end or before a port", at)
	}
	literal := host[1 : len(host)-1]
	if len(literal) > maxIPv6Chars {
		return fmt.Sprintf("IPv6 address at byte %d is longer than %d characters", at+1, maxIPv6Chars)
	}
	// This also keeps zones out, which netip would accept.
	if reason := checkChars(literal, at+1, &ipv6Chars, "IPv6 address"); reason != "" {
		return reason
	}
	if addr, err := netip.ParseAddr(literal); err != nil || !addr.Is6() {
		return fmt.Sprintf("%q is not an IPv6 address", literal)
	}
	return ""
}

func checkOwnServerName(s string) string {
	if reason := checkWholeServerName(s); reason != "" {
		return reason
	}
	if len(s) > maxOwnServerName {
		return fmt.Sprintf("%d bytes long, at most %d are recommended", len(s), maxOwnServerName)
	}
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return fmt.Sprintf("upper-case letter %q at byte %d", s[i], i)
		}
	}
	host, port, hasPort := splitPort(s)
	if hasPort {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "port " + port + " is not in 1 to 65535"
		}
	}
	if addr, looks, ok := parseIPv4(host); looks && ok {
		if addr.String() != host {
			return "IPv4 address has leading zeros"
		}
		return ""
	}
	if host[0] == '[' {
		return ""
	}
	return checkLabels(host)
}

func checkLabels(host string) string {
	for label := range strings.SplitSeq(host, ".") {
		switch {
		case label == "":
			return "host name has an empty label"
		case len(label) > maxDNSLabel:
			return fmt.Sprintf("host name has a label of %d bytes, at most %d are allowed", len(label), maxDNSLabel)
		case label[0] == '-' || label[len(label)-1] == '-':
			return fmt.Sprintf("label %q begins or ends with a hyphen", label)
		}
	}
	return ""
}

// splitPort cuts at the colon before the port. If text other than a port
// follows a closing bracket, the host is all of s, which no check accepts.
func splitPort(s string) (host, port string, hasPort bool) {
	end := 0
	if strings.HasPrefix(s, "[") {
		end = strings.IndexByte(s, ']') + 1
		if end == 0 || end == len(s) || s[end] != ':' {
			return s, "", false
		}
		return s[:end], s[end+1:], true
	}
	return strings.Cut(s, ":")
}

// parseIPv4 reads four decimal numbers. looks is whether host has the form of
// four non-empty runs of digits, which cannot be a DNS name (RFC 1123, section
// 2.1); ok is whether they are an address. Numbers are decimal even with leading
// zeros, which netip refuses and the grammar of Matrix allows.
func parseIPv4(host string) (addr netip.Addr, looks, ok bool) {
	var numbers [4]byte
	field, length, value := 0, 0, 0
	ok = true
	for i := 0; i <= len(host); i++ {
		switch {
		case i == len(host) || host[i] == '.':
			if length == 0 || field == len(numbers) {
				return netip.Addr{}, false, false
			}
			if length > 3 || value > 255 {
				ok = false
			}
			numbers[field] = byte(value)
			field, length, value = field+1, 0, 0
		case '0' <= host[i] && host[i] <= '9':
			length++
			value = min(value*10+int(host[i]-'0'), 256)
		default:
			return netip.Addr{}, false, false
		}
	}
	if field != len(numbers) {
		return netip.Addr{}, false, false
	}
	return netip.AddrFrom4(numbers), true, ok
}

// Host returns the name without its port. An IPv6 address keeps its brackets.
func (n ServerName) Host() string {
	host, _, _ := splitPort(string(n))
	return host
}

// Port returns the digits of the port as they were written, or "" if the name
// has none. They may be out of range: the grammar allows 0 and 99999.
func (n ServerName) Port() string {
	_, port, _ := splitPort(string(n))
	return port
}

// Addr returns the address if the host is an IP literal, not a DNS name. The
// numbers of an IPv4 address are decimal, also "010": dial the address, not the
// text, which resolvers read differently. An IPv4 address that was written as
// IPv6 stays so; see [netip.Addr.Unmap].
func (n ServerName) Addr() (netip.Addr, bool) {
	host := n.Host()
	if addr, _, ok := parseIPv4(host); ok {
		return addr, true
	}
	if checkIPv6(host, 0) != "" || host[0] != '[' {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(host[1 : len(host)-1])
	return addr, err == nil
}

// IsIPLiteral reports whether the host is an IPv4 or IPv6 address. Server ACLs
// and server discovery treat those apart from DNS names.
func (n ServerName) IsIPLiteral() bool {
	_, ok := n.Addr()
	return ok
}
