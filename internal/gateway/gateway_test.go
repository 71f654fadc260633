package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"parley/internal/gateway/gatewaytest"
	"parley/internal/memnet"
	"parley/internal/remote"
	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

// A service is one that reaches devices, whatever it is called.
type service struct {
	*testing.T
	*Gateway
	mu     sync.Mutex
	asked  []string // method and URL of each request, in order
	header http.Header
	body   []byte
	answer func(w http.ResponseWriter, r *http.Request)
	// says is what it answers who asks whether it is an endpoint.
	says string
}

// newService returns a gateway in whose world all names lead to one service.
func newService(t *testing.T, apps map[string]App) *service {
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	s := &service{T: t, says: `{"unifiedpush":{"version":1}}`}
	network, authority := memnet.New(), memnet.NewAuthority()
	hosts := []string{"up.test", "push.test", apnsHost, apnsSandbox, "fcm.googleapis.com", "tokens.test"}
	l := tls.NewListener(network.Listen("service"), &tls.Config{Certificates: []tls.Certificate{authority.Certificate(hosts...)}})
	h := &http.Server{Handler: s}
	go h.Serve(l)
	web := remote.New(remote.Options{
		TLS: &tls.Config{RootCAs: authority.Pool()},
		Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
			if host == "near.test" {
				return []netip.Addr{netip.MustParseAddr("192.168.1.1")}, nil
			}
			return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
		},
		Dial: func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) { return network.Dial(ctx, "service") },
	})
	t.Cleanup(func() {
		web.Close()
		h.Close()
	})
	s.Gateway = New(Options{Web: web, Key: key, Contact: "https://a.test", Apps: apps})
	return s
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.Method+" https://"+r.Host+r.URL.RequestURI())
	if r.Method == "GET" {
		io.WriteString(w, s.says)
		return
	}
	s.header, s.body = r.Header, body
	if s.answer != nil {
		s.answer(w, r)
	}
}

func (s *service) answers(status int, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func (s *service) take() (asked string, header http.Header, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked = strings.Join(s.asked, ", ")
	s.asked = nil
	return asked, s.header, s.body
}

// about is a notification for one device.
func about(event, device string) canonjson.Value {
	return canonjson.Value(event).With("devices", canonjson.Value(`[`+device+`]`))
}

const message = `{"content":{"body":"hello"},"counts":{"unread":2},"event_id":"$e","prio":"high","room_id":"!r:a.test","room_name":"Tour","sender":"@b:a.test","type":"m.room.message"}`

// want fails unless a notification ends so: nothing, rejected, or the status of a
// refusal.
func (s *service) want(n canonjson.Value, what string) {
	s.Helper()
	rejected, err := s.Notify(s.Context(), n)
	got, refused := "", (*Refused)(nil)
	switch {
	case errors.As(err, &refused):
		got = fmt.Sprint(refused.Status)
	case err != nil:
		got = "unreached"
	case len(rejected) > 0:
		got = "rejected"
	}
	if got != what {
		s.Errorf("%s: got %q (%v), want %q", n, got, err, what)
	}
}

func TestUnifiedPush(t *testing.T) {
	s := newService(t, nil)
	device := `{"app_id":"x","pushkey":"https://up.test/upABC?up=1"}`
	s.want(about(message, device), "")
	asked, header, body := s.take()
	if asked != "GET https://up.test/upABC?up=1, POST https://up.test/upABC?up=1" || header.Get("Urgency") != "high" || header.Get("TTL") == "" {
		t.Errorf("asked %s with %v", asked, header)
	}
	if want := `{"notification":` + string(about(message, device)) + `}`; string(body) != want {
		t.Errorf("got %s, want %s", body, want)
	}
	long := strings.Replace(message, "hello", strings.Repeat("x", 5000), 1)
	s.want(about(strings.Replace(long, "high", "low", 1), device), "")
	asked, header, body = s.take()
	if want := `{"notification":` + string(about(`{"counts":{"unread":2},"event_id":"$e","prio":"low","room_id":"!r:a.test"}`, device)) + `}`; string(body) != want {
		t.Errorf("too long: got %s, want %s", body, want)
	}
	if asked != "POST https://up.test/upABC?up=1" || header.Get("Urgency") != "normal" {
		t.Errorf("asked %s with %v", asked, header)
	}
	for status, want := range map[int]string{404: "rejected", 410: "rejected", 500: "500", 429: "429", 301: "301", 403: "403"} {
		s.answers(status, "")
		s.want(about(message, device), want)
	}
	s.take()
	for _, key := range []string{"http://up.test/up", "https://a:b@up.test/up", "https:///up", "https://up.test/" + strings.Repeat("x", 1000)} {
		s.want(about(message, `{"app_id":"x","pushkey":"`+key+`"}`), "rejected")
	}
	for _, key := range []string{"https://near.test/up", "https://127.0.0.1/up", "https://[::1]/up"} {
		s.want(about(message, `{"app_id":"x","pushkey":"`+key+`"}`), "unreached")
	}
	if asked, _, _ := s.take(); asked != "" {
		t.Errorf("asked %s", asked)
	}
}

// TestNothingIsSentToWhatIsNoEndpoint so that nobody can have requests sent to just
// anything.
func TestNothingIsSentToWhatIsNoEndpoint(t *testing.T) {
	for _, answer := range []string{``, `hello`, `{"unifiedpush":1}`, `{"unifiedpush":{"version":"1"}}`} {
		s := newService(t, nil)
		s.says = answer
		for range 2 {
			s.want(about(message, `{"app_id":"x","pushkey":"https://up.test/"}`), "rejected")
		}
		if asked, _, _ := s.take(); asked != "GET https://up.test/" { // and not again at once
			t.Errorf("%s: asked %s", answer, asked)
		}
	}
}

func TestWebPush(t *testing.T) {
	s := newService(t, nil)
	browser := gatewaytest.NewBrowser(t)
	key := browser.Key()
	device := func(more string) string {
		return `{"app_id":"x","data":{"auth":"` + browser.Auth() + `"` + more + `,"endpoint":"https://push.test/send/1","only_last_per_room":true},"pushkey":"` + key + `"}`
	}
	s.want(about(message, device(`,"default_payload":{"app":"me"}`)), "")
	asked, header, body := s.take()
	if asked != "POST https://push.test/send/1" || header.Get("Content-Encoding") != "aes128gcm" || header.Get("Urgency") != "high" || len(header.Get("Topic")) != 32 || header.Get("TTL") == "" {
		t.Errorf("asked %s with %v", asked, header)
	}
	want := `{"app":"me","content":{"body":"hello"},"event_id":"$e","prio":"high","room_id":"!r:a.test","room_name":"Tour","sender":"@b:a.test","type":"m.room.message","unread":2}`
	if got, err := browser.Read(body); err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	s.checkVAPID(header.Get("Authorization"))
	s.want(about(strings.Replace(message, "hello", strings.Repeat("x", 5000), 1), device("")), "")
	_, _, body = s.take()
	want = `{"event_id":"$e","prio":"high","room_id":"!r:a.test","sender":"@b:a.test","type":"m.room.message","unread":2}`
	if got, err := browser.Read(body); err != nil || string(got) != want {
		t.Errorf("too long: got %s, %v, want %s", got, err, want)
	}
	for status, want := range map[int]string{201: "", 404: "rejected", 410: "rejected", 403: "rejected", 500: "500", 413: "413"} {
		s.answers(status, "")
		s.want(about(message, device("")), want)
	}
	s.take()
	for _, bad := range []string{
		strings.Replace(device(""), "https:", "http:", 1), strings.Replace(device(""), key, "AAAA", 1), strings.Replace(device(""), key, key[:80], 1),
		strings.Replace(device(""), `"auth":"`, `"auth":"x`, 1), strings.Replace(device(""), "auth", "out", 1),
	} {
		s.want(about(message, bad), "rejected")
	}
	if asked, _, _ := s.take(); asked != "" {
		t.Errorf("asked %s", asked)
	}
}

// checkVAPID fails unless a request is signed with the key of the gateway.
// https://www.rfc-editor.org/rfc/rfc8292
func (s *service) checkVAPID(authorization string) {
	s.Helper()
	var text, public string
	if parts := strings.SplitN(strings.TrimPrefix(authorization, "vapid t="), ", k=", 2); len(parts) == 2 {
		text, public = parts[0], parts[1]
	}
	raw, err := base64.RawURLEncoding.DecodeString(public)
	if err != nil || public != s.Key().Public() {
		s.Fatalf("the key is %q, %v", public, err)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), raw)
	if err != nil {
		s.Fatal(err)
	}
	claims := jwt.MapClaims{}
	if _, err := jwt.ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return key, nil }); err != nil {
		s.Error(err)
	}
	expires, err := claims.GetExpirationTime()
	if claims["aud"] != "https://push.test" || claims["sub"] != "https://a.test" || err != nil || time.Until(expires.Time) > 24*time.Hour {
		s.Errorf("it claims %v", claims)
	}
}

func TestKeysAreReadAsTheyWereWritten(t *testing.T) {
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseKey(key.Private())
	if err != nil || again.Public() != key.Public() {
		t.Errorf("got %v, %v", again, err)
	}
	for _, text := range []string{"", "!", "AAAA", strings.Repeat("A", 43)} {
		if _, err := ParseKey(text); err == nil {
			t.Errorf("%q is a key", text)
		}
	}
}

func pemOf(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func TestAPNs(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	app, err := NewAPNs("org.test.app", pemOf(t, key), "KEY", "TEAM", false)
	if err != nil {
		t.Fatal(err)
	}
	s := newService(t, map[string]App{"org.test.ios": {APNs: app}})
	const device = `{"app_id":"org.test.ios","data":{"default_payload":{"aps":{"alert":{"loc-key":"MSG"},"mutable-content":1}}},"pushkey":"3q2+7w=="}`
	s.want(about(message, device), "")
	asked, header, body := s.take()
	if asked != "POST https://"+apnsHost+"/3/device/deadbeef" || header.Get("Apns-Topic") != "org.test.app" || header.Get("Apns-Priority") != "10" || header.Get("Apns-Push-Type") != "alert" {
		t.Errorf("asked %s with %v", asked, header)
	}
	claims := jwt.MapClaims{}
	token, err := jwt.ParseWithClaims(strings.TrimPrefix(header.Get("Authorization"), "bearer "), claims, func(*jwt.Token) (any, error) { return &key.PublicKey, nil })
	if err != nil || claims["iss"] != "TEAM" || token.Header["kid"] != "KEY" || token.Method.Alg() != "ES256" {
		t.Errorf("the token is %v, %v", token, err)
	}
	if want := `{"aps":{"alert":{"loc-key":"MSG"},"badge":2,"mutable-content":1},"event_id":"$e","room_id":"!r:a.test","unread_count":2}`; string(body) != want {
		t.Errorf("got %s, want %s", body, want)
	}
	s.want(about(message, `{"app_id":"org.test.ios","pushkey":"3q2+7w=="}`), "")
	if _, _, body = s.take(); string(body) != `{"aps":{"alert":{"body":"hello","title":"Tour"},"badge":2},"event_id":"$e","room_id":"!r:a.test","unread_count":2}` {
		t.Errorf("got %s", body)
	}
	s.want(about(`{"counts":{"unread":0},"prio":"low"}`, device), "")
	if _, header, body = s.take(); string(body) != `{"aps":{"badge":0},"unread_count":0}` || header.Get("Apns-Priority") != "5" {
		t.Errorf("got %s", body)
	}
	s.want(about(`{"event_id":"$e"}`, `{"app_id":"org.test.ios","pushkey":"3q2+7w=="}`), "")
	if _, _, body = s.take(); string(body) != `{"aps":{"alert":{"body":"New message","title":""}},"event_id":"$e"}` {
		t.Errorf("of which nothing is known but its ID, got %s", body)
	}
	for _, tt := range []struct {
		status int
		reason string
		want   string
	}{
		{400, "BadDeviceToken", "rejected"}, {410, "Unregistered", "rejected"}, {400, "BadTopic", "400"}, {403, "ExpiredProviderToken", "403"}, {503, "", "503"},
	} {
		s.answers(tt.status, `{"reason":"`+tt.reason+`"}`)
		s.want(about(message, device), tt.want)
	}
	s.want(about(message, `{"app_id":"org.test.ios","pushkey":"not base64!"}`), "rejected")
	if _, err := NewAPNs("x", []byte("x"), "", "", true); err == nil {
		t.Error("what is no key is one")
	}
}

func TestFCM(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	account, err := json.Marshal(map[string]string{
		"project_id": "project", "private_key_id": "id", "private_key": string(pemOf(t, key)), "client_email": "a@b.test", "token_uri": "https://tokens.test/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	app, err := NewFCM(account)
	if err != nil {
		t.Fatal(err)
	}
	s := newService(t, map[string]App{"org.test.android": {FCM: app}})
	status, answer := 200, `{}`
	s.answer = func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "tokens.test" {
			io.WriteString(w, `{"access_token":"secret","expires_in":3600}`)
			return
		}
		w.WriteHeader(status)
		io.WriteString(w, answer)
	}
	const device = `{"app_id":"org.test.android","pushkey":"token"}`
	s.want(about(message, device), "")
	asked, header, body := s.take()
	if asked != "POST https://tokens.test/token, POST https://fcm.googleapis.com/v1/projects/project/messages:send" || header.Get("Authorization") != "Bearer secret" {
		t.Errorf("asked %s with %v", asked, header)
	}
	want := `{"message":{"android":{"priority":"HIGH","ttl":"43200s"},"data":{"event_id":"$e","prio":"high","room_id":"!r:a.test","room_name":"Tour","sender":"@b:a.test","type":"m.room.message","unread":"2"},"token":"token"}}`
	if string(body) != want {
		t.Errorf("got %s, want %s", body, want)
	}
	s.want(about(message, device), "")
	if asked, _, _ = s.take(); strings.Contains(asked, "tokens") {
		t.Errorf("with a token, asked %s", asked)
	}
	for _, tt := range []struct {
		status int
		answer string
		want   string
	}{
		{404, `{"error":{"details":[{"errorCode":"UNREGISTERED"}]}}`, "rejected"}, {400, `{"error":{"details":[{"errorCode":"INVALID_ARGUMENT"}]}}`, "400"},
		{401, `{}`, "401"}, {503, ``, "503"},
	} {
		s.mu.Lock()
		status, answer = tt.status, tt.answer
		s.mu.Unlock()
		s.want(about(message, device), tt.want)
	}
	if _, err := NewFCM([]byte(`{}`)); err == nil {
		t.Error("what is no account is one")
	}
}

func TestNotificationsThatMakeNoSense(t *testing.T) {
	s := newService(t, nil)
	for _, n := range []string{`[]`, `{}`, `{"devices":{}}`, `{"devices":[1]}`, `{"devices":[{"app_id":"x"}]}`, `{"devices":[{"pushkey":"x"}]}`} {
		if _, err := s.Notify(t.Context(), canonjson.Value(n)); !errors.Is(err, mxerr.BadJSON) {
			t.Errorf("%s: got %v", n, err)
		}
	}
	if _, err := s.Notify(t.Context(), about(`{}`, strings.Repeat(`{"app_id":"x","pushkey":"y"},`, mostDevices)+`{"app_id":"x","pushkey":"y"}`)); !errors.Is(err, mxerr.TooLarge) {
		t.Errorf("very many devices: %v", err)
	}
	s.want(about(`{}`, `{"app_id":"x","pushkey":"y"}`), "rejected")
	s.want(about(`{}`, ``), "")
}

// TestOneHostDoesNotTakeAllRequests though it hangs.
func TestOneHostDoesNotTakeAllRequests(t *testing.T) {
	s := newService(t, nil)
	for range perHost {
		if _, err := s.enter("hangs.test"); err != nil {
			t.Fatal(err)
		}
	}
	leave, err := s.enter("up.test")
	if err != nil {
		t.Error(err)
	}
	if _, err := s.enter("hangs.test"); err == nil {
		t.Error("there are more requests to one host than there may be")
	}
	leave()
	if s.all != perHost || len(s.busy) != 1 {
		t.Errorf("%d are counted, %v", s.all, s.busy)
	}
}
