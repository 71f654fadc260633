// Package mailtest takes the mail that is sent in tests: an SMTP server that keeps
// every letter, and refuses whom it is told to refuse.
package mailtest

import (
	"errors"
	"io"
	"log"
	"mime"
	"mime/multipart"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// A Letter is one that has come.
type Letter struct {
	From, To string // as the server was told
	Header   mail.Header
	Subject  string // decoded
	Text     string
	HTML     string
	Raw      string
}

// A Box is a server that takes mail. It is safe for concurrent use.
type Box struct {
	t       testing.TB
	came    chan Letter
	options Options

	mu      sync.Mutex // guards what follows
	refused map[string]*smtp.SMTPError
}

// Options say how the server is.
type Options struct {
	// Set changes the server before it serves.
	Set func(*smtp.Server)
	// User and Password are asked for, if there is a User.
	User, Password string
}

// Serve takes mail on a listener until the end of the test.
func Serve(t testing.TB, l net.Listener, o Options) *Box {
	b := &Box{t: t, came: make(chan Letter, 1000), options: o, refused: make(map[string]*smtp.SMTPError)}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{box: b}, nil }))
	s.AllowInsecureAuth, s.Domain = true, "mail.test"
	s.ErrorLog = log.New(io.Discard, "", 0) // connections that break are a part of some tests
	if o.Set != nil {
		o.Set(s)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return b
}

// Refuse has the server refuse mail for an address with a status, or take it again
// if that is 0.
func (b *Box) Refuse(to string, status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.refused, to)
	if status != 0 {
		b.refused[to] = &smtp.SMTPError{Code: status, EnhancedCode: smtp.EnhancedCode{status / 100, 1, 1}, Message: "no mail for <" + to + ">"}
	}
}

// Next waits for a letter, the oldest that was not returned yet.
func (b *Box) Next() Letter {
	b.t.Helper()
	select {
	case l := <-b.came:
		return l
	case <-time.After(20 * time.Second):
		b.t.Fatal("no mail has come")
		panic("unreachable")
	}
}

// Empty reports whether all letters were returned that have come.
func (b *Box) Empty() bool { return len(b.came) == 0 }

// session is one connection.
type session struct {
	box      *Box
	known    bool
	from, to string
}

func (s *session) AuthMechanisms() []string {
	if s.box.options.User == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != s.box.options.User || password != s.box.options.Password {
			return smtp.ErrAuthFailed
		}
		s.known = true
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.box.options.User != "" && !s.known {
		return smtp.ErrAuthRequired
	}
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	if refusal := s.box.refused[to]; refusal != nil {
		return refusal
	}
	s.to = to
	return nil
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	l, err := Read(string(raw))
	if err != nil {
		s.box.t.Errorf("reading a letter: %v\n%s", err, raw)
		return err
	}
	l.From, l.To = s.from, s.to
	s.box.came <- l
	return nil
}

func (s *session) Reset()        { s.from, s.to = "", "" }
func (s *session) Logout() error { return nil }

// Read takes a letter apart that has text and HTML.
func Read(raw string) (Letter, error) {
	m, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		return Letter{}, err
	}
	l := Letter{Header: m.Header, Raw: raw}
	if l.Subject, err = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil {
		return Letter{}, err
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		return Letter{}, errors.New("it is not multipart/alternative")
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return l, nil
		}
		if err != nil {
			return Letter{}, err
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return Letter{}, err
		}
		text := strings.ReplaceAll(string(content), "\r\n", "\n")
		switch kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type")); kind {
		case "text/plain":
			l.Text = text
		case "text/html":
			l.HTML = text
		}
	}
}
