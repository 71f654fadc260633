package csapi

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"time"

	"parley/internal/endpoint"
	"parley/matrix/id"
)

// Turn are the servers that relay calls of users who cannot reach each other.
type Turn struct {
	// URIs name the servers, as https://www.rfc-editor.org/rfc/rfc7065 has it.
	// Empty: there are none.
	URIs []string
	// Secret is shared with the servers, so that they know whom to serve.
	Secret string
	// Lifetime is how long a password is good, in whole seconds.
	Lifetime time.Duration
}

func (s *Server) voipRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v3/voip/turnServer", endpoint.Policy{Auth: endpoint.User, Class: classRead}, s.turnServer),
	}
}

type turnServerResponse struct {
	Username string   `json:"username,omitempty"`
	Password string   `json:"password,omitempty"`
	URIs     []string `json:"uris,omitempty"`
	TTL      int64    `json:"ttl,omitempty"` // in seconds
}

// turnServer serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3voipturnserver
//
// Without a server the answer is empty, which clients take for that.
func (s *Server) turnServer(_ context.Context, c endpoint.Caller, _ endpoint.Empty) (turnServerResponse, error) {
	t := s.Settings.Turn
	if len(t.URIs) == 0 {
		return turnServerResponse{}, nil
	}
	username, password := t.credentials(c.UserID, time.Now())
	return turnServerResponse{username, password, t.URIs, int64(t.Lifetime / time.Second)}, nil
}

// credentials are those that a server makes out by itself who knows the secret:
// until when they are good and for whom, and the HMAC of that.
// https://datatracker.ietf.org/doc/html/draft-uberti-behave-turn-rest-00
func (t Turn) credentials(user id.UserID, now time.Time) (username, password string) {
	username = fmt.Sprintf("%d:%s", now.Add(t.Lifetime).Unix(), user)
	mac := hmac.New(sha1.New, []byte(t.Secret)) // the servers know no other
	mac.Write([]byte(username))
	return username, base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
