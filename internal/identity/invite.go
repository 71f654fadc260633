package identity

import (
	"context"
	"crypto/ed25519"
	"net/http"
	"net/url"
	"strings"

	"parley/internal/remote"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/signing"
)

// An Invite is what an identity server is to tell somebody who is invited. What is
// empty is not told.
type Invite struct {
	Room                                id.RoomID
	Sender                              id.UserID
	Alias, Avatar, JoinRule, Name, Type string // of the room
	SenderName, SenderAvatar            string
}

// A Stored is an invite that waits at an identity server for whoever proves to have
// the address.
type Stored struct {
	Token string
	// Content is that of the m.room.third_party_invite event.
	Content canonjson.Value
}

// Store leaves an invite for an address of nobody that is known.
// https://spec.matrix.org/v1.19/identity-service-api/#invitation-storage
func (s *Servers) Store(ctx context.Context, a Address, i Invite) (Stored, error) {
	body := map[string]any{"medium": a.Medium, "address": a.Address, "room_id": i.Room, "sender": i.Sender}
	for name, value := range map[string]string{
		"room_alias": i.Alias, "room_avatar_url": i.Avatar, "room_join_rules": i.JoinRule, "room_name": i.Name, "room_type": i.Type,
		"sender_display_name": i.SenderName, "sender_avatar_url": i.SenderAvatar,
	} {
		if value != "" {
			body[name] = value
		}
	}
	answer, err := s.ask(ctx, a, "POST", "store-invite", body)
	if err != nil {
		return Stored{}, err
	}
	return stored(answer)
}

// stored reads what an identity server has to say of an invite.
func stored(answer canonjson.Value) (Stored, error) {
	token, _ := answer.Get("token").Text()
	name, isText := answer.Get("display_name").Text()
	if !isToken(token) || !isText || len(name) > 255 {
		return Stored{}, bad(http.StatusOK)
	}
	var keys []canonjson.Value
	for v := range answer.Get("public_keys").Elements() {
		key := canonjson.Value("{}").With("public_key", v.Get("public_key"))
		if _, ok := publicKey(v); !ok || v.Get("key_validity_url").Kind() != canonjson.String {
			return Stored{}, bad(http.StatusOK)
		}
		keys = append(keys, key.With("key_validity_url", v.Get("key_validity_url")))
	}
	if len(keys) == 0 || len(keys) > 10 {
		return Stored{}, bad(http.StatusOK)
	}
	content := keys[0].With("display_name", canonjson.Text(name)).With("public_keys", canonjson.ArrayOf(keys))
	return Stored{token, content}, nil
}

// isToken is the grammar of tokens.
func isToken(token string) bool {
	return token != "" && len(token) <= 255 && !strings.ContainsFunc(token, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune(".=_-", r)
	})
}

func publicKey(v canonjson.Value) (ed25519.PublicKey, bool) {
	text, _ := v.Get("public_key").Text()
	key, err := signing.DecodeBase64(text)
	return key, err == nil && len(key) == ed25519.PublicKeySize
}

// maxChecks is how many signatures are verified for one proof.
const maxChecks = 100

// Verify checks that a proof of who has an address was signed by a key of the
// invite, content being that of its event, which still is valid by the word of
// whoever it names for that.
func (s *Servers) Verify(ctx context.Context, proof, content canonjson.Value) error {
	keys := []canonjson.Value{content}
	for v := range content.Get("public_keys").Elements() {
		keys = append(keys, v)
	}
	message := signing.Message(proof)
	checks := 0
	for _, v := range keys {
		key, ok := publicKey(v)
		if !ok {
			continue
		}
		for _, byKey := range proof.Get("signatures").Members() {
			for keyID, signature := range byKey.Members() {
				if checks++; checks > maxChecks {
					return mxerr.New(mxerr.Forbidden, "The proof has too many signatures")
				}
				raw, err := signing.Decode(signature)
				if err == nil && strings.HasPrefix(keyID.String(), "ed25519:") && ed25519.Verify(key, message, raw[:]) {
					return s.stillValid(ctx, v)
				}
			}
		}
	}
	return mxerr.New(mxerr.Forbidden, "The proof was signed by nobody whom the invite names")
}

// stillValid asks whether a key is valid. One that says of nobody to ask always is.
func (s *Servers) stillValid(ctx context.Context, key canonjson.Value) error {
	at, _ := key.Get("key_validity_url").Text()
	if at == "" {
		return nil
	}
	u, err := url.Parse(at)
	if err != nil {
		return mxerr.New(mxerr.Forbidden, "Nobody can say whether the key of the invite is valid").Wrap(err)
	}
	query := u.Query()
	text, _ := key.Get("public_key").Text()
	query.Set("public_key", text)
	u.RawQuery = query.Encode()
	resp, err := s.client.Do(ctx, remote.Request{Method: "GET", URL: u.String(), MaxBody: maxAnswer, Redirects: 3})
	if err != nil {
		return silent(err)
	}
	answer, err := canonjson.Canonical(resp.Body, canonjson.Lenient)
	if err != nil || resp.Status != http.StatusOK || !answer.Get("valid").True() {
		return mxerr.New(mxerr.Forbidden, "The key of the invite is not valid any more").Wrap(err)
	}
	return nil
}
