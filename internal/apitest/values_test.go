package apitest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"parley/internal/endpoint"
	"parley/matrix/canonjson"
)

// values is what there is to put into requests of an attacker.
type values struct {
	s *stage
	a *attacker
	// n makes names that were not used before.
	n int
}

// plain is a name as it is compared: roomID, roomId and room_id are one.
func plain(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
}

// good returns a value that makes sense for a parameter, empty if it is best left
// out.
func (v *values) good(name string) string {
	v.n++
	switch plain(name) {
	case "roomid", "roomidoralias":
		return string(v.a.own)
	case "eventid":
		return string(v.a.inOwn)
	case "userid":
		return string(v.a.user)
	case "deviceid":
		return string(v.a.device)
	case "filterid":
		return v.a.filter
	case "delayid":
		return v.a.delay
	case "org.matrix.msc4354.stickydurationms":
		return "60000"
	case "roomalias":
		return "#" + v.a.user.Localpart() + ":a.test"
	case "eventtype":
		return "org.test"
	case "statekey", "sessionid":
		return "k"
	case "txnid":
		return fmt.Sprintf("t%d", v.n)
	case "type":
		return "org.test"
	case "tag":
		return "u.test"
	case "appserviceid", "networkid", "protocol":
		return "bridge"
	case "kind":
		return "content"
	case "ruleid":
		return "mine"
	case "username":
		return fmt.Sprintf("name%d", v.n)
	case "receipttype":
		return "m.read"
	case "keyname":
		return "displayname"
	case "servername":
		return "a.test"
	case "mediaid":
		return "unknown"
	case "sha256":
		return strings.Repeat("0a", 32)
	case "filename":
		return "x.txt"
	case "url":
		return "http://127.0.0.1/"
	case "width", "height":
		return "32"
	case "authtype":
		return "m.login.dummy"
	case "redirecturl":
		return "https://app.test/"
	case "idpid":
		return "idp"
	case "dir":
		return "b"
	case "limit":
		return "5"
	case "ts":
		return "1432684800000"
	case "reportid", "purgeid":
		return "1"
	case "first":
		return string(v.a.own)
	case "second":
		return "delete_status"
	case "token", "version", "sid":
		return "1"
	}
	return ""
}

// path returns a value for a wildcard, which cannot be empty.
func (v *values) path(name string) string {
	if value := v.good(name); value != "" {
		return value
	}
	return "x"
}

// others returns values that are somebody else's, or do not exist.
func (v *values) others(name string) []string {
	switch plain(name) {
	case "roomid":
		return []string{string(v.s.private), string(v.s.left), string(v.s.invited), string(v.s.open), "!unknown:a.test", "!unknown:b.test", "!aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}
	case "roomidoralias", "roomalias":
		return []string{string(v.s.private), string(v.s.left), "#open:a.test", "#left:a.test", "#unknown:a.test", "#unknown:b.test", "!unknown:a.test"}
	case "eventid":
		return []string{string(v.s.inPrivate), string(v.s.before), string(v.s.after), string(v.s.inOpen), "$unknown", "$unknown:b.test"}
	case "userid":
		return []string{string(v.s.alice.ID), string(v.s.bob.ID), "@unknown:a.test", "@unknown:b.test"}
	case "deviceid":
		return []string{v.s.aliceDevice, "UNKNOWN"}
	case "filterid":
		return []string{v.s.aliceFilter, "999", "0", "-1"}
	case "eventtype":
		return []string{"m.room.message", "m.room.member", "m.room.create", "m.room.power_levels", "m.room.name", "m.room.topic", "m.room.redaction",
			"m.room.canonical_alias", "m.room.history_visibility", "m.room.encryption", "m.room.third_party_invite", "m.room.server_acl"}
	case "type":
		return []string{"m.push_rules", "m.fully_read", "m.direct", "m.ignored_user_list", "m.tag"}
	case "kind":
		return []string{"override", "underride", "room", "sender", "guest", "user"}
	case "ruleid":
		return []string{".m.rule.master", ".m.rule.unknown", aliceRule}
	case "receipttype":
		return []string{"m.read.private", "m.fully_read", "m.unknown"}
	case "keyname":
		return []string{"avatar_url", "m.tz", "org.test.x"}
	case "statekey":
		return []string{string(v.a.user), string(v.s.alice.ID), "@"}
	case "membership", "notmembership":
		return []string{"join", "leave", "ban", "knock", "invite"}
	case "since", "from", "to", "at", "batch", "nextbatch":
		return v.tokens()
	case "filter":
		return append(v.filters(), v.a.filter, v.s.aliceFilter)
	case "format":
		return []string{"event", "content"}
	}
	return nil
}

// tokens are positions, right and wrong.
func (v *values) tokens() []string {
	parts := strings.Split(v.a.sync, "_")
	with := func(i int, value string) string {
		changed := slices.Clone(parts)
		changed[i] = value
		return strings.Join(changed, "_")
	}
	return []string{
		v.a.sync, v.s.aliceSync, with(2, "0"), with(2, "1"), with(2, "-1"), with(2, "9223372036854775807"), with(2, "9223372036854775808"),
		with(2, "99999999999999999999999"), with(1, "other"), with(1, ""), with(3, "other"), with(4, "18446744073709551615"), with(4, "-1"),
		with(0, "s2"), "t1_0", "t1_1", "t1_5", "t1_-1", "t1_-9223372036854775808", "t1_9223372036854775807", "t1_9223372036854775808",
		"t1_", "s1_", "s72594_4483_1934", "0", "-1", "END", "p1_AAAA", "n1_IQ", "n-9223372036854775808_IXg", "p9223372036854775807_IXg", "n1_%%",
	}
}

// filters are filters in JSON.
func (v *values) filters() []string {
	many := strings.Repeat(`"@x:a.test",`, 3000)
	return []string{
		`{}`, `{`, `[]`, `null`, `"1"`, `{"room":1}`, `{"room":{"timeline":[]}}`, `{"room":{"timeline":{"limit":-1}}}`, `{"limit":-1}`,
		`{"limit":99999999999999999999}`, `{"limit":1.5}`, `{"room":{"timeline":{"limit":9007199254740991}}}`, `{"types":["*","**","*******************a"]}`,
		`{"types":[1]}`, `{"rooms":["x"]}`, `{"senders":["x"]}`, `{"rooms":["` + string(v.s.private) + `"]}`, `{"event_fields":["a..b","\\"]}`,
		`{"room":{"rooms":["` + string(v.s.private) + `"],"include_leave":true}}`, `{"contains_url":"x"}`, `{"lazy_load_members":true,"include_redundant_members":true}`,
		`{"room":{"state":{"lazy_load_members":true}}}`, `{"event_format":"federation"}`, `{"event_format":"x"}`,
		`{"not_senders":[` + many + `"@y:a.test"]}`, `{"a":` + nested(60) + `}`, "{\"types\":[\"\x00\"]}", `{"types":["\u0000"]}`,
	}
}

// noise is a text that cannot be compressed, as databases do with keys that are
// long, and always the same.
func noise(n int) string {
	random := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, n)
	for i := range text {
		text[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[random.IntN(36)]
	}
	return string(text)
}

// nested is an array, depth deep.
func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

// badTexts are values that hardly any parameter can have, not escaped yet.
func badTexts() []string {
	return []string{
		"\x00", "a\x00b", "\xff", "a\xc3", "\xed\xa0\x80", "😀", "\u202e", "é", "e\u0301", " ", "\r\n", "\t", "/", "//", ".", "..", "../..", "\\", "'", "\"", "%", "%%", "%00",
		"' OR 1=1 --", "{}", "[]", "null", "true", "0", "-1", "9223372036854775808", "1e9", "0x10", "NaN", "!", "@", "#", "$", ":", "!:", "@:a.test", "@a:", "#:",
		"@x:a.test:", "!x:[::1", "$$", "@UPPER:a.test", "@" + strings.Repeat("x", 244) + ":a.test", "@" + strings.Repeat("x", 260) + ":a.test",
		"!" + strings.Repeat("x", 300), "$" + strings.Repeat("é", 200), "#" + strings.Repeat("😀", 64) + ":a.test", strings.Repeat("x", 255), strings.Repeat("x", 256), strings.Repeat("x", 5000),
		strings.Repeat("/", 200), noise(300), noise(3000), noise(20_000), "u." + noise(3000), "@" + noise(3000), "!" + noise(3000), "$" + noise(3000), "#" + noise(3000) + ":a.test",
	}
}

// badPaths are segments of a path that are escaped already, or not at all.
func badPaths() []string {
	return []string{"%", "%z", "%zz", "%2", "%2F", "%2f", "%2F%2F", "%2E%2E", "%2e", "..%2F..%2F", "%252F", "%00", "%FF", "%C0%AF", "%F0%9F%98%80", "%3F", "%23", ";a=b", "a;b", "+", "a+b", "~"}
}

// badJSON are values for members of a body, from null to what no parser likes.
func badJSON() []string {
	return []string{
		`null`, `true`, `false`, `0`, `-1`, `1.5`, `1e3`, `1e400`, `-0`, `9007199254740991`, `9007199254740993`, `9223372036854775808`, `123456789012345678901234567890`,
		`""`, `"x"`, `"\u0000"`, `"a\u0000b"`, `"\ud800"`, `"\udc00\ud800"`, `"😀"`, `" "`, `"\n"`, `"..` + strings.Repeat("x", 300) + `"`, `"` + strings.Repeat("é", 40000) + `"`,
		`"` + noise(300) + `"`, `"` + noise(3000) + `"`, `"` + noise(60_000) + `"`, `["` + noise(3000) + `"]`,
		`[]`, `[[]]`, `[null]`, `[1,"x",{}]`, `["x","x"]`, `["\u0000"]`, `{}`, `{"":""}`, `{"x":null}`, `{"\u0000":1}`, `{"a":1,"a":2}`, `{"a":` + nested(30) + `}`,
		nested(90), nested(200), `[` + strings.Repeat(`{},`, 2000) + `{}]`, `["!x:a.test","@x:a.test","$x"]`,
	}
}

// badBodies are bodies that are no object in JSON, or a strange one.
func badBodies() []string {
	return []string{
		"", " ", "{", "}", "[]", "null", "true", "1", `"x"`, "{}{}", "{} x", "{,}", `{"a"}`, `{"a":}`, `{"a":1,}`, `{'a':1}`, "{a:1}", "\xef\xbb\xbf{}", "\x00", "{\x00}", "{\"a\":\"\xff\"}", "{\"\xff\":1}",
		"{\"a\":\"\x01\"}", `{"a":"\x"}`, `{"a":"\u12"}`, `{"a":NaN}`, `{"a":Infinity}`, `{"a":01}`, `{"a":+1}`, `{"a":.5}`, `{"a":1e999999999}`, `{"a":-}`, `{"a":tru}`,
		"<xml/>", "a=b&c=d", "--x\r\n\r\n--x--", "\x1f\x8b\x08\x00", strings.Repeat("[", 100000), strings.Repeat(`{"a":`, 100000), strings.Repeat("\t", 10000),
		`{"a":` + nested(300) + `}`, `{"unknown":{"deep":[1,2,{"x":null}]},"__proto__":{"admin":true},"admin":true,"constructor":1}`,
		`{` + strings.Repeat(`"a":1,`, 5000) + `"a":1}`, `{"msgtype":"m.text","body":"\u0000"}`, `{"x":1.5}`, `{"x":9007199254740993}`,
	}
}

// A field is a member of a body that there may be.
type field struct{ name, kind string }

// fields returns the members of a route's body: those of its request type, and
// those that the specification names.
func (s *stage) fields(r endpoint.Route) []field {
	var list []field
	add := func(name, kind string) {
		if !slices.ContainsFunc(list, func(f field) bool { return f.name == name }) {
			list = append(list, field{name, kind})
		}
	}
	tagged(r.Request(), "json", func(name string, t reflect.Type) { add(name, kindOf(t)) })
	if slices.Contains(r.Wildcards(), "keyName") {
		add("displayname", "string")
	}
	for _, f := range slidingFields[routeKey(r)] {
		add(f.name, f.kind)
	}
	for _, m := range s.ops[routeKey(r)].members {
		name, kind, _ := strings.Cut(m, ":")
		add(name, kind)
	}
	return list
}

// slidingFields are the members of requests of sliding sync, which has no request
// type, with what makes sense in each form.
var slidingFields = map[string][]field{
	"POST /_matrix/client/v4/sync": {
		{"conn_id", `"c"`}, {"timeout", `0`}, {"set_presence", `"offline"`}, {"extensions", slidingExtensions},
		{"lists", `{"a":{"range":[0,9],"timeline_limit":5,"required_state":{"include":[{"type":"m.room.name"}],"lazy_members":true}}}`},
	},
	"POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync": {
		{"conn_id", `"c"`}, {"txn_id", `"t"`}, {"extensions", slidingExtensions},
		{"lists", `{"a":{"ranges":[[0,9]],"timeline_limit":5,"required_state":[["m.room.member","$LAZY"],["*","*"]],"filters":{"is_dm":false}}}`},
	},
}

const slidingExtensions = `{"account_data":{"enabled":true},"receipts":{"enabled":true},"typing":{"enabled":true},"to_device":{"enabled":true},"e2ee":{"enabled":true},
	"io.element.msc4308.thread_subscriptions":{"enabled":true},"org.matrix.msc4354.sticky_events":{"enabled":true}}`

// queries returns the names of the query parameters of a route.
func (s *stage) queries(r endpoint.Route) []string {
	names := slices.Clone(s.ops[routeKey(r)].query)
	tagged(r.Request(), "query", func(name string, _ reflect.Type) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	})
	return names
}

// tagged calls f for the fields of a request type that have a tag.
func tagged(t reflect.Type, tag string, f func(name string, t reflect.Type)) {
	if t == nil || t.Kind() != reflect.Struct {
		return
	}
	for i := range t.NumField() {
		field := t.Field(i)
		if value, ok := field.Tag.Lookup(tag); ok && value != "-" {
			name, _, _ := strings.Cut(value, ",")
			f(name, field.Type)
		} else if field.Anonymous {
			tagged(field.Type, tag, f)
		}
	}
}

func kindOf(t reflect.Type) string {
	if t == reflect.TypeFor[canonjson.Value]() {
		return "any"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return kindOf(t.Elem())
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	case reflect.Slice:
		return "array"
	case reflect.Struct, reflect.Map:
		return "object"
	}
	return "integer"
}

// member returns a value in JSON that makes sense for a member of a body, empty
// if it is best left out.
func (v *values) member(f field) string {
	quoted := func(s string) string { return string(canonjson.Text(s)) }
	v.n++
	switch f.name {
	case "conn_id", "timeout", "set_presence", "txn_id", "extensions", "lists": // of sliding sync
		if strings.ContainsAny(f.kind, `"{0`) {
			return f.kind
		}
	case "automatic":
		return ""
	case "action":
		return quoted("restart")
	case "delay_ms":
		return "60000"
	case "auth":
		return "" // an attacker would lose his account, see deep
	case "user_id":
		return quoted(string(v.s.bob.ID))
	case "username":
		return quoted(fmt.Sprintf("name-%s-%d", v.a.user.Localpart(), v.n))
	case "password", "new_password":
		return quoted("password of mallory")
	case "identifier":
		return `{"type":"m.id.user","user":` + quoted(string(v.a.user)) + `}`
	case "room_id":
		return quoted(string(v.a.own))
	case "room_alias_name":
		return quoted(fmt.Sprintf("alias-%s-%d", v.a.user.Localpart(), v.n))
	case "type":
		return quoted("m.login.password")
	case "m.fully_read", "m.read", "m.read.private":
		return quoted(string(v.a.inOwn))
	case "event_format":
		return quoted("client")
	case "visibility":
		return quoted("private")
	case "preset":
		return quoted("private_chat")
	case "actions":
		return `["notify"]`
	case "room_version", "since", "thread_id", "third_party_instance_id", "third_party_signed", "user", "medium", "address", "kind":
		return ""
	}
	return map[string]string{"string": `"x"`, "integer": "1", "boolean": "false", "array": "[]", "object": "{}"}[f.kind]
}

// body returns a body of members that make sense, with others in the place of
// some. JSON of nothing leaves a member out.
func (v *values) body(fields []field, with map[string]string) []byte {
	var b strings.Builder
	b.WriteByte('{')
	put := func(name, value string) {
		if value == "" {
			return
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		quoted, _ := json.Marshal(name)
		b.Write(quoted)
		b.WriteString(":" + value)
	}
	for _, f := range fields {
		if _, ok := with[f.name]; !ok {
			put(f.name, v.member(f))
		}
	}
	for _, name := range sortedKeys(with) {
		put(name, with[name])
	}
	b.WriteByte('}')
	return []byte(b.String())
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// target returns the path and query of a route with values that make sense, and
// others in the place of some. Values of the path are escaped, unless they are in
// raw.
func (v *values) target(r endpoint.Route, with, raw map[string]string, query string) string {
	segments := strings.Split(r.Pattern, "/")
	for i, s := range segments {
		name, ok := strings.CutPrefix(s, "{")
		name = strings.TrimSuffix(name, "}")
		switch {
		case s == "{$}":
			segments[i] = ""
		case !ok:
		case raw[name] != "":
			segments[i] = raw[name]
		default:
			value, ok := with[name]
			if !ok {
				value = v.path(name)
			}
			segments[i] = url.PathEscape(value)
			if value == "." || value == ".." {
				segments[i] = strings.ReplaceAll(value, ".", "%2E")
			}
		}
	}
	return strings.Join(segments, "/") + query
}

// query returns the query of a route with values that make sense, and one other.
func (v *values) query(names []string, name, value string) string {
	q := url.Values{}
	for _, n := range names {
		if good := v.good(n); good != "" && n != "kind" {
			q.Set(n, good)
		}
	}
	if name != "" {
		q.Set(name, value)
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}
