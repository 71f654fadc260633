// Package identity asks identity servers who has a mail address or a telephone
// number, for users who invite by one:
// https://spec.matrix.org/v1.19/client-server-api/#third-party-invites
//
// An identity server learns addresses of people who have nothing to do with it, and
// decides who comes into a room. So only those are asked that the operator trusts.
// What they answer is checked, and their failures are told to the user as theirs.
//
// By which identity server others find users is for those to decide, so any may be
// told of a user who wants it ([Servers.Bind]), and to forget that again.
package identity

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"

	"parley/internal/mail"
	"parley/internal/remote"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/signing"
)

// Servers are the identity servers that may be asked. It is safe for concurrent
// use.
type Servers struct {
	client  *remote.Client
	options Options
}

// Options say who asks.
type Options struct {
	// Trusted are the servers that are asked who somebody is; none: nobody is.
	Trusted []id.ServerName
	// Server and Key are of the server that asks, by which requests are signed.
	Server id.ServerName
	Key    signing.Key
}

// New returns the servers, as one client reaches them.
func New(client *remote.Client, o Options) *Servers { return &Servers{client, o} }

// The kinds of addresses: https://spec.matrix.org/v1.19/appendices/#3pid-types
const (
	Email  = "email"
	MSISDN = "msisdn"
)

// An Address is one of somebody, and whom to ask about it.
type Address struct {
	Server  id.ServerName
	Token   string // of the user who asks, for that server
	Medium  string
	Address string
}

const (
	maxAddress = 500       // bytes; mail servers take 254
	maxToken   = 2048      // bytes of an access token
	maxAnswer  = 256 << 10 // bytes
)

// Check refuses an address that cannot be asked about, with what is wrong as the
// specification names it, and puts it into the form in which everybody knows it.
func (s *Servers) Check(a Address) (Address, error) {
	switch {
	case a.Server == "" || a.Token == "" || a.Medium == "" || a.Address == "":
		return a, mxerr.New(mxerr.MissingParam, "An invite by address needs id_server, id_access_token, medium and address")
	case !slices.Contains(s.options.Trusted, a.Server):
		return a, mxerr.New(mxerr.ServerNotTrusted, "This server does not trust the identity server")
	case len(a.Address) > maxAddress || strings.ContainsAny(a.Address, "\x00\r\n "):
		return a, mxerr.New(mxerr.InvalidParam, "This is no address")
	case !isAccessToken(a.Token):
		return a, mxerr.New(mxerr.InvalidParam, "This is no access token")
	}
	switch a.Medium {
	case Email:
		address, err := mail.ParseAddress(a.Address)
		if err != nil {
			return a, mxerr.New(mxerr.InvalidParam, "This is no mail address")
		}
		a.Address = string(address)
	case MSISDN:
		if strings.Trim(a.Address, "0123456789") != "" {
			return a, mxerr.New(mxerr.InvalidParam, "A telephone number is written in digits, with the code of the country")
		}
	default:
		return a, mxerr.New(mxerr.ThreePIDMediumNotSupported, "There are invites by email and msisdn")
	}
	return a, nil
}

func isAccessToken(s string) bool {
	return len(s) <= maxToken && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// Lookup returns the user who has an address that passed Check, empty if that is
// not known. https://spec.matrix.org/v1.19/identity-service-api/#association-lookup
func (s *Servers) Lookup(ctx context.Context, a Address) (id.UserID, error) {
	details, err := s.ask(ctx, a, "GET", "hash_details", nil)
	if err != nil {
		return "", err
	}
	pepper, _ := details.Get("lookup_pepper").Text()
	user, err := s.lookup(ctx, a, details, pepper)
	if !errors.Is(err, mxerr.InvalidPepper) {
		return user, err
	}
	// It has changed just now. Whoever says so twice has no good one.
	if details, err = s.ask(ctx, a, "GET", "hash_details", nil); err != nil {
		return "", err
	}
	if pepper, _ = details.Get("lookup_pepper").Text(); pepper == "" {
		return "", bad(http.StatusOK)
	}
	if user, err = s.lookup(ctx, a, details, pepper); errors.Is(err, mxerr.InvalidPepper) {
		err = bad(http.StatusBadRequest)
	}
	return user, err
}

func (s *Servers) lookup(ctx context.Context, a Address, details canonjson.Value, pepper string) (id.UserID, error) {
	algorithm, hashed := "sha256", hash(a, pepper)
	if !lists(details.Get("algorithms"), "sha256") {
		return "", bad(http.StatusOK) // and to name the address in clear is not what we do
	}
	answer, err := s.ask(ctx, a, "POST", "lookup", map[string]any{"algorithm": algorithm, "pepper": pepper, "addresses": []string{hashed}})
	if err != nil {
		return "", err
	}
	found := answer.Get("mappings").Get(hashed)
	if found == nil {
		return "", nil
	}
	text, _ := found.Text()
	user, err := id.ParseUserID(text)
	if err != nil {
		return "", bad(http.StatusOK).Wrap(err)
	}
	return user, nil
}

// hash is https://spec.matrix.org/v1.19/identity-service-api/#sha256
func hash(a Address, pepper string) string {
	sum := sha256.Sum256([]byte(a.Address + " " + a.Medium + " " + pepper))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func lists(list canonjson.Value, name string) bool {
	for v := range list.Elements() {
		if v.Is(name) {
			return true
		}
	}
	return false
}

// ask sends a request to an identity server in the name of the user, and returns
// the object that is answered.
func (s *Servers) ask(ctx context.Context, a Address, method, path string, body any) (canonjson.Value, error) {
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	status, answer, err := s.request(ctx, a.Server, method, pathPrefix+path, "Bearer "+a.Token, content)
	switch {
	case err != nil:
		return nil, err
	case status != http.StatusOK:
		return nil, refusal(status, answer)
	case answer.Kind() != canonjson.Object:
		return nil, bad(status)
	}
	return answer, nil
}

const pathPrefix = "/_matrix/identity/v2/"

// request sends a request, and returns the status, and the answer if it is JSON.
func (s *Servers) request(ctx context.Context, server id.ServerName, method, path, authorization string, body []byte) (int, canonjson.Value, error) {
	r := remote.Request{
		Method: method, URL: "https://" + string(server) + path, MaxBody: maxAnswer, Body: body,
		Header: http.Header{"Authorization": {authorization}, "Accept": {"application/json"}},
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := s.client.Do(ctx, r)
	if err != nil {
		return 0, nil, silent(err)
	}
	answer, err := canonjson.Canonical(resp.Body, canonjson.Lenient)
	if err != nil {
		answer = nil
	}
	return resp.Status, answer, nil
}

// refusal is what a user is told of what an identity server has refused.
func refusal(status int, answer canonjson.Value) error {
	switch code, _ := answer.Get("errcode").Text(); {
	case code == string(mxerr.InvalidPepper):
		return mxerr.InvalidPepper // for Lookup
	case code == string(mxerr.TermsNotSigned):
		return mxerr.New(mxerr.TermsNotSigned, "The identity server has terms that you have not agreed to")
	case code == string(mxerr.ThreePIDInUse):
		return mxerr.New(mxerr.ThreePIDInUse, "The identity server says that a user has the address")
	case code == string(mxerr.SessionNotValidated):
		return mxerr.New(mxerr.SessionNotValidated, "The identity server says that the address was not validated")
	case code == string(mxerr.SessionExpired):
		return mxerr.New(mxerr.SessionExpired, "The identity server says that the validation is too old")
	case code == string(mxerr.NoValidSession):
		return mxerr.New(mxerr.NoValidSession, "The identity server does not know the validation")
	case code == string(mxerr.LimitExceeded) || status == http.StatusTooManyRequests:
		return mxerr.New(mxerr.LimitExceeded, "The identity server is asked too much")
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		// Not 401: a client would take it for its session here.
		return mxerr.New(mxerr.ThreePIDAuthFailed, "The identity server does not take id_access_token")
	case code == string(mxerr.Unrecognized):
		return mxerr.New(mxerr.ThreePIDMediumNotSupported, "The identity server does not invite by such an address")
	}
	return bad(status)
}

// bad is what a user is told of an answer that makes no sense.
func bad(status int) *mxerr.Error {
	return mxerr.New(mxerr.BadStatus, "The identity server gave no answer that could be used").WithStatus(http.StatusBadRequest).With("status", status)
}

// silent is what a user is told when there is no answer.
func silent(err error) error {
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return mxerr.New(mxerr.ConnectionTimeout, "The identity server did not answer in time").WithStatus(http.StatusBadRequest).Wrap(err)
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return mxerr.New(mxerr.ConnectionFailed, "The identity server could not be asked").WithStatus(http.StatusBadRequest).Wrap(err)
}
