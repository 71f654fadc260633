// Package ssotest is an identity provider for tests, which says of whoever comes what
// it is told to. It does all that OpenID Connect asks of it, and can be told to lie.
package ssotest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// The provider knows this server by these.
const (
	ClientID     = "parley"
	ClientSecret = "s3cret"
)

// A Provider is one. It is safe for concurrent use.
type Provider struct {
	issuer string
	key    *ecdsa.PrivateKey

	mu    sync.Mutex // guards what follows
	codes map[string]url.Values
	// Claims are what it says of whoever comes next; "sub" is needed.
	claims, info map[string]any
	lie          func(claims map[string]any)
	broken       bool
}

// New returns a provider with an address, as an http.Handler.
func New(issuer string) *Provider {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return &Provider{issuer: issuer, key: key, codes: make(map[string]url.Values)}
}

// Settings are those by which a server knows the provider, as a JSON object, with
// more members.
func (p *Provider) Settings(id, more string) string {
	return fmt.Sprintf(`{"id":%q,"name":"The %s","issuer":%q,"client_id":%q,"client_secret":%q%s}`, id, id, p.issuer, ClientID, ClientSecret, more)
}

// Is says who comes next: the claims of the ID token, and, unless nil, those that the
// user info has beside the subject.
func (p *Provider) Is(claims, info map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims, p.info = claims, info
}

// Lie changes what ID tokens have from now on; nil: nothing.
func (p *Provider) Lie(change func(claims map[string]any)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lie = change
}

// Break has it answer with faults, or not any more.
func (p *Provider) Break(broken bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = broken
}

// ServeHTTP answers browsers and servers.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		answer(w, map[string]any{
			"issuer": p.issuer, "authorization_endpoint": p.issuer + "/authorize", "token_endpoint": p.issuer + "/token",
			"jwks_uri": p.issuer + "/keys", "userinfo_endpoint": p.issuer + "/userinfo", "id_token_signing_alg_values_supported": []string{"ES256"},
		})
	case "/keys":
		public, err := p.key.PublicKey.Bytes()
		if err != nil {
			panic(err)
		}
		answer(w, map[string]any{"keys": []any{map[string]string{
			"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1", "x": encode(public[1:33]), "y": encode(public[33:]),
		}}})
	case "/authorize":
		p.authorize(w, r)
	case "/token":
		p.token(w, r)
	case "/userinfo":
		said := map[string]any{"sub": p.claims["sub"]}
		maps.Copy(said, p.info)
		answer(w, said)
	default:
		http.NotFound(w, r)
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// authorize is where browsers come, and are sent back from with a code.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != ClientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	code := rand.Text()
	p.codes[code] = q
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
}

// token gives an ID token for a code, once, to who has asked for it.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	request := p.codes[r.PostFormValue("code")]
	delete(p.codes, r.PostFormValue("code"))
	id, secret, ok := r.BasicAuth()
	if !ok {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if request == nil || id != ClientID || secret != ClientSecret || encode(sum[:]) != request.Get("code_challenge") ||
		r.PostFormValue("redirect_uri") != request.Get("redirect_uri") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant"}`)
		return
	}
	claims := map[string]any{
		"iss": p.issuer, "aud": ClientID, "nonce": request.Get("nonce"), "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
	}
	maps.Copy(claims, p.claims)
	if p.lie != nil {
		p.lie(claims)
	}
	answer(w, map[string]any{"access_token": "x", "token_type": "Bearer", "expires_in": 60, "id_token": p.sign(claims)})
}

// sign makes a JWT.
func (p *Provider) sign(claims map[string]any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	text := encode([]byte(`{"alg":"ES256","kid":"1","typ":"JWT"}`)) + "." + encode(payload)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, p.key, sum[:])
	if err != nil {
		panic(err)
	}
	return text + "." + encode(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}
