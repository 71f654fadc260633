package ssapi

import (
	"context"
	"fmt"
	"time"

	"parley/internal/endpoint"
	"parley/internal/remote"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/xmatrix"
)

// Servers returns the authenticator of other servers, by the signatures of their
// requests. Whoever shows a good one has been heard of.
// https://spec.matrix.org/v1.19/server-server-api/#request-authentication
func Servers(name id.ServerName, ring *remote.KeyRing, health *remote.Health) endpoint.Authenticator {
	return signatures{name, ring, health}
}

type signatures struct {
	name   id.ServerName
	ring   *remote.KeyRing
	health *remote.Health
}

// mostSignatures is how many signatures of a request are looked at: a server may
// sign with several keys while it changes them.
const mostSignatures = 4

func (s signatures) Authenticate(c endpoint.Credentials) (endpoint.Caller, error) {
	headers := c.Request.Header.Values("Authorization")
	if len(headers) == 0 {
		return endpoint.Caller{}, refuse("the request is not signed")
	}
	var refusal error
	for _, header := range headers[:min(len(headers), mostSignatures)] {
		credentials, err := xmatrix.Parse(header)
		if err != nil {
			refusal = refuse("the header Authorization cannot be read").Wrap(err)
			continue
		}
		refusal = s.check(c, credentials)
		if refusal == nil {
			s.health.Heard(c.Request.Context(), credentials.Origin)
			return endpoint.Caller{Server: credentials.Origin}, nil
		}
	}
	return endpoint.Caller{}, refusal
}

// refuse is the answer to who cannot show who it is.
func refuse(format string, args ...any) *mxerr.Error {
	return mxerr.New(mxerr.Unauthorized, "%s", fmt.Sprintf(format, args...))
}

// check checks one signature of a request.
func (s signatures) check(c endpoint.Credentials, credentials xmatrix.Credentials) error {
	switch {
	case credentials.Destination != "" && credentials.Destination != s.name:
		return refuse("the request is for another server")
	case credentials.Origin == s.name:
		return refuse("the request claims to be from this server itself")
	}
	content, err := c.Content()
	if err != nil {
		return err
	}
	key, err := s.key(c.Request.Context(), credentials)
	if err != nil {
		return err
	}
	request := xmatrix.Request{
		Method: c.Request.Method, URI: c.Request.RequestURI, Origin: credentials.Origin, Destination: credentials.Destination, Content: content,
	}
	if err := request.Verify(credentials, key); err != nil {
		return refuse("the signature of the request is wrong").Wrap(err)
	}
	return nil
}

// key returns the key that a request says it is signed with. It must be in use.
func (s signatures) key(ctx context.Context, c xmatrix.Credentials) ([]byte, error) {
	now := time.Now().UnixMilli()
	keys, err := s.ring.Lookup(ctx, []remote.Want{{Server: c.Origin, Key: c.Key, At: now, Insist: true}})
	if err != nil {
		return nil, err
	}
	key, ok := keys(c.Origin, c.Key)
	switch {
	case !ok:
		return nil, refuse("the key %s of %s is not known", c.Key, c.Origin)
	case key.Expired != 0 || key.ValidUntil < now:
		return nil, refuse("the key %s of %s is not valid any more", c.Key, c.Origin)
	}
	return key.Public, nil
}
