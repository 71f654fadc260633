package csapi

import (
	"slices"
	"testing"
	"time"
)

func TestCallsAreRelayed(t *testing.T) {
	uris := []string{"turn:turn.a.test:3478?transport=udp", "turns:turn.a.test"}
	s := newAccountScene(t, Settings{Registration: RegistrationOpen, Turn: Turn{URIs: uris, Secret: "north", Lifetime: time.Hour}})
	token := s.register("alice")
	s.want(s.call("", "GET", "/voip/turnServer", ""), 401, "M_MISSING_TOKEN")
	a := s.want(s.call(token, "GET", "/voip/turnServer", ""), 200, "")
	var told []string
	for _, uri := range a.body["uris"].([]any) {
		told = append(told, uri.(string))
	}
	if !slices.Equal(told, uris) || a.body["ttl"] != 3600.0 || a.get("username") == "" || a.get("password") == "" {
		t.Errorf("got %s", a.text)
	}
}

func TestWithoutServersNoCallIsRelayed(t *testing.T) {
	s := newAccountScene(t, Settings{Registration: RegistrationOpen})
	if a := s.want(s.call(s.register("alice"), "GET", "/voip/turnServer", ""), 200, ""); len(a.body) != 0 {
		t.Errorf("got %s", a.text)
	}
}

// The password was computed with
//
//	printf %s 1700003600:@alice:a.test | openssl dgst -sha1 -hmac north -binary | base64
func TestTurnServersMakeOutCredentials(t *testing.T) {
	username, password := Turn{Secret: "north", Lifetime: time.Hour}.credentials("@alice:a.test", time.Unix(1_700_000_000, 0))
	if username != "1700003600:@alice:a.test" || password != "/yEOX/DajremRNVZr8ORULEzWlA=" {
		t.Errorf("got %s, %s", username, password)
	}
}
