// Package sso lets people log in by an identity provider of somebody else, as
// OpenID Connect has it. It knows providers, and browsers that are on their way there
// and back; who somebody is here it does not know.
//
// A browser that is sent to a provider gets a cookie, and what it comes back with
// counts only together with that: a link that somebody else made logs nobody in. The
// provider has to sign what it says with a nonce of the request, and gives its code
// to nobody who does not know the request's verifier (PKCE).
//
// https://openid.net/specs/openid-connect-core-1_0.html
package sso

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"parley/matrix/id"
)

// A Provider is an identity provider.
type Provider struct {
	// ID names it in addresses and in the database: it is not to be changed.
	ID string `json:"id"`
	// Name, Icon and Brand are for people and their clients, see
	// https://spec.matrix.org/v1.19/client-server-api/#definition-mloginsso-flow-schema
	Name  string `json:"name"`
	Icon  string `json:"icon"`
	Brand string `json:"brand"`
	// Issuer is the address below which its configuration is found.
	Issuer       string `json:"issuer"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"` // empty: this server is a public client
	// Scopes are what it is asked for; none: openid, profile and email.
	Scopes []string `json:"scopes"`
	Claims Claims   `json:"claims"`
	// Closed says that nobody gets an account by it who has none.
	Closed bool `json:"closed"`
	// Existing says that whoever has the name of a user is that user, though nobody
	// has shown it: names at the provider have to be given out by the operator.
	Existing bool `json:"existing"`
}

// Claims name what a provider says of somebody that a new account is made of. Empty
// ones are those of the standard; "-" means none.
type Claims struct {
	Localpart   string `json:"localpart"`    // preferred_username
	DisplayName string `json:"display_name"` // name
	Email       string `json:"email"`        // email, which counts if email_verified is true
}

// ParseProviders reads a JSON array of providers, and says what is wrong with it. No
// part of it is repeated, for it has secrets.
func ParseProviders(text []byte) ([]Provider, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var list []Provider
	if err := d.Decode(&list); err != nil || d.More() {
		return nil, errors.New("is not a JSON array of objects with members as documented")
	}
	seen := make(map[string]bool)
	for i := range list {
		p := &list[i]
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("has as number %d a provider %w", i+1, err)
		}
		if seen[p.ID] {
			return nil, fmt.Errorf("has as number %d a provider whose id another one has", i+1)
		}
		seen[p.ID] = true
		if len(p.Scopes) == 0 {
			p.Scopes = []string{"openid", "profile", "email"}
		}
		for claim, standard := range map[*string]string{&p.Claims.Localpart: "preferred_username", &p.Claims.DisplayName: "name", &p.Claims.Email: "email"} {
			if *claim == "" {
				*claim = standard
			}
		}
	}
	return list, nil
}

func (p Provider) check() error {
	u, err := url.Parse(p.Issuer)
	switch {
	case !id.IsOpaque(p.ID) || len(p.ID) > 100:
		return errors.New("without an id of a-z, A-Z, 0-9 and ._~-")
	case p.Name == "" || p.ClientID == "":
		return errors.New("without name or client_id")
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return errors.New("whose issuer is not an http:// or https:// URL")
	}
	if _, err := id.ParseContentURI(p.Icon); p.Icon != "" && err != nil {
		return errors.New("whose icon is not an mxc:// URI")
	}
	return nil
}
