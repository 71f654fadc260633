package csapi

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"parley/internal/identity"
	"parley/internal/memnet"
	"parley/internal/remote"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
	"parley/matrix/signing"
)

// identityServer is one that knows bob's mail address, and keeps invites for others.
type identityServer struct {
	t       *testing.T
	key     signing.Key
	revoked bool
	broken  bool
	invites []canonjson.Value
	asked   int
}

// trusting has a scene trust an identity server, which is example.com.
func (s *socialScene) trusting() *identityServer {
	seed := sha256.Sum256([]byte("identity"))
	key, err := signing.NewKey("ed25519:0", seed[:])
	if err != nil {
		s.t.Fatal(err)
	}
	i := &identityServer{t: s.t, key: key}
	network := memnet.New()
	h := httptest.NewUnstartedServer(i)
	h.Listener.Close()
	h.Listener = network.Listen("8.8.8.8")
	h.StartTLS()
	roots := x509.NewCertPool()
	roots.AddCert(h.Certificate())
	client := remote.New(remote.Options{
		TLS: &tls.Config{RootCAs: roots},
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("8.8.8.8")}, nil
		},
		Dial: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			return network.Dial(ctx, to.Addr().String())
		},
	})
	s.Identity = identity.New(client, identity.Options{Trusted: []id.ServerName{"example.com"}})
	s.after = append(s.after, h.Close, client.Close)
	return i
}

func (i *identityServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.asked++
	var body json.RawMessage
	json.NewDecoder(r.Body).Decode(&body)
	request, _ := canonjson.Canonical(body, canonjson.Lenient)
	switch r.URL.Path {
	case "/_matrix/identity/v2/hash_details":
		fmt.Fprint(w, `{"lookup_pepper":"p","algorithms":["sha256"]}`)
	case "/_matrix/identity/v2/lookup":
		sum := sha256.Sum256([]byte("bob@example.org email p"))
		hash := base64.RawURLEncoding.EncodeToString(sum[:])
		fmt.Fprintf(w, `{"mappings":{%q:"@bob:a.test"}}`, hash)
	case "/_matrix/identity/v2/store-invite":
		if i.broken {
			w.WriteHeader(500)
			return
		}
		i.invites = append(i.invites, request)
		public := signing.EncodeBase64(i.key.Private.Public().(ed25519.PublicKey))
		fmt.Fprintf(w, `{"token":"token%d","display_name":"c...@e...","public_keys":[{"public_key":%q,"key_validity_url":"https://example.com/valid"}]}`, len(i.invites), public)
	case "/valid":
		fmt.Fprintf(w, `{"valid":%v}`, !i.revoked)
	default:
		w.WriteHeader(404)
	}
}

// proof is what the identity server gives somebody who has proved to have the
// address of an invite.
func (i *identityServer) proof(sender, mxid id.UserID, token string) string {
	signed := canonjson.Value("{}").With("mxid", canonjson.Text(string(mxid))).With("sender", canonjson.Text(string(sender))).With("token", canonjson.Text(token))
	return `{"third_party_signed":` + string(signing.Sign(signed, "example.com", i.key)) + `}`
}

func byMail(address string) string {
	return `{"id_server":"example.com","id_access_token":"secret","medium":"email","address":"` + address + `"}`
}

func TestSomebodyIsInvitedByMail(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		i := s.trusting()
		roomID := s.create(room.NewRoom{Name: "Cats", Levels: canonjson.Value(`{"invite":50}`), Invites: []id.UserID{"@admin:a.test"}})
		s.join(roomID, "@admin:a.test")
		path := "POST rooms/" + string(roomID) + "/invite"
		s.try([]socialCall{
			{"nobody at all", "alice", path, `{}`, mxerr.MissingParam, 0},
			{"without a token", "alice", path, `{"id_server":"example.com","medium":"email","address":"bob@example.org"}`, mxerr.MissingParam, 0},
			{"by a server that is not trusted", "alice", path, strings.Replace(byMail("bob@example.org"), "example.com", "evil.test", 1), mxerr.ServerNotTrusted, 0},
			{"by a server that is none", "alice", path, strings.Replace(byMail("bob@example.org"), "example.com", "https://example.com/", 1), mxerr.BadJSON, 0},
			{"by pigeon", "alice", path, strings.Replace(byMail("bob@example.org"), "email", "pigeon", 1), mxerr.ThreePIDMediumNotSupported, 0},
			{"by who is not in the room", "carol", path, byMail("bob@example.org"), mxerr.Forbidden, 0},
			{"by who has no power", "admin", path, byMail("bob@example.org"), mxerr.Forbidden, 0},
			{"by who is suspended", "suspended", path, byMail("bob@example.org"), mxerr.UserSuspended, 0},
		})
		if i.asked != 0 {
			t.Errorf("the identity server was asked %d times for who may not invite", i.asked)
		}
		s.try([]socialCall{
			{"bob, whose address is known", "alice", path, byMail("BOB@example.org"), "", 0},
			{"somebody whose address is not", "alice", path, byMail("carol@example.org"), "", 0},
		})
		if m := s.member(roomID, userBob); !m.Get("membership").Is("invite") {
			t.Errorf("bob is %s", m)
		}
		want := `{"address":"carol@example.org","medium":"email","room_id":"` + string(roomID) + `","room_join_rules":"invite","room_name":"Cats","sender":"@alice:a.test"}`
		if len(i.invites) != 1 || string(i.invites[0]) != want {
			t.Errorf("the identity server keeps %s, want %s", i.invites, want)
		}
		left := s.get("alice", "GET rooms/"+string(roomID)+"/state/m.room.third_party_invite/token1", "")
		if !left.Get("display_name").Is("c...@e...") || !left.Get("key_validity_url").Is("https://example.com/valid") || left.Get("public_key") == nil {
			t.Errorf("the invite is %s", left)
		}
		i.broken = true
		s.try([]socialCall{{"when the identity server fails", "alice", path, byMail("dora@example.org"), mxerr.BadStatus, 400}})
	})
}

func TestWhoHasTheAddressJoins(t *testing.T) {
	for rules := range roomver.Known() {
		playSocial(t, func(s *socialScene) {
			i := s.trusting()
			roomID := s.create(room.NewRoom{Version: rules.Version})
			path := "rooms/" + string(roomID)
			const alice, carol = userAlice, id.UserID("@carol:a.test")
			good := i.proof(alice, carol, "token1")
			s.try([]socialCall{
				{"an invite is left", "alice", "POST " + path + "/invite", byMail("carol@example.org"), "", 0},
				{"another is left", "alice", "POST " + path + "/invite", byMail("dora@example.org"), "", 0},
				{"and taken back", "alice", "PUT " + path + "/state/m.room.third_party_invite/token2", `{}`, "", 0},
				{"without a proof", "carol", "POST " + path + "/join", `{}`, mxerr.Forbidden, 0},
				{"with null for one", "carol", "POST " + path + "/join", `{"third_party_signed":null}`, mxerr.Forbidden, 0},
				{"with none that is one", "carol", "POST " + path + "/join", `{"third_party_signed":7}`, mxerr.BadJSON, 0},
				{"with an empty one", "carol", "POST " + path + "/join", `{"third_party_signed":{}}`, mxerr.MissingParam, 0},
				{"with one of numbers", "carol", "POST " + path + "/join", `{"third_party_signed":{"mxid":1,"sender":1,"signatures":1,"token":1}}`, mxerr.BadJSON, 0},
				{"with that of somebody else", "bob", "POST " + path + "/join", good, mxerr.Forbidden, 0},
				{"with one for another token", "carol", "POST " + path + "/join", i.proof(alice, carol, "token9"), mxerr.Forbidden, 0},
				{"with one of another sender", "carol", "POST " + path + "/join", i.proof(userBob, carol, "token1"), mxerr.Forbidden, 0},
				{"with one that was taken back", "carol", "POST " + path + "/join", i.proof(alice, carol, "token2"), mxerr.Forbidden, 0},
				{"with one that was changed", "carol", "POST " + path + "/join", strings.Replace(i.proof(alice, userBob, "token1"), "@bob:", "@carol:", 1), mxerr.Forbidden, 0},
			})
			i.revoked = true
			s.try([]socialCall{{"with a key that was revoked", "carol", "POST " + path + "/join", good, mxerr.Forbidden, 0}})
			i.revoked = false
			s.try([]socialCall{
				{"with a good one", "carol", "POST join/" + string(roomID), good, "", 0},
				{"again", "carol", "POST join/" + string(roomID), good, "", 0},
				{"where there is no room", "carol", "POST join/!x:a.test", good, mxerr.NotFound, 0},
			})
			if m := s.member(roomID, carol); !m.Get("membership").Is("join") || m.Get("third_party_invite") != nil {
				t.Errorf("version %s: carol is %s", rules.Version, m)
			}
		})
	}
}

func TestARoomForSomebodyWithAnAddress(t *testing.T) {
	playSocial(t, func(s *socialScene) {
		i := s.trusting()
		create := func(body string) id.RoomID {
			t.Helper()
			return id.RoomID(s.get("alice", "POST createRoom", body).Get("room_id").String())
		}
		roomID := create(`{"preset":"trusted_private_chat","is_direct":true,"invite":["@bob:a.test"],"invite_3pid":[` + byMail("bob@example.org") + `,` + byMail("carol@example.org") + `]}`)
		if m := s.member(roomID, userBob); !m.Get("membership").Is("invite") || !m.Get("is_direct").True() {
			t.Errorf("bob is %s", m)
		}
		if got := s.get("alice", "GET rooms/"+string(roomID)+"/state/m.room.third_party_invite/token1", ""); !got.Get("display_name").Is("c...@e...") {
			t.Errorf("the invite is %s", got)
		}
		if len(i.invites) != 1 || !i.invites[0].Get("room_id").Is(string(roomID)) {
			t.Errorf("invites are %s", i.invites)
		}
		s.try([]socialCall{
			{"by a server that is not trusted", "alice", "POST createRoom", `{"invite_3pid":[` + strings.Replace(byMail("x@y"), "example.com", "evil.test", 1) + `]}`, mxerr.ServerNotTrusted, 0},
			{"incomplete", "alice", "POST createRoom", `{"invite_3pid":[{}]}`, mxerr.MissingParam, 0},
			{"no list", "alice", "POST createRoom", `{"invite_3pid":{}}`, mxerr.BadJSON, 0},
			{"no object", "alice", "POST createRoom", `{"invite_3pid":[7]}`, mxerr.BadJSON, 0},
		})
	})
}
