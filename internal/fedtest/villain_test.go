package fedtest

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/signing"
	"parley/matrix/xmatrix"
)

// villain is a server that does what a test has it do. It has keys of its own, and
// answers what it is asked as answers say, by the beginning of the path.
type villain struct {
	*stage
	name   id.ServerName
	key    signing.Key
	client *http.Client
	txns   int

	mu      sync.Mutex // guards what follows
	answers map[string]http.HandlerFunc
	asked   map[string]int
}

func (s *stage) villain(name id.ServerName) *villain {
	s.Helper()
	key, err := signing.NewKey("ed25519:v", []byte(strings.Repeat("v", 32)))
	if err != nil {
		s.Fatal(err)
	}
	v := &villain{stage: s, name: name, key: key, answers: make(map[string]http.HandlerFunc), asked: make(map[string]int)}
	v.answer("/_matrix/key/v2/server", v.keys(func(object canonjson.Value) canonjson.Value { return object }))
	server := &http.Server{Handler: http.HandlerFunc(v.serve), ErrorLog: log.New(io.Discard, "", 0)}
	listener := s.Net.Listen(string(name) + ":8448")
	go server.Serve(tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{s.Authority.Certificate(string(name))}}))
	transport := &http.Transport{
		DialContext:     func(ctx context.Context, _, address string) (net.Conn, error) { return s.Net.Dial(ctx, address) },
		TLSClientConfig: &tls.Config{RootCAs: s.Authority.Pool()},
	}
	v.client = &http.Client{Transport: transport}
	s.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		listener.Sever()
	})
	return v
}

// answer has the villain answer what is asked below a path.
func (v *villain) answer(path string, with http.HandlerFunc) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answers[path] = with
}

// times returns how often something was asked.
func (v *villain) times(path string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.asked[path]
}

func (v *villain) serve(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	var longest string
	for path := range v.answers {
		if strings.HasPrefix(r.URL.Path, path) && len(path) > len(longest) {
			longest = path
		}
	}
	with := v.answers[longest]
	v.asked[longest]++
	v.mu.Unlock()
	if with == nil {
		says(`{"errcode":"M_NOT_FOUND","error":"no"}`, 404)(w, r)
		return
	}
	with(w, r)
}

// says is an answer that is the same for all.
func says(body string, status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// keys publishes the villain's key, changed.
func (v *villain) keys(change func(canonjson.Value) canonjson.Value) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		about := canonjson.Value("{}").With("key", canonjson.Text(signing.EncodeBase64(v.key.Public())))
		object := change(canonjson.Value("{}").
			With("server_name", canonjson.Text(string(v.name))).
			With("valid_until_ts", canonjson.Value(fmt.Sprint(time.Now().Add(24*time.Hour).UnixMilli()))).
			With("verify_keys", canonjson.Value("{}").With(string(v.key.ID), about)).With("old_verify_keys", canonjson.Value("{}")))
		says(string(signing.Sign(object, string(v.name), v.key)), 200)(w, r)
	}
}

// ask makes a signed request of a server.
func (v *villain) ask(server *hstest.Server, method, uri string, body canonjson.Value) (int, canonjson.Value) {
	v.Helper()
	request := xmatrix.Request{Method: method, URI: uri, Origin: v.name, Destination: server.Name, Content: body}
	return v.send(server, method, uri, request.Sign(v.key), string(body))
}

// send makes a request, whatever it is. No server may answer that it has failed.
func (v *villain) send(server *hstest.Server, method, uri, authorization, body string) (int, canonjson.Value) {
	v.Helper()
	r, err := http.NewRequest(method, "https://"+string(server.Name)+":8448"+uri, strings.NewReader(body))
	if err != nil {
		v.Fatal(err)
	}
	r.Header.Set("Authorization", authorization)
	r.Header.Set("Content-Type", "application/json")
	resp, err := v.client.Do(r)
	if err != nil {
		v.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		v.Fatal(err)
	}
	if resp.StatusCode >= 500 {
		v.Errorf("%s %s: got %d %s", method, uri, resp.StatusCode, raw)
	}
	if body, err := canonjson.Canonical(raw, canonjson.Lenient); err == nil {
		return resp.StatusCode, body
	}
	return resp.StatusCode, nil
}

// push sends a transaction.
func (v *villain) push(server *hstest.Server, pdus, edus []canonjson.Value) (int, canonjson.Value) {
	v.Helper()
	v.txns++
	list := func(values []canonjson.Value) string {
		var parts []string
		for _, value := range values {
			parts = append(parts, string(value))
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	body := fmt.Sprintf(`{"edus":%s,"origin":%q,"origin_server_ts":%d,"pdus":%s}`, list(edus), v.name, time.Now().UnixMilli(), list(pdus))
	content, err := canonjson.Canonical([]byte(body), canonjson.Lenient)
	if err != nil {
		content = canonjson.Value(body)
	}
	return v.ask(server, "PUT", fmt.Sprintf("/_matrix/federation/v1/send/%d", v.txns), content)
}

// foothold is what a villain knows of a room in which it has a user.
type foothold struct {
	id     string
	rules  *roomver.Rules
	user   id.UserID
	create *event.Event
	join   *event.Event
	state  map[string]*event.Event // by type and state key
	depth  int64
}

// enter has a user of the villain join a room by a server that is in it.
func (v *villain) enter(server *hstest.Server, room string) *foothold {
	v.Helper()
	f := &foothold{id: room, user: id.UserID("@mallory:" + string(v.name)), state: make(map[string]*event.Event)}
	uri := "/_matrix/federation/v1/make_join/" + url.PathEscape(room) + "/" + url.PathEscape(string(f.user)) + "?"
	for rules := range roomver.Known() {
		uri += "ver=" + string(rules.Version) + "&"
	}
	status, made := v.ask(server, "GET", strings.TrimSuffix(uri, "&"), nil)
	if status != 200 {
		v.Fatalf("make_join: %d %s", status, made)
	}
	f.rules, _ = roomver.Lookup(roomver.Version(text(made, "room_version")))
	f.join = v.complete(f, made.Get("event"))
	status, joined := v.ask(server, "PUT", "/_matrix/federation/v2/send_join/"+url.PathEscape(room)+"/"+url.PathEscape(string(f.join.ID())), f.join.JSON())
	if status != 200 {
		v.Fatalf("send_join: %d %s", status, joined)
	}
	for pdu := range joined.Get("state").Elements() {
		e, err := event.Parse(pdu, f.rules)
		if err != nil {
			v.Fatal(err)
		}
		f.state[text(pdu, "type")+" "+text(pdu, "state_key")] = e
	}
	f.create = f.state["m.room.create "]
	f.depth = f.join.Depth() + 1
	return f
}

// complete signs an event, with an ID where events carry one.
func (v *villain) complete(f *foothold, object canonjson.Value) *event.Event {
	v.Helper()
	if f.rules.EventID == roomver.EventIDCarried && object.Get("event_id") == nil {
		v.txns++
		object = object.With("event_id", canonjson.Text(fmt.Sprintf("$v%d:%s", v.txns, v.name)))
	}
	e, err := event.Complete(object, f.rules, v.name, v.key)
	if err != nil {
		v.Fatal(err)
	}
	return e
}

// refs refers to events as the room's version does.
func (f *foothold) refs(events ...*event.Event) canonjson.Value {
	var parts []string
	for _, e := range events {
		if f.rules.EventID == roomver.EventIDCarried {
			parts = append(parts, fmt.Sprintf(`[%q,{"sha256":%q}]`, e.ID(), hash(e)))
		} else {
			parts = append(parts, fmt.Sprintf("%q", e.ID()))
		}
	}
	return canonjson.Value("[" + strings.Join(parts, ",") + "]")
}

// draft is what a message of the villain's user looks like, without hash and
// signature.
func (f *foothold) draft(body string) canonjson.Value {
	auth := []*event.Event{f.state["m.room.power_levels "], f.join}
	if !f.rules.RoomIDFromCreate {
		auth = append(auth, f.create)
	}
	f.depth++
	return canonjson.Value("{}").
		With("type", canonjson.Text("m.room.message")).With("room_id", canonjson.Text(f.id)).With("sender", canonjson.Text(string(f.user))).
		With("content", canonjson.Value("{}").With("body", canonjson.Text(body)).With("msgtype", canonjson.Text("m.text"))).
		With("depth", canonjson.Value(fmt.Sprint(f.depth))).With("origin_server_ts", canonjson.Value(fmt.Sprint(time.Now().UnixMilli()))).
		With("prev_events", f.refs(f.join)).With("auth_events", f.refs(auth...))
}

// forged signs an object as it is: without making it an event that is right.
func (v *villain) forged(object canonjson.Value) canonjson.Value {
	object = object.With("hashes", canonjson.Value(`{"sha256":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`))
	return signing.Sign(object, string(v.name), v.key)
}

func hash(e *event.Event) string {
	sum := e.Reference().Hash
	return signing.EncodeBase64(sum[:])
}
