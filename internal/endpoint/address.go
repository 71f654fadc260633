package endpoint

import (
	"net/http"
	"net/netip"
	"strings"
)

// clientAddr returns where the request came from. Each proxy appends to
// X-Forwarded-For the address that it was called from, so the header is true
// from its end up to the first address that is no proxy of ours; what is before
// that, anybody may have written.
func (t *Table) clientAddr(r *http.Request) netip.Addr {
	addr := parseAddr(r.RemoteAddr)
	if len(t.config.TrustedProxies) == 0 || !t.trusts(addr) {
		return addr
	}
	rest := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
	for rest != "" && t.trusts(addr) {
		var last string
		if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
			rest, last = rest[:comma], rest[comma+1:]
		} else {
			rest, last = "", rest
		}
		next := parseAddr(strings.TrimSpace(last))
		if !next.IsValid() {
			break
		}
		addr = next
	}
	return addr
}

func (t *Table) trusts(addr netip.Addr) bool {
	if !addr.IsValid() {
		return true
	}
	for _, p := range t.config.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// parseAddr reads an address with or without a port. Zones are left out: they
// mean something to this machine only.
func parseAddr(s string) netip.Addr {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}
