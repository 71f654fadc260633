package appservice_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
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
		irc, alice, in := s.portal()
		server := irc.Server
		var mu sync.Mutex // guards what follows
		var ids, contents []string
		lost := true
		irc.answers(func(w http.ResponseWriter, r *http.Request) bool {
			body, _ := io.ReadAll(r.Body)
			mu.Lock()
			defer mu.Unlock()
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
		mu.Lock()
		before := len(ids)
		if all := slices.Compact(slices.Clone(ids)); before < 5 || len(all) != 1 {
			t.Errorf("the transactions are %v", all)
		}
		if all := slices.Compact(slices.Clone(contents)); len(all) != 1 || !strings.Contains(all[0], "m.typing") && !strings.Contains(all[0], "hello") {
			t.Errorf("they say\n%s", strings.Join(all, "\n"))
		}
		lost = false
		mu.Unlock()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if last := len(slices.Compact(slices.Clone(ids[before:]))); last < 2 {
			t.Errorf("afterwards there are %d", last)
		}
	})
}

func TestAServiceThatShowsToBeThereIsTriedAtOnce(t *testing.T) {
	scene(t, func(s *stage) {
		irc, alice, in := s.portal()
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
