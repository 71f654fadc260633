package event

import (
	"crypto/ed25519"

	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/signing"
)

// Sign returns the event with the server's signature added:
// https://spec.matrix.org/v1.19/server-server-api/#adding-hashes-and-signatures-to-outgoing-events
// Hashes stay as they are; Build computes them for new events. The result may
// be larger than MaxSize, in which case no server accepts it.
func (e *Event) Sign(server id.ServerName, key signing.Key) *Event {
	var room signedRoom
	signature := ed25519.Sign(key.Private, e.signedBytes(&room))
	return e.withJSON(signing.Attach(e.json, string(server), key.ID, signature))
}

// Signers returns the servers whose signature the event needs to be processed
// at all: https://spec.matrix.org/v1.19/server-server-api/#validating-hashes-and-signatures-on-received-events
//
// That is the sender's server, except for an invite that stems from a
// third-party invite, which any server may have sent; and, where event IDs
// have a domain, that domain. A join by a restricted join rule needs the
// signature of the authorising user's server too, but wanting it the event is
// rejected, not dropped: see [Event.AuthorisingUser].
func (e *Event) Signers() []id.ServerName {
	signers := make([]id.ServerName, 0, 2)
	if !e.IsThirdPartyInvite() {
		signers = append(signers, e.sender.Server())
	}
	if e.rules.EventID == roomver.EventIDCarried {
		if server, ok := e.id.Server(); ok && (len(signers) == 0 || signers[0] != server) {
			signers = append(signers, server)
		}
	}
	return signers
}

// IsThirdPartyInvite reports whether the event is an invite that cites a
// third-party invite, well-formed or not.
func (e *Event) IsThirdPartyInvite() bool {
	return e.isState && e.Membership() == MembershipInvite && e.content.Get("third_party_invite") != nil
}

// AuthorisingUser returns the user whose server vouches for the event under a
// restricted join rule. present is false when the content names none, or the
// room version has no such rule; a name that is no user ID is present and
// empty.
func (e *Event) AuthorisingUser() (user id.UserID, present bool) {
	if e.eventType != TypeMember || !e.rules.Restricted {
		return "", false
	}
	v := e.content.Get("join_authorised_via_users_server")
	if v == nil {
		return "", false
	}
	user, err := readID("join_authorised_via_users_server", v, id.ParseUserID)
	if err != nil {
		return "", true
	}
	return user, true
}

// HasSignature reports whether the event bears any signature of the server,
// good or bad.
func (e *Event) HasSignature(server id.ServerName) bool {
	for range e.signatures.Get(string(server)).Members() {
		return true
	}
	return false
}
