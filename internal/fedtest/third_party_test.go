package fedtest

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/signing"
)

// identity is an identity server that tells servers, and is asked nothing.
type identity struct {
	*stage
	key signing.Key
}

func (s *stage) identity() *identity {
	s.Helper()
	key, err := signing.NewKey("ed25519:0", []byte(strings.Repeat("i", 32)))
	if err != nil {
		s.Fatal(err)
	}
	return &identity{s, key}
}

// leave leaves an invite for an address in a room, as one that was stored at the
// identity server.
func (i *identity) leave(by *hstest.User, room, token string) {
	i.Helper()
	i.set(by, room, "m.room.third_party_invite", token, fmt.Sprintf(`{"display_name":"b...@e...","public_key":%q}`, signing.EncodeBase64(i.key.Public())))
}

// proof is that a user has the address for which an invite was left.
func (i *identity) proof(user id.UserID, token string) canonjson.Value {
	signed := canonjson.Value("{}").With("mxid", canonjson.Text(string(user))).With("token", canonjson.Text(token))
	return signing.Sign(signed, "id.test", i.key)
}

// bind tells a server that a user has the address.
func (i *identity) bind(user *hstest.User, by id.UserID, room string, proof canonjson.Value) {
	i.Helper()
	body := fmt.Sprintf(`{"address":"bob@example.org","medium":"email","mxid":%[1]q,"invites":[{"address":"bob@example.org","medium":"email","mxid":%[1]q,"room_id":%[2]q,"sender":%[3]q,"signed":%[4]s}]}`,
		user.ID, room, by, string(proof))
	if status, answer := user.Server.Do("PUT", "/_matrix/federation/v1/3pid/onbind", body); status != 200 {
		i.Errorf("onbind: got %d %s", status, answer)
	}
}

func TestWhoIsInvitedByMailIsInvitedOverServers(t *testing.T) {
	for _, version := range []string{"1", "3", "10", "12"} {
		for _, inside := range []bool{false, true} {
			t.Run(fmt.Sprintf("version %s, with others of the server there %t", version, inside), func(t *testing.T) {
				scene(t, func(s *stage) {
					b := s.Server("b.test")
					alice, bob, carol := s.Server("a.test").Register("alice"), b.Register("bob"), s.Server("c.test").Register("carol")
					room := s.room(alice, fmt.Sprintf(`{"preset":"private_chat","room_version":%q,"invite":["@carol:c.test"]}`, version))
					s.join(carol, room)
					if inside {
						dave := b.Register("dave")
						alice.Must("POST", path("rooms", room, "invite"), `{"user_id":"@dave:b.test"}`)
						s.settle()
						s.join(dave, room)
					}
					i := s.identity()
					i.leave(alice, room, "token")
					s.settle()
					i.bind(bob, alice.ID, room, i.proof(bob.ID, "token"))
					s.settle()
					if !section(s, bob, "invite", room) {
						t.Fatal("bob is not invited")
					}
					member := alice.Must("GET", path("rooms", room, "state", "m.room.member", string(bob.ID)), nil)
					if text(member, "membership") != "invite" || text(member, "third_party_invite", "display_name") != "b...@e..." {
						t.Errorf("for alice bob is %s", member)
					}
					s.agree(room, alice, carol)
					i.bind(bob, alice.ID, room, i.proof(bob.ID, "token")) // again, which changes nothing
					s.join(bob, room)
					s.settle()
					s.agree(room, alice, bob, carol)
				})
			})
		}
	}
}

func TestWhoIsInvitedByMailComesWithTheProof(t *testing.T) {
	scene(t, func(s *stage) {
		a := s.Server("a.test")
		alice, bob := a.Register("alice"), s.Server("b.test").Register("bob")
		room := s.room(alice, `{"preset":"private_chat"}`)
		i := s.identity()
		i.leave(alice, room, "token")
		// Nobody can be asked when the identity server tells of it.
		a.Stop()
		i.bind(bob, alice.ID, room, i.proof(bob.ID, "token"))
		s.settle()
		if section(s, bob, "invite", room) {
			t.Error("bob is invited by nobody")
		}
		a.Start()
		proof := i.proof(bob.ID, "token").With("sender", canonjson.Text(string(alice.ID)))
		proof = signing.Sign(proof.Without("signatures"), "id.test", i.key)
		bob.Must("POST", path("join", room)+"?via=a.test", `{"third_party_signed":`+string(proof)+`}`)
		s.settle()
		s.agree(room, alice, bob)
	})
}

func TestWhoIsNotMeantIsNotInvited(t *testing.T) {
	scene(t, func(s *stage) {
		a, b := s.Server("a.test"), s.Server("b.test")
		alice, bob, dave := a.Register("alice"), b.Register("bob"), b.Register("dave")
		room := s.room(alice, `{"preset":"private_chat","invite":["@dave:b.test"]}`)
		s.join(dave, room)
		i := s.identity()
		for _, token := range []string{"token", "gone"} {
			i.leave(alice, room, token)
		}
		s.set(alice, room, "m.room.third_party_invite", "gone", `{}`)
		s.settle()
		other := &identity{s, must(signing.NewKey("ed25519:0", []byte(strings.Repeat("o", 32))))}
		for name, c := range map[string]struct {
			by    id.UserID
			proof canonjson.Value
		}{
			"by another identity server":          {alice.ID, other.proof(bob.ID, "token")},
			"without a signature":                 {alice.ID, i.proof(bob.ID, "token").With("signatures", canonjson.Value("{}"))},
			"for somebody else":                   {alice.ID, i.proof(dave.ID, "token")},
			"for another address":                 {alice.ID, i.proof(bob.ID, "unheard of")},
			"by what was taken back":              {alice.ID, i.proof(bob.ID, "gone")},
			"in the name of who has not invited":  {dave.ID, i.proof(bob.ID, "token")},
			"in the name of nobody":               {"@nobody:c.test", i.proof(bob.ID, "token")},
			"with a proof that was changed later": {alice.ID, i.proof(dave.ID, "token").With("mxid", canonjson.Text(string(bob.ID)))},
		} {
			// Of its own, and by asking the server of alice.
			i.bind(bob, c.by, room, c.proof)
			body := fmt.Sprintf(`{"content":{"membership":"invite","third_party_invite":{"display_name":"x","signed":%s}},"room_id":%q,"sender":%q,"state_key":%q,"type":"m.room.member"}`,
				string(c.proof), room, c.by, bob.ID)
			status, answer := b.Ask(a, "PUT", "/_matrix/federation/v1/exchange_third_party_invite/"+url.PathEscape(room), canonjson.Value(body))
			if status == 200 || status >= 500 {
				t.Errorf("%s: got %d %s", name, status, answer)
			}
			s.settle()
			for _, u := range []*hstest.User{alice, dave} {
				if status, answer := u.Do("GET", path("rooms", room, "state", "m.room.member", string(bob.ID)), nil); status != 404 {
					t.Fatalf("%s: for %s bob is %s", name, u.ID, answer)
				}
			}
		}
		// What is right is only for the server of the user to ask for, and of no use to who
		// was banned.
		good := fmt.Sprintf(`{"content":{"membership":"invite","third_party_invite":{"display_name":"x","signed":%s}},"room_id":%q,"sender":%q,"state_key":%q,"type":"m.room.member"}`,
			string(i.proof(bob.ID, "token")), room, alice.ID, bob.ID)
		c := s.Server("c.test")
		for _, from := range []*hstest.Server{c} {
			if status, answer := from.Ask(a, "PUT", "/_matrix/federation/v1/exchange_third_party_invite/"+url.PathEscape(room), canonjson.Value(good)); status != 403 {
				t.Errorf("%s gets %d %s", from.Name, status, answer)
			}
		}
		alice.Must("POST", path("rooms", room, "ban"), map[string]string{"user_id": string(bob.ID)})
		s.settle()
		i.bind(bob, alice.ID, room, i.proof(bob.ID, "token"))
		s.settle()
		if member := alice.Must("GET", path("rooms", room, "state", "m.room.member", string(bob.ID)), nil); text(member, "membership") != "ban" {
			t.Errorf("bob is %s", member)
		}
		s.agree(room, alice, dave)
	})
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
