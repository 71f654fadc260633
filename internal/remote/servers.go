package remote

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/signing"
	"parley/matrix/xmatrix"
)

// ServersOptions are what requests to other servers need.
type ServersOptions struct {
	// Server is the name of this server.
	Server id.ServerName
	// Key signs requests.
	Key signing.Key
	// Dial connects to a host name or address with a port, and must refuse
	// addresses that are not to be reached.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Resolver knows SRV records.
	Resolver Resolver
	// Roots are the authorities whose certificates count; nil means those of the
	// system.
	Roots *x509.CertPool
	// Agent is the User-Agent of requests.
	Agent string
}

// Servers makes requests to other servers. It is safe for concurrent use.
type Servers struct {
	o         ServersOptions
	health    *Health
	discovery *Discovery
	client    *http.Client
	gate      *Gate
}

// How many requests are under way at once, to all servers and to each.
const (
	mostRequests  = 500
	mostPerServer = 16
)

// mostKept is to how many servers connections are kept that nobody uses.
const mostKept = 200

// NewServers returns one that minds the health of servers, and keeps it up to
// date.
func NewServers(h *Health, o ServersOptions) *Servers {
	s := &Servers{o: o, health: h, gate: NewGate(mostRequests, mostPerServer)}
	plain := &http.Transport{
		DialContext:           o.Dial,
		TLSClientConfig:       &tls.Config{RootCAs: o.Roots},
		TLSHandshakeTimeout:   handshakeTime,
		MaxIdleConns:          10,
		IdleConnTimeout:       10 * time.Second,
		ForceAttemptHTTP2:     true,
		ResponseHeaderTimeout: wellKnownTime,
	}
	s.discovery = NewDiscovery(o.Resolver, plain)
	s.client = &http.Client{
		Transport: newConnections(mostKept, func() *http.Transport {
			return &http.Transport{
				DialTLSContext:         s.dial,
				MaxIdleConnsPerHost:    2,
				IdleConnTimeout:        90 * time.Second,
				ForceAttemptHTTP2:      true,
				MaxResponseHeaderBytes: 64 << 10,
			}
		}),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s
}

// Health returns which servers cannot be reached.
func (s *Servers) Health() *Health { return s.health }

// Close closes connections that are not in use.
func (s *Servers) Close() { s.client.CloseIdleConnections() }

// A Call is a request to another server.
type Call struct {
	Server id.ServerName
	Method string
	// Path begins with /_matrix/ and is escaped, as [Path] makes it.
	Path  string
	Query url.Values
	// Body is the content; nil if there is none.
	Body canonjson.Value
	// Unsigned leaves out who asks, for what everybody may ask.
	Unsigned bool
	// Insist makes the request even of a server that is left alone at present,
	// because a person waits for it.
	Insist bool
	// Hearsay says that others have named the server, perhaps one that does not exist:
	// it is not noted if it cannot be reached.
	Hearsay bool
	// Timeout is for the whole request with its answer; 0 means a minute.
	Timeout time.Duration
	// Limit is how many bytes the answer may have; 0 means 1 MiB.
	Limit int64
}

const (
	callTime      = time.Minute
	callLimit     = 1 << 20
	handshakeTime = 15 * time.Second
	mostRefusal   = 64 << 10 // bytes of a refusal
)

// Path joins the segments of a path below a prefix that is escaped already.
func Path(prefix string, segments ...string) string {
	for _, segment := range segments {
		prefix += "/" + url.PathEscape(segment)
	}
	return prefix
}

// ErrDown is that a server could not be reached lately, and is not to be tried
// yet.
var ErrDown = errors.New("the server could not be reached lately")

// Do makes a request and returns the answer, which is JSON. The error is a
// *[Refusal] if the server answered with anything but success, ErrDown or
// ErrTooLarge.
func (s *Servers) Do(ctx context.Context, c Call) (canonjson.Value, error) {
	if c.Timeout == 0 {
		c.Timeout = callTime
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	body, err := s.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	raw, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("reading what %s answers to %s: %w", c.Server, c.Path, err)
	}
	value, err := canonjson.Canonical(raw, canonjson.Lenient)
	if err != nil {
		return nil, fmt.Errorf("reading what %s answers to %s: %w", c.Server, c.Path, err)
	}
	return value, nil
}

// Open makes a request and returns the answer to be read, which ends in ErrTooLarge
// where it is longer than it may be. The caller closes it. The timeout of the
// call is not looked at: the context has to end.
func (s *Servers) Open(ctx context.Context, c Call) (io.ReadCloser, error) {
	_, body, err := s.Fetch(ctx, c)
	return body, err
}

// Fetch is Open for an answer that is no JSON, with its header.
func (s *Servers) Fetch(ctx context.Context, c Call) (http.Header, io.ReadCloser, error) {
	if retry := s.health.Retry(c.Server); !c.Insist && time.Now().Before(retry) {
		return nil, nil, fmt.Errorf("asking %s: %w", c.Server, ErrDown)
	}
	leave, err := s.gate.Enter(ctx, c.Server)
	if err != nil {
		return nil, nil, fmt.Errorf("waiting to ask %s: %w", c.Server, err)
	}
	began := time.Now()
	resp, err := s.send(ctx, c)
	if err != nil {
		leave()
		if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			s.discovery.Forget(c.Server)
			s.failed(c, began)
		}
		return nil, nil, fmt.Errorf("asking %s for %s %s: %w", c.Server, c.Method, c.Path, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer leave()
		return nil, nil, s.refused(ctx, c, resp, began)
	}
	s.health.Heard(ctx, c.Server)
	limit := c.Limit
	if limit == 0 {
		limit = callLimit
	}
	return resp.Header, &answer{body: resp.Body, left: limit, leave: sync.OnceFunc(leave)}, nil
}

// failed takes in that the server of a call could not be reached.
func (s *Servers) failed(c Call, began time.Time) {
	if !c.Hearsay {
		s.health.Failed(c.Server, began)
	}
}

// send makes the request once the server was found.
func (s *Servers) send(ctx context.Context, c Call) (*http.Response, error) {
	places, err := s.discovery.Find(ctx, c.Server)
	if err != nil {
		return nil, err
	}
	uri := c.Path
	if len(c.Query) > 0 {
		uri += "?" + c.Query.Encode()
	}
	var body io.Reader
	if c.Body != nil {
		body = bytes.NewReader(c.Body)
	}
	req, err := http.NewRequestWithContext(ctx, c.Method, "https://"+poolName(c.Server)+uri, body)
	if err != nil {
		return nil, err
	}
	req.Host = places[0].Host
	req.Header.Set("User-Agent", s.o.Agent)
	if c.Body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if !c.Unsigned {
		signed := xmatrix.Request{Method: c.Method, URI: uri, Origin: s.o.Server, Destination: c.Server, Content: c.Body}
		req.Header.Set("Authorization", signed.Sign(s.o.Key))
	}
	return s.client.Do(req)
}

// poolName is a server's name as the host of a URL, by which connections are kept
// apart: two servers may be at one address with different certificates. No port
// is another one than each that can be given.
func poolName(server id.ServerName) string {
	if _, port := split(server); port != "" {
		return string(server)
	}
	return string(server) + ":0"
}

// dial connects to the server of a pool name.
func (s *Servers) dial(ctx context.Context, network, pool string) (net.Conn, error) {
	places, err := s.discovery.Find(ctx, id.ServerName(strings.TrimSuffix(pool, ":0")))
	if err != nil {
		return nil, err
	}
	var failures []error
	for _, place := range places {
		conn, err := s.connect(ctx, network, place)
		if err == nil {
			return conn, nil
		}
		failures = append(failures, fmt.Errorf("connecting to %s: %w", place.Addr, err))
	}
	return nil, errors.Join(failures...)
}

func (s *Servers) connect(ctx context.Context, network string, place Destination) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	raw, err := s.o.Dial(ctx, network, place.Addr)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, &tls.Config{
		ServerName: place.CertName,
		RootCAs:    s.o.Roots,
		NextProtos: []string{"h2", "http/1.1"},
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}
