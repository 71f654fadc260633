package identity

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"parley/internal/remote"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/signing"
)

// fake is an identity server. What it answers is by path, a new one for each
// request as long as there are some.
type fake struct {
	*Servers
	t    *testing.T
	name id.ServerName
	url  string

	mu      sync.Mutex
	answers map[string][]answer
	asked   []string
}

type answer struct {
	status int
	body   string
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t, answers: map[string][]answer{}}
	s := httptest.NewTLSServer(f)
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	client := remote.New(remote.Options{AllowPrivate: true, TLS: &tls.Config{RootCAs: roots}})
	t.Cleanup(client.Close)
	f.url, f.name = s.URL, id.ServerName(strings.TrimPrefix(s.URL, "https://"))
	seed := sha256.Sum256([]byte("here"))
	key, err := signing.NewKey("ed25519:0", seed[:])
	if err != nil {
		t.Fatal(err)
	}
	f.Servers = New(client, Options{Trusted: []id.ServerName{f.name}, Server: "a.test", Key: key})
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/_matrix/identity/v2/")
	var body json.RawMessage
	json.NewDecoder(r.Body).Decode(&body)
	f.asked = append(f.asked, strings.TrimSpace(fmt.Sprintf("%s %s?%s %s %s", r.Method, path, r.URL.RawQuery, r.Header.Get("Authorization"), body)))
	list := f.answers[path]
	if len(list) == 0 {
		w.WriteHeader(404)
		return
	}
	if len(list) > 1 {
		f.answers[path] = list[1:]
	}
	w.WriteHeader(list[0].status)
	fmt.Fprint(w, list[0].body)
}

func (f *fake) address() Address {
	return Address{Server: f.name, Token: "secret", Medium: Email, Address: "bob@example.org"}
}

func TestWhichAddressesAreLookedUp(t *testing.T) {
	s := New(nil, Options{Trusted: []id.ServerName{"id.test"}})
	for _, tt := range []struct {
		name                   string
		server                 id.ServerName
		token, medium, address string
		want                   mxerr.Code // empty: it is
		as                     string
	}{
		{"a mail address", "id.test", "x", "email", "Bob.B@Example.Org", "", "bob.b@example.org"},
		{"a telephone number", "id.test", "x", "msisdn", "447700900001", "", "447700900001"},
		{"no server", "", "x", "email", "b@b", mxerr.MissingParam, ""},
		{"no token", "id.test", "", "email", "b@b", mxerr.MissingParam, ""},
		{"no medium", "id.test", "x", "", "b@b", mxerr.MissingParam, ""},
		{"no address", "id.test", "x", "email", "", mxerr.MissingParam, ""},
		{"a server that is not trusted", "evil.test", "x", "email", "b@b", mxerr.ServerNotTrusted, ""},
		{"a port that is not trusted", "id.test:8448", "x", "email", "b@b", mxerr.ServerNotTrusted, ""},
		{"a medium that there is not", "id.test", "x", "pigeon", "b@b", mxerr.ThreePIDMediumNotSupported, ""},
		{"no mail address", "id.test", "x", "email", "bob", mxerr.InvalidParam, ""},
		{"half a mail address", "id.test", "x", "email", "bob@", mxerr.InvalidParam, ""},
		{"a NUL", "id.test", "x", "email", "b\x00@b", mxerr.InvalidParam, ""},
		{"a space", "id.test", "x", "email", "b b@b", mxerr.InvalidParam, ""},
		{"a long address", "id.test", "x", "email", "b@" + strings.Repeat("b", 500), mxerr.InvalidParam, ""},
		{"a number with letters", "id.test", "x", "msisdn", "+44", mxerr.InvalidParam, ""},
		{"a token that would end a header", "id.test", "x\r\nX: y", "email", "b@b", mxerr.InvalidParam, ""},
		{"a long token", "id.test", strings.Repeat("x", 3000), "email", "b@b", mxerr.InvalidParam, ""},
	} {
		got, err := s.Check(Address{tt.server, tt.token, tt.medium, tt.address})
		if tt.want == "" && err != nil || tt.want != "" && !errors.Is(err, tt.want) || tt.want == "" && got.Address != tt.as {
			t.Errorf("%s: got %s, %v, want %q", tt.name, got.Address, err, tt.want)
		}
	}
	if _, err := New(nil, Options{}).Check(Address{"id.test", "x", Email, "b@b"}); !errors.Is(err, mxerr.ServerNotTrusted) {
		t.Errorf("without servers: %v", err)
	}
}

// TestHash is the example of the specification.
func TestHash(t *testing.T) {
	for address, want := range map[Address]string{
		{Medium: Email, Address: "alice@example.com"}: "4kenr7N9drpCJ4AfalmlGQVsOn3o2RHjkADUpXJWZUc",
		{Medium: Email, Address: "bob@example.com"}:   "LJwSazmv46n0hlMlsb_iYxI0_HXEqy_yj6Jm636cdT8",
		{Medium: MSISDN, Address: "18005552067"}:      "nlo35_T5fzSGZzJApqu8lgIudJvmOQtDaHtr-I4rU7I",
	} {
		if got := hash(address, "matrixrocks"); got != want {
			t.Errorf("%s: got %s, want %s", address.Address, got, want)
		}
	}
}

func TestLookup(t *testing.T) {
	const details = `{"lookup_pepper":"p","algorithms":["none","sha256"]}`
	bob := hash(Address{Medium: Email, Address: "bob@example.org"}, "p")
	found := fmt.Sprintf(`{"mappings":{%q:"@bob:b.test"}}`, bob)
	pepper := answer{400, `{"errcode":"M_INVALID_PEPPER"}`}
	for _, tt := range []struct {
		name            string
		details, lookup []answer
		want            string // the user, or the code
	}{
		{"somebody", []answer{{200, details}}, []answer{{200, found}}, "@bob:b.test"},
		{"nobody", []answer{{200, details}}, []answer{{200, `{"mappings":{}}`}}, ""},
		{"somebody else", []answer{{200, details}}, []answer{{200, `{"mappings":{"x":"@bob:b.test"}}`}}, ""},
		{"the pepper has just changed", []answer{{200, `{"lookup_pepper":"old","algorithms":["sha256"]}`}, {200, details}}, []answer{pepper, {200, found}}, "@bob:b.test"},
		{"the pepper changes all the time", []answer{{200, details}}, []answer{pepper}, "M_BAD_STATUS"},
		{"addresses in clear only", []answer{{200, `{"lookup_pepper":"p","algorithms":["none"]}`}}, []answer{{200, found}}, "M_BAD_STATUS"},
		{"no user", []answer{{200, details}}, []answer{{200, fmt.Sprintf(`{"mappings":{%q:"bob"}}`, bob)}}, "M_BAD_STATUS"},
		{"a number", []answer{{200, details}}, []answer{{200, fmt.Sprintf(`{"mappings":{%q:7}}`, bob)}}, "M_BAD_STATUS"},
		{"no JSON", []answer{{200, "<html>"}}, nil, "M_BAD_STATUS"},
		{"no object", []answer{{200, "[]"}}, nil, "M_BAD_STATUS"},
		{"too much", []answer{{200, `{"x":"` + strings.Repeat("x", maxAnswer) + `"}`}}, nil, "M_CONNECTION_FAILED"},
		{"a fault", []answer{{500, ""}}, nil, "M_BAD_STATUS"},
		{"nothing there", nil, nil, "M_BAD_STATUS"},
		{"a redirect", []answer{{307, ""}}, nil, "M_BAD_STATUS"},
		{"a token that it does not know", []answer{{401, `{"errcode":"M_UNAUTHORIZED"}`}}, nil, "M_THREEPID_AUTH_FAILED"},
		{"terms", []answer{{403, `{"errcode":"M_TERMS_NOT_SIGNED"}`}}, nil, "M_TERMS_NOT_SIGNED"},
		{"too often", []answer{{429, ``}}, nil, "M_LIMIT_EXCEEDED"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t)
			f.answers["hash_details"], f.answers["lookup"] = tt.details, tt.lookup
			user, err := f.Lookup(t.Context(), f.address())
			got := string(user)
			if refusal := (*mxerr.Error)(nil); errors.As(err, &refusal) {
				got = string(refusal.Code)
				if refusal.Status == 401 {
					t.Error("the client is told that its session is over")
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
			for _, asked := range f.asked {
				if strings.Contains(asked, "bob@") || !strings.Contains(asked, "Bearer secret") {
					t.Errorf("asked %s", asked)
				}
			}
			if len(f.asked) > 4 {
				t.Errorf("asked %d times", len(f.asked))
			}
		})
	}
}

func TestWhoDoesNotAnswer(t *testing.T) {
	f := newFake(t)
	gone := httptest.NewTLSServer(f)
	gone.Close()
	a := f.address()
	a.Server = id.ServerName(strings.TrimPrefix(gone.URL, "https://"))
	if _, err := f.Lookup(t.Context(), a); !errors.Is(err, mxerr.ConnectionFailed) || strings.Contains(err.Error(), "secret") {
		t.Errorf("gone: %v", err)
	}
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if _, err := f.Lookup(late, f.address()); !errors.Is(err, mxerr.ConnectionTimeout) {
		t.Errorf("late: %v", err)
	}
	// Without leave, addresses of this machine are not asked.
	if _, err := New(remote.New(remote.Options{}), Options{Trusted: []id.ServerName{f.name}}).Lookup(t.Context(), f.address()); !errors.Is(err, remote.ErrAddress) {
		t.Errorf("near: %v", err)
	}
}

const someKey = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func TestStore(t *testing.T) {
	key := func(name string) string {
		return fmt.Sprintf(`{"key_validity_url":"https://id.test/%s","public_key":%q}`, name, someKey)
	}
	good := `{"display_name":"b...@e...","public_keys":[` + key("a") + `,` + key("b") + `],"token":"abc.=_-"}`
	for _, tt := range []struct{ name, answer, want string }{
		{"an invite", good, `abc.=_- {"display_name":"b...@e...","key_validity_url":"https://id.test/a","public_key":"` + someKey + `","public_keys":[` + key("a") + `,` + key("b") + `]}`},
		{"no token", strings.Replace(good, `"token"`, `"x"`, 1), ""},
		{"an empty token", strings.Replace(good, `abc.=_-`, ``, 1), ""},
		{"a bad token", strings.Replace(good, `abc.=_-`, `a\u0000b`, 1), ""},
		{"a long token", strings.Replace(good, `abc.=_-`, strings.Repeat("x", 256), 1), ""},
		{"no name", strings.Replace(good, `"display_name"`, `"x"`, 1), ""},
		{"no keys", `{"display_name":"b","public_keys":[],"token":"x"}`, ""},
		{"a bad key", strings.Replace(good, someKey, "AAAA", 1), ""},
		{"a key without an end", strings.Replace(good, "key_validity_url", "x", 1), ""},
		{"too many keys", `{"display_name":"b","public_keys":[` + strings.TrimSuffix(strings.Repeat(key("a")+",", 11), ",") + `],"token":"x"}`, ""},
	} {
		f := newFake(t)
		f.answers["store-invite"] = []answer{{200, tt.answer}}
		got, err := f.Store(t.Context(), f.address(), Invite{Room: "!r:a.test", Sender: "@alice:a.test", Name: "Cats"})
		if tt.want == "" {
			if !errors.Is(err, mxerr.BadStatus) {
				t.Errorf("%s: got %v", tt.name, err)
			}
			continue
		}
		if text := got.Token + " " + string(got.Content); err != nil || text != tt.want {
			t.Errorf("%s: got\n%s, %v, want\n%s", tt.name, text, err, tt.want)
		}
		want := `POST store-invite? Bearer secret {"address":"bob@example.org","medium":"email","room_id":"!r:a.test","room_name":"Cats","sender":"@alice:a.test"}`
		if len(f.asked) != 1 || f.asked[0] != want {
			t.Errorf("%s: asked\n%s, want\n%s", tt.name, f.asked, want)
		}
	}
	f := newFake(t)
	for code, want := range map[string]mxerr.Code{"M_UNRECOGNIZED": mxerr.ThreePIDMediumNotSupported, "M_THREEPID_IN_USE": mxerr.ThreePIDInUse} {
		f.answers["store-invite"] = []answer{{400, fmt.Sprintf(`{"errcode":%q}`, code)}}
		if _, err := f.Store(t.Context(), f.address(), Invite{}); !errors.Is(err, want) {
			t.Errorf("%s: got %v", code, err)
		}
	}
}

func TestVerify(t *testing.T) {
	f := newFake(t)
	keyOf := func(name string) signing.Key {
		seed := sha256.Sum256([]byte(name))
		key, err := signing.NewKey("ed25519:0", seed[:])
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	public := func(name string) string {
		return signing.EncodeBase64(keyOf(name).Private.Public().(ed25519.PublicKey))
	}
	entry := func(name, url string) string {
		if url == "" {
			return fmt.Sprintf(`"public_key":%q`, public(name))
		}
		return fmt.Sprintf(`"key_validity_url":%q,"public_key":%q`, url, public(name))
	}
	f.answers["valid"] = []answer{{200, `{"valid":true}`}}
	f.answers["revoked"] = []answer{{200, `{"valid":false}`}}
	f.answers["fault"] = []answer{{500, `{"valid":true}`}}
	at := func(path string) string { return f.url + "/_matrix/identity/v2/" + path }
	unsigned := canonjson.Value(`{"mxid":"@bob:a.test","sender":"@alice:a.test","token":"t"}`)
	signed := signing.Sign(unsigned, "id.test", keyOf("one"))
	many := strings.Repeat(fmt.Sprintf(`{"public_key":%q},`, someKey), 60)
	for _, tt := range []struct {
		name    string
		proof   canonjson.Value
		content string
		want    mxerr.Code // empty: it holds
	}{
		{"by the key", signed, `{` + entry("one", at("valid")) + `}`, ""},
		{"by one of the keys", signed, `{` + entry("two", at("valid")) + `,"public_keys":[{` + entry("one", at("valid")) + `}]}`, ""},
		{"by a key that never ends", signed, `{` + entry("one", "") + `}`, ""},
		{"by another key", signed, `{` + entry("two", at("valid")) + `}`, mxerr.Forbidden},
		{"by a key that was revoked", signed, `{` + entry("one", at("revoked")) + `}`, mxerr.Forbidden},
		{"by a key of which nobody knows", signed, `{` + entry("one", at("fault")) + `}`, mxerr.Forbidden},
		{"by a key of which a file knows", signed, `{` + entry("one", "file:///x") + `}`, mxerr.ConnectionFailed},
		{"by a key of which nonsense knows", signed, `{` + entry("one", ":") + `}`, mxerr.Forbidden},
		{"by nobody", unsigned, `{` + entry("one", at("valid")) + `}`, mxerr.Forbidden},
		{"for somebody else", signed.With("mxid", canonjson.Text("@carol:a.test")), `{` + entry("one", at("valid")) + `}`, mxerr.Forbidden},
		{"of an invite that was taken back", signed, `{}`, mxerr.Forbidden},
		{"with very many signatures", signing.Sign(signed, "more.test", keyOf("x")), `{"public_keys":[` + many + `{` + entry("one", "") + `}]}`, mxerr.Forbidden},
	} {
		f.asked = nil
		err := f.Verify(t.Context(), tt.proof, canonjson.Value(tt.content))
		if tt.want == "" && err != nil || tt.want != "" && !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
		if len(f.asked) > 1 || len(f.asked) == 1 && !strings.Contains(f.asked[0], "public_key=") {
			t.Errorf("%s: asked %s", tt.name, f.asked)
		}
	}
}

// FuzzStored: whatever is answered, what comes of it is an invite that has all that
// one has to have.
func FuzzStored(f *testing.F) {
	f.Add([]byte(`{"display_name":"b...@e...","public_keys":[{"key_validity_url":"https://id.test/a","public_key":"` + someKey + `"}],"token":"abc"}`))
	f.Add([]byte(`{"public_keys":[{"key_validity_url":7}],"token":"\u0000"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		answer, err := canonjson.Canonical(b, canonjson.Lenient)
		if err != nil {
			return
		}
		s, err := stored(answer)
		if err != nil {
			return
		}
		if _, ok := publicKey(s.Content); !ok || !isToken(s.Token) || s.Content.Get("display_name").Kind() != canonjson.String {
			t.Errorf("%s became %s %s", b, s.Token, s.Content)
		}
		if again, err := canonjson.Canonical(s.Content, canonjson.Strict); err != nil || string(again) != string(s.Content) {
			t.Errorf("%s became %s, which is not canonical: %v", b, s.Content, err)
		}
	})
}
