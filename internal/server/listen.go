package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// Listen opens the addresses of the configuration, for Run. When one of them
// cannot be opened, none is.
func (s *Server) Listen(ctx context.Context) (listeners []net.Listener, err error) {
	defer func() {
		if err == nil {
			return
		}
		for _, l := range listeners {
			l.Close()
		}
		listeners = nil
	}()
	slots := make(chan struct{}, connectionLimit(openFiles()))
	open := func(key, address string) (net.Listener, error) {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		return limitConnections(l, slots), nil
	}
	if s.config.Listen != "" {
		l, err := open("listen", s.config.Listen)
		if err != nil {
			return listeners, err
		}
		listeners = append(listeners, l)
		s.log.Info("listening", "url", "http://"+l.Addr().String(), "server", s.config.ServerName)
	}
	if s.config.TLS.Listen != "" {
		c, err := loadCertificate(s.config.TLS.Cert, s.config.TLS.Key, s.log)
		if err != nil {
			return listeners, err
		}
		l, err := open("tls.listen", s.config.TLS.Listen)
		if err != nil {
			return listeners, err
		}
		s.log.Info("listening", "url", "https://"+l.Addr().String(), "server", s.config.ServerName)
		listeners = append(listeners, tls.NewListener(l, &tls.Config{
			GetCertificate: c.get,
			NextProtos:     []string{"h2", "http/1.1"},
		}))
	}
	return listeners, nil
}

// A certificate is read again when its file has changed, so that whoever renews
// it need not tell the server.
type certificate struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex // guards what follows
	current *tls.Certificate
	changed time.Time // when the file of current was written
	checked time.Time // when it was last looked at
}

// certificateCheck is how long a certificate is used without looking whether
// there is a new one.
const certificateCheck = 10 * time.Second

func loadCertificate(cert, key string, log *slog.Logger) (*certificate, error) {
	c := &certificate{cert: cert, key: key, log: log}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// get is for tls.Config.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) >= certificateCheck {
		if err := c.load(); err != nil {
			c.log.Error("the certificate has changed and cannot be used, the old one stays", "err", err)
		}
	}
	return c.current, nil
}

// load reads the certificate if it is another than the current one. Cert and key
// are two files: between the writing of one and the other they do not match,
// which is tried again.
func (c *certificate) load() error {
	c.checked = time.Now()
	changed, err := lastChange(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("tls.cert and tls.key: %w", err)
	}
	if c.current != nil && changed.Equal(c.changed) {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("tls.cert %s and tls.key %s: %w", c.cert, c.key, err)
	}
	if c.current != nil {
		c.log.Info("a new certificate is in use", "until", pair.Leaf.NotAfter)
	}
	c.current, c.changed = &pair, changed
	return nil
}

// lastChange is when one of the files was last written.
func lastChange(names ...string) (last time.Time, err error) {
	for _, name := range names {
		info, statErr := os.Stat(name)
		if statErr != nil {
			err = errors.Join(err, statErr)
			continue
		}
		if info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last, err
}
