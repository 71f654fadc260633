package eventauth_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"parley/internal/roomtest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/signing"
)

func publicKey(server id.ServerName) string {
	return signing.EncodeBase64(roomtest.Key(server).Public())
}

// otherSpelling is the key in URL-safe Base64 with padding.
func otherSpelling(server id.ServerName) string {
	return base64.URLEncoding.EncodeToString(roomtest.Key(server).Public())
}

func TestThirdPartyInviteSignatures(t *testing.T) {
	good := roomtest.Signed(carol, "token", identityServer)
	signature := good.Get("signatures").Get(string(identityServer)).Get(string(roomtest.KeyID))
	resigned := func(signatures string) canonjson.Value {
		return good.With("signatures", canonical(signatures))
	}
	for _, row := range []struct {
		name   string
		issued string // content of m.room.third_party_invite
		signed canonjson.Value
		want   eventauth.Rule
	}{
		{"by public_key", fmt.Sprintf(`{"public_key":%q}`, publicKey(identityServer)), good, 0},
		{"by the only one of public_keys", fmt.Sprintf(`{"public_keys":[{"public_key":%q}]}`, publicKey(identityServer)), good, 0},
		{"by the last of public_keys", fmt.Sprintf(`{"public_key":%q,"public_keys":[{"public_key":%q},{"public_key":%q}]}`,
			publicKey("x.test"), publicKey("y.test"), publicKey(identityServer)), good, 0},
		{"by public_key, not among public_keys", fmt.Sprintf(`{"public_key":%q,"public_keys":[{"public_key":%q}]}`,
			publicKey(identityServer), publicKey("y.test")), good, 0},
		{"key in URL-safe Base64 with padding", fmt.Sprintf(`{"public_key":%q}`, otherSpelling(identityServer)), good, 0},
		{"malformed keys beside a good one", fmt.Sprintf(`{"public_key":7,"public_keys":[null,{},{"public_key":"!"},{"public_key":"AAAA"},{"public_key":%q}]}`,
			publicKey(identityServer)), good, 0},
		{"by none of the keys", fmt.Sprintf(`{"public_key":%q}`, publicKey("x.test")), good, eventauth.ThirdPartyBadSignature},
		{"no keys", `{}`, good, eventauth.ThirdPartyBadSignature},
		{"public_keys is no list", fmt.Sprintf(`{"public_keys":{"public_key":%q}}`, publicKey(identityServer)), good, eventauth.ThirdPartyBadSignature},
		{"key and signature under other names", fmt.Sprintf(`{"public_key":%q}`, publicKey(identityServer)),
			resigned(fmt.Sprintf(`{"elsewhere":{"ed25519:other":%s}}`, string(signature))), 0},
		{"a bad signature before the good one", fmt.Sprintf(`{"public_key":%q}`, publicKey(identityServer)),
			resigned(fmt.Sprintf(`{"a":{"ed25519:1":"%s"},"b":{"ed25519:1":%s}}`, strings.Repeat("A", 86), string(signature))), 0},
		{"malformed signatures beside the good one", fmt.Sprintf(`{"public_key":%q}`, publicKey(identityServer)),
			resigned(fmt.Sprintf(`{"a":[],"b":{"ed25519:1":7,"ed25519:2":"AA"},"c":{"ed25519:1":%s}}`, string(signature))), 0},
		{"another algorithm", fmt.Sprintf(`{"public_key":%q}`, publicKey(identityServer)),
			resigned(fmt.Sprintf(`{"a":{"rsa:1":%s}}`, string(signature))), eventauth.ThirdPartyBadSignature},
		{"no signatures", fmt.Sprintf(`{"public_key":%q}`, publicKey(identityServer)), good.Without("signatures"), eventauth.ThirdPartyBadSignature},
		{"signatures is no object", fmt.Sprintf(`{"public_key":%q}`, publicKey(identityServer)), resigned(`[]`), eventauth.ThirdPartyBadSignature},
		{"signature of something else", fmt.Sprintf(`{"public_key":%q}`, publicKey(identityServer)),
			good.With("sender", canonjson.Text("@eve:e.test")), eventauth.ThirdPartyBadSignature},
		{"signed has unsigned data", fmt.Sprintf(`{"public_key":%q}`, publicKey(identityServer)), good.With("unsigned", canonjson.Value(`{"n":1}`)), 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
				main := scene(t, rules)
				main.Send(roomtest.State(alice, event.TypeThirdPartyInvite, "token", row.issued))
				wantVerdict(t, rules, judge(main, roomtest.InviteSigned(alice, carol, row.signed)), row.want)
			})
		})
	}
}

func TestThirdPartyInvite(t *testing.T) {
	good := roomtest.Signed(carol, "token", identityServer)
	for _, row := range []struct {
		name   string
		before []roomtest.Spec
		invite roomtest.Spec
		want   eventauth.Rule
	}{
		{"of a stranger", nil, goodInvite, 0},
		{"the sender has left meanwhile", []roomtest.Spec{roomtest.Leave(alice)}, goodInvite, 0},
		{"of a user who is joined already", []roomtest.Spec{roomtest.Join(carol)}, goodInvite, 0},
		{"of a banned user", []roomtest.Spec{roomtest.Ban(alice, carol)}, goodInvite, eventauth.ThirdPartyBanned},
		{"signed is null", nil, inviteWith(`{"signed":null}`), eventauth.ThirdPartyIncomplete},
		{"signed is a string", nil, inviteWith(`{"signed":"token"}`), eventauth.ThirdPartyIncomplete},
		{"third_party_invite is null", nil, inviteWith(`null`), eventauth.ThirdPartyUnsigned},
		{"mxid is no string", nil, inviteWith(`{"signed":{"mxid":7,"token":"token"}}`), eventauth.ThirdPartyOtherUser},
		{"token is no string", nil, inviteWith(`{"signed":{"mxid":"@carol:c.test","token":7}}`), eventauth.ThirdPartyUnknown},
		{"token is used up", []roomtest.Spec{roomtest.State(alice, event.TypeThirdPartyInvite, "token", `{}`)}, goodInvite, eventauth.ThirdPartyBadSignature},
		{"the state_key is another user than mxid", nil, roomtest.InviteSigned(alice, dave, good), eventauth.ThirdPartyOtherUser},
		{"sent by another than the third-party invite", nil, roomtest.InviteSigned(bob, carol, good), eventauth.ThirdPartyOtherSender},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
				main := scene(t, rules)
				main.Send(roomtest.ThirdPartyInvite(alice, "token", identityServer))
				main.Send(row.before...)
				wantVerdict(t, rules, judge(main, row.invite), row.want)
			})
		})
	}
}

// An event has room for hundreds of signatures and the third-party invite for
// a thousand keys. Only so many pairs are tried: a good signature beyond them
// is not found.
func TestThirdPartyInviteWithTooManySignatures(t *testing.T) {
	manyKeys := func(n int) string {
		other := fmt.Sprintf(`{"public_key":%q}`, publicKey("x.test"))
		return `{"public_keys":[` + strings.Repeat(other+",", n-1) + fmt.Sprintf(`{"public_key":%q}`, publicKey(identityServer)) + `]}`
	}
	rules, _ := roomver.Lookup(roomver.Default)
	for _, row := range []struct {
		keys int
		want eventauth.Rule
	}{
		{256, 0},
		{257, eventauth.ThirdPartyBadSignature},
		{900, eventauth.ThirdPartyBadSignature},
	} {
		main := scene(t, rules)
		main.Send(roomtest.State(alice, event.TypeThirdPartyInvite, "token", manyKeys(row.keys)))
		wantVerdict(t, rules, judge(main, goodInvite), row.want)
	}
}
