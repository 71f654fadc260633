package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"parley/e2e/launch"
)

// A bridge is mautrix-go's framework for bridges, on a server of its own.
type bridge struct {
	*appservice.AppService
	t      *testing.T
	server *launch.Server
	events *appservice.EventProcessor

	// mu guards the following, which the framework's goroutines write.
	mu      sync.Mutex
	heard   []*event.Event
	changed chan struct{} // closed and replaced after each change
}

// newBridge starts a server, which learns of the bridge by a reload.
func newBridge(t *testing.T, set func(*appservice.Registration)) *bridge {
	t.Helper()
	if _, err := os.Stat(binary()); err != nil {
		t.Skipf("a bridge needs a server of its own, and there is none to start: %v", err)
	}
	dir := t.TempDir()
	server, err := launch.Start(t.Context(), binary(), "PARLEY_APPSERVICES_DIR="+dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server's log:\n%s", server.Log())
		}
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	server.Settle()
	registration := appservice.CreateRegistration()
	registration.ID, registration.SenderLocalpart, registration.EphemeralEvents = "irc", "_irc_bot", true
	registration.Namespaces.UserIDs.Register(regexp.MustCompile(`^@_irc_.*:localhost$`), true)
	registration.Namespaces.RoomAliases.Register(regexp.MustCompile(`^#_irc_.*:localhost$`), true)
	limited := false
	registration.RateLimited = &limited
	set(registration)

	b := &bridge{t: t, server: server, changed: make(chan struct{})}
	host := b.host()
	registration.URL = fmt.Sprintf("http://127.0.0.1:%d", host.Port)
	if err := registration.Save(filepath.Join(dir, "irc.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := server.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.AppService, err = appservice.CreateFull(appservice.CreateOpts{
		Registration: registration, HomeserverDomain: "localhost", HomeserverURL: server.URL, HostConfig: host,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.AppService.HTTPClient.Transport = http.DefaultTransport
	b.events = appservice.NewEventProcessor(b.AppService)
	b.events.ExecMode = appservice.Sync
	return b
}

// host is an address that nobody listens at.
func (b *bridge) host() appservice.HostConfig {
	b.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	defer l.Close()
	return appservice.HostConfig{Hostname: "127.0.0.1", Port: uint16(l.Addr().(*net.TCPAddr).Port)}
}

// starts begins to listen, and to take events in.
func (b *bridge) starts() {
	b.t.Helper()
	for _, kind := range []event.Type{event.EventMessage, event.EventEncrypted, event.StateMember, event.EphemeralEventTyping, event.EphemeralEventReceipt} {
		b.events.On(kind, b.hears)
	}
	b.events.Start(b.t.Context())
	go b.Start()
	b.t.Cleanup(func() {
		b.events.Stop()
		b.Stop()
	})
	if !b.BotIntent().EnsureAppserviceConnection(b.t.Context()) {
		b.t.Fatal("the server does not reach the bridge")
	}
}

func (b *bridge) hears(_ context.Context, e *event.Event) {
	b.notice(func() { b.heard = append(b.heard, e) })
}

func (b *bridge) notice(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
	close(b.changed)
	b.changed = make(chan struct{})
}

// until waits for a condition on what was heard, which is asked with b.mu locked.
func (b *bridge) until(what string, condition func() bool) {
	b.t.Helper()
	timeout := time.After(patience)
	for {
		b.mu.Lock()
		ok, changed := condition(), b.changed
		b.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			b.t.Fatalf("the bridge waits in vain for %s", what)
		}
	}
}

// bodies are the messages of somebody that were heard, in order.
func (b *bridge) bodies(sender id.UserID) (list []string) {
	for _, e := range b.heard {
		if e.Type == event.EventMessage && e.Sender == sender {
			list = append(list, e.Content.AsMessage().Body)
		}
	}
	return list
}

// person is somebody with a client, on the server of the bridge.
func (b *bridge) person(name string) *device {
	b.t.Helper()
	b.t.Setenv("PARLEY_E2E_URL", b.server.URL)
	all := plainly()
	all.Room.Timeline.Limit = 1000
	return newUser(b.t, name).logsInWith("phone", all)
}

func TestAHundredGhostsEchoWhatIsSaid(t *testing.T) {
	const ghosts = 100
	b := newBridge(t, func(*appservice.Registration) {})
	nick := func(i int) id.UserID { return id.UserID(fmt.Sprintf("@_irc_nick%d:localhost", i)) }
	b.events.On(event.EventMessage, func(ctx context.Context, e *event.Event) {
		if strings.HasPrefix(string(e.Sender), "@_irc_") {
			return
		}
		for i := range ghosts {
			content := event.MessageEventContent{MsgType: event.MsgText, Body: fmt.Sprintf("%d: %s", i, e.Content.AsMessage().Body)}
			if _, err := b.Intent(nick(i)).SendMassagedMessageEvent(ctx, e.RoomID, event.EventMessage, &content, e.Timestamp+int64(i)); err != nil {
				t.Errorf("ghost %d: %v", i, err)
			}
		}
	})
	b.starts()
	alice := b.person("alice")
	bot := b.BotIntent()
	made, err := bot.CreateRoom(t.Context(), &mautrix.ReqCreateRoom{Preset: "public_chat", RoomAliasName: "_irc_channel", Name: "#channel"})
	if err != nil {
		t.Fatal(err)
	}
	r := made.RoomID
	for i := range ghosts {
		if err := b.Intent(nick(i)).SetDisplayName(t.Context(), fmt.Sprintf("nick%d", i)); err != nil {
			t.Fatal(err)
		}
		if err := b.Intent(nick(i)).EnsureJoined(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	alice.joins(r)
	alice.says(r, "hello")
	echoed := func(what string) func(*view) bool {
		return func(v *view) bool {
			n := 0
			for _, e := range v.timeline {
				if message, ok := e.Content.Parsed.(*event.MessageEventContent); ok && strings.HasSuffix(message.Body, ": "+what) {
					n++
				}
			}
			return n == ghosts
		}
	}
	alice.sees(r, "a hundred echoes", echoed("hello"))

	// Typing and receipts arrive, and a crash of the server in between costs nothing.
	alice.types(r, true, 20*time.Second)
	b.until("alice's typing", func() bool {
		for _, e := range b.heard {
			if e.Type == event.EphemeralEventTyping && len(e.Content.AsTyping().UserIDs) == 1 && e.RoomID == r {
				return true
			}
		}
		return false
	})
	alice.fallsAsleep()
	b.server.Kill()
	if err := b.server.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	alice.wakesUp()
	alice.says(r, "again")
	alice.sees(r, "a hundred more", echoed("again"))
	b.until("each message once", func() bool {
		return strings.Join(b.bodies(alice.user.id), " ") == "hello again"
	})
	agree(r, alice)
}
