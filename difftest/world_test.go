package difftest

import (
	"math/rand/v2"
	"strconv"

	"github.com/matrix-org/gomatrixserverlib"
	"github.com/matrix-org/gomatrixserverlib/spec"

	"parley/internal/roomtest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// versions are those of the specification.
var versions = func() (all []*roomver.Rules) {
	for rules := range roomver.Known() {
		if !rules.Unstable {
			all = append(all, rules)
		}
	}
	return all
}()

// users live on several servers; the first creates the rooms.
var users = []id.UserID{"@alice:a.test", "@bob:b.test", "@carol:a.test", "@dan:c.test:8448", "@eve:b.test", "@Old_Fred!:d.test"}

const identityServer id.ServerName = "id.test"

var tokens = []string{"token1", "token2", "@token"}

// world is a room of which only the state is known.
type world struct {
	rng   *rand.Rand
	rules *roomver.Rules
	other gomatrixserverlib.IRoomVersion
	room  id.RoomID
	made  int

	create *event.Event
	state  eventauth.MapState
	pdus   []gomatrixserverlib.PDU // the same state
}

func newWorld(rng *rand.Rand) *world {
	rules := pick(rng, versions...)
	w := &world{
		rng:   rng,
		rules: rules,
		other: gomatrixserverlib.MustGetRoomVersion(gomatrixserverlib.RoomVersion(rules.Version)),
		room:  "!room:a.test",
		state: make(eventauth.MapState),
	}
	w.add(w.createFields())
	w.create = w.state[event.Tuple{Type: event.TypeCreate}]
	w.room = w.create.RoomID()
	for _, user := range users {
		if chance(rng, 85) {
			w.add(w.stateFields(user, event.TypeMember, string(user), w.memberContent(user)))
		}
	}
	if chance(rng, 85) {
		w.add(w.stateFields(users[0], event.TypePowerLevels, "", w.levels(2)))
	}
	if chance(rng, 85) {
		w.add(w.stateFields(users[0], event.TypeJoinRules, "", w.joinRules()))
	}
	for _, token := range tokens {
		if chance(rng, 40) {
			w.add(w.stateFields(pick(rng, users[:3]...), event.TypeThirdPartyInvite, token, w.thirdPartyInvite()))
		}
	}
	return w
}

// add makes an event of fields a part of the state in both libraries.
func (w *world) add(fields object) {
	e, pdu := w.load(fields)
	if t, ok := e.Tuple(); ok {
		w.state[t] = e
		w.pdus = append(w.pdus, pdu)
	}
}

// load makes an event without checks of hashes or signatures. The fields must
// be in order.
func (w *world) load(fields object) (*event.Event, gomatrixserverlib.PDU) {
	text, err := canonjson.Canonical([]byte(fields.String()), canonjson.Lenient)
	if err != nil {
		panic("difftest: " + err.Error() + ": " + fields.String())
	}
	e, err := event.Parse(text, w.rules)
	if err != nil {
		panic("difftest: " + err.Error() + ": " + fields.String())
	}
	pdu, err := w.other.NewEventFromTrustedJSON(text, false)
	if err != nil {
		panic("difftest: gomatrixserverlib: " + err.Error() + ": " + fields.String())
	}
	return e, pdu
}

// provider returns the state for gomatrixserverlib.
func (w *world) provider() *gomatrixserverlib.AuthEvents {
	events, err := gomatrixserverlib.NewAuthEvents(w.pdus)
	if err != nil {
		panic("difftest: " + err.Error())
	}
	return events
}

// userOf is the map from senders to users that gomatrixserverlib wants.
func userOf(_ spec.RoomID, sender spec.SenderID) (*spec.UserID, error) {
	return spec.NewUserID(string(sender), true)
}

// fields returns the fields of an event but content and type.
func (w *world) fields(sender id.UserID) object {
	w.made++
	serial := strconv.Itoa(w.made)
	var o object
	o.set("auth_events", "[]")
	o.set("depth", strconv.Itoa(10+w.made))
	if w.rules.EventID == roomver.EventIDCarried {
		o.set("event_id", quote("$e"+serial+":"+string(sender.Server())))
	}
	o.set("hashes", `{"sha256":"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"}`)
	o.set("origin_server_ts", strconv.Itoa(1_600_000_000_000+w.made))
	o.set("prev_events", w.references("$prev"+serial+":a.test"))
	o.set("room_id", quote(string(w.room)))
	o.set("sender", quote(string(sender)))
	o.set("signatures", "{}")
	return o
}

// references returns prev_events or auth_events as the room version has them.
func (w *world) references(ids ...string) string {
	out := "["
	for i, eventID := range ids {
		if i > 0 {
			out += ","
		}
		if w.rules.HashedReferences {
			out += "[" + quote(eventID) + `,{"sha256":"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"}]`
		} else {
			out += quote(eventID)
		}
	}
	return out + "]"
}

func (w *world) stateFields(sender id.UserID, eventType, stateKey, content string) object {
	o := w.fields(sender)
	o.set("content", content)
	o.set("state_key", quote(stateKey))
	o.set("type", quote(eventType))
	return o
}

func (w *world) createFields() object {
	o := w.stateFields(users[0], event.TypeCreate, "", w.createContent())
	o.set("prev_events", "[]")
	if w.rules.RoomIDFromCreate {
		o.remove("room_id")
	}
	return o
}

func (w *world) createContent() string {
	rng := w.rng
	var o object
	if chance(rng, 92) {
		o.set("room_version", quote(string(w.rules.Version)))
	}
	if chance(rng, 92) || w.rules.CreatorInContent && chance(rng, 80) {
		o.set("creator", quote(string(users[0])))
		if chance(rng, 4) {
			o.set("creator", pick(rng, quote(string(users[2])), "5", "null"))
		}
	}
	if chance(rng, 20) {
		o.set("m.federate", pick(rng, "true", "false", "false"))
		if chance(rng, 4) {
			o.set("m.federate", pick(rng, `"false"`, "null", "0"))
		}
	}
	if chance(rng, 30) {
		o.set("additional_creators", pick(rng, "[]", `["@bob:b.test"]`, `["@carol:a.test","@bob:b.test"]`))
		if chance(rng, 15) {
			o.set("additional_creators", pick(rng, "null", `"@bob:b.test"`, `[5]`, `["bob"]`, `["@ünï:b.test"]`))
		}
	}
	if chance(rng, 2) {
		o.set(pick(rng, "type", "predecessor"), pick(rng, "5", `"m.space"`, `{"room_id":"!old:a.test"}`, `{"room_id":5}`))
	}
	return o.String()
}

func (w *world) memberContent(user id.UserID) string {
	rng := w.rng
	membership := quote(pick(rng, "join", "join", "join", "join", "invite", "leave", "ban", "knock"))
	if user == users[0] && chance(rng, 80) {
		membership = `"join"`
	}
	var o object
	o.set("membership", membership)
	if chance(rng, 20) {
		o.set("displayname", pick(rng, quote(pick(rng, texts...)), "5", "null"))
	}
	if chance(rng, 1) {
		o.set("membership", pick(rng, "5", "null", `"weird"`, `""`))
	}
	return o.String()
}

func (w *world) joinRules() string {
	rng := w.rng
	var o object
	o.set("join_rule", quote(pick(rng, "public", "public", "invite", "knock", "restricted", "restricted", "knock_restricted", "private", "weird")))
	if chance(rng, 30) {
		o.set("allow", pick(rng, "[]", `[{"type":"m.room_membership","room_id":"!space:a.test"}]`))
		if chance(rng, 3) {
			o.set("allow", pick(rng, "5", "[5]", "null"))
		}
	}
	if chance(rng, 1) {
		o.set("join_rule", pick(rng, "5", "null"))
	}
	if chance(rng, 1) {
		o.remove("join_rule")
	}
	return o.String()
}

func (w *world) thirdPartyInvite() string {
	rng := w.rng
	good := quote(base64Of(roomtest.Key(identityServer).Public()))
	bad := quote(base64Of(roomtest.Key("evil.test").Public()))
	key := func() string { return pick(rng, good, good, bad) }
	var o object
	o.set("display_name", quote("somebody"))
	if chance(rng, 50) {
		o.set("public_key", key())
	}
	if chance(rng, 70) {
		var list string
		for range rng.IntN(3) {
			if list != "" {
				list += ","
			}
			list += `{"public_key":` + key() + `}`
		}
		o.set("public_keys", "["+list+"]")
	}
	if chance(rng, 2) {
		o.set(pick(rng, "public_key", "public_keys", "display_name"), pick(rng, "5", `"!"`, "null", `[{"public_key":"!"}]`, `[5]`))
	}
	return o.String()
}

// level returns a power level. How odd it may be is 0 for an integer, 1 for
// what the room version accepts, 2 for anything.
func (w *world) level(odd int) string {
	rng := w.rng
	n := pick(rng, 0, 0, 10, 25, 49, 50, 50, 50, 51, 75, 99, 100, 100, 100, 101, -1, 1000)
	text := strconv.Itoa(n)
	if odd == 0 || chance(rng, 85) {
		return text
	}
	if w.rules.Levels != roomver.LevelsStrict && chance(rng, 60) {
		return quote(pick(rng, text, " "+text+" ", "\t"+text, "0"+strconv.Itoa(max(n, 0)), "+"+strconv.Itoa(max(n, 0))))
	}
	if w.rules.Levels == roomver.LevelsFloaty && odd == 2 && chance(rng, 15) {
		return pick(rng, "1e300", "-1e300", "9223372036854775808")
	}
	if w.rules.Levels == roomver.LevelsFloaty && chance(rng, 80) {
		return pick(rng, text+".0", text+".7", "5e1", "-0.5", "1.5e1", "-50.9")
	}
	if odd == 2 && chance(rng, 15) {
		if w.rules.StrictJSON {
			return pick(rng, "null", "true", `"x"`, `""`, "[]", "{}", `"1.5"`, `"99999999999999999999"`, "9007199254740991", `"9007199254740992"`)
		}
		return pick(rng, "null", "true", `"x"`, `""`, "[]", "{}", `"1.5"`, `"99999999999999999999"`, "99999999999999999999",
			"9223372036854775807", "9007199254740992", "1e300", "-1e300")
	}
	return text
}

var scalars = []string{"users_default", "events_default", "state_default", "ban", "redact", "kick", "invite"}

var levelTypes = []string{"m.room.message", "m.room.name", "m.room.power_levels", "m.room.redaction", "m.room.third_party_invite", "x.custom", "m.room.create"}

func (w *world) levels(odd int) string { return w.levelsObject(odd).String() }

func (w *world) levelsObject(odd int) object {
	rng := w.rng
	var o, events, people, notifications object
	for _, key := range scalars {
		if chance(rng, 40) {
			o.set(key, w.level(odd))
		}
	}
	if chance(rng, 60) {
		for range rng.IntN(4) {
			events.set(pick(rng, levelTypes...), w.level(odd))
		}
		o.set("events", events.String())
	}
	if chance(rng, 90) {
		for _, user := range users {
			if w.isCreator(user) && chance(rng, 98) {
				continue
			}
			if chance(rng, 45) {
				people.set(string(user), w.level(odd))
			}
		}
		if !w.rules.PrivilegedCreators && chance(rng, 80) {
			people.set(string(users[0]), "100")
		}
		o.set("users", people.String())
	}
	if chance(rng, 25) {
		for range rng.IntN(3) {
			notifications.set(pick(rng, "room", "x"), w.level(odd))
		}
		o.set("notifications", notifications.String())
	}
	if odd == 2 && chance(rng, 2) {
		o.set(pick(rng, "users", "events", "notifications"), pick(rng, "null", "5", "[]", `"x"`))
	}
	return o
}

func (w *world) isCreator(user id.UserID) bool {
	return w.rules.PrivilegedCreators && w.create != nil && eventauth.IsCreator(w.create, user)
}
