package remote

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// Errors of a client, of which it is said in front what was asked of whom.
var (
	// ErrAddress means that a name has no address that may be connected to.
	ErrAddress = errors.New("there is no address that requests may be sent to")
	// ErrTooLarge means that an answer is larger than was asked for.
	ErrTooLarge = errors.New("the answer is too large")
	// ErrURL means that a URL is none that can be asked.
	ErrURL = errors.New("the URL is not one of HTTP")
)

// Options of a client.
type Options struct {
	// AllowPrivate lets it connect to this machine and its network as well.
	AllowPrivate bool
	// Timeout is how long a request may take with all of its answer, redirects
	// included; 0 means 30 seconds.
	Timeout time.Duration
	// IdlePerHost is how many connections to a host are kept that nobody uses; 0
	// means 4.
	IdlePerHost int
	// TLS is how servers are verified; nil means as usual.
	TLS *tls.Config
	// Lookup resolves a name; nil means as the system does.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Dial connects to an address; nil means by TCP.
	Dial func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
}

// Client sends requests to addresses that others have named. It is safe for
// concurrent use.
type Client struct {
	options   Options
	transport *http.Transport
}

// maxHeader is how many bytes the header of an answer may have.
const maxHeader = 64 << 10

// New returns a client.
func New(o Options) *Client {
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.IdlePerHost == 0 {
		o.IdlePerHost = 4
	}
	if o.Lookup == nil {
		o.Lookup = lookup
	}
	if o.Dial == nil {
		o.Dial = dialTCP
	}
	c := &Client{options: o}
	c.transport = &http.Transport{
		DialContext:            c.Dial,
		TLSClientConfig:        o.TLS,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           100,
		MaxIdleConnsPerHost:    o.IdlePerHost,
		IdleConnTimeout:        time.Minute,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true, // what is small on the way may be large here
	}
	return c
}

func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

func dialTCP(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	return (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext(ctx, "tcp", to.String())
}

// Close closes connections that nobody uses.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Dial connects to one of the addresses of a host that may be connected to.
func (c *Client) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	number, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
	if err != nil {
		return nil, err
	}
	addresses, err := c.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	var failed []error
	for _, a := range addresses {
		conn, err := c.options.Dial(ctx, netip.AddrPortFrom(a, uint16(number)))
		if err == nil {
			return conn, nil
		}
		if failed = append(failed, err); ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(failed...)
}

// resolve returns the addresses of a host that may be connected to, at least one.
func (c *Client) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	found := make([]netip.Addr, 1)
	var err error
	if found[0], err = netip.ParseAddr(host); err != nil {
		if found, err = c.options.Lookup(ctx, host); err != nil {
			return nil, err
		}
	}
	least := worldwide
	if c.options.AllowPrivate {
		least = nearby
	}
	var usable []netip.Addr
	for _, a := range found {
		if reach(a) >= least {
			usable = append(usable, a.Unmap())
		}
	}
	if len(usable) == 0 {
		return nil, fmt.Errorf("%s: %w", host, ErrAddress)
	}
	return usable, nil
}

// A Request is what is to be asked.
type Request struct {
	Method string
	URL    string // http:// or https://
	Header http.Header
	Body   []byte // nil: none
	// MaxBody is how many bytes the answer's body may have.
	MaxBody int64
	// Redirects is how many are followed; the one after that is the answer. Only
	// for requests without a body: another server would get it.
	Redirects int
}

// A Response is what was answered.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends a request and reads the whole answer, whatever its status. An error that
// no other of this package names says that there was none.
func (c *Client) Do(ctx context.Context, r Request) (Response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	stream, err := c.Open(ctx, r)
	if err != nil {
		return Response{}, err
	}
	defer stream.Close()
	body, err := io.ReadAll(stream)
	if err != nil {
		return Response{}, fmt.Errorf("asking %s: %w", shown(r.URL), err)
	}
	return Response{stream.Status, stream.Header, body}, nil
}

// A Stream is an answer to be read.
type Stream struct {
	Status int
	Header http.Header
	// URL is where it comes from in the end.
	URL *url.URL
	io.ReadCloser
}

// Open sends a request and returns the answer, whatever its status, to be read,
// which ends in ErrTooLarge where it is longer than it may be. The caller closes
// it. The context has to end: the client's timeout is for Do.
func (c *Client) Open(ctx context.Context, r Request) (*Stream, error) {
	resp, err := c.open(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", shown(r.URL), err)
	}
	return &Stream{resp.StatusCode, resp.Header, resp.Request.URL, &answer{body: resp.Body, left: r.MaxBody, leave: func() {}}}, nil
}

// shown is a URL for a log, without what may be secret in it.
func shown(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "a URL"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

func (c *Client) open(ctx context.Context, r Request) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil || !isHTTP(req.URL) {
		return nil, ErrURL // what is wrong with it may be secret
	}
	if r.Body == nil {
		req.Body, req.ContentLength = http.NoBody, 0
	} else {
		r.Redirects = 0
	}
	for name, values := range r.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	follow := func(next *http.Request, via []*http.Request) error {
		if len(via) > r.Redirects || !isHTTP(next.URL) || via[0].URL.Scheme == "https" && next.URL.Scheme != "https" {
			return http.ErrUseLastResponse
		}
		return nil
	}
	resp, err := (&http.Client{Transport: c.transport, CheckRedirect: follow}).Do(req)
	if err != nil {
		// The error of net/http repeats the URL, with what may be secret in it.
		if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, err
	}
	return resp, nil
}

func isHTTP(u *url.URL) bool {
	return (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
}
