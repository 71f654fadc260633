package hstest

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"parley/internal/remote"
	"parley/matrix/id"
)

// Site is a site of the web from now on, http://HOST/. Other names than those of
// sites do not exist for servers that ask for pages.
func (w *World) Site(host string, h http.Handler) { w.site(host, 80, h) }

// SecureSite is a site https://HOST/, which is that of the name for others than
// homeservers.
func (w *World) SecureSite(host string, h http.Handler) { w.site(host, 443, h) }

func (w *World) site(host string, port uint16, h http.Handler) {
	w.mu.Lock()
	if w.sites == nil {
		w.sites = make(map[string]netip.Addr)
	}
	addr := netip.AddrFrom4([4]byte{93, 184, 216, byte(len(w.sites) + 1)})
	w.sites[host] = addr
	w.mu.Unlock()
	var l net.Listener = w.Net.Listen(netip.AddrPortFrom(addr, port).String())
	if port == 443 {
		l = w.secured(id.ServerName(host), l)
	}
	w.serve(l, h)
}

// Near is a server that a server's settings name, at HOST:PORT.
func (w *World) Near(address string, h http.Handler) { w.serve(w.Net.Listen(address), h) }

func (w *World) serve(l net.Listener, h http.Handler) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		server.Serve(l)
		close(done)
	}()
	w.Cleanup(func() {
		server.Close()
		<-done
	})
}

// web lets a server reach sites.
func (w *World) web(o *remote.Options) {
	o.Lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if addr, ok := w.sites[host]; ok {
			return []netip.Addr{addr}, nil
		}
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	o.TLS = &tls.Config{RootCAs: w.Authority.Pool()}
	o.Dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) { return w.Net.Dial(ctx, to.String()) }
}

// Fetch gets a page of whoever listens on the network, as a browser does. It does not
// follow redirects.
func (w *World) Fetch(url string) Reply {
	w.Helper()
	c := &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return w.Net.Dial(ctx, address)
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := c.Get(url)
	if err != nil {
		w.Fatalf("getting %s: %v", url, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatalf("getting %s: %v", url, err)
	}
	return Reply{resp.StatusCode, resp.Header, body}
}
