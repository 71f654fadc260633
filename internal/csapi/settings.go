package csapi

import (
	"slices"

	"parley/internal/account"
	"parley/matrix/id"
)

// Settings are what the operator of the server decides about the API.
type Settings struct {
	// Registration says who may make an account; the zero value is
	// RegistrationClosed.
	Registration RegistrationMode
	// SharedSecret lets whoever knows it make accounts. Empty: nobody does.
	SharedSecret string
	// Terms are the policies that whoever registers has to accept. Empty: none.
	Terms account.Terms
	// Guests says that there may be guests.
	Guests bool
	// EmailRequired says that whoever registers has to show a mail address.
	EmailRequired bool
	// NextLinks are the sites, as https://HOST, to which people may be led who have
	// confirmed an address.
	NextLinks []string
	// SSOClients are the sites, as https://HOST, whose clients get to use an account
	// without that its user is asked when they log in by an identity provider.
	SSOClients []string
	// LoginTokens says that users may let another device log in by a token.
	LoginTokens bool
	// BaseURL is where clients reach the API, for those who know the server's
	// name only. Empty: they are not told here.
	BaseURL string
	// Support says whom to turn to. Zero: that is not told.
	Support Support
	// PolicyKey is the public key, in Base64, of the policy server that has this
	// server's name. Empty: there is none.
	PolicyKey string
	// Turn is what relays calls. Zero: nothing does.
	Turn Turn
	// ProfileFields says which fields of their profiles users may change.
	ProfileFields ProfileFields
	// ProfilesOfSharersOnly hides profiles of those with whom somebody shares no
	// room, unless they are in one that everybody may enter or read.
	ProfilesOfSharersOnly bool
	// MaxUpload is how many bytes a file may have that users upload.
	MaxUpload int64
	// PushGatewayOfUsers says that others than its own users are refused by the push
	// gateway.
	PushGatewayOfUsers bool
	// RendezvousOfUsers says that only users begin a session between devices that are
	// logging in.
	RendezvousOfUsers bool
	// UnstableFeatures are what the server can do beyond the specification, by
	// the names that clients look for.
	UnstableFeatures map[string]bool
}

// A RegistrationMode says who may make an account.
type RegistrationMode uint8

const (
	RegistrationClosed RegistrationMode = iota // nobody
	RegistrationToken                          // who has a registration token
	RegistrationOpen                           // everybody
)

// ProfileFields are the fields of profiles that users may change: those allowed,
// or, if that is nil, all but those disallowed.
// https://spec.matrix.org/v1.19/client-server-api/#mprofile_fields-capability
type ProfileFields struct {
	Allowed, Disallowed []string
}

func (f ProfileFields) mayChange(field string) bool {
	if f.Allowed != nil {
		return slices.Contains(f.Allowed, field)
	}
	return !slices.Contains(f.Disallowed, field)
}

// Support is the answer of
// https://spec.matrix.org/v1.19/client-server-api/#getwell-knownmatrixsupport
type Support struct {
	Contacts []Contact `json:"contacts,omitempty"`
	Page     string    `json:"support_page,omitempty"`
}

// A Contact has a user ID or a mail address, or both.
type Contact struct {
	Role   string    `json:"role"` // "m.role.admin", "m.role.security" or a namespaced name
	UserID id.UserID `json:"matrix_id,omitempty"`
	Email  string    `json:"email_address,omitempty"`
}

func (s Support) isZero() bool { return len(s.Contacts) == 0 && s.Page == "" }
