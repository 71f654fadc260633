package hstest

import (
	"context"
	"crypto/tls"
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
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	var l net.Listener = w.Net.Listen(netip.AddrPortFrom(addr, port).String())
	if port == 443 {
		l = w.secured(id.ServerName(host), l)
	}
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
