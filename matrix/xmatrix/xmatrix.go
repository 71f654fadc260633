// Package xmatrix is how servers say in a request who they are:
// https://spec.matrix.org/v1.19/server-server-api/#request-authentication
//
// A server signs the request as a JSON object of method, target, origin,
// destination and content, and puts the signature into the header
// Authorization. Which keys are whose is not known here.
package xmatrix

import (
	"crypto/ed25519"
	"fmt"
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/signing"
)

// A Request is what the signature of a request covers.
type Request struct {
	Method string // in upper case
	// URI is the target as it stands in the request line: the path, still
	// escaped, and the query.
	URI         string
	Origin      id.ServerName
	Destination id.ServerName
	// Content is the body; nil if there is none.
	Content canonjson.Value
}

// object is the request in the form that is signed. An empty destination is left
// out, as by servers from before there was one.
func (r Request) object() canonjson.Value {
	object := canonjson.Value("{}").
		With("method", canonjson.Text(r.Method)).
		With("origin", canonjson.Text(string(r.Origin))).
		With("uri", canonjson.Text(r.URI))
	if r.Destination != "" {
		object = object.With("destination", canonjson.Text(string(r.Destination)))
	}
	if r.Content != nil {
		object = object.With("content", r.Content)
	}
	return object
}

// Sign returns the value of the header Authorization for the request.
func (r Request) Sign(key signing.Key) string {
	signature := ed25519.Sign(key.Private, signing.Message(r.object()))
	return Credentials{
		Origin: r.Origin, Destination: r.Destination, Key: key.ID, Signature: signing.EncodeBase64(signature),
	}.String()
}

// Verify checks that the signature in the credentials is one of the request by
// the key. That the credentials and the request name the same servers is checked
// as well: a caller sets the destination of the request to itself, or to nothing
// if the credentials have none.
func (r Request) Verify(c Credentials, public ed25519.PublicKey) error {
	if c.Origin != r.Origin || c.Destination != r.Destination {
		return fmt.Errorf("the credentials are from %q to %q, the request is from %q to %q",
			c.Origin, c.Destination, r.Origin, r.Destination)
	}
	return signing.Check(signing.Message(r.object()), canonjson.Text(c.Signature), string(c.Origin), c.Key, public)
}

// Credentials is what the header Authorization says.
type Credentials struct {
	Origin id.ServerName
	// Destination is the server that the request is for; empty if the sender is so
	// old that it does not say.
	Destination id.ServerName
	Key         id.KeyID
	Signature   string // in Base64
}

// String returns the credentials as the value of a header. The form is the one
// that all servers understand: quoted, without spaces between parameters.
func (c Credentials) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, `X-Matrix origin="%s"`, c.Origin)
	if c.Destination != "" {
		fmt.Fprintf(&b, `,destination="%s"`, c.Destination)
	}
	fmt.Fprintf(&b, `,key="%s",sig="%s"`, c.Key, c.Signature)
	return b.String()
}
