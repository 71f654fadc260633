package filter

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func value(t testing.TB, text string) canonjson.Value {
	t.Helper()
	v, err := canonjson.Canonical([]byte(text), canonjson.Lenient)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func parse(t testing.TB, text string) *Filter {
	t.Helper()
	f, err := Parse(value(t, text))
	if err != nil {
		t.Fatalf("%.200s: %v", text, err)
	}
	return f
}

// list is the JSON of n strings.
func list(n int, format string) string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprintf(format, i)
	}
	b, err := json.Marshal(texts)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestBadFiltersAreRefused(t *testing.T) {
	rows := []struct {
		name, filter string
		code         mxerr.Code
		member       string // that the message names
	}{
		{"a filter is an object", `[]`, mxerr.BadJSON, "not an object"},
		{"a section is an object", `{"presence":[]}`, mxerr.BadJSON, "presence has to be an object"},
		{"the rooms are an object", `{"room":true}`, mxerr.BadJSON, "room has"},
		{"a section of the rooms is an object", `{"room":{"timeline":"all"}}`, mxerr.BadJSON, "room.timeline has"},
		{"a list is an array", `{"room":{"state":{"types":"m.room.member"}}}`, mxerr.BadJSON, "room.state.types has to be an array"},
		{"a list has strings", `{"account_data":{"not_types":["a",1]}}`, mxerr.BadJSON, "account_data.not_types[1] has to be a string"},
		{"senders are users", `{"presence":{"senders":["@a:b","alice"]}}`, mxerr.BadJSON, "presence.senders[1]:"},
		{"excluded senders are users", `{"presence":{"not_senders":["*"]}}`, mxerr.BadJSON, "presence.not_senders[0]:"},
		{"rooms are room IDs", `{"room":{"rooms":["#a:b"]}}`, mxerr.BadJSON, "room.rooms[0]:"},
		{"excluded rooms are room IDs", `{"room":{"ephemeral":{"not_rooms":[""]}}}`, mxerr.BadJSON, "room.ephemeral.not_rooms[0]:"},
		{"senders of relations are users", `{"room":{"timeline":{"related_by_senders":["x"]}}}`, mxerr.BadJSON, "related_by_senders[0]:"},
		{"a limit is a number", `{"room":{"timeline":{"limit":"10"}}}`, mxerr.BadJSON, "room.timeline.limit has to be an integer"},
		{"a limit is an integer", `{"room":{"timeline":{"limit":1.5}}}`, mxerr.BadJSON, "room.timeline.limit"},
		{"a limit is not negative", `{"room":{"timeline":{"limit":-1}}}`, mxerr.BadJSON, "room.timeline.limit"},
		{"a flag is a boolean", `{"room":{"include_leave":1}}`, mxerr.BadJSON, "room.include_leave has to be true or false"},
		{"contains_url is a boolean", `{"room":{"timeline":{"contains_url":"yes"}}}`, mxerr.BadJSON, "room.timeline.contains_url"},
		{"lazy_load_members is a boolean", `{"room":{"state":{"lazy_load_members":{}}}}`, mxerr.BadJSON, "room.state.lazy_load_members"},
		{"the format is one of two", `{"event_format":"html"}`, mxerr.BadJSON, "event_format has to be client or federation"},
		{"the format is a string", `{"event_format":1}`, mxerr.BadJSON, "event_format"},
		{"fields are an array", `{"event_fields":{"content":true}}`, mxerr.BadJSON, "event_fields"},
		{"profile fields are in an object", `{"org.matrix.msc4429.profile_fields":["m.status"]}`, mxerr.BadJSON, "profile_fields has to be an object"},
		{"profile fields are strings", `{"org.matrix.msc4429.profile_fields":{"ids":["m.status",1]}}`, mxerr.BadJSON, "profile_fields.ids[1]"},
		{"a path has not too many names", `{"event_fields":["` + strings.Repeat("a.", MaxNames) + `a"]}`, mxerr.BadJSON, "event_fields"},
		{"a list is not too long", `{"presence":{"types":` + list(MaxList+1, "t%d") + `}}`, mxerr.BadJSON, "presence.types has more than"},
		{"there are not too many wildcards", `{"presence":{"types":` + list(MaxStars/2+1, "*t%d*") + `}}`, mxerr.BadJSON, "presence.types has more than"},
		{"a filter is not too large", `{"presence":{"types":["` + strings.Repeat("x", MaxSize) + `"]}}`, mxerr.TooLarge, "larger"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			_, err := Parse(value(t, r.filter))
			var refusal *mxerr.Error
			if !errors.As(err, &refusal) || refusal.Code != r.code || !strings.Contains(refusal.Message, r.member) {
				t.Errorf("%.100s: got %v, want %s with %q", r.filter, err, r.code, r.member)
			}
		})
	}
}

func TestWhatIsAccepted(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                      `{}`,
		"unknown members":              `{"x":1,"room":{"y":[],"timeline":{"org.example.z":"?"}}}`,
		"null":                         `{"event_fields":null,"event_format":null,"presence":null,"account_data":{"types":null,"limit":null},"room":{"rooms":null,"include_leave":null,"timeline":{"contains_url":null}}}`,
		"empty lists that exclude":     `{"presence":{"not_types":[],"not_senders":[]},"account_data":{"not_types":[]},"room":{"not_rooms":[],"timeline":{"not_rooms":[]}}}`,
		"a limit":                      `{"room":{"timeline":{"limit":5}}}`,
		"no fields, which are all":     `{"event_fields":[]}`,
		"the format of clients":        `{"event_format":"client"}`,
		"a list as long as it can get": `{"presence":{"not_types":[]},"room":{"timeline":{"unknown":` + list(MaxList, "%d") + `}}}`,
	} {
		f := parse(t, text)
		if !f.EventFields.All() || f.Federation || !f.Presence.All() || !f.AccountData.All() || !f.Room.AllRooms() || f.Room.IncludeLeave {
			t.Errorf("%s: something does not pass", name)
		}
		for _, section := range []*RoomEventFilter{&f.Room.Timeline, &f.Room.State, &f.Room.Ephemeral, &f.Room.AccountData} {
			if !section.All() || section.None() || !section.AllowsRoom("!a:b") || !section.Match("m.a", "@a:b", nil) {
				t.Errorf("%s: something in rooms does not pass", name)
			}
		}
	}
}

func TestEachMemberIsReadIntoItsPlace(t *testing.T) {
	f := parse(t, `{
		"event_fields": ["type"], "event_format": "federation",
		"presence": {"types": ["p"]}, "account_data": {"types": ["a"]},
		"room": {
			"rooms": ["!r:x"], "not_rooms": ["!s:x"], "include_leave": true,
			"ephemeral": {"types": ["e"]}, "state": {"types": ["s"]}, "account_data": {"types": ["d"]},
			"timeline": {
				"types": ["t"], "contains_url": false, "lazy_load_members": true, "include_redundant_members": true,
				"unread_thread_notifications": true, "related_by_rel_types": ["m.thread"], "related_by_senders": ["@a:b"],
				"limit": 3, "rooms": ["!r:x"]
			}
		}
	}`)
	sections := map[string]func(string, id.UserID) bool{
		"p": f.Presence.Match, "a": f.AccountData.Match, "e": f.Room.Ephemeral.EventFilter.Match,
		"s": f.Room.State.EventFilter.Match, "d": f.Room.AccountData.EventFilter.Match, "t": f.Room.Timeline.EventFilter.Match,
	}
	for name, match := range sections {
		for other := range sections {
			if got := match(other, ""); got != (name == other) {
				t.Errorf("type %s in the section of %s: %v", other, name, got)
			}
		}
	}
	line := &f.Room.Timeline
	if f.EventFields.All() || !f.Federation || !f.Room.IncludeLeave || !f.Room.AllowsRoom("!r:x") || f.Room.AllowsRoom("!s:x") || f.Room.AllowsRoom("!t:x") {
		t.Error("what is not of a section")
	}
	if *line.ContainsURL || !line.LazyLoadMembers || !line.IncludeRedundantMembers || !line.UnreadThreadNotifications ||
		line.Limit() != 3 || line.AllowsRoom("!s:x") || line.All() ||
		fmt.Sprint(line.RelatedByRelTypes, line.RelatedBySenders) != "[m.thread] [@a:b]" {
		t.Errorf("timeline %+v", line)
	}
	if state := &f.Room.State; state.ContainsURL != nil || state.LazyLoadMembers || state.RelatedBySenders != nil {
		t.Errorf("state %+v", state)
	}
}

func TestLimits(t *testing.T) {
	for text, want := range map[string]int{
		`{}`: DefaultLimit, `{"limit":0}`: 0, `{"limit":1}`: 1, `{"limit":100}`: 100,
		`{"limit":101}`: MaxLimit, `{"limit":9007199254740993}`: MaxLimit, `{"limit":null}`: DefaultLimit,
	} {
		f, err := ParseRoomEvents(value(t, text))
		if err != nil || f.Limit() != want {
			t.Errorf("%s: got %d, %v, want %d", text, f.Limit(), err, want)
		}
	}
	if got := new(Filter).Room.Timeline.Limit(); got != DefaultLimit {
		t.Errorf("the zero filter has limit %d", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"room":{"timeline":{"limit":10,"types":["m.room.*","*"],"not_senders":["@spam:x"]},"not_rooms":["!a:x"]}}`, "m.room.message")
	f.Add(`{"presence":{"types":[]},"event_fields":["a.b\\.c","a"],"event_format":"federation"}`, "m.presence")
	f.Add(`{"account_data":{"not_types":["**a*b**"],"senders":["@a:b"]}}`, "xaxbx")
	f.Fuzz(func(t *testing.T, text, eventType string) {
		definition, err := canonjson.Canonical([]byte(text), canonjson.Lenient)
		if err != nil {
			return
		}
		compiled, err := Parse(definition)
		if err != nil {
			var refusal *mxerr.Error
			if !errors.As(err, &refusal) || refusal.Code != mxerr.BadJSON && refusal.Code != mxerr.TooLarge {
				t.Fatalf("error %v", err)
			}
			return
		}
		for _, section := range []*RoomEventFilter{&compiled.Room.Timeline, &compiled.Room.State} {
			passes := section.AllowsRoom("!a:x") && section.Match(eventType, "@a:b", nil)
			if section.All() && (!passes || section.None()) || section.None() && passes && section.RelatedBySenders == nil && section.RelatedByRelTypes == nil {
				t.Errorf("%s: all %v, none %v, passes %v", text, section.All(), section.None(), passes)
			}
		}
		again, err := Parse(compiled.Definition)
		if err != nil || again.Presence.Match(eventType, "") != compiled.Presence.Match(eventType, "") {
			t.Errorf("parsed again: %v", err)
		}
	})
}

// TestProfileFieldsAreAskedFor: whoever does not is told of none.
func TestProfileFieldsAreAskedFor(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: "[]", `{"org.matrix.msc4429.profile_fields":{}}`: "[]", `{"org.matrix.msc4429.profile_fields":null}`: "[]",
		`{"org.matrix.msc4429.profile_fields":{"ids":[]}}`: "[]", `{"profile_fields":{"ids":["m.status"]}}`: "[]",
		`{"org.matrix.msc4429.profile_fields":{"ids":["m.status","displayname"]}}`: "[m.status displayname]",
	} {
		if got := fmt.Sprint(parse(t, text).ProfileFields); got != want {
			t.Errorf("%s asks for %s", text, got)
		}
	}
}
