package mail_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"parley/internal/mail"
	"parley/internal/mail/mailtest"
)

// server is a box on this machine, and how mail gets there.
func server(t *testing.T, security mail.Security, o mailtest.Options) (*mailtest.Box, mail.Options) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewTLSServer(nil) // for its certificate, of 127.0.0.1
	web.Close()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	config := &tls.Config{Certificates: web.TLS.Certificates}
	sending := mail.Options{Server: l.Addr().String(), Security: security, From: "Parley <parley@a.test>", Roots: roots, Timeout: 5 * time.Second}
	switch security {
	case mail.TLS:
		l = tls.NewListener(l, config)
	case mail.StartTLS:
		o.Set = func(s *smtp.Server) { s.TLSConfig, s.AllowInsecureAuth = config, false }
	}
	return mailtest.Serve(t, l, o), sending
}

func sender(t *testing.T, o mail.Options) *mail.Sender {
	t.Helper()
	s, err := mail.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestALetterArrivesAsTextAndAsHTML(t *testing.T) {
	for _, security := range []mail.Security{mail.None, mail.StartTLS, mail.TLS} {
		t.Run(string(security), func(t *testing.T) {
			box, o := server(t, security, mailtest.Options{User: "parley", Password: "s3cret"})
			o.User, o.Password = "parley", "s3cret"
			err := sender(t, o).Send(t.Context(), mail.Letter{
				To: "bob@example.org", Subject: "Grüße & <more>",
				Body: []mail.Part{
					mail.Heading("Hello <Bob>"),
					mail.Paragraph("Two\nlines & more."),
					mail.Link{Label: "Go on", Address: "https://a.test/?a=1&b=2"},
					mail.Link{Label: "Do not", Address: "javascript:alert(1)"},
					mail.Said{Who: "Alice", When: "12:00", What: "Hi\nthere", New: true},
					mail.Small("You get this because you asked for it."),
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			l := box.Next()
			if l.From != "parley@a.test" || l.To != "bob@example.org" || l.Subject != "Grüße & <more>" {
				t.Errorf("from %s to %s, about %q", l.From, l.To, l.Subject)
			}
			const text = `Hello <Bob>

Two
lines & more.

Go on:
https://a.test/?a=1&b=2

Do not

> Alice (12:00): Hi
>   there

-- 
You get this because you asked for it.
`
			if l.Text != text {
				t.Errorf("the text is %q, want %q", l.Text, text)
			}
			for _, want := range []string{
				`>Hello &lt;Bob&gt;</h2>`, "<p>Two<br>\nlines &amp; more.</p>", `<p><a href="https://a.test/?a=1&amp;b=2">Go on</a></p>`, `<p>Do not</p>`,
				`<strong>Alice</strong>`, `Hi<br>`,
			} {
				if !strings.Contains(l.HTML, want) {
					t.Errorf("%s is not in %s", want, l.HTML)
				}
			}
			if strings.Contains(l.Raw, "go-mail") || !strings.HasSuffix(l.Header.Get("Message-Id"), "@a.test>") || l.Header.Get("Auto-Submitted") != "auto-generated" {
				t.Errorf("the header is %v", l.Header)
			}
		})
	}
}

func TestNobodyWritesHeadersButTheSender(t *testing.T) {
	box, o := server(t, mail.None, mailtest.Options{})
	s := sender(t, o)
	const evil = "x\r\nBcc: eve@evil.test\r\n\r\nbody\x00\u2028"
	err := s.Send(t.Context(), mail.Letter{
		To: "bob@example.org", Subject: evil, Thread: evil, Body: []mail.Part{mail.Heading(evil), mail.Paragraph(evil), mail.Said{Who: evil, What: evil}},
	})
	if err != nil {
		t.Fatal(err)
	}
	l := box.Next()
	if l.Header.Get("Bcc") != "" || l.Subject != "x Bcc: eve@evil.test body" {
		t.Errorf("the subject is %q, the header %v", l.Subject, l.Header)
	}
	for _, l := range []mail.Letter{
		{To: "bob@example.org\r\nBcc: eve@evil.test", Subject: "x"},
		{To: "bob@example.org", Subject: "x", Unsubscribe: "https://a.test/\r\nBcc: eve@evil.test"},
		{To: "bob@example.org", Subject: "x", Unsubscribe: "javascript:x"},
		{To: "", Subject: "x"},
	} {
		if err := s.Send(t.Context(), l); !errors.Is(err, mail.ErrRefused) {
			t.Errorf("%+v: got %v", l, err)
		}
	}
	if !box.Empty() {
		t.Errorf("got %v", box.Next())
	}
}

func TestLettersAboutTheSameAreOneConversation(t *testing.T) {
	box, o := server(t, mail.None, mailtest.Options{})
	s := sender(t, o)
	send := func(to mail.Address, thread string) string {
		l := mail.Letter{To: to, Subject: "Cats", Thread: thread, Unsubscribe: "https://a.test/stop?token=1"}
		if err := s.Send(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		got := box.Next()
		if got.Header.Get("List-Unsubscribe") != "<https://a.test/stop?token=1>" || got.Header.Get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" {
			t.Errorf("the header is %v", got.Header)
		}
		if got.Header.Get("References") != got.Header.Get("In-Reply-To") {
			t.Errorf("the header is %v", got.Header)
		}
		return got.Header.Get("References")
	}
	first, again := send("bob@example.org", "!r:a.test"), send("bob@example.org", "!r:a.test")
	if first == "" || first != again || strings.Contains(first, "!r") {
		t.Errorf("got %s and %s", first, again)
	}
	for to, thread := range map[mail.Address]string{"bob@example.org": "!s:a.test", "eve@example.org": "!r:a.test"} {
		if other := send(to, thread); other == first {
			t.Errorf("%s, %s: got %s, too", to, thread, other)
		}
	}
	if none := send("bob@example.org", ""); none != "" {
		t.Errorf("got %s for no thread", none)
	}
}

func TestErrorsSayNotWhoWasToGetIt(t *testing.T) {
	box, o := server(t, mail.None, mailtest.Options{User: "parley", Password: "s3cret"})
	o.User, o.Password = "parley", "s3cret"
	box.Refuse("no@example.org", 550)
	box.Refuse("later@example.org", 450)
	gone := o
	gone.Server = "127.0.0.1:1"
	wrong := o
	wrong.Password = "wr0ng"
	open := o
	open.Security = mail.StartTLS
	for _, tt := range []struct {
		name    string
		o       mail.Options
		to      mail.Address
		refused bool
		want    string
	}{
		{"nobody there", o, "no@example.org", true, "status 550"},
		{"not now", o, "later@example.org", false, "status 450"},
		{"no server", gone, "bob@example.org", false, "connection refused"},
		{"a wrong password", wrong, "bob@example.org", false, "535"},
		{"no TLS where it has to be", open, "bob@example.org", false, "STARTTLS"},
	} {
		err := sender(t, tt.o).Send(t.Context(), mail.Letter{To: tt.to, Subject: "x"})
		if err == nil || errors.Is(err, mail.ErrRefused) != tt.refused || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v", tt.name, err)
			continue
		}
		local, domain, _ := strings.Cut(string(tt.to), "@")
		if text := err.Error(); !strings.Contains(text, domain) || !strings.Contains(text, tt.o.Server) || strings.Contains(text, local+"@") || strings.Contains(text, o.Password) {
			t.Errorf("%s: %s", tt.name, text)
		}
	}
}

// A server that says nothing keeps nobody longer than is allowed, and others wait
// for their turn until they have waited enough.
func TestAServerThatHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := sender(t, mail.Options{Server: l.Addr().String(), Security: mail.None, From: "parley@a.test", AtOnce: 1})
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if err := s.Send(ctx, mail.Letter{To: "bob@example.org"}); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	all.Wait()
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("the connection goes on: %d, %v", n, err)
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	for _, o := range []mail.Options{
		{Server: "localhost", From: "parley@a.test"},
		{Server: "localhost:25", From: "parley"},
		{Server: "localhost:25", From: `"p q"@a.test`},
		{Server: "localhost:25"},
	} {
		if _, err := mail.New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]mail.Address{
		"alice@example.org":                  "alice@example.org",
		"Alice@Example.ORG":                  "alice@example.org",
		"Strauß@Example.com":                 "strauss@example.com",
		"a.b+c_d@example.org":                "a.b+c_d@example.org",
		"alice@bücher.example":               "alice@bücher.example",
		"alice@xn--bcher-kva.example":        "alice@xn--bcher-kva.example",
		"":                                   "",
		"@":                                  "",
		"alice":                              "",
		"alice@":                             "",
		"@example.org":                       "",
		"Alice <alice@example.org>":          "",
		"<alice@example.org>":                "",
		"mailto:alice@example.org":           "",
		"alice@example.org,bob@example.org":  "",
		"alice@example.org\r\nBcc: x@y.test": "",
		"alice @example.org":                 "",
		" alice@example.org":                 "",
		"alice@example.org\x00":              "",
		`"a b"@example.org`:                  "",
		"alice@[127.0.0.1]":                  "",
		"alice@exa mple.org":                 "",
		"alice@-example.org":                 "",
		"alice@example..org":                 "",
		"a..b@example.org":                   "",
		"\xff@example.org":                   "",
		"a\u202e@example.org":                "",
		strings.Repeat("a", 250) + "@b.test": "",
	} {
		got, err := mail.ParseAddress(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add("alice@example.org")
	f.Add("Strauß@BÜCHER.example")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := mail.ParseAddress(text)
		if err != nil {
			return
		}
		if again, err := mail.ParseAddress(string(got)); err != nil || again != got {
			t.Errorf("%q is %q, and that %q, %v", text, got, again, err)
		}
		if strings.ContainsAny(string(got), "\x00\r\n <>,") || strings.Count(string(got), "@") != 1 {
			t.Errorf("%q is %q", text, got)
		}
	})
}
