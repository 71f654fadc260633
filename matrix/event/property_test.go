package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"parley/matrix/id"
)

var (
	drawnTypes = []string{
		"m.room.create", "m.room.member", "m.room.join_rules", "m.room.power_levels", "m.room.aliases",
		"m.room.history_visibility", "m.room.redaction", "m.room.message", "m.room.third_party_invite", "", "m.room.create\n",
	}
	// drawnNames are the members that redaction keeps somewhere, and names that
	// sort right before and after them.
	drawnNames = strings.Split("membership,creator,join_rule,allow,ban,events,events_default,kick,redact,state_default,users,"+
		"users_default,invite,notifications,aliases,history_visibility,redacts,third_party_invite,signed,"+
		"join_authorised_via_users_server,event_id,type,origin,prev_state,hashes,signatures,unsigned,content,"+
		"ba,ban\n,bans,\",\\,\x00,_,`,é,\U0001f600,\uffff,,sign,signed ,Membership", ",")
)

func drawName(t *rapid.T) string {
	if rapid.Bool().Draw(t, "known name") {
		return rapid.SampledFrom(drawnNames).Draw(t, "name")
	}
	return rapid.StringN(0, 6, -1).Draw(t, "name")
}

// drawValue draws what encoding/json would read, strict numbers only.
func drawValue(t *rapid.T, depth int) any {
	kinds := 7
	if depth == 0 {
		kinds = 5
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return json.Number(strconv.FormatInt(rapid.Int64Range(-1<<53+1, 1<<53-1).Draw(t, "number"), 10))
	case 3, 4:
		return rapid.StringN(0, 8, -1).Draw(t, "text")
	case 5:
		list := make([]any, rapid.IntRange(0, 3).Draw(t, "length"))
		for i := range list {
			list[i] = drawValue(t, depth-1)
		}
		return list
	}
	return drawObject(t, depth-1)
}

func drawObject(t *rapid.T, depth int) map[string]any {
	object := map[string]any{}
	for range rapid.IntRange(0, 5).Draw(t, "members") {
		object[drawName(t)] = drawValue(t, max(depth, 0))
	}
	return object
}

// drawEvent draws an event that Parse must accept, hashed and signed by
// town.test.
func drawEvent(t *rapid.T, tb testing.TB, version int) map[string]any {
	event := map[string]any{}
	for range rapid.IntRange(0, 4).Draw(t, "extras") {
		event[drawName(t)] = drawValue(t, 2)
	}
	maps.Copy(event, slowObject(tb, message(version).json()))
	event["type"] = rapid.SampledFrom(drawnTypes).Draw(t, "type")
	event["content"] = drawObject(t, 3)
	event["depth"] = json.Number(strconv.FormatInt(rapid.Int64Range(0, 1<<53-1).Draw(t, "depth"), 10))
	event["origin_server_ts"] = json.Number(strconv.FormatInt(rapid.Int64Range(-5, 1<<53-1).Draw(t, "time"), 10))
	delete(event, "unsigned")
	if rapid.Bool().Draw(t, "has unsigned") {
		event["unsigned"] = drawObject(t, 1)
	}
	if event["type"] == "m.room.redaction" && rapid.Bool().Draw(t, "redacts") {
		event["redacts"] = "$above:" + rapid.SampledFrom([]string{"a", "a.test:1", "!"}).Draw(t, "server")
		event["content"].(map[string]any)["redacts"] = "$below\"\n"
	}
	if rapid.Bool().Draw(t, "is state") {
		event["state_key"] = rapid.StringN(0, 20, 255).Draw(t, "state key")
	}
	if version >= 12 && event["type"] == "m.room.create" && rapid.Bool().Draw(t, "names its room") {
		delete(event, "room_id")
	}
	slowFinish(tb, event, version, "town.test")
	return event
}

// messyEncode writes JSON as no canonical encoder would: members in any order,
// with white space and needless escapes.
func messyEncode(t *rapid.T, v any) []byte {
	space := rapid.SampledFrom([]string{"", " ", "\r\n\t"}).Draw(t, "space")
	var out bytes.Buffer
	out.WriteString(space)
	switch v := v.(type) {
	case map[string]any:
		names := slices.Sorted(maps.Keys(v))
		if len(names) > 1 {
			names = rapid.Permutation(names).Draw(t, "order")
		}
		out.WriteString("{" + space)
		for i, name := range names {
			if i > 0 {
				out.WriteByte(',')
			}
			out.Write(messyEncode(t, name))
			out.WriteString(space + ":")
			out.Write(messyEncode(t, v[name]))
		}
		out.WriteByte('}')
	case []any:
		out.WriteString("[" + space)
		for i, element := range v {
			if i > 0 {
				out.WriteByte(',')
			}
			out.Write(messyEncode(t, element))
		}
		out.WriteByte(']')
	case string:
		if !rapid.Bool().Draw(t, "escaped") {
			out.Write(slowEncode(v))
			break
		}
		out.WriteByte('"')
		for _, r := range v {
			if r > 0xffff {
				out.WriteRune(r)
				continue
			}
			fmt.Fprintf(&out, `\u%04X`, r)
		}
		out.WriteByte('"')
	default:
		out.Write(slowEncode(v))
	}
	out.WriteString(space)
	return out.Bytes()
}

// TestEventEqualsSlowEvent compares with the slow implementation.
func TestEventEqualsSlowEvent(t *testing.T) {
	keys := keysOf(testKey(t))
	for version := 1; version <= lastVersion; version++ {
		rules := rulesOfNumber(t, version)
		t.Run("v"+strconv.Itoa(version), rapid.MakeCheck(func(rt *rapid.T) {
			event := drawEvent(rt, t, version)
			raw := messyEncode(rt, event)
			e, err := Parse(raw, rules)
			if err != nil {
				rt.Fatalf("parsing %s: %v", raw, err)
			}
			if want := slowEncode(event); !bytes.Equal(e.JSON(), want) {
				rt.Fatalf("JSON %s, want %s", e.JSON(), want)
			}
			if want := slowID(event, version); string(e.ID()) != want {
				rt.Fatalf("ID %s, want %s", e.ID(), want)
			}
			if want := slowContentHash(event); e.ContentHash() != want || !e.HashMatches() {
				rt.Fatalf("content hash %x, want %x", e.ContentHash(), want)
			}
			redacted := e.Redacted()
			if want := slowEncode(slowRedact(event, version)); !bytes.Equal(redacted.JSON(), want) {
				rt.Fatalf("redacted %s, want %s", redacted.JSON(), want)
			}
			checkRedacted(rt, e, redacted)
			checkStored(rt, e)
			checkStored(rt, redacted)
			for _, form := range []*Event{e, redacted} {
				if err := NewVerifier(0).Verify(form, keys); err != nil {
					rt.Fatalf("verifying %s: %v", form.JSON(), err)
				}
				if err := NewVerifier(0).VerifyServer(form, "town.test", keys); err != nil {
					rt.Fatalf("verifying %s: %v", form.JSON(), err)
				}
			}
		}))
	}
}

// fatal is what checks need of *rapid.T and *testing.T.
type fatal interface {
	Fatalf(format string, args ...any)
}

// checkRedacted checks what redacting must not change.
func checkRedacted(t fatal, e, redacted *Event) {
	if redacted.ID() != e.ID() || redacted.RoomID() != e.RoomID() || redacted.ReferenceHash() != e.ReferenceHash() {
		t.Fatalf("%s in %s became %s in %s", e.ID(), e.RoomID(), redacted.ID(), redacted.RoomID())
	}
	for _, name := range []string{"hashes", "signatures", "sender", "type", "state_key", "depth", "prev_events", "auth_events", "origin_server_ts"} {
		if before, after := e.JSON().Get(name), redacted.JSON().Get(name); !bytes.Equal(before, after) {
			t.Fatalf("redaction makes %s of %s of %s", after, name, before)
		}
	}
	if again := redacted.Redacted(); !reflect.DeepEqual(again, redacted) {
		t.Fatalf("redacting twice gives %s, once %s", again.JSON(), redacted.JSON())
	}
	if redacted.Unsigned() != nil || !bytes.Equal(redacted.Content(), redactContent(e.Type(), e.Content(), e.Rules())) {
		t.Fatalf("redacted: %s", redacted.JSON())
	}
}

// checkStored checks that an event is the same after a trip to a store and
// after a trip over the network.
func checkStored(t fatal, e *Event) {
	loaded, err := Load(slices.Clone(e.JSON()), id.EventID(strings.Clone(string(e.ID()))), e.Rules())
	if err != nil || !reflect.DeepEqual(loaded, e) {
		t.Fatalf("loading %s gives %+v, %v; want %+v", e.JSON(), loaded, err, e)
	}
	parsed, err := Parse(slices.Clone(e.JSON()), e.Rules())
	if err != nil || !reflect.DeepEqual(parsed, e) {
		t.Fatalf("parsing %s gives %+v, %v; want %+v", e.JSON(), parsed, err, e)
	}
}
