package launch

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// StartPair starts two servers that federate with each other over TLS on the
// loopback interface: one with the name of a host in its server name, and one
// with an address. The second has its data in SQLite, whatever
// PARLEY_DATABASE says.
func StartPair(ctx context.Context, binary string) ([]*Server, error) {
	var servers []*Server
	certificate, key, err := newCertificate()
	if err != nil {
		return nil, fmt.Errorf("making a certificate for the servers: %w", err)
	}
	for _, host := range []string{"localhost", "127.0.0.1"} {
		s, err := newFederating(binary, host, certificate, key)
		if err == nil {
			s, err = start(ctx, s)
		}
		if err != nil {
			for _, s := range servers {
				err = errors.Join(err, s.Stop())
			}
			return nil, err
		}
		servers = append(servers, s)
	}
	return servers, nil
}

// newFederating is a server that has yet to be started. Its addresses are
// chosen now, so that it keeps them when it is started again.
func newFederating(binary, host string, certificate, key []byte) (*Server, error) {
	dir, err := newDir()
	if err != nil {
		return nil, err
	}
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	clients, err1 := freeAddress()
	federation, err2 := freeAddress()
	if err := errors.Join(err1, err2, os.WriteFile(certFile, certificate, 0o600), os.WriteFile(keyFile, key, 0o600)); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	_, port, _ := strings.Cut(federation, ":")
	s := &Server{binary: binary, dir: dir}
	s.args = []string{
		"--server-name", host + ":" + port, "--listen", clients,
		"--tls-listen", federation, "--tls-cert", certFile, "--tls-key", keyFile,
	}
	s.env = []string{"PARLEY_FEDERATION_EXTRA_CA=" + certFile, "PARLEY_FEDERATION_ALLOW_PRIVATE_NETWORKS=true"}
	if host != "localhost" {
		s.env = append(s.env, "PARLEY_DATABASE=")
	}
	return s, nil
}

// freeAddress is one of the loopback interface at which nobody listens.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// newCertificate is one for both servers, which is its own authority, and its
// key, in PEM.
func newCertificate() (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "two servers, for one run"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), err
}
