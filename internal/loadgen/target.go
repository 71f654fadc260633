package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Target is the server that is measured. The zero Target is none.
type Target struct {
	url    string // as it was given
	host   string // for the Host header
	prefix string // of all paths, without a slash at its end
	addr   string // an IP address and port that answered
}

// String returns the URL of the target.
func (t Target) String() string { return t.url }

// ErrForeign is why a target was refused that is not on this machine.
var ErrForeign = errors.New("the address is not a loopback address, and load is not put on the servers of others")

// Aim returns the target with an http URL, once something accepts connections
// there. Its host is resolved here and never again. All its addresses must be
// loopback addresses, or the error is ErrForeign; owned says that the caller may
// load the server wherever it is.
func Aim(ctx context.Context, rawURL string, owned bool) (Target, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return Target{}, fmt.Errorf("the URL of the server: %w", err)
	}
	if u.Scheme != "http" || u.Hostname() == "" || u.RawQuery != "" || u.User != nil {
		return Target{}, fmt.Errorf("the URL of the server is %q, want one like http://127.0.0.1:8008; there is no TLS here", rawURL)
	}
	addrs, err := resolve(ctx, u.Hostname())
	if err != nil {
		return Target{}, fmt.Errorf("resolving %s: %w", u.Hostname(), err)
	}
	for _, a := range addrs {
		if !owned && !a.Unmap().IsLoopback() {
			return Target{}, fmt.Errorf("%s is at %s: %w", u.Hostname(), a, ErrForeign)
		}
	}
	t := Target{url: rawURL, host: u.Host, prefix: strings.TrimSuffix(u.EscapedPath(), "/")}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	var failures []error
	for _, a := range addrs {
		t.addr = net.JoinHostPort(a.String(), port)
		tcp, err := dial(ctx, t.addr)
		if err == nil {
			return t, tcp.Close()
		}
		failures = append(failures, err)
	}
	return Target{}, fmt.Errorf("no server answers at %s: %w", rawURL, errors.Join(failures...))
}

// resolve returns the addresses of a host, those of IPv4 first.
func resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, errors.New("it has no address")
	}
	slices.SortStableFunc(addrs, func(a, b netip.Addr) int { return a.Unmap().BitLen() - b.Unmap().BitLen() })
	return addrs, nil
}

func dial(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: 30 * time.Second, KeepAlive: -1}
	return d.DialContext(ctx, "tcp", addr)
}
