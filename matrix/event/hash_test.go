package event

import (
	"encoding/base64"
	"strconv"
	"strings"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// A knownEvent has an ID and a content hash that were computed once, by other
// code, and must never change.
type knownEvent struct {
	name      string
	version   int
	json      string
	id        id.EventID
	reference string // the reference hash, in standard Base64
}

const knownJoin = `{"auth_events":["$auth/one"],"content":{"displayname":"Bäcker","join_authorised_via_users_server":"@mayor:hall.test","membership":"join"},"depth":3,"hashes":{"sha256":"dXBueuaCPqG/aHyKfzIlYxsR2hXzJpviQHRaGlSx8DY"},"origin":"town.test","origin_server_ts":1404838188002,"prev_events":["$prev+one"],"room_id":"!square:town.test","sender":"@baker:town.test","signatures":{},"state_key":"@baker:town.test","type":"m.room.member","unsigned":{"age":5}}`

var knownEvents = []knownEvent{
	{
		"an ID that the event carries", 1,
		`{"auth_events":[["$a:town.test",{"sha256":"b25l"}]],"content":{"displayname":"Bäcker","membership":"join"},"depth":3,"event_id":"$loaf:town.test","hashes":{"sha256":"RkKaSZMGgmaA2FF+PUgz/FjCzu2JX/VH8nG5U3pgiqE"},"origin":"town.test","origin_server_ts":1404838188000,"prev_events":[["$p:town.test",{"sha256":"dHdv"}]],"room_id":"!square:town.test","sender":"@baker:town.test","signatures":{},"state_key":"@baker:town.test","type":"m.room.member","unsigned":{"age":5}}`,
		"$loaf:town.test", "+2ol2oT6PRN2jesWLUVIr0C7A2I9aoZk8zb/YoY+DFc",
	},
	{
		"standard Base64 with plus and slash", 3,
		`{"auth_events":["$auth/one"],"content":{"displayname":"Bäcker","membership":"join"},"depth":3,"hashes":{"sha256":"bF0n2+AFMlhPYZn3uDX9fGR850s06GAVhyuACwIODRA"},"origin":"town.test","origin_server_ts":1404838188002,"prev_events":["$prev+one"],"room_id":"!square:town.test","sender":"@baker:town.test","signatures":{},"state_key":"@baker:town.test","type":"m.room.member","unsigned":{"age":5}}`,
		"$zU8yGBagCjiVTHicqLOORgRVrXnEgv76Ux0/ge+NiFg", "zU8yGBagCjiVTHicqLOORgRVrXnEgv76Ux0/ge+NiFg",
	},
	{
		"the same event in URL-safe Base64", 4,
		`{"auth_events":["$auth/one"],"content":{"displayname":"Bäcker","membership":"join"},"depth":3,"hashes":{"sha256":"bF0n2+AFMlhPYZn3uDX9fGR850s06GAVhyuACwIODRA"},"origin":"town.test","origin_server_ts":1404838188002,"prev_events":["$prev+one"],"room_id":"!square:town.test","sender":"@baker:town.test","signatures":{},"state_key":"@baker:town.test","type":"m.room.member","unsigned":{"age":5}}`,
		"$zU8yGBagCjiVTHicqLOORgRVrXnEgv76Ux0_ge-NiFg", "zU8yGBagCjiVTHicqLOORgRVrXnEgv76Ux0/ge+NiFg",
	},
	{
		"a join whose authorising user is redacted", 8, knownJoin,
		"$JG5DINkraH6sAMVnozANAzKSj_sR2TNeYTsJHXVUx_I", "JG5DINkraH6sAMVnozANAzKSj/sR2TNeYTsJHXVUx/I",
	},
	{
		"a join whose authorising user is kept", 9, knownJoin,
		"$s6ONWQeH9ERUIvzlQTvsmWW3ffUosCG3Bg30TFwzlZs", "s6ONWQeH9ERUIvzlQTvsmWW3ffUosCG3Bg30TFwzlZs",
	},
	{
		"a join whose origin is redacted", 11, knownJoin,
		"$HRKWk0FqO0cOFt9tMVIQC-v3WWLxCk3wP06KZU7FuYg", "HRKWk0FqO0cOFt9tMVIQC+v3WWLxCk3wP06KZU7FuYg",
	},
	{
		"a create event that names the room", 12,
		"{\"auth_events\":[],\"content\":{\"additional_creators\":[\"@mayor:hall.test\"],\"room_version\":\"12\",\"x\\n\":\"\u2028<&>\"},\"depth\":1,\"hashes\":{\"sha256\":\"4PDETWw6CziKXBStbGpWoKzoB/fi8j5ZzCnw9tFSGKQ\"},\"origin_server_ts\":1404838188000,\"prev_events\":[],\"sender\":\"@baker:town.test\",\"signatures\":{},\"state_key\":\"\",\"type\":\"m.room.create\"}",
		"$tqYZCn_dEdNhI6GJmdTpBqi95psyc5YNgv6HEu7ABz8", "tqYZCn/dEdNhI6GJmdTpBqi95psyc5YNgv6HEu7ABz8",
	},
}

func TestKnownEvents(t *testing.T) {
	for _, r := range knownEvents {
		t.Run(r.name, func(t *testing.T) {
			e, err := Parse([]byte(r.json), rulesOfNumber(t, r.version))
			if err != nil {
				t.Fatal(err)
			}
			reference := e.ReferenceHash()
			if got := base64.RawStdEncoding.EncodeToString(reference[:]); e.ID() != r.id || got != r.reference {
				t.Errorf("ID %s with reference hash %s, want %s with %s", e.ID(), got, r.id, r.reference)
			}
			if !e.HashMatches() {
				t.Error("the content hash does not match")
			}
			slow := slowObject(t, []byte(r.json))
			if got := slowID(slow, r.version); got != string(r.id) || slowContentHash(slow) != e.ContentHash() {
				t.Errorf("the slow implementation disagrees: ID %s", got)
			}
		})
	}
}

func TestHashMatches(t *testing.T) {
	const covered = "bF0n2+AFMlhPYZn3uDX9fGR850s06GAVhyuACwIODRA"
	e := knownEvents[1]
	rows := []struct {
		name, old, new string
		want           bool
	}{
		{"as it was sent", "", "", true},
		{"padded", covered, covered + "=", true},
		{"in URL-safe Base64", covered, strings.NewReplacer("+", "-", "/", "_").Replace(covered), true},
		{"beside other hashes", `{"sha256":`, `{"md5":7,"sha256":`, true},
		{"with other unsigned data", `{"age":5}`, `{"age":6}`, true},
		{"with signatures", `"signatures":{}`, `"signatures":{"a":{"b":7}}`, true},
		{"with changed content", "Bäcker", "Backer", false},
		{"with changed origin", `"origin":"town.test"`, `"origin":"hall.test"`, false},
		{"with another key", `"depth":3`, `"depth":3,"extra":null`, false},
		{"with a key like hashes", `"hashes":{`, `"hashes\u0000":0,"hashes":{`, false},
		{"by another hash", covered, "b" + strings.Repeat("A", 42), false},
		{"by half a hash", covered, covered[:20], false},
		{"by a hash and more", covered, covered + "AAAA", false},
		{"by an empty hash", covered, "", false},
		{"by no Base64", covered, "*" + covered[1:], false},
		{"by a number", `"` + covered + `"`, "7", false},
		{"by no hash", `{"sha256":"` + covered + `"}`, "{}", false},
		{"by a hash of another name", `"sha256"`, `"sha512"`, false},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			json := strings.Replace(e.json, r.old, r.new, 1)
			got, err := Parse([]byte(json), rulesOfNumber(t, e.version))
			if err != nil {
				t.Fatal(err)
			}
			if got.HashMatches() != r.want {
				t.Errorf("got %v, want %v for %s", !r.want, r.want, json)
			}
		})
	}
}

func TestReference(t *testing.T) {
	for _, r := range knownEvents {
		e, err := Parse([]byte(r.json), rulesOfNumber(t, r.version))
		if err != nil {
			t.Fatal(err)
		}
		want := Reference{ID: r.id}
		if r.version <= 2 {
			want.Hash = e.ReferenceHash()
		}
		if got := e.Reference(); got != want {
			t.Errorf("%s: got %v, want %v", r.name, got, want)
		}
	}
}

// TestIDCovers changes one member at a time. Members that survive redaction are
// covered by the ID, others are not.
func TestIDCovers(t *testing.T) {
	rows := []struct {
		field, raw     string
		from, upToFrom int // versions in which the member is covered: from <= v < upToFrom
	}{
		{"auth_events", `[]`, 3, 13},
		{"prev_events", `[]`, 3, 13},
		{"depth", `13`, 3, 13},
		{"hashes", `{}`, 3, 13},
		{"origin_server_ts", `0`, 3, 13},
		{"room_id", `"!other:town.test"`, 3, 13},
		{"sender", `"@other:town.test"`, 3, 13},
		{"state_key", `""`, 3, 13},
		{"type", `"other"`, 3, 13},
		{"event_id", `"$stowaway"`, 3, 13},
		{"origin", `"town.test"`, 3, 11},
		{"prev_state", `[]`, 3, 11},
		{"membership", `"join"`, 3, 11},
		{"content", `{"body":"Good morning"}`, 0, 0},
		{"redacts", `"$x"`, 0, 0},
		{"signatures", `{}`, 0, 0},
		{"unsigned", `{"age":3}`, 0, 0},
		{"org.example", `1`, 0, 0},
	}
	for version := 3; version <= lastVersion; version++ {
		rules := rulesOfNumber(t, version)
		before := message(version).parse(t, rules).ID()
		for _, r := range rows {
			after := message(version).with(r.field, r.raw).parse(t, rules).ID()
			if want := r.from <= version && version < r.upToFrom; (before != after) != want {
				t.Errorf("version %d: the ID covers %s: %v, want %v", version, r.field, !want, want)
			}
			form := id.Base64URL
			if version == 3 {
				form = id.Base64
			}
			if !after.HasForm(form) {
				t.Errorf("version %s: ID %s has not the form %v", strconv.Itoa(version), after, form)
			}
		}
	}
}

func TestContentHashIsOfTheWhole(t *testing.T) {
	d := message(12)
	before := d.parse(t, rulesOf(t, "12")).ContentHash()
	for _, name := range []string{"hashes", "signatures", "unsigned"} {
		if d.with(name, `{"x":1}`).parse(t, rulesOf(t, "12")).ContentHash() != before {
			t.Errorf("%s is covered", name)
		}
	}
	for _, name := range []string{"age_ts", "origin", "hashes2", "Unsigned", "", "org.example"} {
		if d.with(name, `1`).parse(t, rulesOf(t, "12")).ContentHash() == before {
			t.Errorf("%q is not covered", name)
		}
	}
	if got := contentHash(canonjson.Value("{}")); got != slowContentHash(nil) {
		t.Errorf("hash of nothing is %x", got)
	}
}
