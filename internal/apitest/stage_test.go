package apitest

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/account"
	"parley/internal/config"
	"parley/internal/endpoint"
	"parley/internal/hstest"
	"parley/internal/openapi"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// A stage is a server with people in it. Alice has secrets, which she shares with
// Bob; whoever else asks is after them.
type stage struct {
	*hstest.Server
	world      *hstest.World
	t          testing.TB
	alice, bob *hstest.User
	routes     []endpoint.Route
	ops        map[string]operation
	spec       *openapi.Checker
	password   account.Hash // of the attackers, who all have the same

	// secrets are texts that nobody but Alice and Bob may ever be told. Names
	// are identifiers of the same kind, which those who know them may repeat.
	secrets, names []string

	// Where there is something to be had, and what it is:
	open, private, left, invited        id.RoomID
	inOpen, before, inPrivate, after    id.EventID // before is in open, when nobody had joined
	aliceFilter, aliceDevice, aliceSync string

	// realTime says that time passes while the server works.
	realTime bool

	visits sync.Mutex // is held by who visits left

	mu   sync.Mutex // guards what follows
	last int        // attacker
}

// faults is a test that collects what is an error in the log of the server, for
// fuzzing, where the server's test is not the one that runs.
type faults struct {
	testing.TB
	mu    sync.Mutex // guards what follows
	found []string
}

func (f *faults) Helper()                  {}
func (f *faults) Context() context.Context { return context.Background() }
func (f *faults) Output() io.Writer        { return io.Discard }
func (f *faults) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...)) // which ends the fuzzing, as it should
}
func (f *faults) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.found = append(f.found, fmt.Sprintf(format, args...))
}

// take returns the faults since the last call.
func (f *faults) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := f.found
	f.found = nil
	return found
}

func newStage(t testing.TB, set ...func(*config.Config)) *stage {
	w := hstest.New(t)
	s := &stage{world: w, t: t, Server: w.Server("a.test", append(set, withEverything)...), ops: make(map[string]operation), spec: openapi.New()}
	s.routes = slices.Collect(s.Routes())
	for _, op := range operations(t) {
		s.ops[op.key()] = op
	}
	s.alice, s.bob = s.Register("alice"), s.Register("bob")
	var err error
	if s.password, err = s.Accounts().HashPassword(t.Context(), "password of mallory"); err != nil {
		t.Fatal(err)
	}
	s.plant()
	return s
}

// aliceRule is the ID of a push rule of Alice.
const aliceRule = "rule-of-alice"

// secret makes a text that must not get out.
func (s *stage) secret() string {
	text := fmt.Sprintf("SeCrEt%04dSeCrEt", len(s.secrets)+1)
	s.secrets = append(s.secrets, text)
	return text
}

func text(v canonjson.Value, name string) string {
	t, _ := v.Get(name).Text()
	return t
}

// plant puts secrets everywhere that Alice can.
func (s *stage) plant() {
	const c = "/_matrix/client/v3/"
	a := s.alice
	create := func(body map[string]any) id.RoomID {
		return id.RoomID(text(a.Must("POST", c+"createRoom", body), "room_id"))
	}
	txn := 0
	send := func(room id.RoomID, body string) id.EventID {
		txn++
		return id.EventID(text(a.Must("PUT", fmt.Sprintf(c+"rooms/%s/send/m.room.message/%s%d", room, s.secret(), txn),
			map[string]any{"msgtype": "m.text", "body": body}), "event_id"))
	}
	joined := map[string]any{"type": "m.room.history_visibility", "content": map[string]any{"history_visibility": "joined"}}
	s.private = create(map[string]any{"preset": "private_chat", "name": s.secret(), "topic": s.secret(), "invite": []id.UserID{s.bob.ID}})
	s.bob.Must("POST", c+"rooms/"+string(s.private)+"/join", `{}`)
	s.inPrivate = send(s.private, s.secret())
	s.open = create(map[string]any{"preset": "public_chat", "name": "open", "room_alias_name": "open",
		"visibility": "public", "initial_state": []any{joined}})
	s.before = send(s.open, s.secret())
	s.left = create(map[string]any{"preset": "public_chat", "room_alias_name": "left", "initial_state": []any{joined}})
	s.after = send(s.left, s.secret())
	s.invited = create(map[string]any{"preset": "private_chat", "name": "invited", "initial_state": []any{joined}})
	send(s.invited, s.secret())
	s.aliceDevice = string(a.Device)
	a.Must("PUT", c+"devices/"+s.aliceDevice, map[string]any{"display_name": s.secret()})
	user := c + "user/" + string(a.ID) + "/"
	a.Must("PUT", user+"account_data/org.test", map[string]any{"x": s.secret()})
	a.Must("PUT", user+"rooms/"+string(s.open)+"/account_data/org.test", map[string]any{"x": s.secret()})
	a.Must("PUT", user+"rooms/"+string(s.open)+"/tags/u."+s.secret(), map[string]any{"order": 0.5})
	a.Must("PUT", c+"pushrules/global/content/"+aliceRule, map[string]any{"pattern": s.secret(), "actions": []any{"notify"}})
	for range 3 { // attackers have fewer of their own
		s.aliceFilter = text(a.Must("POST", user+"filter", map[string]any{"event_fields": []string{s.secret()}}), "filter_id")
	}
	a.Must("POST", c+"rooms/"+string(s.private)+"/receipt/m.read.private/"+string(s.inPrivate), `{}`)
	s.plantKeys()
	s.inOpen = id.EventID(text(a.Must("PUT", c+"rooms/"+string(s.open)+"/send/m.room.message/1", map[string]any{"body": "hello"}), "event_id"))
	s.aliceSync = text(a.Must("GET", c+"sync", nil), "next_batch")
	s.names = []string{aliceRule, string(s.private), string(s.inPrivate), string(s.before), s.aliceDevice, a.Token, s.bob.Token, string(s.bob.Device)}
}

// plantKeys has Alice use encryption, with another device, and keep what she needs
// for it on the server.
func (s *stage) plantKeys() {
	const c = "/_matrix/client/v3/"
	a := s.alice
	laptop := a.Login()
	laptop.UploadKeys("A", "B")
	laptop.Must("POST", c+"keys/device_signing/upload", laptop.CrossSigning("1"))
	s.secrets = append(s.secrets, laptop.CrossKey("user_signing", "1").Public())
	a.Must("POST", c+"room_keys/version", map[string]any{"algorithm": "org.test", "auth_data": map[string]any{"x": s.secret()}})
	key := map[string]any{"first_message_index": 0, "forwarded_count": 0, "is_verified": true, "session_data": map[string]any{"x": s.secret()}}
	a.Must("PUT", c+"room_keys/keys/"+string(s.private)+"/"+s.secret()+"?version=1", key)
	a.Must("PUT", c+"room_keys/keys/"+string(s.open)+"/k?version=1", key)
	dry := (&hstest.User{ID: a.ID, Device: "DRY"}).Keys()
	a.Must("PUT", "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device", map[string]any{
		"device_id": "DRY", "device_data": map[string]any{"algorithm": "org.test", "x": s.secret()}, "device_keys": dry.Sign(dry.Device()),
	})
}

// An attacker is somebody who is in the open room, was in the one that is left,
// and is invited to another. The zero attacker, without a user, is anonymous.
type attacker struct {
	user   id.UserID
	device id.DeviceID
	token  string
	own    id.RoomID // a room that nobody else is in
	inOwn  id.EventID
	filter string
	sync   string // a token
	delay  string // of an event that is to be sent later
	old    string // an access token that was logged out
}

// attacker makes a new one.
func (s *stage) attacker() *attacker {
	s.mu.Lock()
	s.last++
	number := s.last
	s.mu.Unlock()
	const c = "/_matrix/client/v3/"
	ctx := s.t.Context()
	login, err := s.Accounts().Create(ctx, account.NewAccount{
		Localpart: fmt.Sprintf("mallory%d", number), Password: s.password, Login: &account.NewDevice{Name: "old"}})
	if err != nil {
		s.t.Fatalf("making an attacker: %v", err)
	}
	a := &attacker{user: login.UserID, old: login.Token}
	if err = s.Accounts().Logout(ctx, a.user, login.DeviceID); err == nil {
		login, err = s.Accounts().Login(ctx, account.NewDevice{User: a.user})
	}
	if err != nil {
		s.t.Fatalf("making an attacker: %v", err)
	}
	a.device, a.token = login.DeviceID, login.Token
	u := hstest.User{Server: s.Server, ID: a.user, Device: a.device, Token: a.token}
	u.Must("POST", c+"join/"+string(s.open), `{}`)
	s.visitLeft(&u)
	s.alice.Must("POST", c+"rooms/"+string(s.invited)+"/invite", map[string]any{"user_id": a.user})
	a.own = id.RoomID(text(u.Must("POST", c+"createRoom", `{"preset":"private_chat","room_alias_name":"`+a.user.Localpart()+`"}`), "room_id"))
	a.inOwn = id.EventID(text(u.Must("PUT", c+"rooms/"+string(a.own)+"/send/m.room.message/1", `{"body":"x"}`), "event_id"))
	for path, body := range map[string]string{
		"user/" + string(a.user) + "/account_data/org.test":                             `{"x":1}`,
		"user/" + string(a.user) + "/rooms/" + string(a.own) + "/account_data/org.test": `{"x":1}`,
		"user/" + string(a.user) + "/rooms/" + string(a.own) + "/tags/u.test":           `{"order":0.5}`,
		"pushrules/global/content/mine":                                                 `{"pattern":"x","actions":["notify"]}`,
		"profile/" + string(a.user) + "/displayname":                                    `{"displayname":"Mallory"}`,
		"rooms/" + string(a.own) + "/state/org.test/k":                                  `{"x":1}`,
		"rooms/" + string(a.own) + "/state/org.test":                                    `{"x":1}`,
	} {
		u.Must("PUT", c+path, body)
	}
	u.Must("POST", c+"room_keys/version", `{"algorithm":"org.test","auth_data":{}}`)
	u.Must("PUT", c+"room_keys/keys/"+string(a.own)+"/k?version=1", `{"first_message_index":0,"forwarded_count":0,"is_verified":true,"session_data":{}}`)
	a.delay = text(u.Must("PUT", c+"rooms/"+string(a.own)+"/delayed_event/org.test/later", `{"delay_ms":3600000,"content":{}}`), "delay_id")
	a.filter = text(u.Must("POST", c+"user/"+string(a.user)+"/filter", `{}`), "filter_id")
	a.sync = text(u.Must("GET", c+"sync", nil), "next_batch")
	return a
}

// visitLeft has a user come and go. What Alice says after that is not for him, nor
// for anybody else: while she speaks, nobody is there.
func (s *stage) visitLeft(u *hstest.User) {
	const c = "/_matrix/client/v3/"
	s.visits.Lock()
	defer s.visits.Unlock()
	u.Must("POST", c+"join/"+string(s.left), `{}`)
	u.Must("POST", c+"rooms/"+string(s.left)+"/leave", `{}`)
	s.alice.Must("PUT", fmt.Sprintf(c+"rooms/%s/send/m.room.message/%s", s.left, u.ID), map[string]any{"body": s.secrets[0]})
}

// alive reports whether an attacker's access token is still good.
func (s *stage) alive(a *attacker) bool {
	u := hstest.User{Server: s.Server, Token: a.token}
	status, _ := u.Do("GET", "/_matrix/client/v3/account/whoami", nil)
	return status == 200
}

// belongings is all that Alice has, as she sees it. Attacks must not change it.
func (s *stage) belongings() map[string]string {
	const c = "/_matrix/client/v3/"
	all := make(map[string]string)
	for _, path := range []string{"devices", "profile/" + string(s.alice.ID), "rooms/" + string(s.private) + "/state", "pushrules/",
		"rooms/" + string(s.private) + "/messages?dir=b&limit=100", "user/" + string(s.alice.ID) + "/filter/" + s.aliceFilter,
		"user/" + string(s.alice.ID) + "/rooms/" + string(s.open) + "/tags",
		"room_keys/version", "room_keys/keys?version=1", "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device",
		"directory/room/%23open:a.test", "directory/room/%23left:a.test"} {
		whole := c + path
		if strings.HasPrefix(path, "/") {
			whole = path
		}
		all[path] = timeless(s.alice.Must("GET", whole, nil))
	}
	all["keys"] = timeless(s.alice.Must("POST", c+"keys/query", map[string]any{"device_keys": map[id.UserID][]string{s.alice.ID: {}}}))
	sync := s.alice.Must("GET", c+"sync", nil)
	all["account data"] = timeless(sync.Get("account_data"))
	all["private room"] = timeless(sync.Get("rooms").Get("join").Get(string(s.private)))
	return all
}

var passing = regexp.MustCompile(`"(age|last_seen_ts)":[0-9]+`)

// timeless is JSON without what changes by itself.
func timeless(v canonjson.Value) string { return passing.ReplaceAllString(string(v), `"$1":0`) }

// gate is what is right and what is not about an answer.
type gate struct {
	request request
	route   *endpoint.Route // nil: none
	reply   reply
}

// complaints returns what is wrong with an answer to somebody who is neither
// Alice nor Bob.
func (s *stage) complaints(g gate) (wrong []string) {
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	rep, body := g.reply, string(g.reply.body)
	if g.request.broken && rep.status >= 400 && (body == "" || rep.header.Get("Content-Type") == "text/plain; charset=utf-8") {
		return wrong // the answer is that of net/http
	}
	if known := rep.status == 304 && slices.ContainsFunc(g.request.header, func(h string) bool { return strings.HasPrefix(h, "If-None-Match") }); known {
		return wrong
	}
	if rep.status < 200 || rep.status >= 300 && rep.status < 400 || rep.status >= 500 {
		complain("the status is no answer to a client")
	}
	s.checkSecrets(g, complain)
	if waits := g.route != nil && g.route.Waits; rep.took > time.Second && !waits && !g.request.slow {
		complain("it took %v", rep.took)
	}
	if rep.header.Get("Access-Control-Allow-Origin") != "*" || rep.header.Get("Access-Control-Allow-Headers") == "" {
		complain("a browser would hide it from a web client")
	}
	if g.request.method == "HEAD" || rep.status == 204 {
		if body != "" {
			complain("there is a body")
		}
		return wrong
	}
	if typed := g.route == nil || g.route.Request() != nil; rep.status < 400 && !typed {
		return wrong
	}
	if g.route != nil && pages[g.route.Pattern] && strings.HasPrefix(rep.header.Get("Content-Type"), "text/html") {
		if policy := rep.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") {
			complain("the policy of the page is %q", policy)
		}
		return wrong
	}
	checkJSON(rep, complain)
	if !g.request.broken {
		path, query, _ := strings.Cut(g.request.target, "?")
		wrong = append(wrong, s.spec.Check(openapi.Response{
			Method: g.request.method, Path: path, Query: query, Status: rep.status, Header: rep.header, Body: rep.body,
		})...)
	}
	return wrong
}

// pages are the routes that answer people, with pages also for what is refused.
var pages = map[string]bool{
	"/_matrix/client/v3/auth/{authType}/fallback/web":             true,
	"/_matrix/client/unstable/org.parley/validate/email":          true,
	"/_matrix/client/v3/auth/m.login.email.identity/fallback/web": true,
	"/_matrix/client/v3/auth/m.login.msisdn/fallback/web":         true,
	"/_matrix/static/client/login/{$}":                            true,
	"/_matrix/client/v3/auth/m.login.sso/fallback/web":            true,
	"/_matrix/client/v3/login/sso/redirect":                       true,
	"/_matrix/client/v3/login/sso/redirect/{idpID}":               true,
	"/_matrix/client/unstable/org.parley/sso/callback":            true,
	"/_matrix/client/unstable/org.parley/sso/register":            true,
	"/_matrix/client/unstable/org.parley/sso/continue":            true,
	"/_matrix/client/unstable/org.parley/sso/stage":               true,
	"/_matrix/client/unstable/org.parley/unsubscribe":             true,
}

func (s *stage) checkSecrets(g gate, complain func(string, ...any)) {
	var all strings.Builder
	all.Write(g.reply.body)
	for name, values := range g.reply.header {
		all.WriteString(name + strings.Join(values, ""))
	}
	shown := all.String()
	for _, secret := range s.secrets {
		if strings.Contains(shown, secret) {
			complain("it gives %s away", secret)
		}
	}
	asked := g.request.target + string(g.request.body)
	if unescaped, err := url.PathUnescape(asked); err == nil {
		asked += unescaped
	}
	for _, name := range s.names {
		if strings.Contains(shown, name) && !strings.Contains(asked, name) {
			complain("it gives %s away", name)
		}
	}
}

func checkJSON(rep reply, complain func(string, ...any)) {
	if got := rep.header.Get("Content-Type"); got != "application/json" {
		complain("the type is %q", got)
	}
	value, err := canonjson.Canonical(rep.body, canonjson.Lenient)
	switch {
	case err != nil:
		complain("the body is no JSON: %v", err)
		return
	case rep.status < 400:
		if k := value.Kind(); k != canonjson.Object && k != canonjson.Array {
			complain("the body is %v", k)
		}
		return
	case rep.status == 401 && value.Get("flows").Kind() == canonjson.Array:
		if text(value, "session") == "" {
			complain("there is no session to authenticate in")
		}
		return
	}
	checkError(value, complain)
}

// hashed is identifiers that are hashes, in which any word may be.
var hashed = regexp.MustCompile(`[!$][A-Za-z0-9+/_-]{43}`)

// checkError checks what is said when something is refused.
// https://spec.matrix.org/v1.19/client-server-api/#standard-error-response
func checkError(v canonjson.Value, complain func(string, ...any)) {
	if code := mxerr.Code(text(v, "errcode")); !code.Known() {
		complain("the errcode is %q", code)
	}
	message := text(v, "error")
	if message == "" || len(message) > longestMessage {
		complain("the error has %d bytes", len(message))
	}
	words := hashed.ReplaceAllString(message, "")
	for _, word := range []string{"sql", "SQL", "goroutine", "panic", "/internal/", ".go:"} {
		if strings.Contains(words, word) {
			complain("the error tells how the server works: %s", message)
		}
	}
}

// longestMessage is how much an error may say, which may repeat what was asked
// for but not all of a megabyte.
const longestMessage = 510
