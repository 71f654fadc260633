package difftest

import (
	"math/rand/v2"
	"strconv"
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/event"
)

// damage is something odd done to the fields of an event before it is signed.
type damage func(w *world, o *object)

var topLevel = []string{"auth_events", "content", "depth", "event_id", "hashes", "origin_server_ts", "prev_events", "redacts",
	"room_id", "sender", "signatures", "state_key", "type", "unsigned"}

var damages = []damage{
	func(w *world, o *object) { o.remove(pick(w.rng, topLevel...)) },
	func(w *world, o *object) {
		o.set(pick(w.rng, topLevel...), pick(w.rng, "5", "null", `"x"`, `""`, "[]", "{}", "true", "-1", "[[]]", `[["$a:b",{}]]`))
	},
	func(w *world, o *object) {
		o.set("depth", pick(w.rng, "0", "-1", "9007199254740991", "9007199254740992", "9223372036854775807", "9223372036854775808", "1e2", "2.5"))
	},
	func(w *world, o *object) {
		o.set("origin_server_ts", pick(w.rng, "0", "-1", "9007199254740991", "9007199254740992", "9223372036854775808", "18446744073709551616", "1e3", "-0"))
	},
	longField, manyReferences, oddReference, oddName, extraField, oddUnsigned, nearLimit,
	contentNumber, contentNumber, contentText, nestedContent, wrongCase, keptContent, createKey,
}

func longField(w *world, o *object) {
	n := pick(w.rng, 254, 255, 256, 300)
	name := pick(w.rng, "type", "state_key", "sender", "room_id", "event_id")
	text := map[string][2]string{"sender": {"@", ":b.test"}, "room_id": {"!", ":a.test"}, "event_id": {"$", ":a.test"}}[name]
	filler := "x"
	if chance(w.rng, 40) {
		filler = "é"
	}
	n -= len(text[0]) + len(text[1])
	o.set(name, quote(text[0]+strings.Repeat(filler, n/len(filler))+strings.Repeat("x", n%len(filler))+text[1]))
}

func manyReferences(w *world, o *object) {
	ids := make([]string, pick(w.rng, 9, 10, 11, 19, 20, 21))
	for i := range ids {
		ids[i] = "$e" + strconv.Itoa(i) + ":a.test"
	}
	o.set(pick(w.rng, "prev_events", "auth_events"), w.references(ids...))
}

func oddReference(w *world, o *object) {
	name := pick(w.rng, "prev_events", "auth_events")
	if chance(w.rng, 40) {
		o.set(name, w.references(pick(w.rng, "", "$", "nonsense", "$a:", "$a:b c", "$é", "$nul\x00", "$hash", "$a:b.test")))
		return
	}
	o.set(name, "["+pick(w.rng, "5", "null", `"$a:a.test"`, `["$a:a.test"]`, `["$a:a.test",{},{}]`, `["$a:a.test",5]`, `["$a:a.test",null]`,
		`[5,{}]`, `[null,{}]`, `["$a:a.test",{"sha256":5}]`, `["$a:a.test",{"sha256":"!"}]`, `["$a:a.test",{}]`)+"]")
}

var oddNames = []string{"", ":", ":b.test", "x:b.test", "ünï:b.test", "bob", "bob:", "bob:bad host", "bob:b.test:99999", "bob:b.test:999999",
	"bob:b.test:", "bob:b.test:x", "nul\x00:b.test", "sp ace:b.test", "bob:1.2.3.4", "bob:[::1]", "bob:[::1]:80", "bob:[zz]", "bob:300.2.3.4", "bob:under_score", "a:b:c"}

func oddName(w *world, o *object) {
	name := pick(w.rng, "sender", "room_id", "event_id", "state_key", "redacts")
	sigil := map[string]string{"sender": "@", "room_id": "!", "event_id": "$", "state_key": "@", "redacts": "$"}[name]
	if chance(w.rng, 10) {
		sigil = pick(w.rng, "", "@", "!", "$")
	}
	o.set(name, quote(sigil+pick(w.rng, oddNames...)))
}

func extraField(w *world, o *object) {
	o.set(pick(w.rng, "outlier", "destinations", "age_ts", "event_id", "_x", "_room_version", "origin", "prev_state", "membership", "redacts",
		"extra", "replaces_state", "zz"), value(w.rng, 2))
}

func oddUnsigned(w *world, o *object) {
	o.set("unsigned", pick(w.rng, `{"age":5}`, `{"age":-5,"prev_content":{"a":[]}}`, "{}", "null", "5", `"x"`, "[]", `{"x":"`+strings.Repeat("y", 66000)+`"}`))
}

// nearLimit makes the event about as large as it may be.
func nearLimit(w *world, o *object) {
	body := strings.Repeat(pick(w.rng, "x", "é", "\n"), pick(w.rng, 32000, 32400, 32450, 64000, 64800, 64900, 65000, 65100, 66000))
	w.addContent(o, "body", quote(body))
}

func (w *world) addContent(o *object, name, value string) {
	content := o.get("content")
	if !strings.HasPrefix(content, "{") {
		return
	}
	if content == "{}" {
		o.set("content", "{"+quote(name)+":"+value+"}")
		return
	}
	o.set("content", content[:len(content)-1]+","+quote(name)+":"+value+"}")
}

var numbers = []string{"9007199254740991", "-9007199254740991", "9007199254740992", "-9007199254740992", "9223372036854775807", "123456789012345678901234567890",
	"1.5", "-1.5", "1.50", "0.1", "-0.5", "1e5", "1E5", "1e16", "1e-7", "1.0", "0.0", "0e1", "0E0", "-0", "-0.0", "1e400", "1.7976931348623157e308", "5e-324", "01", "+1", ".5", "1.", "NaN"}

func contentNumber(w *world, o *object) {
	w.addContent(o, pick(w.rng, "number", "ban", "users_default"), pick(w.rng, numbers...))
}

var oddTexts = []string{`"\u0041\u00e9\u65e5"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ude00"`, `"\ud83dx"`, `"\u0000"`, `"\u001f"`, `"\/"`, `"\u002F"`, `"\b\f\n\r\t"`, `"\u0008\u000c"`, `"\u007f"`,
	"\"\xff\"", "\"\xed\xa0\x80\"", "\"\xc0\x80\"", "\"raw\ttab\"", `"\x"`, `"\u12"`, "\"\u2028\"", `"\u003c\u003E"`, `"\uFFFD"`}

func contentText(w *world, o *object) {
	if chance(w.rng, 40) {
		w.addContent(o, pick(w.rng, "a\"b", "a\\b", "a\nb", "\x01", "\x7f", "\u2028"), "1")
		return
	}
	w.addContent(o, "text", pick(w.rng, oddTexts...))
}

// createKey gives a create event another state key, or none.
func createKey(w *world, o *object) {
	*o = w.createFields()
	if chance(w.rng, 50) {
		o.remove("state_key")
	} else {
		o.set("state_key", quote("x"))
	}
}

func nestedContent(w *world, o *object) {
	depth := pick(w.rng, 10, 100, 510, 511, 512, 600)
	w.addContent(o, "nested", strings.Repeat("[", depth)+strings.Repeat("]", depth))
}

// wrongCase adds members whose names differ from known ones in case only.
func wrongCase(w *world, o *object) {
	if chance(w.rng, 50) {
		o.set(pick(w.rng, "Type", "SENDER", "Room_ID", "Content", "Depth", "State_Key", "Hashes", "Redacts"), pick(w.rng, `"m.room.message"`, `"@eve:b.test"`, "5", "{}"))
		return
	}
	w.addContent(o, pick(w.rng, "Membership", "BAN", "Users", "Join_Rule", "Creator", "CREATOR"), pick(w.rng, `"join"`, "5", "{}", `"public"`))
}

// keptContent puts things into members that redaction keeps.
func keptContent(w *world, o *object) {
	types := []string{event.TypeMember, event.TypeCreate, event.TypeJoinRules, event.TypePowerLevels, event.TypeAliases, event.TypeHistoryVisibility, event.TypeRedaction}
	names := []string{"membership", "creator", "join_rule", "allow", "ban", "events", "users", "invite", "aliases", "history_visibility", "redacts", "third_party_invite", "join_authorised_via_users_server"}
	if chance(w.rng, 50) {
		o.set("type", quote(pick(w.rng, types...)))
	}
	var c object
	for range 1 + w.rng.IntN(5) {
		name := pick(w.rng, names...)
		if chance(w.rng, 15) {
			c.set(name, pick(w.rng, numbers[:14]...))
		} else if chance(w.rng, 20) {
			c.set(name, `{"signed":`+value(w.rng, 2)+`,"z":1}`)
		} else {
			c.set(name, value(w.rng, 3))
		}
	}
	o.set("content", c.String())
}

// restyle writes a JSON value in another way than the canonical one.
func restyle(rng *rand.Rand, v canonjson.Value) []byte {
	var out []byte
	space := func() {
		if chance(rng, 20) {
			out = append(out, pick(rng, " ", "\n", "\t", "\r\n", "  ")...)
		}
	}
	var write func(v canonjson.Value)
	write = func(v canonjson.Value) {
		space()
		switch v.Kind() {
		case canonjson.Object:
			var members [][2]canonjson.Value
			for name, value := range v.Members() {
				members = append(members, [2]canonjson.Value{name, value})
			}
			rng.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
			out = append(out, '{')
			for i, m := range members {
				if i > 0 {
					out = append(out, ',')
				}
				space()
				out = append(out, escaped(rng, m[0])...)
				space()
				out = append(out, ':')
				write(m[1])
			}
			out = append(out, '}')
		case canonjson.Array:
			out = append(out, '[')
			first := true
			for item := range v.Elements() {
				if !first {
					out = append(out, ',')
				}
				first = false
				write(item)
			}
			space()
			out = append(out, ']')
		case canonjson.String:
			out = append(out, escaped(rng, v)...)
		default:
			out = append(out, v...)
		}
		space()
	}
	write(v)
	return out
}

// escaped writes some characters of a string as escapes.
func escaped(rng *rand.Rand, v canonjson.Value) []byte {
	text, _ := v.Text()
	if !chance(rng, 10) || len(text) > 100 {
		return v
	}
	out := []byte{'"'}
	for _, c := range text {
		switch {
		case chance(rng, 70):
			quoted := quote(string(c))
			out = append(out, quoted[1:len(quoted)-1]...)
		case c > 0xffff:
			c -= 0x10000
			out = append(out, `\u`+hex4(0xd800+c>>10)+`\u`+hex4(0xdc00+c&0x3ff)...)
		default:
			out = append(out, `\u`+hex4(c)...)
		}
	}
	return append(out, '"')
}

func hex4(c rune) string {
	text := strconv.FormatInt(int64(c)+0x10000, 16)[1:]
	return text
}

// late damages the text of a signed event.
func late(w *world, v canonjson.Value) []byte {
	rng := w.rng
	hashes := v.Get("hashes")
	sum, _ := hashes.Get("sha256").Text()
	switch rng.IntN(12) {
	case 0: // tamper
		return v.With("content", v.Get("content").With(pick(rng, "tampered", "body", "membership", "ban"), canonjson.Value("1")))
	case 1:
		return v.With("extra", canonjson.Value("1"))
	case 2:
		url := strings.NewReplacer("+", "-", "/", "_").Replace(sum)
		text := pick(rng, sum+"=", url, url+"=", sum+"==", "!"+sum, "", "AAAA", sum+"\n")
		return v.With("hashes", hashes.With("sha256", canonjson.Text(text)))
	case 3:
		return v.With("hashes", canonjson.Value(pick(rng, "{}", `{"sha256":5}`, `{"sha256":null}`, "[]", `"x"`, `{"md5":"x"}`)))
	case 4, 5:
		return w.damageSignatures(v)
	case 6: // duplicates
		name := pick(rng, topLevel...)
		value := canonjson.Value(pick(rng, "5", `"m.room.message"`, "{}", "null"))
		if own := v.Get(name); own != nil && chance(rng, 50) {
			value = own
		}
		if chance(rng, 50) {
			return []byte(`{` + quote(name) + `:` + string(value) + `,` + string(v[1:]))
		}
		return []byte(string(v[:len(v)-1]) + `,` + quote(name) + `:` + string(value) + `}`)
	case 7:
		return []byte(strings.Replace(string(v), `"content":{`, `"content":{"dup":1,"dup":2,`, 1))
	case 8:
		at := rng.IntN(len(v))
		return append(append(append([]byte(nil), v[:at]...), pick(rng, ",", "}", "\x00", "\xff", "0", "\"", " ")...), v[at:]...)
	case 9:
		return append([]byte(nil), v[:rng.IntN(len(v))]...)
	case 10:
		return append(append([]byte(nil), v...), pick(rng, " ", "\n", "x", "{}", "\x00", ",")...)
	default:
		return restyle(rng, v)
	}
}

func (w *world) damageSignatures(v canonjson.Value) canonjson.Value {
	rng := w.rng
	signatures := v.Get("signatures")
	var server, key string
	var signature canonjson.Value
	for name, byKey := range signatures.Members() {
		for keyID, value := range byKey.Members() {
			if server == "" || chance(rng, 40) {
				server, key, signature = name.String(), keyID.String(), value
			}
		}
	}
	if server == "" {
		return v.With("signatures", canonjson.Value(pick(rng, "[]", "null", `{"a.test":5}`, `{"a.test":{"ed25519:1":5}}`)))
	}
	own := signatures.Get(server)
	set := func(keyID, value string) canonjson.Value {
		return v.With("signatures", signatures.With(server, own.With(keyID, canonjson.Value(value))))
	}
	text, _ := signature.Text()
	switch rng.IntN(9) {
	case 0: // another signature
		return set(key, quote(strings.Repeat("A", 86)))
	case 1:
		return set(key, pick(rng, "5", `""`, `"!"`, `"AAAA"`, "null", "{}", quote(text+"=="), quote(text+"A")))
	case 2: // the right one, under another name
		return set(pick(rng, "ed25519:unknown", "rsa:1", "ed25519", "ed25519:2", ":", ""), string(signature))
	case 3:
		return set("ed25519:2", quote(strings.Repeat("A", 86)))
	case 4:
		return v.With("signatures", signatures.Without(server))
	case 5:
		return v.With("signatures", signatures.With(server, canonjson.Value(pick(rng, "{}", "5", "null", "[]", `"x"`))))
	case 6: // of a server that nobody asked for
		return v.With("signatures", signatures.With("other.test", canonjson.Value(pick(rng, "{}", "5", `{"ed25519:1":5}`, `{"ed25519:1":"AAAA"}`, `{"rsa:1":"!"}`, `{"ed25519:1":"`+strings.Repeat("A", 86)+`"}`))))
	case 7:
		return v.With("unsigned", canonjson.Value(`{"age":1}`))
	default:
		return set(pick(rng, "ed25519:unknown", "rsa:1"), pick(rng, `"AAAA"`, "5", `"!"`))
	}
}
