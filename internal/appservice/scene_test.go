package appservice_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/appservice"
	"parley/internal/config"
	"parley/internal/hstest"
	"parley/internal/openapi"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

const v3 = "/_matrix/client/v3/"

// A bridge is an application service that a test drives. What it is sent it keeps;
// answer, if not nil, says what it answers.
type bridge struct {
	*hstest.User // its sender
	testing.TB
	name string
	spec func() *openapi.Checker

	mu     sync.Mutex
	txns   []txn
	asked  []string // what else it was asked: METHOD PATH?QUERY
	answer func(w http.ResponseWriter, r *http.Request) bool
}

// A txn is a transaction that arrived.
type txn struct {
	id   string
	body canonjson.Value
	at   time.Time
}

// A stage is servers with bridges.
type stage struct {
	*hstest.World
	dir string
}

// scene plays a scene in a bubble.
func scene(t *testing.T, play func(s *stage)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { play(&stage{hstest.New(t), dir}) })
}

// bridge is a bridge of the name, which is registered before there is a server.
func (s *stage) bridge(name string, lines ...string) *bridge {
	s.Helper()
	b := &bridge{name: name, TB: s.TB, spec: sync.OnceValue(openapi.New)}
	s.Site(name+".test", b)
	b.register(s, lines...)
	return b
}

// register writes the registration anew.
func (b *bridge) register(s *stage, lines ...string) {
	s.Helper()
	lines = append([]string{"url: http://" + b.name + ".test", "rate_limited: false", "receive_ephemeral: true"}, lines...)
	if err := os.WriteFile(filepath.Join(s.dir, b.name+".yaml"), []byte(appservice.Registration(b.name, lines...)), 0o600); err != nil {
		s.Fatal(err)
	}
}

// server starts a.test, where all bridges are registered by now.
func (s *stage) server(bridges ...*bridge) *hstest.Server {
	s.Helper()
	server := s.Server("a.test", func(c *config.Config) { c.AppServices.Dir = s.dir })
	for _, b := range bridges {
		b.User = &hstest.User{Server: server, ID: id.UserID("@_" + b.name + "_bot:a.test"), Token: "as_" + b.name}
	}
	return server
}

// portal is a bridge on a.test with a room that alice is in, of which the bridge was told.
func (s *stage) portal() (irc *bridge, alice *hstest.User, in string) {
	s.Helper()
	irc = s.bridge("irc")
	alice = s.server(irc).Register("alice")
	in = room(irc.User, `{"preset":"public_chat"}`)
	alice.Must("POST", path("rooms", in, "join"), `{}`)
	irc.got()
	return irc, alice, in
}

func (b *bridge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if strings.HasPrefix(r.URL.Path, "/_matrix/app/v1/") {
		for _, wrong := range b.spec().Request(r.Method, r.URL.EscapedPath(), body) {
			b.Errorf("not as the specification has it: %s", wrong)
		}
	}
	b.mu.Lock()
	answer := b.answer
	b.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer hs_"+b.name {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if answer != nil && answer(w, r) {
		return
	}
	b.mu.Lock()
	if name, ok := strings.CutPrefix(r.URL.Path, "/_matrix/app/v1/transactions/"); ok {
		b.txns = append(b.txns, txn{name, canonjson.Value(body), time.Now()})
	} else {
		b.asked = append(b.asked, r.Method+" "+r.URL.RequestURI())
	}
	b.mu.Unlock()
	io.WriteString(w, "{}")
}

// answers has the bridge answer in this way first; true says that it has.
func (b *bridge) answers(answer func(w http.ResponseWriter, r *http.Request) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = answer
}

// got returns what has arrived, and forgets it.
func (b *bridge) got() []txn {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	txns := b.txns
	b.txns = nil
	return txns
}

// was returns what the bridge was asked, and forgets it.
func (b *bridge) was() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	asked := b.asked
	b.asked = nil
	return asked
}

// events returns those in a member of all transactions.
func events(txns []txn, member string) (list []canonjson.Value) {
	for _, t := range txns {
		for e := range t.body.Get(member).Elements() {
			list = append(list, e)
		}
	}
	return list
}

// bodies are what events say, as one text.
func bodies(list []canonjson.Value) string {
	var texts []string
	for _, e := range list {
		if body, ok := e.Get("content").Get("body").Text(); ok {
			texts = append(texts, body)
		}
	}
	return strings.Join(texts, " ")
}

// as returns a ghost as a user whose requests are made by the bridge.
func (b *bridge) as(path string, ghost id.UserID, device ...id.DeviceID) string {
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	path += separator + "user_id=" + url.QueryEscape(string(ghost))
	if len(device) > 0 {
		path += "&device_id=" + url.QueryEscape(string(device[0]))
	}
	return path
}

// ghost makes a user of the bridge.
func (b *bridge) ghost(name string) id.UserID {
	localpart := "_" + b.name + "_" + name
	b.Must("POST", v3+"register", fmt.Sprintf(`{"type":"m.login.application_service","username":%q,"inhibit_login":true}`, localpart))
	return id.UserID("@" + localpart + ":a.test")
}

// device makes a device of a ghost.
func (b *bridge) device(ghost id.UserID, device id.DeviceID) {
	if status, answer := b.Do("PUT", b.as(v3+"devices/"+string(device), ghost), `{}`); status != http.StatusCreated {
		b.Fatalf("making a device of %s: got %d %s", ghost, status, answer)
	}
}

func text(v canonjson.Value, name string) string {
	s, _ := v.Get(name).Text()
	return s
}

func room(u *hstest.User, body string) string {
	return text(u.Must("POST", v3+"createRoom", body), "room_id")
}

func path(parts ...string) string {
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return v3 + strings.Join(parts, "/")
}

// say sends a message, by its text as the transaction.
func say(u *hstest.User, room, message string) {
	u.Must("PUT", path("rooms", room, "send", "m.room.message", message), map[string]string{"msgtype": "m.text", "body": message})
}
