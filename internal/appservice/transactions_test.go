package appservice_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

func TestAServiceIsToldWhatConcernsIt(t *testing.T) {
	scene(t, func(s *stage) {
		irc := s.bridge("irc")
		alice := s.server(irc).Register("alice")
		other := room(alice, `{"preset":"public_chat"}`)
		in := room(alice, `{"preset":"public_chat","name":"Portal"}`)
		say(alice, in, "before")
		if got := irc.got(); len(got) > 0 {
			t.Errorf("of rooms where it is not: got %s", got[0].body)
		}

		ghost := irc.ghost("bob")
		alice.Must("POST", path("rooms", in, "invite"), map[string]any{"user_id": ghost})
		txns := irc.got()
		invite := events(txns, "events")
		if len(invite) != 1 || text(invite[0], "state_key") != string(ghost) || text(invite[0], "room_id") != in {
			t.Fatalf("of an invite: got %s", txns[0].body)
		}
		unsigned := invite[0].Get("unsigned")
		if age, ok := unsigned.Get("age").Int(); !ok || age < 0 || !strings.Contains(string(unsigned.Get("invite_room_state")), "Portal") {
			t.Errorf("with an invite comes %s", unsigned)
		}
		say(alice, in, "invited")
		if got := events(irc.got(), "events"); len(got) > 0 {
			t.Errorf("of a room to which a ghost is invited: got %s", got)
		}

		irc.Must("POST", irc.as(path("rooms", in, "join"), ghost), `{}`)
		say(alice, in, "joined")
		say(alice, other, "elsewhere")
		alice.Must("PUT", path("rooms", in, "state", "m.room.name"), `{"name":"Bridge"}`)
		got := events(irc.got(), "events")
		if len(got) != 3 || bodies(got) != "joined" || text(got[2].Get("unsigned").Get("prev_content"), "name") != "Portal" {
			t.Errorf("of a room with a ghost: got %s", got)
		}
		if got[1].Get("unsigned").Get("transaction_id") != nil || got[1].Get("unsigned").Get("membership") != nil {
			t.Errorf("what is for the sender alone comes with %s", got[1])
		}

		alice.Must("POST", path("rooms", in, "kick"), map[string]any{"user_id": ghost})
		say(alice, in, "gone")
		if got := events(irc.got(), "events"); len(got) != 1 || text(got[0], "type") != "m.room.member" {
			t.Errorf("of a room without ghosts: got %s", got)
		}
	})
}

func TestNamespacesOfRoomsAndAliases(t *testing.T) {
	scene(t, func(s *stage) {
		irc := s.bridge("irc", `namespaces: {aliases: [{exclusive: false, regex: '#irc_.*'}]}`)
		log := s.bridge("log", `namespaces: {rooms: [{regex: '!.*:a\.test'}, {regex: '!.*'}]}`)
		alice := s.server(irc, log).Register("alice")
		made := room(irc.User, `{}`)
		if got := events(irc.got(), "events"); len(got) == 0 || text(got[0], "type") != "m.room.create" || text(got[0], "room_id") != made {
			t.Errorf("of a room that it makes itself: got %s", got)
		}
		log.got()
		in := room(alice, `{"room_alias_name":"irc_one"}`)
		if got := events(irc.got(), "events"); len(got) == 0 || text(got[0], "type") != "m.room.create" {
			t.Errorf("of a room with an alias: got %s", got)
		}
		later := room(alice, `{}`)
		say(alice, later, "1")
		alice.Must("PUT", path("directory", "room", "#irc_two:a.test"), `{"room_id":"`+later+`"}`)
		say(alice, later, "2")
		alice.Must("DELETE", path("directory", "room", "#irc_two:a.test"), nil)
		say(alice, later, "3")
		say(alice, in, "4")
		if got := bodies(events(irc.got(), "events")); got != "2 4" {
			t.Errorf("of rooms with aliases: got %s", got)
		}
		if got := bodies(events(log.got(), "events")); got != "1 2 3 4" {
			t.Errorf("of all rooms: got %s", got)
		}
	})
}

func TestAServiceThatWasAwayGetsEverythingOnceAndInOrder(t *testing.T) {
	for name, restarts := range map[string]bool{"the service": false, "and the server": true} {
		t.Run(name, func(t *testing.T) {
			scene(t, func(s *stage) {
				irc, other := s.bridge("irc"), s.bridge("other")
				server := s.server(irc, other)
				alice := server.Register("alice")
				in := room(alice, `{"preset":"public_chat"}`)
				ghost, otherGhost := irc.ghost("bob"), other.ghost("eve")
				irc.Must("POST", irc.as(path("rooms", in, "join"), ghost), `{}`)
				other.Must("POST", other.as(path("rooms", in, "join"), otherGhost), `{}`)
				irc.got()

				var tried []txn
				irc.answers(func(w http.ResponseWriter, r *http.Request) bool {
					tried = append(tried, txn{id: r.URL.Path, at: time.Now()})
					w.WriteHeader(http.StatusBadGateway)
					return true
				})
				say(alice, in, "first")
				synctest.Wait()
				for i := range 250 {
					say(alice, in, fmt.Sprint(i))
				}
				// The ghost leaves and comes again: what is said meanwhile is not for it.
				irc.Must("POST", irc.as(path("rooms", in, "leave"), ghost), `{}`)
				say(alice, in, "behind its back")
				irc.Must("POST", irc.as(path("rooms", in, "join"), ghost), `{}`)
				if got := bodies(events(other.got(), "events")); !strings.HasSuffix(got, " 249 behind its back") {
					t.Errorf("others are told %s", got)
				}
				time.Sleep(2 * time.Hour)
				if restarts {
					server.Restart()
					time.Sleep(time.Hour)
				}
				synctest.Wait()
				ids := make(map[string]bool)
				for _, t := range tried {
					ids[t.id] = true
				}
				if len(ids) != 1 || len(tried) < 10 || len(tried) > 60 {
					t.Errorf("it was tried %d times with %d transactions", len(tried), len(ids))
				}
				irc.answers(nil)
				time.Sleep(6 * time.Minute)
				txns := irc.got()
				want := []string{"first"}
				for i := range 250 {
					want = append(want, fmt.Sprint(i))
				}
				if got := bodies(events(txns, "events")); got != strings.Join(want, " ") {
					t.Errorf("got %s", got)
				}
				if len(txns) > 6 || len(txns) < 3 {
					t.Errorf("in %d transactions", len(txns))
				}
			})
		})
	}
}

func TestATransactionIsTheSameHoweverOftenItIsSent(t *testing.T) {
	scene(t, func(s *stage) {
		irc := s.bridge("irc")
		server := s.server(irc)
		alice := server.Register("alice")
		in := room(irc.User, `{"preset":"public_chat"}`)
		alice.Must("POST", path("rooms", in, "join"), `{}`)
		irc.got()
		var ids, contents []string
		lost := true
		irc.answers(func(w http.ResponseWriter, r *http.Request) bool {
			body, _ := io.ReadAll(r.Body)
			ids, contents = append(ids, r.URL.Path), append(contents, string(body))
			if lost { // it has got it, and the server does not learn of that
				panic(http.ErrAbortHandler)
			}
			return false
		})
		alice.Must("PUT", path("rooms", in, "typing", string(alice.ID)), `{"typing":true,"timeout":30000}`)
		say(alice, in, "hello")
		time.Sleep(time.Minute)
		say(alice, in, "world")
		server.Restart()
		time.Sleep(time.Minute)
		synctest.Wait()
		before := len(ids)
		if all := slices.Compact(slices.Clone(ids)); before < 5 || len(all) != 1 {
			t.Errorf("the transactions are %v", all)
		}
		if all := slices.Compact(slices.Clone(contents)); len(all) != 1 || !strings.Contains(all[0], "m.typing") && !strings.Contains(all[0], "hello") {
			t.Errorf("they say\n%s", strings.Join(all, "\n"))
		}
		lost = false
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if last := len(slices.Compact(slices.Clone(ids[before:]))); last < 2 {
			t.Errorf("afterwards there are %d", last)
		}
		_ = contents
	})
}

func TestAServiceThatShowsToBeThereIsTriedAtOnce(t *testing.T) {
	scene(t, func(s *stage) {
		irc := s.bridge("irc")
		alice := s.server(irc).Register("alice")
		in := room(irc.User, `{"preset":"public_chat"}`)
		alice.Must("POST", path("rooms", in, "join"), `{}`)
		irc.got()
		var tries atomic.Int64
		irc.answers(func(w http.ResponseWriter, r *http.Request) bool {
			tries.Add(1)
			w.WriteHeader(http.StatusInternalServerError)
			return true
		})
		say(alice, in, "hello")
		time.Sleep(time.Hour)
		before := tries.Load()
		for range 100 { // it does a lot, and takes nothing
			irc.Must("GET", v3+"account/whoami", nil)
		}
		time.Sleep(3 * time.Second)
		if again := tries.Load() - before; again < 1 || again > 4 {
			t.Errorf("it was tried %d times", again)
		}
		irc.answers(nil)
		irc.Must("GET", v3+"account/whoami", nil)
		time.Sleep(2 * time.Second)
		if got := bodies(events(irc.got(), "events")); got != "hello" {
			t.Errorf("got %q", got)
		}
	})
}

func TestAServiceThatHangsCostsNobodyAnything(t *testing.T) {
	scene(t, func(s *stage) {
		slow, irc := s.bridge("slow"), s.bridge("irc")
		alice := s.server(slow, irc).Register("alice")
		in := room(irc.User, `{"preset":"public_chat"}`)
		slow.Must("POST", path("rooms", in, "join"), `{}`)
		alice.Must("POST", path("rooms", in, "join"), `{}`)
		irc.got()
		slow.got()
		slow.answers(func(w http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		})
		before := time.Now()
		for i := range 20 {
			say(alice, in, fmt.Sprint(i))
		}
		if got := bodies(events(irc.got(), "events")); !strings.HasSuffix(got, " 18 19") || time.Since(before) > time.Second {
			t.Errorf("after %s got %s", time.Since(before), got)
		}
		time.Sleep(10 * time.Minute)
		slow.answers(nil)
		time.Sleep(10 * time.Minute)
		if got := bodies(events(slow.got(), "events")); !strings.HasPrefix(got, "0 1 ") || !strings.HasSuffix(got, " 18 19") {
			t.Errorf("afterwards it gets %s", got)
		}
	})
}

func TestEphemeralEvents(t *testing.T) {
	scene(t, func(s *stage) {
		irc, old, without := s.bridge("irc"), s.bridge("old", "receive_ephemeral: false", "de.sorunome.msc2409.push_ephemeral: true"), s.bridge("without", "receive_ephemeral: false")
		server := s.server(irc, old, without)
		alice, eve := server.Register("alice"), server.Register("eve")
		in, elsewhere := room(irc.User, `{"preset":"public_chat"}`), room(eve, `{"preset":"public_chat"}`)
		for _, u := range []*hstest.User{old.User, without.User, alice} {
			u.Must("POST", path("rooms", in, "join"), `{}`)
		}
		sent := alice.Must("PUT", path("rooms", in, "send", "m.room.message", "1"), `{"body":"x","msgtype":"m.text"}`)
		for _, b := range []*bridge{irc, old, without} {
			b.got()
		}
		for _, u := range []*hstest.User{alice, eve} {
			to := map[*hstest.User]string{alice: in, eve: elsewhere}[u]
			u.Must("PUT", path("rooms", to, "typing", string(u.ID)), `{"typing":true,"timeout":20000}`)
			u.Must("PUT", path("presence", string(u.ID), "status"), `{"presence":"online","status_msg":"here"}`)
		}
		alice.Must("POST", path("rooms", in, "receipt", "m.read", text(sent, "event_id")), `{}`)
		alice.Must("POST", path("rooms", in, "receipt", "m.read.private", text(sent, "event_id")), `{}`)
		time.Sleep(10 * time.Second)
		for b, member := range map[*bridge]string{irc: "ephemeral", old: "de.sorunome.msc2409.ephemeral"} {
			txns := b.got()
			all := canonjson.Value("")
			for _, e := range events(txns, member) {
				all = append(append(all, e...), '\n')
			}
			for _, want := range []string{
				`{"content":{"user_ids":["@alice:a.test"]},"room_id":"` + in + `","type":"m.typing"}`,
				`"m.read":{"@alice:a.test":`, `"room_id":"` + in + `","type":"m.receipt"}`,
				`"status_msg":"here"},"sender":"@alice:a.test","type":"m.presence"}`,
			} {
				if !strings.Contains(string(all), want) {
					t.Errorf("%s is told\n%swant %s", b.name, all, want)
				}
			}
			if strings.Contains(string(all), "eve") || strings.Contains(string(all), "private") || strings.Contains(string(all), elsewhere) {
				t.Errorf("%s is told\n%s", b.name, all)
			}
		}
		if got := without.got(); len(got) > 0 {
			t.Errorf("who does not want it is told %s", got[0].body)
		}
		time.Sleep(30 * time.Second)
		if got := events(irc.got(), "ephemeral"); len(got) == 0 || !strings.Contains(fmt.Sprintf("%s", got), `{"user_ids":[]}`) {
			t.Errorf("that nobody types any more is told as %s", got)
		}
	})
}

func TestMessagesToDevices(t *testing.T) {
	scene(t, func(s *stage) {
		irc, crypt := s.bridge("irc"), s.bridge("crypt", "org.matrix.msc3202: true")
		shared := s.bridge("shared", "io.element.msc4203: true", "namespaces: {users: [{exclusive: false, regex: '@alice'}, {exclusive: false, regex: '@puppet'}]}")
		server := s.server(irc, crypt, shared)
		alice := server.Register("alice")
		syncing, ghost, loggedIn := irc.ghost("bob"), crypt.ghost("bob"), crypt.ghost("carol")
		shared.Must("POST", v3+"register", `{"type":"m.login.application_service","username":"puppet","inhibit_login":true}`)
		irc.device(syncing, "PHONE")
		crypt.device(ghost, "PHONE")
		shared.device("@puppet:a.test", "PHONE")
		made := crypt.Must("POST", v3+"login", `{"type":"m.login.application_service","identifier":{"type":"m.id.user","user":"`+string(loggedIn)+`"},"device_id":"PHONE"}`)
		carol := &hstest.User{Server: server, Token: text(made, "access_token")}
		for _, b := range []*bridge{irc, crypt, shared} {
			b.got()
		}
		to := map[string]any{"*": map[string]any{"x": 1}}
		alice.Must("PUT", path("sendToDevice", "m.test", "1"), map[string]any{"messages": map[id.UserID]any{
			ghost: to, loggedIn: to, syncing: to, alice.ID: to, "@puppet:a.test": to,
		}})
		for b, users := range map[*bridge][]id.UserID{irc: nil, crypt: {ghost, loggedIn}, shared: {"@puppet:a.test"}} {
			var want, got []string
			for _, user := range users {
				want = append(want, `{"content":{"x":1},"sender":"@alice:a.test","to_device_id":"PHONE","to_user_id":"`+string(user)+`","type":"m.test"}`)
			}
			for _, e := range events(b.got(), "to_device") {
				got = append(got, string(e))
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("%s gets %s, want %s", b.name, got, want)
			}
		}
		// What came in a transaction is told, and what did not is for /sync.
		for name, row := range map[string]struct {
			got  canonjson.Value
			want bool
		}{
			"in a transaction":               {crypt.Must("GET", crypt.as(v3+"sync", ghost, "PHONE"), nil), false},
			"in a transaction, with a token": {carol.Must("GET", v3+"sync", nil), false},
			"to who asks by itself":          {irc.Must("GET", irc.as(v3+"sync", syncing, "PHONE"), nil), true},
			"to people":                      {alice.Must("GET", v3+"sync", nil), true},
		} {
			if is := strings.Contains(string(row.got.Get("to_device")), "m.test"); is != row.want {
				t.Errorf("%s: a sync has %s", name, row.got.Get("to_device"))
			}
		}
	})
}

func TestDeviceListsAndKeysThatAreLeft(t *testing.T) {
	scene(t, func(s *stage) {
		crypt := s.bridge("crypt", "org.matrix.msc3202: true")
		server := s.server(crypt)
		alice, eve := server.Register("alice"), server.Register("eve")
		in := room(crypt.User, `{"preset":"public_chat"}`)
		crypt.device(crypt.ID, "BOT")
		crypt.got()
		phone := &hstest.User{Server: server, ID: crypt.ID, Device: "BOT"}
		crypt.Must("POST", crypt.as(v3+"keys/upload", crypt.ID, "BOT"), map[string]any{
			"device_keys": phone.Keys().Sign(phone.Keys().Device()), "one_time_keys": phone.Keys().OneTime("a", "b"), "fallback_keys": phone.Keys().Fallback("f"),
		})
		last := func(member string) string {
			t.Helper()
			var value canonjson.Value
			for _, txn := range crypt.got() {
				if v := txn.body.Get(member); v != nil {
					if old := txn.body.Get("org.matrix.msc3202." + member); string(old) != string(v) {
						t.Errorf("%s is %s, and by its old name %s", member, v, old)
					}
					value = v
				}
			}
			return string(value)
		}
		synctest.Wait()
		if got := last("device_one_time_keys_count"); got != `{"@_crypt_bot:a.test":{"BOT":{"signed_curve25519":2}}}` {
			t.Errorf("after an upload: got %s", got)
		}
		alice.Must("POST", v3+"keys/claim", `{"one_time_keys":{"@_crypt_bot:a.test":{"BOT":"signed_curve25519"}}}`)
		if got := last("device_one_time_keys_count"); got != `{"@_crypt_bot:a.test":{"BOT":{"signed_curve25519":1}}}` {
			t.Errorf("after a claim: got %s", got)
		}
		for range 2 {
			alice.Must("POST", v3+"keys/claim", `{"one_time_keys":{"@_crypt_bot:a.test":{"BOT":"signed_curve25519"}}}`)
		}
		if got := last("device_unused_fallback_key_types"); got != `{"@_crypt_bot:a.test":{"BOT":[]}}` {
			t.Errorf("after the fallback key was claimed: got %s", got)
		}
		alice.Must("POST", path("rooms", in, "join"), `{}`)
		if got := last("device_lists"); got != `{"changed":["@alice:a.test"],"left":[]}` {
			t.Errorf("when somebody comes: got %s", got)
		}
		alice.Must("PUT", v3+"profile/@alice:a.test/displayname", `{"displayname":"Alice"}`)
		if got := last("device_lists"); got != "" {
			t.Errorf("when somebody has another name: got %s", got)
		}
		eve.Login()
		if got := last("device_lists"); got != "" {
			t.Errorf("of somebody else's devices: got %s", got)
		}
		alice.Login()
		if got := last("device_lists"); got != `{"changed":["@alice:a.test"],"left":[]}` {
			t.Errorf("when somebody has another device: got %s", got)
		}
		alice.Must("POST", path("rooms", in, "leave"), `{}`)
		if got := last("device_lists"); got != `{"changed":[],"left":["@alice:a.test"]}` {
			t.Errorf("when somebody leaves: got %s", got)
		}
		theirs := room(alice, `{"preset":"public_chat"}`)
		crypt.Must("POST", path("rooms", theirs, "join"), `{}`)
		if got := last("device_lists"); got != `{"changed":["@alice:a.test"],"left":[]}` {
			t.Errorf("when it comes itself: got %s", got)
		}
		crypt.Must("POST", path("rooms", theirs, "leave"), `{}`)
		if got := last("device_lists"); got != `{"changed":[],"left":["@alice:a.test"]}` {
			t.Errorf("when it leaves itself: got %s", got)
		}
	})
}

func TestReloading(t *testing.T) {
	scene(t, func(s *stage) {
		irc := s.bridge("irc")
		server := s.server(irc)
		alice := server.Register("alice")
		in := room(irc.User, `{"preset":"public_chat"}`)
		alice.Must("POST", path("rooms", in, "join"), `{}`)
		irc.got()

		// Another one with a mistake changes nothing.
		late := s.bridge("late", "sender_localpart: _irc_bot")
		if err := server.ReloadAppServices(s.Context()); err == nil || !strings.Contains(err.Error(), "irc.yaml") || !strings.Contains(err.Error(), "late.yaml") {
			t.Errorf("got %v", err)
		}
		say(alice, in, "1")
		if got := bodies(events(irc.got(), "events")); got != "1" {
			t.Errorf("after a mistake: got %q", got)
		}
		expect(s, "the other one", &hstest.User{Server: server, Token: "as_late"}, "GET", v3+"account/whoami", nil, 401, "M_UNKNOWN_TOKEN")

		late.register(s)
		if err := server.ReloadAppServices(s.Context()); err != nil {
			t.Fatal(err)
		}
		late.User = &hstest.User{Server: server, ID: "@_late_bot:a.test", Token: "as_late"}
		late.Must("POST", path("rooms", in, "join"), `{}`)
		say(alice, in, "2")
		for _, b := range []*bridge{irc, late} {
			if got := bodies(events(b.got(), "events")); got != "2" {
				t.Errorf("%s, after it was mended: got %q", b.name, got)
			}
		}

		// One that is gone for a day finds what it has missed; for two weeks, nothing.
		for _, away := range []time.Duration{24 * time.Hour, 15 * 24 * time.Hour} {
			if err := os.Rename(filepath.Join(s.dir, "irc.yaml"), filepath.Join(s.dir, "irc.off")); err != nil {
				t.Fatal(err)
			}
			if err := server.ReloadAppServices(s.Context()); err != nil {
				t.Fatal(err)
			}
			say(alice, in, "missed "+away.String())
			expect(s, "one that is gone", irc.User, "GET", v3+"account/whoami", nil, 401, "M_UNKNOWN_TOKEN")
			time.Sleep(away)
			if err := os.Rename(filepath.Join(s.dir, "irc.off"), filepath.Join(s.dir, "irc.yaml")); err != nil {
				t.Fatal(err)
			}
			if err := server.ReloadAppServices(s.Context()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if got := bodies(events(irc.got(), "events")); got != "missed 24h0m0s" {
			t.Errorf("who comes again gets %q", got)
		}

		// Other tokens hold at once.
		irc.register(s, "as_token: other")
		if err := server.ReloadAppServices(s.Context()); err != nil {
			t.Fatal(err)
		}
		expect(s, "the old token", irc.User, "GET", v3+"account/whoami", nil, 401, "M_UNKNOWN_TOKEN")
		irc.Token = "other"
		irc.Must("GET", v3+"account/whoami", nil)
	})
}

func TestHowServicesDo(t *testing.T) {
	scene(t, func(s *stage) {
		irc, mute := s.bridge("irc"), s.bridge("mute", "url: null")
		server := s.server(irc, mute)
		admin := server.Register("admin")
		if err := server.Accounts().SetAdmin(s.Context(), admin.ID, true); err != nil {
			t.Fatal(err)
		}
		in := room(irc.User, `{"preset":"public_chat"}`)
		irc.got()
		first := string(admin.Must("GET", "/_parley/admin/v1/appservices", nil))
		if !strings.Contains(first, `"id":"irc"`) || !strings.Contains(first, `"up":true`) || !strings.Contains(first, `"behind":0`) || strings.Contains(first, "as_irc") ||
			!strings.Contains(first, `{"id":"mute","sender":"@_mute_bot:a.test","url":null}`) {
			t.Errorf("got %s", first)
		}
		irc.answers(func(w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		})
		say(irc.User, in, "1")
		time.Sleep(time.Hour)
		say(irc.User, in, "2")
		if down := string(admin.Must("GET", "/_parley/admin/v1/appservices", nil)); !strings.Contains(down, `"up":false`) || !strings.Contains(down, `"behind":1`) {
			t.Errorf("when it is down: got %s", down)
		}
		expect(s, "a person", server.Register("alice"), "GET", "/_parley/admin/v1/appservices", nil, 403, "M_FORBIDDEN")
		s.bridge("bad", "id: irc")
		expect(s, "a mistake", admin, "POST", "/_parley/admin/v1/appservices/reload", `{}`, 400, "M_INVALID_PARAM")
	})
}

func TestTokensInURLs(t *testing.T) {
	scene(t, func(s *stage) {
		irc := s.bridge("irc")
		server := s.server(irc)
		server.Stop()
		server.Config.AppServices.QueryTokens = true
		server.Start()
		var query []string
		irc.answers(func(w http.ResponseWriter, r *http.Request) bool {
			query = append(query, r.URL.RawQuery)
			return false
		})
		room(irc.User, `{}`)
		irc.got()
		if len(query) == 0 || query[0] != "access_token=hs_irc" {
			t.Errorf("it was asked with %q", query)
		}
	})
}

func TestAServiceOfTheOldKind(t *testing.T) {
	scene(t, func(s *stage) {
		irc := s.bridge("irc")
		alice := s.server(irc).Register("alice")
		in := room(irc.User, `{"preset":"public_chat"}`)
		alice.Must("POST", path("rooms", in, "join"), `{}`)
		irc.got()
		var old []string
		irc.answers(func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasPrefix(r.URL.Path, "/_matrix/") {
				http.NotFound(w, r)
				return true
			}
			old = append(old, r.URL.Path)
			io.WriteString(w, "{}")
			return true
		})
		say(alice, in, "hello")
		synctest.Wait()
		if len(old) != 1 || !strings.HasPrefix(old[0], "/transactions/") {
			t.Errorf("it was asked %v", old)
		}
	})
}
