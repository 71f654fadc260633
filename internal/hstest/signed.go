package hstest

import (
	"os"
	"path/filepath"
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/signing"
	"parley/matrix/xmatrix"
)

// Key returns the key by which others know the server.
func (s *Server) Key() signing.Key {
	s.world.Helper()
	content, err := os.ReadFile(filepath.Join(s.Config.DataDir, "signing.key"))
	if err != nil {
		s.world.Fatal(err)
	}
	words := strings.Fields(string(content))
	if len(words) != 3 {
		s.world.Fatalf("the key of %s has %d words", s.Name, len(words))
	}
	keyID, err := id.NewKeyID(words[0], words[1])
	if err != nil {
		s.world.Fatal(err)
	}
	seed, err := signing.DecodeBase64(words[2])
	if err != nil {
		s.world.Fatal(err)
	}
	key, err := signing.NewKey(keyID, seed)
	if err != nil {
		s.world.Fatal(err)
	}
	return key
}

// Ask makes a request of another server as this one, whatever it is.
func (s *Server) Ask(other *Server, method, uri string, body canonjson.Value) (status int, response canonjson.Value) {
	t := s.world
	t.Helper()
	request := xmatrix.Request{Method: method, URI: uri, Origin: s.Name, Destination: other.Name, Content: body}
	status, response, err := other.request(method, uri, request.Sign(s.Key()), string(body))
	if err != nil {
		t.Fatalf("%s asks %s for %s %s: %v", s.Name, other.Name, method, uri, err)
	}
	return status, response
}
