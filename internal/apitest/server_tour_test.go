package apitest

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/hstest"
	"parley/internal/openapi"
	"parley/internal/roomtest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/signing"
)

// A serverTour goes through the whole server-server API once: two servers ask each other
// what their users make them ask, and one of them the rest.
type serverTour struct {
	t    *testing.T
	spec *openapi.Checker
	a, b *hstest.Server
	// alice is of a, bob and carol are of b.
	alice, bob, carol *hstest.User

	mu       sync.Mutex
	answered map[string]bool // operations that were answered with success
}

// withoutSuccess are operations that no server has an answer for but a refusal.
var withoutSuccess = map[string]string{
	"GET /_matrix/federation/v1/query/{}": "it stands for queries that are made up later; those that there are have paths of their own",
}

// TestEveryOperationOfServersIsAnsweredWell compares every answer with the specification,
// and what servers ask by themselves.
func TestEveryOperationOfServersIsAnsweredWell(t *testing.T) {
	v := &serverTour{t: t, spec: openapi.New(), answered: make(map[string]bool)}
	w := hstest.New(t)
	w.Post(func(_, _ id.ServerName, _ *http.Request) hstest.Fate { return hstest.Fate{} })
	w.Answered(v.note)
	v.a, v.b = w.Server("a.test", withEverything), w.Server("b.test")
	v.alice, v.bob, v.carol = v.a.Register("alice"), v.b.Register("bob"), v.b.Register("carol")

	room, before := v.openRoom()
	v.enter(room)
	v.readEvents(room, before)
	v.invite()
	v.knock()
	v.inviteByAddress()
	v.lookAround(room)
	v.devices()
	v.keysOfServers()

	listed := missing(t)
	for _, op := range operations(t) {
		if key := op.key(); op.betweenServers() && !listed[key] && !v.answered[key] && withoutSuccess[key] == "" {
			t.Errorf("%s is not on the tour: add a step for it", key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(withoutSuccess)) {
		if v.answered[key] {
			t.Errorf("%s is answered well now", key)
		}
	}
}

// note takes down an answer.
func (v *serverTour) note(asked []byte, r openapi.Response) {
	v.spec.Expect(v.t, r)
	for _, wrong := range v.spec.Request(r.Method, r.Path, asked) {
		v.t.Errorf("not as the specification has it: %s", wrong)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if method, pattern, ok := strings.Cut(v.spec.Operation(r.Method, r.Path), " "); ok && r.Status == 200 {
		v.answered[keyOf(method, pattern)] = true
	}
}

// ask has a server ask the other, which has to answer.
func (v *serverTour) ask(from, to *hstest.Server, method, uri, body string) canonjson.Value {
	v.t.Helper()
	var content canonjson.Value
	if body != "" {
		content = canonjson.Value(body)
	}
	status, answer := from.Ask(to, method, uri, content)
	v.took(method, uri, status, answer)
	return answer
}

// took takes down what came of a request, whose answer hstest has compared.
func (v *serverTour) took(method, uri string, status int, answer canonjson.Value) {
	v.t.Helper()
	if status != 200 {
		v.t.Errorf("%s %s: got %d %s", method, uri, status, answer)
		return
	}
	bare, _, _ := strings.Cut(uri, "?")
	v.mu.Lock()
	defer v.mu.Unlock()
	if method, pattern, ok := strings.Cut(v.spec.Operation(method, bare), " "); ok {
		v.answered[keyOf(method, pattern)] = true
	}
}

// federation is a path of the server-server API with its parameters escaped.
func federation(format string, parameters ...any) string {
	for i, p := range parameters {
		parameters[i] = url.PathEscape(fmt.Sprint(p))
	}
	return "/_matrix/federation/" + fmt.Sprintf(format, parameters...)
}

const client = "/_matrix/client/v3/"

// soon waits until something is so, which takes as long as servers need for each other.
func (v *serverTour) soon(what string, is func() bool) {
	v.t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			v.t.Fatalf("%s: it does not come about", what)
		}
	}
}

// openRoom is a room of Alice's in which much was said, and something that was.
func (v *serverTour) openRoom() (room, before string) {
	room = text(v.alice.Must("POST", client+"createRoom", `{"preset":"public_chat","name":"Tour","topic":"all of it","room_alias_name":"tour","visibility":"public"}`), "room_id")
	for i := range 60 {
		event := text(v.alice.Must("PUT", fmt.Sprintf("%srooms/%s/send/m.room.message/%d", client, room, i), `{"msgtype":"m.text","body":"x"}`), "event_id")
		if i == 0 {
			before = event
		}
	}
	return room, before
}

// enter has Bob join by the alias, speak, and read back to before he was there.
func (v *serverTour) enter(room string) {
	v.bob.Must("POST", client+"join/%23tour:a.test", `{}`)
	v.bob.Must("PUT", client+"rooms/"+room+"/send/m.room.message/1", `{"msgtype":"m.text","body":"hello alice"}`)
	v.bob.Must("GET", client+"rooms/"+room+"/messages?dir=b&limit=100", nil)
	v.joinsAreBy("b.test", v.alice, room, "@bob:b.test")
	v.soon("Bob is heard", func() bool {
		return strings.Contains(string(v.alice.Must("GET", client+"rooms/"+room+"/messages?dir=b&limit=5", nil)), "hello alice")
	})
}

// joinsAreBy wants a membership that was made with the help of another server to name the
// server of its user, and not that other one.
// https://spec.matrix.org/v1.19/server-server-api/#joining-rooms
func (v *serverTour) joinsAreBy(server id.ServerName, witness *hstest.User, room, user string) {
	v.t.Helper()
	member := witness.Must("GET", client+"rooms/"+room+"/state/m.room.member/"+user+"?format=event", nil)
	pdu := v.ask(v.b, v.a, "GET", federation("v1/event/%s", text(member, "event_id")), "")
	for e := range pdu.Get("pdus").Elements() {
		if !e.Get("origin").Is(string(server)) {
			v.t.Errorf("the membership of %s is of %s", user, e.Get("origin"))
		}
	}
}

func (v *serverTour) readEvents(room, before string) {
	latest := text(v.alice.Must("PUT", client+"rooms/"+room+"/send/m.room.message/latest", `{"msgtype":"m.text","body":"y"}`), "event_id")
	for _, uri := range []string{
		federation("v1/event/%s", latest), federation("v1/event_auth/%s/%s", room, latest),
		federation("v1/state/%s?event_id=%s", room, latest), federation("v1/state_ids/%s?event_id=%s", room, latest),
		federation("v1/backfill/%s?v=%s&limit=3", room, latest), federation("v1/timestamp_to_event/%s?ts=0&dir=f", room),
	} {
		v.ask(v.b, v.a, "GET", uri, "")
	}
	v.ask(v.b, v.a, "POST", federation("v1/get_missing_events/%s", room), fmt.Sprintf(`{"earliest_events":[%q],"latest_events":[%q],"limit":5,"min_depth":0}`, before, latest))
}

// invite has Alice invite Carol, who does not want to, and asks as before there were room
// versions.
func (v *serverTour) invite() {
	room := text(v.alice.Must("POST", client+"createRoom", `{"preset":"private_chat"}`), "room_id")
	v.alice.Must("POST", client+"rooms/"+room+"/invite", `{"user_id":"@carol:b.test"}`)
	v.soon("Carol is invited", func() bool {
		return strings.Contains(string(v.carol.Must("GET", client+"sync", nil).Get("rooms").Get("invite")), room)
	})
	v.carol.Must("POST", client+"rooms/"+room+"/leave", `{}`)

	old := text(v.bob.Must("POST", client+"createRoom", `{"room_version":"1"}`), "room_id")
	rules, _ := roomver.Lookup("1")
	template := canonjson.Value(`{"auth_events":[],"content":{"membership":"invite"},"depth":5,"event_id":"$invite:b.test","origin":"b.test","origin_server_ts":1,
		"prev_events":[],"sender":"@bob:b.test","state_key":"@alice:a.test","type":"m.room.member"}`)
	template, err := canonjson.Canonical(template, canonjson.Lenient)
	if err != nil {
		v.t.Fatal(err)
	}
	invite, err := event.Complete(template.With("room_id", canonjson.Text(old)), rules, v.b.Name, v.b.Key())
	if err != nil {
		v.t.Fatal(err)
	}
	v.ask(v.b, v.a, "PUT", federation("v1/invite/%s/%s", old, invite.ID()), string(invite.JSON()))
}

func (v *serverTour) knock() {
	room := text(v.alice.Must("POST", client+"createRoom", `{"preset":"private_chat","initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"knock"}}]}`), "room_id")
	v.carol.Must("POST", client+"knock/"+room+"?via=a.test", `{"reason":"please"}`)
}

// inviteByAddress has an identity server tell of who has the address for which Alice has
// left an invite.
func (v *serverTour) inviteByAddress() {
	room := text(v.alice.Must("POST", client+"createRoom", `{"preset":"private_chat"}`), "room_id")
	key := signing.EncodeBase64(roomtest.Key("id.test").Public())
	v.alice.Must("PUT", client+"rooms/"+room+"/state/m.room.third_party_invite/token", map[string]any{"display_name": "b...@e...", "public_key": key})
	signed := roomtest.Signed(v.bob.ID, "token", "id.test")
	body := fmt.Sprintf(`{"address":"bob@example.org","medium":"email","mxid":%[1]q,"invites":[{"address":"bob@example.org","medium":"email","mxid":%[1]q,"room_id":%[2]q,"sender":%[3]q,"signed":%[4]s}]}`,
		v.bob.ID, room, v.alice.ID, signed)
	status, answer := v.b.Do("PUT", federation("v1/3pid/onbind"), body)
	v.took("PUT", federation("v1/3pid/onbind"), status, answer)
	v.soon("Bob is invited", func() bool {
		return strings.Contains(string(v.bob.Must("GET", client+"sync", nil).Get("rooms").Get("invite")), room)
	})
}

// lookAround has users ask for what is elsewhere, and asks in the ways in which they do not.
func (v *serverTour) lookAround(room string) {
	v.bob.Must("POST", client+"publicRooms?server=a.test", `{"filter":{"generic_search_term":"tour"}}`)
	v.ask(v.b, v.a, "GET", federation("v1/publicRooms?limit=1"), "")
	v.ask(v.b, v.a, "POST", federation("v1/publicRooms"), `{"filter":{},"limit":1}`)
	v.a.Register("dave").Must("PUT", client+"profile/@dave:a.test/displayname", `{"displayname":"Dave"}`)
	v.bob.Must("GET", client+"profile/@dave:a.test", nil)
	v.ask(v.b, v.a, "GET", federation("v1/query/profile?user_id=%s&field=displayname", v.alice.ID), "")
	v.ask(v.b, v.a, "GET", federation("v1/query/directory?room_alias=%s", "#tour:a.test"), "")
	space := text(v.alice.Must("POST", client+"createRoom", `{"preset":"public_chat","creation_content":{"type":"m.space"}}`), "room_id")
	v.alice.Must("PUT", client+"rooms/"+space+"/state/m.space.child/"+room, `{"via":["a.test"]}`)
	v.ask(v.b, v.a, "GET", federation("v1/hierarchy/%s?suggested_only=false", space), "")

	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 64, 64))); err != nil {
		v.t.Fatal(err)
	}
	uri := v.alice.Upload(picture.Bytes(), "image/png", "x.png")
	media := strings.TrimPrefix(string(uri), "mxc://a.test/")
	v.bob.Download(uri, "")
	v.ask(v.b, v.a, "GET", federation("v1/media/download/%s", media), "")
	v.ask(v.b, v.a, "GET", federation("v1/media/thumbnail/%s?width=32&height=32&method=scale", media), "")

	token := text(v.alice.Must("POST", client+"user/@alice:a.test/openid/request_token", `{}`), "access_token")
	for _, uri := range []string{federation("v1/openid/userinfo?access_token=%s", token), federation("v1/version"), "/.well-known/matrix/server"} {
		status, answer := v.a.Do("GET", uri, nil)
		v.took("GET", uri, status, answer)
	}
}

// devices has Bob speak to a device of Alice's.
func (v *serverTour) devices() {
	v.alice.UploadKeys("A", "B")
	v.alice.Must("POST", client+"keys/device_signing/upload", v.alice.CrossSigning("1"))
	v.bob.Must("POST", client+"keys/query", `{"device_keys":{"@alice:a.test":[]}}`)
	v.bob.Must("POST", client+"keys/claim", fmt.Sprintf(`{"one_time_keys":{"@alice:a.test":{%q:"signed_curve25519"}}}`, v.alice.Device))
	v.bob.Must("PUT", client+"sendToDevice/org.test/1", fmt.Sprintf(`{"messages":{"@alice:a.test":{%q:{"x":1}}}}`, v.alice.Device))
	v.soon("what Bob says comes", func() bool {
		return strings.Contains(string(v.alice.Must("GET", client+"sync", nil).Get("to_device")), "org.test")
	})
	v.ask(v.b, v.a, "GET", federation("v1/user/devices/%s", v.alice.ID), "")
	v.ask(v.b, v.a, "POST", federation("v1/user/keys/query"), `{"device_keys":{"@alice:a.test":[]}}`)
	v.ask(v.b, v.a, "POST", federation("v1/user/keys/claim"), fmt.Sprintf(`{"one_time_keys":{"@alice:a.test":{%q:"signed_curve25519"}}}`, v.alice.Device))
}

func (v *serverTour) keysOfServers() {
	for _, r := range []struct{ method, uri, body string }{
		{"GET", "/_matrix/key/v2/server", ""},
		{"GET", "/_matrix/key/v2/query/b.test", ""},
		{"POST", "/_matrix/key/v2/query", `{"server_keys":{"b.test":{}}}`},
	} {
		var body any
		if r.body != "" {
			body = r.body
		}
		status, answer := v.a.Do(r.method, r.uri, body)
		v.took(r.method, r.uri, status, answer)
	}
}
