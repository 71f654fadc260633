package mail

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// A Security is how the connection to the server is kept from others.
type Security string

const (
	StartTLS Security = "starttls" // begun in clear, and then with TLS or not at all
	TLS      Security = "tls"      // with TLS from the beginning
	None     Security = "none"     // not at all
)

// Options say through which server mail is sent.
type Options struct {
	Server   string // as host:port
	Security Security
	// User and Password are how the sender logs in; empty: not at all.
	User, Password string
	// From is whom letters come from, as in "Example <parley@example.org>".
	From string
	// Timeout is how long connecting may take, and then each step; 0: 30 seconds.
	Timeout time.Duration
	// AtOnce is how many letters are sent at a time; 0: 4. Others wait.
	AtOnce int
	// Dial, if it is not nil, connects to the server.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Roots are the authorities that are trusted; nil: those of the system.
	Roots *x509.CertPool
}

// A Sender sends letters. It is safe for concurrent use.
type Sender struct {
	options Options
	host    string // of the server
	from    *mail.Address
	domain  string        // of from
	slots   chan struct{} // has one element for each letter that is being sent
}

// New returns a sender, or an error that says which option is wrong.
func New(o Options) (*Sender, error) {
	host, _, err := net.SplitHostPort(o.Server)
	if err != nil {
		return nil, fmt.Errorf("the address of the mail server: %w", err)
	}
	from, err := ParseFrom(o.From)
	if err != nil {
		return nil, fmt.Errorf("whom mail comes from: %w", err)
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.AtOnce == 0 {
		o.AtOnce = 4
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	return &Sender{
		options: o, host: host, from: from, domain: Address(from.Address).Domain(), slots: make(chan struct{}, o.AtOnce),
	}, nil
}

// ParseFrom reads whom letters come from: an address, with or without a name.
func ParseFrom(text string) (*mail.Address, error) {
	from, err := mail.ParseAddress(text)
	if err != nil {
		return nil, err
	}
	address, err := ParseAddress(from.Address)
	if err != nil {
		return nil, err
	}
	from.Address, err = address.wire()
	from.Name = oneLine(from.Name)
	return from, err
}

// Send gives a letter to the server, and returns when that has taken it. Whether it
// arrives is known to nobody here. An error is [ErrRefused] if there is no use in
// sending it again.
func (s *Sender) Send(ctx context.Context, l Letter) error {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	m, err := s.message(l)
	if err != nil {
		f := s.failure(l.To, "writing it", err)
		f.refused = true
		return f
	}
	// All of it may take so long, whatever the server does to go on and on.
	ctx, cancel := context.WithTimeout(ctx, 4*s.options.Timeout)
	defer cancel()
	client, err := s.client(ctx)
	if err != nil {
		return s.failed(l.To, err)
	}
	err = client.DialAndSendWithContext(ctx, m)
	switch {
	case err == nil || m.IsDelivered(): // saying goodbye may have failed
		return nil
	case ctx.Err() != nil:
		return s.failure(l.To, "waiting for the server", ctx.Err())
	}
	return s.failed(l.To, err)
}

// client returns a client for one connection, which ends with the context.
func (s *Sender) client(ctx context.Context) (*gomail.Client, error) {
	secured := &tls.Config{ServerName: s.host, RootCAs: s.options.Roots, MinVersion: tls.VersionTLS12}
	dial := func(dialing context.Context, network, _ string) (net.Conn, error) {
		conn, err := s.options.Dial(dialing, network, s.options.Server)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { conn.Close() })
		if s.options.Security != TLS {
			return conn, nil
		}
		over := tls.Client(conn, secured)
		return over, over.HandshakeContext(dialing)
	}
	options := []gomail.Option{
		gomail.WithDialContextFunc(dial), gomail.WithTimeout(s.options.Timeout), gomail.WithTLSConfig(secured), gomail.WithoutNoop(),
		gomail.WithTLSPolicy(gomail.NoTLS),
	}
	if s.options.Security == StartTLS {
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if s.options.User != "" {
		options = append(options, gomail.WithUsername(s.options.User), gomail.WithPassword(s.options.Password), gomail.WithOpportunisticSMTPAuth(s.proofs()...))
	}
	return gomail.NewClient(s.host, options...)
}

// proofs are the ways to log in, best first. Where the operator wants no TLS, the
// password may be read.
func (s *Sender) proofs() []gomail.SMTPAuthType {
	proofs := []gomail.SMTPAuthType{gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthSCRAMSHA1}
	if s.options.Security == None {
		return append(proofs, gomail.SMTPAuthCramMD5, gomail.SMTPAuthPlainNoEnc, gomail.SMTPAuthLoginNoEnc)
	}
	return append(proofs, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin)
}

// message is a letter in the form of the library.
func (s *Sender) message(l Letter) (*gomail.Msg, error) {
	to, err := ParseAddress(string(l.To))
	if err != nil {
		return nil, err
	}
	wire, err := to.wire()
	if err != nil {
		return nil, err
	}
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	m.FromMailAddress(s.from)
	m.ToMailAddress(&mail.Address{Address: wire})
	m.Subject(oneLine(l.Subject))
	m.SetMessageIDWithValue(rand.Text() + "@" + s.domain)
	m.SetDate()
	// So that nobody's holiday notice answers.
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	if l.Thread != "" {
		sum := sha256.Sum256([]byte(l.Thread + "\x00" + wire))
		root := "<" + hex.EncodeToString(sum[:16]) + "@" + s.domain + ">"
		m.SetGenHeader(gomail.HeaderInReplyTo, root)
		m.SetGenHeader(gomail.HeaderReferences, root)
	}
	if l.Unsubscribe != "" {
		address := webAddress(l.Unsubscribe)
		if address == "" {
			return nil, errors.New("the address to unsubscribe at is none of a page")
		}
		m.SetListUnsubscribe(address)
		m.SetListUnsubscribePost()
	}
	text, page := render(l.Body)
	m.SetBodyString(gomail.TypeTextPlain, text)
	m.AddAlternativeString(gomail.TypeTextHTML, page)
	return m, nil
}
