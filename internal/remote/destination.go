package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"parley/matrix/id"
)

// federationPort is the one of servers whose name has none.
const federationPort = "8448"

// A Destination is where a server is to be reached.
type Destination struct {
	// Addr is what to connect to, a host name or IP address with a port.
	Addr string
	// Host is for the header of this name.
	Host string
	// CertName is the host name or IP address that the certificate has to be for.
	CertName string
}

// A Resolver knows the SRV records of the domain name system, as net.Resolver
// does.
type Resolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

// direct returns the destination of a name that is an address, or has a port:
// nothing else has to be asked. ok is false for other names.
func direct(name id.ServerName) (d Destination, ok bool) {
	host, port := split(name)
	d = Destination{Host: string(name), CertName: host}
	if _, err := netip.ParseAddr(host); err != nil && port == "" {
		return d, false
	}
	d.Addr = net.JoinHostPort(host, cmp.Or(port, federationPort))
	return d, true
}

// split returns the parts of a server name; an IPv6 address is without its
// brackets.
func split(name id.ServerName) (host, port string) {
	host, port, err := net.SplitHostPort(string(name))
	if err != nil {
		host, port = string(name), ""
	}
	return strings.Trim(host, "[]"), port
}

// bySRV returns the destinations of a host name that has no port, best first: by
// its SRV records, of the present service and then of the old one, or else on
// the usual port.
// https://spec.matrix.org/v1.19/server-server-api/#resolving-server-names
func bySRV(ctx context.Context, r Resolver, name id.ServerName) ([]Destination, error) {
	host := string(name)
	for _, service := range []string{"matrix-fed", "matrix"} {
		_, records, err := r.LookupSRV(ctx, service, "tcp", host)
		if err != nil && !isNotFound(err) {
			return nil, fmt.Errorf("looking up the SRV records of %s: %w", name, err)
		}
		if len(records) > 0 {
			return fromRecords(host, records)
		}
	}
	return []Destination{{Addr: net.JoinHostPort(host, federationPort), Host: host, CertName: host}}, nil
}

// mostRecords is how many SRV records of a server are of use.
const mostRecords = 8

// fromRecords keeps the order of the records, which is random by their weight.
func fromRecords(host string, records []*net.SRV) (list []Destination, err error) {
	for _, record := range records[:min(len(records), mostRecords)] {
		target := strings.TrimSuffix(record.Target, ".")
		if target == "" {
			continue // there is no such service, says RFC 2782
		}
		addr := net.JoinHostPort(target, fmt.Sprint(record.Port))
		list = append(list, Destination{Addr: addr, Host: host, CertName: host})
	}
	if list == nil {
		return nil, fmt.Errorf("the SRV records of %s say that there is no server", host)
	}
	return list, nil
}

func isNotFound(err error) bool {
	var failure *net.DNSError
	return errors.As(err, &failure) && failure.IsNotFound
}
