package remote

import "net/netip"

// A scope is how far from here an address is.
type scope uint8

const (
	nowhere   scope = iota // nothing to connect to: no address, or many, or reserved
	nearby                 // this machine, this link, this network
	worldwide              // the internet
)

// ranges are all addresses. Of those that contain an address the first decides.
var ranges = [...]struct {
	prefix netip.Prefix
	scope  scope
}{
	{netip.MustParsePrefix("0.0.0.0/8"), nowhere}, // systems take it for themselves
	{netip.MustParsePrefix("10.0.0.0/8"), nearby},
	{netip.MustParsePrefix("100.64.0.0/10"), nearby}, // between a provider and its customers
	{netip.MustParsePrefix("127.0.0.0/8"), nearby},
	{netip.MustParsePrefix("169.254.0.0/16"), nearby}, // the link, where clouds keep credentials
	{netip.MustParsePrefix("172.16.0.0/12"), nearby},
	{netip.MustParsePrefix("192.0.0.0/24"), nowhere},    // protocols
	{netip.MustParsePrefix("192.0.2.0/24"), nowhere},    // documentation
	{netip.MustParsePrefix("192.88.99.0/24"), nowhere},  // relays that are no more
	{netip.MustParsePrefix("192.168.0.0/16"), nearby},   // the network
	{netip.MustParsePrefix("198.18.0.0/15"), nearby},    // measurements within a network
	{netip.MustParsePrefix("198.51.100.0/24"), nowhere}, // documentation
	{netip.MustParsePrefix("203.0.113.0/24"), nowhere},  // documentation
	{netip.MustParsePrefix("224.0.0.0/3"), nowhere},     // many, reserved, everybody
	{netip.MustParsePrefix("0.0.0.0/0"), worldwide},

	{netip.MustParsePrefix("::1/128"), nearby},
	{netip.MustParsePrefix("64:ff9b:1::/48"), nearby}, // translated, as the network likes
	{netip.MustParsePrefix("2001::/23"), nowhere},     // protocols, tunnels among them
	{netip.MustParsePrefix("2001:db8::/32"), nowhere}, // documentation
	{netip.MustParsePrefix("3fff::/20"), nowhere},     // documentation
	{netip.MustParsePrefix("2000::/3"), worldwide},
	{netip.MustParsePrefix("fc00::/7"), nearby},
	{netip.MustParsePrefix("fe80::/9"), nearby}, // the link, and what was for sites
	{netip.MustParsePrefix("::/0"), nowhere},    // nobody has them, or many
}

// embedding are the ranges of IPv6 in which an address of IPv4 begins at a byte.
// They end at whole bytes.
var embedding = [...]struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},    // translated by the network
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12}, // translated once more
	{netip.MustParsePrefix("2002::/16"), 2},        // a tunnel
}

// reach returns how far an address is from here. One of IPv6 that stands for one of
// IPv4 is what it stands for.
// https://www.iana.org/assignments/iana-ipv4-special-registry
// https://www.iana.org/assignments/iana-ipv6-special-registry
func reach(a netip.Addr) scope {
	if a.Zone() != "" {
		// Only what is near has zones.
		return min(nearby, reach(a.WithZone("")))
	}
	a = a.Unmap()
	for _, e := range embedding {
		if e.prefix.Contains(a) {
			bytes := a.As16()
			a = netip.AddrFrom4([4]byte(bytes[e.at : e.at+4]))
		}
	}
	for _, r := range ranges {
		if r.prefix.Contains(a) {
			return r.scope
		}
	}
	return nowhere
}
