package push_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/account"
	"parley/internal/config"
	"parley/internal/hstest"
	"parley/internal/mail/mailtest"
	"parley/matrix/id"
)

// inMail plays a scene in which bob has an address.
func inMail(t *testing.T, play func(s *scene, box *mailtest.Box)) {
	synctest.Test(t, func(t *testing.T) {
		w := hstest.New(t)
		box := w.Postbox("smtp.test")
		s := &scene{T: t, w: w, gateway: newGateway(t)}
		s.a = w.Server("a.test", hstest.Mail("smtp.test"), func(c *config.Config) { c.PublicURL = "https://matrix.a.test" })
		s.alice, s.bob = s.a.Register("alice"), s.a.Register("bob")
		s.room = s.create(s.alice, `{"preset":"public_chat","name":"Tour"}`)
		s.bob.Must("POST", "/_matrix/client/v3/join/"+string(s.room), nil)
		s.do(s.a.Accounts().SetContacts(t.Context(), s.bob.ID, []account.ThreePID{{Medium: account.Email, Address: "bob@example.org"}}))
		play(s, box)
	})
}

func (s *scene) wantsMail(u *hstest.User, address string) (status int) {
	s.Helper()
	status, _ = u.Do("POST", "/_matrix/client/v3/pushers/set", map[string]any{
		"kind": "email", "app_id": "m.email", "pushkey": address, "app_display_name": "Mail", "device_display_name": address, "lang": "en",
		"data": map[string]any{}, "append": true,
	})
	return status
}

func TestWhoDoesNotReadGetsMail(t *testing.T) {
	inMail(t, func(s *scene, box *mailtest.Box) {
		if status := s.wantsMail(s.bob, "bob@example.org"); status != 200 {
			t.Fatalf("got %d", status)
		}
		s.say(s.alice, "hello <b>")
		thread := s.say(s.alice, "a question")
		s.send(s.alice, s.room, "m.room.message", `{"msgtype":"m.text","body":"in a thread","m.relates_to":{"rel_type":"m.thread","event_id":"`+string(thread)+`"}}`)
		time.Sleep(9 * time.Minute)
		if synctest.Wait(); !box.Empty() {
			t.Fatal("mail came at once")
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		first, second := box.Next(), box.Next()
		if first.To != "bob@example.org" || first.Subject != "2 messages from alice in Tour" || !strings.Contains(first.Text, "hello <b>") || !strings.Contains(first.HTML, "hello &lt;b&gt;") {
			t.Errorf("got %q to %s: %s", first.Subject, first.To, first.Raw)
		}
		if second.Subject != "A message from alice in Tour" || !strings.Contains(second.Text, "in a thread") || strings.Contains(second.Text, "hello") {
			t.Errorf("got %q: %s", second.Subject, second.Raw)
		}
		if a, b := first.Header.Get("References"), second.Header.Get("References"); a == "" || b == "" || a == b {
			t.Errorf("the conversations are %q and %q", a, b)
		}
		unsubscribe := strings.Trim(first.Header.Get("List-Unsubscribe"), "<>")
		if !strings.HasPrefix(unsubscribe, "https://matrix.a.test/_matrix/client/") || first.Header.Get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" {
			t.Errorf("it is stopped by %q, %q", unsubscribe, first.Header.Get("List-Unsubscribe-Post"))
		}
		time.Sleep(time.Hour)
		if synctest.Wait(); !box.Empty() {
			t.Error("the same comes again")
		}
		s.say(s.alice, "more")
		time.Sleep(15 * time.Minute)
		if synctest.Wait(); !box.Empty() {
			t.Error("the next mail comes as soon as the first")
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if next := box.Next(); next.Header.Get("References") != first.Header.Get("References") || strings.Contains(next.Text, "hello") {
			t.Errorf("the next is %s", next.Raw)
		}
		path := strings.TrimPrefix(unsubscribe, "https://matrix.a.test")
		if status, _ := s.a.Do("GET", path, nil); status != 200 {
			t.Errorf("the page: %d", status)
		}
		if list := s.bob.Must("GET", "/_matrix/client/v3/pushers", nil); !strings.Contains(string(list), "bob@example.org") {
			t.Error("who looks has unsubscribed")
		}
		if status, _ := s.a.Do("POST", path, "List-Unsubscribe=One-Click"); status != 200 {
			t.Errorf("one click: %d", status)
		}
		for _, method := range []string{"GET", "POST"} {
			if status, _ := s.a.Do(method, path, nil); status != 404 {
				t.Errorf("afterwards %s: %d", method, status)
			}
		}
		s.say(s.alice, "are you there?")
		time.Sleep(24 * time.Hour)
		if synctest.Wait(); !box.Empty() {
			t.Error("who has unsubscribed gets mail")
		}
	})
}

func TestWhoReadsInTimeGetsNoMail(t *testing.T) {
	inMail(t, func(s *scene, box *mailtest.Box) {
		s.wantsMail(s.bob, "bob@example.org")
		first := s.say(s.alice, "hello")
		time.Sleep(5 * time.Minute)
		s.read(s.bob, first, "m.read")
		time.Sleep(time.Hour)
		if synctest.Wait(); !box.Empty() {
			t.Error("what was read comes by mail")
		}
		s.a.Restart()
		s.say(s.alice, "unread")
		time.Sleep(5 * time.Minute)
		s.a.Restart()
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		if l := box.Next(); l.Subject != "A message from alice in Tour" || strings.Contains(l.Text, "hello") {
			t.Errorf("after a restart: %s", l.Raw)
		}
	})
}

func TestWhoseMailItIs(t *testing.T) {
	inMail(t, func(s *scene, box *mailtest.Box) {
		for address, want := range map[string]int{"bob@example.org": 200, "BOB@Example.org": 200, "alice@example.org": 400, "bob": 400} {
			if status := s.wantsMail(s.bob, address); status != want {
				t.Errorf("%s: got %d, want %d", address, status, want)
			}
		}
		if status := s.wantsMail(s.alice, "bob@example.org"); status != 400 {
			t.Errorf("for somebody else: got %d", status)
		}
		s.bob.Must("POST", "/_matrix/client/v3/pushers/set", `{"app_id":"m.email","kind":null,"pushkey":"BOB@Example.org"}`)
		s.bob.Login().Must("POST", "/_matrix/client/v3/logout/all", nil) // an address is no device
		s.create(s.alice, `{"preset":"private_chat","name":"Secret","invite":["@bob:a.test"]}`)
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		if l := box.Next(); l.Subject != "alice invites you to Secret" {
			t.Errorf("got %s", l.Raw)
		}
		s.do(s.a.Accounts().RemoveContact(s.Context(), s.bob.ID, account.ThreePID{Medium: account.Email, Address: "bob@example.org"}))
		s.say(s.alice, "hello")
		time.Sleep(time.Hour)
		if synctest.Wait(); !box.Empty() {
			t.Error("an address that is nobody's gets mail")
		}
		if list := s.a.Login("bob", s.bob.Password).Must("GET", "/_matrix/client/v3/pushers", nil); string(list) != `{"pushers":[]}` {
			t.Errorf("there are %s", list)
		}
	})
}

func TestVeryManyConversationsAreOneLetter(t *testing.T) {
	inMail(t, func(s *scene, box *mailtest.Box) {
		s.wantsMail(s.bob, "bob@example.org")
		for range 8 {
			roomID := s.create(s.alice, `{"preset":"public_chat"}`)
			s.bob.Must("POST", "/_matrix/client/v3/join/"+string(roomID), nil)
			s.send(s.alice, id.RoomID(roomID), "m.room.message", `{"msgtype":"m.text","body":"hello"}`)
		}
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		var subjects []string
		for !box.Empty() {
			subjects = append(subjects, box.Next().Subject)
		}
		if want := "A message from alice, A message from alice, A message from alice, A message from alice, Unread messages in 4 more conversations"; strings.Join(subjects, ", ") != want {
			t.Errorf("got %q", subjects)
		}
	})
}

func TestMailThatIsRefusedIsNotSentAgain(t *testing.T) {
	inMail(t, func(s *scene, box *mailtest.Box) {
		s.wantsMail(s.bob, "bob@example.org")
		box.Refuse("bob@example.org", 550)
		s.say(s.alice, "lost")
		time.Sleep(time.Hour)
		box.Refuse("bob@example.org", 0)
		time.Sleep(time.Hour)
		if synctest.Wait(); !box.Empty() {
			t.Error("it is sent again")
		}
		box.Refuse("bob@example.org", 451)
		s.say(s.alice, "late")
		time.Sleep(30 * time.Minute)
		box.Refuse("bob@example.org", 0)
		time.Sleep(time.Hour)
		synctest.Wait()
		if l := box.Next(); !strings.Contains(l.Text, "late") {
			t.Errorf("got %s", l.Raw)
		}
	})
}
