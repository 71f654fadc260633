package apitest

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"parley/internal/endpoint"
	"parley/internal/hstest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
	"parley/matrix/signing"
	"parley/matrix/xmatrix"
)

// A peer is another server that is after what Alice has. A user of it is in a room
// with somebody of this server, and in the open room.
type peer struct {
	*hstest.Server
	key   signing.Key
	carol *hstest.User
	who   *attacker // has the token that stands for a signature
}

// peer adds one to the stage.
func (s *stage) peer() *peer {
	const c = "/_matrix/client/v3/"
	p := &peer{Server: s.world.Server("b.test"), who: s.attacker()}
	p.carol, p.key = p.Register("carol"), p.Key()
	host := s.Register("host")
	own := id.RoomID(text(host.Must("POST", c+"createRoom", `{"preset":"public_chat"}`), "room_id"))
	p.carol.Must("POST", c+"join/"+string(own)+"?via=a.test", `{}`)
	p.carol.Must("POST", c+"join/"+string(s.open)+"?via=a.test", `{}`)
	inOwn := text(host.Must("PUT", c+"rooms/"+string(own)+"/send/m.room.message/1", `{"body":"x"}`), "event_id")
	p.who.user, p.who.device, p.who.own, p.who.inOwn = p.carol.ID, p.carol.Device, own, id.EventID(inOwn)
	return p
}

// sign signs a request as it goes over the wire, in the place of the token of the
// attacker, if that is there.
func (p *peer) sign(r request) request {
	token := "Authorization: Bearer " + p.who.token
	if !slices.Contains(r.header, token) {
		return r
	}
	var content canonjson.Value
	if len(r.body) > 0 && len(r.body) < 20<<20 {
		content, _ = canonjson.Canonical(r.body, canonjson.Lenient)
	}
	signed := xmatrix.Request{Method: r.method, URI: r.target, Origin: p.Name, Destination: "a.test", Content: content}
	r.header = slices.DeleteFunc(slices.Clone(r.header), func(h string) bool { return h == token })
	r.header = append([]string{"Authorization: " + signed.Sign(p.key)}, r.header...)
	return r
}

// TestWhoDoesNotSignIsNoServer asks for each route of servers without a signature,
// with one of another server's, and with one for another request.
func TestWhoDoesNotSignIsNoServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		p := s.peer()
		v := &values{s: s, a: p.who}
		w := &wire{net: s.world.Net}
		defer w.close()
		count := 0
		for _, route := range s.routes {
			if route.Auth != endpoint.Server {
				continue
			}
			count++
			right := request{method: route.Method, target: v.target(route, nil, nil, v.query(s.queries(route), "", "")), header: []string{"Authorization: Bearer " + p.who.token}}
			if route.Method != "GET" {
				right.body = v.body(s.fields(route), nil)
			}
			signed := p.sign(right).header[0]
			for name, header := range map[string]string{
				"no signature":              "",
				"an access token":           "Authorization: Bearer " + p.who.token,
				"the signature of this":     strings.Replace(signed, "b.test", "a.test", 1),
				"the signature of no one":   strings.Replace(signed, "b.test", "nowhere.test", 1),
				"a signature for another":   strings.Replace(signed, `destination="a.test"`, `destination="c.test"`, 1),
				"a signature with no key":   strings.Replace(signed, "ed25519:", "ed25519:x", 1),
				"a signature of nothing":    signed[:strings.Index(signed, "sig=")] + `sig="AAAA"`,
				"a signature that is empty": signed[:strings.Index(signed, "sig=")] + `sig=""`,
			} {
				r := right
				if r.header = nil; header != "" {
					r.header = []string{header}
				}
				s.refuses(w, route, name, r)
			}
			moved := p.sign(right)
			moved.target = addQuery(moved.target, "more=1")
			s.refuses(w, route, "a signature for another query", moved)
			moved = p.sign(right)
			moved.body = []byte(`{"other":1}`)
			s.refuses(w, route, "a signature for another body", moved)
		}
		if count < 15 {
			t.Errorf("there are %d routes for servers", count)
		}
	})
}

// refuses fails unless a request is refused for who makes it.
func (s *stage) refuses(w *wire, route endpoint.Route, name string, r request) {
	r.slow = true // a server may have to be looked for
	rep, err := w.send(s.t.Context(), r, patience)
	if err != nil {
		s.t.Errorf("%s with %s: %v", routeKey(route), name, err)
		return
	}
	answer, _ := canonjson.Canonical(rep.body, canonjson.Lenient)
	if rep.status != 401 || text(answer, "errcode") != string(mxerr.Unauthorized) {
		s.t.Errorf("%s with %s: got %d %s, want 401 %s", routeKey(route), name, rep.status, rep.body, mxerr.Unauthorized)
	}
}

// TestEveryRouteOfServersUnderAttack sends the routes of servers what they should
// not be sent, by a server that signs it well.
func TestEveryRouteOfServersUnderAttack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		p := s.peer()
		// Servers in a room learn which events there are, though not what they say.
		s.names = slices.DeleteFunc(s.names, func(name string) bool { return name == string(s.before) })
		before := s.belongings()
		w := &wire{net: s.world.Net}
		defer w.close()
		for _, route := range s.routes {
			if route.Auth != endpoint.Server {
				continue
			}
			list := (&values{s: s, a: p.who}).attacks(route)
			h := fnv.New64a()
			h.Write([]byte(routeKey(route)))
			chosen := choose(len(list), 2**attackMost, rand.New(rand.NewPCG(*attackSeed, h.Sum64())))
			requests := make([]request, 0, len(chosen))
			for _, i := range chosen {
				requests = append(requests, list[i])
			}
			requests = append(requests, p.attacks(&values{s: s, a: p.who}, route)...)
			for _, r := range requests {
				s.attackAsServer(t, w, route, p.sign(r))
			}
		}
		for name, now := range s.belongings() {
			if before[name] != now {
				t.Errorf("%s of Alice has changed:\n\twas %s\n\tis  %s", name, before[name], now)
			}
		}
	})
}

func (s *stage) attackAsServer(t *testing.T, w *wire, route endpoint.Route, r request) {
	r.slow = true // servers that do not exist are asked
	rep, err := w.send(t.Context(), r, patience)
	if err != nil {
		if !r.broken && r.cut == 0 {
			t.Errorf("%v: %v", r, err)
		}
		return
	}
	for _, wrong := range s.complaints(gate{r, &route, rep}) {
		t.Errorf("%v:\n\tgot %d %.300s\n\t%s", r, rep.status, rep.body, wrong)
	}
}

// attacks are requests with what only servers send.
func (p *peer) attacks(v *values, route endpoint.Route) (list []request) {
	add := func(label, body string) {
		list = append(list, request{label: label, method: route.Method, target: v.target(route, nil, nil, ""), body: []byte(body),
			header: []string{"Authorization: Bearer " + p.who.token}})
	}
	key := routeKey(route)
	switch {
	case strings.Contains(key, "/federation/v1/send/"):
		for i, pdu := range p.events(v) {
			add(fmt.Sprintf("event %d", i), `{"origin":"b.test","origin_server_ts":1,"pdus":[`+pdu+`],"edus":[]}`)
		}
		for i, edu := range edus(v) {
			add(fmt.Sprintf("EDU %d", i), `{"origin":"b.test","origin_server_ts":1,"pdus":[],"edus":[`+edu+`]}`)
		}
		for _, n := range []int{50, 51, 100, 101, 10_000} {
			many := strings.TrimSuffix(strings.Repeat(`{},`, n), ",")
			add("many events", `{"origin":"b.test","origin_server_ts":1,"pdus":[`+many+`]}`)
			add("many EDUs", `{"origin":"b.test","origin_server_ts":1,"pdus":[],"edus":[`+many+`]}`)
		}
		add("for another server", `{"origin":"c.test","origin_server_ts":1,"pdus":[]}`)
	case strings.Contains(key, "/send_"), strings.Contains(key, "/v1/invite/"):
		for i, pdu := range p.events(v) {
			add(fmt.Sprintf("event %d", i), pdu)
		}
	case strings.Contains(key, "/v2/invite/"):
		for i, pdu := range p.events(v) {
			for _, version := range []string{"1", "10", "12", "x", ""} {
				add(fmt.Sprintf("event %d of version %s", i, version), fmt.Sprintf(`{"room_version":%q,"event":%s,"invite_room_state":[%s,{},1,null]}`, version, pdu, pdu))
			}
		}
	}
	return list
}

// events are PDUs, few of which are right, and none of which anybody may send.
func (p *peer) events(v *values) []string {
	rules, _ := roomver.Lookup("12")
	template := func(room id.RoomID, kind, key, sender, content string) canonjson.Value {
		return canonjson.Value(`{"auth_events":[],"depth":5,"origin_server_ts":1,"prev_events":[]}`).
			With("content", canonjson.Value(content)).With("room_id", canonjson.Text(string(room))).
			With("sender", canonjson.Text(sender)).With("state_key", canonjson.Text(key)).With("type", canonjson.Text(kind))
	}
	list := []string{`null`, `1`, `"x"`, `[]`, `{}`, `{"room_id":"!x:a.test"}`, `{"room_id":1}`, `{"room_id":"\u0000","type":"\u0000"}`}
	alice, carol := string(v.s.alice.ID), string(p.carol.ID)
	for _, room := range []id.RoomID{v.a.own, v.s.open, v.s.private, v.s.invited, "!unknown:a.test", "!unknown:b.test"} {
		for _, e := range []canonjson.Value{
			template(room, "m.room.member", alice, alice, `{"membership":"leave"}`),
			template(room, "m.room.member", carol, carol, `{"membership":"join"}`),
			template(room, "m.room.member", carol, carol, `{"membership":"knock"}`),
			template(room, "m.room.member", alice, carol, `{"membership":"ban"}`),
			template(room, "m.room.member", alice, carol, `{"membership":"invite"}`),
			template(room, "m.room.member", alice, carol, `{"membership":1,"third_party_invite":1}`),
			template(room, "m.room.member", carol, carol, `{"membership":"join","join_authorised_via_users_server":"@alice:a.test"}`),
			template(room, "m.room.power_levels", "", carol, `{"users":{"@carol:b.test":9000}}`),
			template(room, "m.room.create", "", carol, `{"room_version":"12"}`),
			template(room, "m.room.create", "", carol, `{}`).Without("room_id"),
			template(room, "m.room.redaction", "", carol, `{"redacts":"`+string(v.s.inPrivate)+`"}`).Without("state_key"),
			template(room, "m.room.message", "", carol, `{"body":"x"}`).With("prev_events", canonjson.Value(`["`+string(v.s.inPrivate)+`"]`)),
			template(room, "m.room.message", "", carol, `{"body":"x"}`).With("auth_events", canonjson.Value(`["$unknown","$unknown","`+string(v.s.inPrivate)+`"]`)),
			template(room, "m.room.message", "", carol, `{"body":"x"}`).With("depth", canonjson.Value(`-1`)),
		} {
			list = append(list, string(e))
			if whole, err := event.Complete(e, rules, p.Name, p.key); err == nil {
				list = append(list, string(whole.JSON()))
			}
		}
	}
	return list
}

// edus are EDUs that make no sense, or are not for that server to send.
func edus(v *values) (list []string) {
	kinds := []string{"m.typing", "m.receipt", "m.presence", "m.direct_to_device", "m.device_list_update", "m.signing_key_update", "org.test", ""}
	room, private := string(v.a.own), string(v.s.private)
	contents := []string{
		`null`, `1`, `[]`, `{}`, `{"room_id":1,"user_id":[],"typing":"x"}`, `{"push":1}`, `{"push":[1,null,{},{"user_id":1},{"user_id":"@alice:a.test","presence":"offline"}]}`,
		`{"push":[{"user_id":"@carol:b.test","presence":"x"},{"user_id":"@carol:b.test","presence":"online","last_active_ago":-1,"status_msg":{}},{"user_id":"@carol:b.test","presence":"online","last_active_ago":9007199254740991,"currently_active":1}]}`,
		fmt.Sprintf(`{"room_id":%q,"user_id":"@alice:a.test","typing":true}`, private),
		fmt.Sprintf(`{"room_id":%q,"user_id":"@carol:b.test","typing":true}`, private),
		fmt.Sprintf(`{"room_id":%q,"user_id":"@host:a.test","typing":true}`, room),
		fmt.Sprintf(`{%q:{"m.read":{"@alice:a.test":{"event_ids":[%q],"data":{"ts":1}}}}}`, private, v.s.inPrivate),
		fmt.Sprintf(`{%q:{"m.read":{"@carol:b.test":{"event_ids":[%q],"data":{"ts":-1,"thread_id":"\u0000"}}}}}`, private, v.s.inPrivate),
		fmt.Sprintf(`{%q:{"m.read":{"@carol:b.test":{"event_ids":[%q,1,null,{}],"data":{"ts":9007199254740991,"thread_id":"x"}}}}}`, room, v.a.inOwn),
		fmt.Sprintf(`{%q:{"m.read":{"@carol:b.test":{"event_ids":["\u0000"],"data":[]}},"m.read.private":1}}`, room),
		`{"sender":"@alice:a.test","type":"x","message_id":"1","messages":{"@alice:a.test":{"*":{}},"@bob:a.test":1}}`,
		`{"user_id":"@alice:a.test","device_id":"X","stream_id":1,"prev_id":[1,"x"]}`, `{"user_id":"@carol:b.test","device_id":1,"stream_id":-1}`,
		`{"user_id":"@alice:a.test","master_key":{"keys":{}},"self_signing_key":1}`,
		`{"push":[` + strings.TrimSuffix(strings.Repeat(`{"user_id":"@carol:b.test","presence":"online"},`, 1000), ",") + `]}`,
	}
	for _, kind := range kinds {
		for _, content := range contents {
			list = append(list, string(canonjson.Value(`{}`).With("edu_type", canonjson.Text(kind)).With("content", canonjson.Value(content))))
		}
	}
	return append(list, `null`, `1`, `{}`, `{"edu_type":1}`, `[]`)
}

// TestServersThatSendBrokenJSONAreToldSo sends each route of servers that has a body what
// is no JSON, which no signature can cover.
func TestServersThatSendBrokenJSONAreToldSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		p := s.peer()
		v := &values{s: s, a: p.who}
		w := &wire{net: s.world.Net}
		defer w.close()
		for _, route := range s.routes {
			if route.Auth != endpoint.Server || route.Method == "GET" {
				continue
			}
			for _, body := range []string{`{`, `{"a":1`, "{\"a\":\"\xff\"}", `x`} {
				r := p.sign(request{method: route.Method, target: v.target(route, nil, nil, ""), header: []string{"Authorization: Bearer " + p.who.token}, body: []byte(body)})
				r.slow = true
				rep, err := w.send(t.Context(), r, patience)
				if err != nil {
					t.Errorf("%s with %q: %v", routeKey(route), body, err)
					continue
				}
				answer, _ := canonjson.Canonical(rep.body, canonjson.Lenient)
				if rep.status != 400 || text(answer, "errcode") != string(mxerr.NotJSON) {
					t.Errorf("%s with %q: got %d %s, want 400 %s", routeKey(route), body, rep.status, rep.body, mxerr.NotJSON)
				}
			}
		}
	})
}
