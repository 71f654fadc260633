package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/internal/config"
)

// certify writes a certificate for this machine that is its own authority, with
// a serial number to tell it from others, and returns who trusts it.
func certify(t *testing.T, c config.TLS, serial int64, written time.Time) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "a.test"}, DNSNames: []string{"a.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, content := range map[string][]byte{
		c.Cert: certPEM,
		c.Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, written, written); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return pool
}

func tlsSettings(t *testing.T) config.Config {
	dir := t.TempDir()
	c := defaults(t, dir)
	c.TLS = config.TLS{Listen: "127.0.0.1:0", Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	return c
}

func TestTLSIsServedWithHTTP2(t *testing.T) {
	c := tlsSettings(t)
	pool := certify(t, c.TLS, 1, time.Now())
	s := open(t, c)
	listeners, err := s.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(listeners) != 2 {
		t.Fatalf("%d listeners", len(listeners))
	}
	r := runOn(t, s, listeners...)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "a.test"}, ForceAttemptHTTP2: true,
	}}
	resp, err := client.Get("https://" + listeners[1].Addr().String() + "/health")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 || resp.ProtoMajor != 2 {
		t.Errorf("got %d with %s", resp.StatusCode, resp.Proto)
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}

func TestTLSNeedsItsFiles(t *testing.T) {
	c := tlsSettings(t)
	if _, err := open(t, c).Listen(t.Context()); err == nil || !strings.Contains(err.Error(), c.TLS.Cert) {
		t.Errorf("got error %v, want one with the file's name", err)
	}
}

func TestARenewedCertificateIsUsed(t *testing.T) {
	c := tlsSettings(t)
	now := time.Now()
	certify(t, c.TLS, 1, now.Add(-time.Hour))
	cert, err := loadCertificate(c.TLS.Cert, c.TLS.Key, open(t, c).log)
	if err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		t.Helper()
		cert.checked = time.Time{} // as if time had passed
		used, err := cert.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return used.Leaf.SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Errorf("got certificate %d", got)
	}
	certify(t, c.TLS, 2, now)
	if got := serial(); got != 2 {
		t.Errorf("got certificate %d after it was renewed", got)
	}
	if err := os.WriteFile(c.TLS.Cert, []byte("half a cert"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != 2 {
		t.Errorf("got certificate %d while the next is being written", got)
	}
	certify(t, c.TLS, 3, now.Add(time.Hour))
	if got := serial(); got != 3 {
		t.Errorf("got certificate %d after that", got)
	}
}
