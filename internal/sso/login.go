package sso

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"parley/internal/store"
)

// Errors of a login, which people are told.
var (
	ErrUnknown     = errors.New("there is no such identity provider")
	ErrExpired     = errors.New("the login was not begun in this browser, or too long ago")
	ErrUnreachable = errors.New("the identity provider cannot be reached")
	ErrRefused     = errors.New("the identity provider does not say who you are")
)

// Options of the logins of a server.
type Options struct {
	Providers []Provider
	// Callback is the address to which providers lead back.
	Callback string
	// Dial, if it is not nil, connects to providers.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Logins are those by identity providers. It is safe for concurrent use.
type Logins struct {
	db       *store.DB
	callback string
	list     []Provider
	client   *http.Client

	mu    sync.Mutex // guards what follows
	found map[string]*oidc.Provider
}

const (
	// sessionLength is how long somebody may take at a provider.
	sessionLength = 15 * time.Minute
	// timeout is how long a provider may take, and maxAnswer how much it may say.
	timeout   = 20 * time.Second
	maxAnswer = 1 << 20
	// maxSubject is the length of the name by which a provider knows somebody.
	maxSubject = 255
)

// New returns the logins, none of which is possible if there are no providers.
func New(db *store.DB, o Options) *Logins {
	transport := &http.Transport{
		DialContext: o.Dial, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute,
		TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10,
	}
	return &Logins{
		db: db, callback: o.Callback, list: o.Providers, found: make(map[string]*oidc.Provider),
		client: &http.Client{Transport: bounded{transport}, Timeout: timeout},
	}
}

// bounded cuts answers that are too long.
type bounded struct{ *http.Transport }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.Transport.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

// Close ends connections that are not in use.
func (l *Logins) Close() { l.client.CloseIdleConnections() }

// Providers are those that people may choose from.
func (l *Logins) Providers() []Provider { return l.list }

// Provider returns one of them, or ErrUnknown.
func (l *Logins) Provider(id string) (Provider, error) {
	for _, p := range l.list {
		if p.ID == id {
			return p, nil
		}
	}
	return Provider{}, ErrUnknown
}

// discover finds out how a provider is asked, once.
func (l *Logins) discover(ctx context.Context, p Provider) (*oidc.Provider, error) {
	l.mu.Lock()
	known := l.found[p.ID]
	l.mu.Unlock()
	if known != nil {
		return known, nil
	}
	known, err := oidc.NewProvider(l.within(ctx), p.Issuer)
	if err != nil {
		return nil, fmt.Errorf("finding out how %s is asked: %w: %w", p.ID, ErrUnreachable, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.found[p.ID] = known
	return known, nil
}

// within has the library use our client.
func (l *Logins) within(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, l.client)
}

func (l *Logins) config(p Provider, known *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: known.Endpoint(), RedirectURL: l.callback, Scopes: p.Scopes}
}

// A Goal is what somebody logs in for: one of the two is empty.
type Goal struct {
	Redirect string // where a client waits
	Session  string // of user-interactive authentication
}

// NewBrowser makes up what only one browser is to know.
func NewBrowser() string { return rand.Text() }

// Begin returns the address of a provider to which a browser is to be sent.
func (l *Logins) Begin(ctx context.Context, provider, browser string, g Goal) (address string, err error) {
	p, err := l.Provider(provider)
	if err != nil {
		return "", err
	}
	known, err := l.discover(ctx, p)
	if err != nil {
		return "", err
	}
	s := session{state: rand.Text(), provider: p.ID, nonce: rand.Text(), verifier: oauth2.GenerateVerifier(), goal: g}
	if err := l.insert(ctx, s, browser); err != nil {
		return "", err
	}
	return l.config(p, known).AuthCodeURL(s.state, oidc.Nonce(s.nonce), oauth2.S256ChallengeOption(s.verifier)), nil
}

// An Identity is what a provider says of somebody.
type Identity struct {
	Subject     string
	Localpart   string `json:",omitempty"`
	DisplayName string `json:",omitempty"`
	Email       string `json:",omitempty"` // verified
}

// An Arrival is a browser that has come back from a provider.
type Arrival struct {
	State    string
	Provider Provider
	Goal     Goal
	Identity Identity
}

// Finish takes the code with which a browser comes back, and learns by it who
// somebody is. It can be done once.
func (l *Logins) Finish(ctx context.Context, state, browser, code string) (Arrival, error) {
	s, err := l.take(ctx, state, browser)
	if err != nil {
		return Arrival{}, err
	}
	p, err := l.Provider(s.provider)
	if err != nil {
		return Arrival{}, err
	}
	identity, err := l.identify(ctx, p, s, code)
	if err != nil {
		return Arrival{}, fmt.Errorf("asking %s who somebody is: %w", p.ID, err)
	}
	return Arrival{s.state, p, s.goal, identity}, l.arrived(ctx, s.state, identity)
}

// identify asks a provider who has given a code.
func (l *Logins) identify(ctx context.Context, p Provider, s session, code string) (Identity, error) {
	known, err := l.discover(ctx, p)
	if err != nil {
		return Identity{}, err
	}
	ctx = l.within(ctx)
	token, err := l.config(p, known).Exchange(ctx, code, oauth2.VerifierOption(s.verifier))
	if refused := (*oauth2.RetrieveError)(nil); errors.As(err, &refused) {
		return Identity{}, fmt.Errorf("%w: the code is refused: %s", ErrRefused, refused.ErrorCode)
	}
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return Identity{}, fmt.Errorf("%w: there is no ID token", ErrRefused)
	}
	said, err := known.Verifier(&oidc.Config{ClientID: p.ClientID}).Verify(ctx, raw)
	switch {
	case err != nil:
		return Identity{}, fmt.Errorf("%w: %w", ErrRefused, err)
	case subtle.ConstantTimeCompare([]byte(said.Nonce), []byte(s.nonce)) != 1:
		return Identity{}, fmt.Errorf("%w: the ID token is for another request", ErrRefused)
	case said.Subject == "" || len(said.Subject) > maxSubject || strings.ContainsRune(said.Subject, 0):
		return Identity{}, fmt.Errorf("%w: the subject is empty or too long", ErrRefused)
	}
	claims := make(map[string]any)
	if err := said.Claims(&claims); err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if known.UserInfoEndpoint() != "" && p.lacks(claims) {
		more, err := known.UserInfo(ctx, oauth2.StaticTokenSource(token))
		if err != nil {
			return Identity{}, fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		if more.Subject != said.Subject {
			return Identity{}, fmt.Errorf("%w: it speaks of two people", ErrRefused)
		}
		if err := more.Claims(&claims); err != nil { // beside those of before
			return Identity{}, fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
	return p.identity(said.Subject, claims), nil
}

// lacks reports whether a claim is not there that an account is made of.
func (p Provider) lacks(claims map[string]any) bool {
	for _, name := range []string{p.Claims.Localpart, p.Claims.DisplayName, p.Claims.Email} {
		if name != "-" && claims[name] == nil {
			return true
		}
	}
	return false
}

func (p Provider) identity(subject string, claims map[string]any) Identity {
	text := func(name string) string {
		s, _ := claims[name].(string)
		if strings.ContainsRune(s, 0) || len(s) > 1000 {
			return ""
		}
		return s
	}
	i := Identity{Subject: subject, Localpart: text(p.Claims.Localpart), DisplayName: text(p.Claims.DisplayName)}
	if verified := claims["email_verified"]; verified == true || verified == "true" { // some have it as text
		i.Email = text(p.Claims.Email)
	}
	return i
}

// Arrived returns a browser that has come back, as Finish did. The error is
// ErrExpired if there is none.
func (l *Logins) Arrived(ctx context.Context, state, browser string) (Arrival, error) {
	s, err := l.read(ctx, state, browser)
	if err != nil {
		return Arrival{}, err
	}
	if len(s.identity) == 0 {
		return Arrival{}, ErrExpired
	}
	p, err := l.Provider(s.provider)
	if err != nil {
		return Arrival{}, err
	}
	a := Arrival{State: s.state, Provider: p, Goal: s.goal}
	if err := json.Unmarshal(s.identity, &a.Identity); err != nil {
		return Arrival{}, fmt.Errorf("reading an identity: %w", err)
	}
	return a, nil
}
