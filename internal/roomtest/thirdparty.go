package roomtest

import (
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/signing"
)

// ThirdPartyInvite invites whoever can show a signature of the identity server
// for the token: https://spec.matrix.org/v1.19/client-server-api/#third-party-invites
func ThirdPartyInvite(sender id.UserID, token string, identityServer id.ServerName) Spec {
	key := canonjson.Text(signing.EncodeBase64(Key(identityServer).Public()))
	content := canonjson.Value(nil).
		With("display_name", canonjson.Text("somebody")).
		With("key_validity_url", canonjson.Text("https://"+string(identityServer)+"/valid")).
		With("public_key", key)
	return State(sender, event.TypeThirdPartyInvite, token, content)
}

// Signed is what the identity server signs for the user to whom a token turned
// out to belong: the member "signed" of an invite's third_party_invite.
func Signed(user id.UserID, token string, identityServer id.ServerName) canonjson.Value {
	signed := canonjson.Value(nil).
		With("mxid", canonjson.Text(string(user))).
		With("token", canonjson.Text(token))
	return signing.Sign(signed, string(identityServer), Key(identityServer))
}

// InviteSigned is the invite that follows a third-party invite, with what the
// identity server signed. Its sender is that of the third-party invite.
func InviteSigned(sender, target id.UserID, signed canonjson.Value) Spec {
	s := Invite(sender, target)
	s.Content = canonjson.Value(nil).
		With("membership", canonjson.Text(event.MembershipInvite)).
		With("third_party_invite", canonjson.Value(nil).
			With("display_name", canonjson.Text("somebody")).
			With("signed", signed))
	return s
}
