package difftest

import (
	"encoding/base64"
	"strconv"

	"parley/internal/roomtest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/signing"
)

func base64Of(b []byte) string { return base64.RawStdEncoding.EncodeToString(b) }

// candidate returns the fields of an event that somebody might send in the
// world.
func (w *world) candidate() object {
	rng := w.rng
	sender := pick(rng, users...)
	if chance(rng, 50) {
		sender = pick(rng, users[:2]...)
	}
	var o object
	switch n := rng.IntN(100); {
	case n < 40:
		o = w.memberCandidate(sender)
	case n < 65:
		o = w.stateFields(sender, event.TypePowerLevels, "", w.newLevels())
		if chance(rng, 5) {
			o.set("state_key", quote(pick(rng, string(sender), "@bob:b.test", "x")))
		}
	case n < 71:
		o = w.createCandidate(sender)
	case n < 76:
		o = w.stateFields(sender, event.TypeThirdPartyInvite, pick(rng, tokens...), w.thirdPartyInvite())
	case n < 81:
		key := pick(rng, string(sender.Server()), string(sender.Server()), "b.test", "")
		o = w.stateFields(sender, event.TypeAliases, key, `{"aliases":["#x:a.test"]}`)
		if chance(rng, 10) {
			o.remove("state_key")
		}
	case n < 86:
		o = w.redactionCandidate(sender)
	case n < 88:
		o = w.stateFields(sender, event.TypeJoinRules, "", w.joinRules())
	default:
		o = w.plainCandidate(sender)
	}
	return o
}

func (w *world) plainCandidate(sender id.UserID) object {
	rng := w.rng
	eventType := pick(rng, "m.room.message", "m.room.message", "m.room.name", "x.custom", "m.room.history_visibility", "m.room.server_acl", "m.room.topic")
	o := w.fields(sender)
	content := `{"body":"hello","history_visibility":"shared","x":1}`
	if chance(rng, 30) {
		var c object
		for range rng.IntN(5) {
			c.set(pick(rng, keys...), value(rng, 3))
		}
		content = c.String()
	}
	o.set("content", content)
	if eventType != "m.room.message" && chance(rng, 80) {
		o.set("state_key", quote(pick(rng, "", "", "key", string(sender), "@bob:b.test", "@")))
	}
	o.set("type", quote(eventType))
	return o
}

func (w *world) createCandidate(sender id.UserID) object {
	rng := w.rng
	o := w.createFields()
	o.set("sender", quote(string(sender)))
	if chance(rng, 10) {
		o.set("prev_events", w.references("$prev:a.test"))
	}
	if chance(rng, 15) && !w.rules.RoomIDFromCreate {
		o.set("room_id", quote("!room:"+string(sender.Server())))
	}
	if chance(rng, 10) {
		o.set("room_id", quote(string(w.room)))
	}
	if chance(rng, 8) && !w.rules.RoomIDFromCreate {
		o.set("state_key", quote("x"))
	}
	if chance(rng, 8) && !w.rules.RoomIDFromCreate {
		o.remove("state_key")
	}
	if chance(rng, 20) {
		version := pick(rng, "5", "null", `"weird"`, `"org.matrix.msc3667"`, `"1"`, `"12"`)
		o.set("content", string(mustCanonical(o.get("content")).With("room_version", canonjson.Value(version))))
	}
	return o
}

func (w *world) redactionCandidate(sender id.UserID) object {
	rng := w.rng
	o := w.fields(sender)
	target := quote(pick(rng, "$e1:a.test", "$e1:b.test", "$e1:c.test:8448", "$hash", "$"))
	if chance(rng, 3) {
		target = pick(rng, "null", `"nonsense"`)
	}
	content := "{}"
	if chance(rng, 30) || w.rules.RedactsInContent {
		content = `{"redacts":` + target + `}`
	}
	o.set("content", content)
	if chance(rng, 90) && !w.rules.RedactsInContent {
		o.set("redacts", target)
	}
	if chance(rng, 30) && w.rules.EventID == roomver.EventIDCarried {
		o.set("event_id", quote("$x"+strconv.Itoa(w.made)+":"+string(pick(rng, users...).Server())))
	}
	o.set("type", quote(event.TypeRedaction))
	return o
}

func (w *world) memberCandidate(sender id.UserID) object {
	rng := w.rng
	target := sender
	membership := pick(rng, "join", "join", "join", "leave", "leave", "knock", "knock", "invite", "ban")
	if chance(rng, 50) {
		target = pick(rng, users...)
		membership = pick(rng, "invite", "invite", "leave", "leave", "ban", "join", "knock")
	}
	var content object
	content.set("membership", quote(membership))
	if chance(rng, 10) {
		content.set("displayname", pick(rng, quote(pick(rng, texts...)), "5"))
	}
	if membership == "join" && chance(rng, 40) || chance(rng, 3) {
		content.set("join_authorised_via_users_server", quote(string(pick(rng, users...))))
		if chance(rng, 5) {
			content.set("join_authorised_via_users_server", pick(rng, "5", "null", `"bob"`, `""`, `"@bob"`))
		}
	}
	if membership == "invite" && chance(rng, 40) || chance(rng, 2) {
		content.set("third_party_invite", w.thirdParty(target))
	}
	if chance(rng, 2) {
		content.set("membership", pick(rng, "5", "null", `"weird"`, `""`, `"Join"`))
	}
	o := w.stateFields(sender, event.TypeMember, string(target), content.String())
	if chance(rng, 2) {
		o.remove("state_key")
	} else if chance(rng, 2) {
		o.set("state_key", quote(pick(rng, "", "bob", "@")))
	}
	if chance(rng, 15) {
		o.set("prev_events", w.references(string(w.create.ID())))
	}
	return o
}

// thirdParty returns the member third_party_invite of an invite.
func (w *world) thirdParty(target id.UserID) string {
	rng := w.rng
	mxid, token := string(target), pick(rng, tokens...)
	if chance(rng, 8) {
		mxid = string(pick(rng, users...))
	}
	if chance(rng, 5) {
		token = pick(rng, "", "unknown")
	}
	signed := canonjson.Value(nil).With("mxid", canonjson.Text(mxid)).With("token", canonjson.Text(token))
	if chance(rng, 8) {
		signed = signed.With("extra", canonjson.Text("x"))
	}
	if chance(rng, 5) {
		signed = signed.Without(pick(rng, "mxid", "token"))
	}
	signer := identityServer
	if chance(rng, 15) {
		signer = "evil.test"
	}
	if !chance(rng, 5) {
		key := roomtest.Key(signer)
		if chance(rng, 10) {
			key.ID = pick[id.KeyID](rng, "ed25519", "ed25519x:1", "rsa:1", "ed25519:0")
		}
		signed = signing.Sign(signed, string(identityServer), key)
	}
	if chance(rng, 3) {
		signed = signed.With("signatures", canonjson.Value(pick(rng, "{}", "5", `{"id.test":{"ed25519:1":"AAAA"}}`, `{"id.test":{"ed25519:1":5}}`)))
	}
	if chance(rng, 6) {
		return pick(rng, "{}", "null", "null", "5", `{"signed":null}`, `{"signed":5}`, `{"signed":{"mxid":5,"token":"token1"}}`)
	}
	return `{"display_name":"x","signed":` + string(signed) + `}`
}

// newLevels returns power levels that differ in little from the present ones,
// mostly.
func (w *world) newLevels() string {
	rng := w.rng
	current := w.state[event.Tuple{Type: event.TypePowerLevels}]
	if current == nil || chance(rng, 15) {
		return w.levels(2)
	}
	content := current.Content()
	for range 1 + rng.IntN(3) {
		content = w.changeLevel(content)
	}
	return string(content)
}

func (w *world) changeLevel(content canonjson.Value) canonjson.Value {
	rng := w.rng
	section, key := "", ""
	switch rng.IntN(8) {
	case 0, 1, 2:
		key = pick(rng, scalars...)
	case 3, 4:
		section, key = "events", pick(rng, levelTypes...)
	case 5, 6:
		section, key = "users", string(pick(rng, users...))
		if chance(rng, 3) {
			key = pick(rng, "bob", "@bob", "@ünï:b.test", "@:b.test", "@b:")
		}
		if w.isCreator(id.UserID(key)) && chance(rng, 90) {
			return content
		}
	case 7:
		section, key = "notifications", pick(rng, "room", "x")
	}
	within := content
	if section != "" {
		if within = content.Get(section); within.Kind() != canonjson.Object {
			within = nil
		}
	}
	if within.Get(key) != nil && chance(rng, 35) {
		within = within.Without(key)
	} else {
		within = within.With(key, canonjson.Value(mustCanonical(w.level(1+rng.IntN(2)))))
	}
	if section == "" {
		return within
	}
	return content.With(section, within)
}

func mustCanonical(text string) canonjson.Value {
	v, err := canonjson.Canonical([]byte(text), canonjson.Lenient)
	if err != nil {
		panic("difftest: " + err.Error() + ": " + text)
	}
	return v
}
