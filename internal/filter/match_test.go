package filter

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"parley/matrix/canonjson"
	"parley/matrix/id"
)

func TestMatching(t *testing.T) {
	const alice, bob = "@alice:x", "@bob:x"
	rows := []struct {
		name, filter string
		eventType    string
		sender       id.UserID
		content      string
		want         bool
	}{
		{"no list includes all", `{}`, "a", alice, `{}`, true},
		{"a type on the list", `{"types":["a","b"]}`, "b", alice, `{}`, true},
		{"a type not on the list", `{"types":["a","b"]}`, "c", alice, `{}`, false},
		{"an empty list of types", `{"types":[]}`, "a", alice, `{}`, false},
		{"an excluded type", `{"not_types":["a"]}`, "a", alice, `{}`, false},
		{"a type that is not excluded", `{"not_types":["a"]}`, "b", alice, `{}`, true},
		{"excluding wins over including", `{"types":["a"],"not_types":["a"]}`, "a", alice, `{}`, false},
		{"a wildcard at the end", `{"types":["m.room.*"]}`, "m.room.message", alice, `{}`, true},
		{"a wildcard stands for nothing, too", `{"types":["m.room.*"]}`, "m.room.", alice, `{}`, true},
		{"a wildcard at the end does not shorten", `{"types":["m.room.*"]}`, "m.room", alice, `{}`, false},
		{"a wildcard at the start", `{"types":["*.member"]}`, "m.room.member", alice, `{}`, true},
		{"a wildcard in the middle", `{"types":["m.*.member"]}`, "m.room.member", alice, `{}`, true},
		{"both ends need their own place", `{"types":["ab*ba"]}`, "aba", alice, `{}`, false},
		{"several wildcards", `{"types":["*a*b*"]}`, "xaybz", alice, `{}`, true},
		{"several wildcards in their order", `{"types":["*a*b*"]}`, "xbya", alice, `{}`, false},
		{"wildcards beside each other", `{"types":["a***b"]}`, "ab", alice, `{}`, true},
		{"a lone wildcard", `{"types":["*"]}`, "anything", alice, `{}`, true},
		{"excluding everything", `{"not_types":["*"]}`, "anything", alice, `{}`, false},
		{"excluding by a wildcard within what is included", `{"types":["m.*"],"not_types":["m.room.*"]}`, "m.room.name", alice, `{}`, false},
		{"a question mark is itself", `{"types":["m.room.memb?r"]}`, "m.room.member", alice, `{}`, false},
		{"case counts", `{"types":["M.Room.*"]}`, "m.room.member", alice, `{}`, false},
		{"a sender on the list", `{"senders":["@alice:x"]}`, "a", alice, `{}`, true},
		{"a sender not on the list", `{"senders":["@alice:x"]}`, "a", bob, `{}`, false},
		{"an empty list of senders", `{"senders":[]}`, "a", alice, `{}`, false},
		{"an excluded sender", `{"not_senders":["@bob:x"]}`, "a", bob, `{}`, false},
		{"a sender that is not excluded", `{"not_senders":["@bob:x"]}`, "a", alice, `{}`, true},
		{"excluding a sender wins", `{"senders":["@bob:x"],"not_senders":["@bob:x"]}`, "a", bob, `{}`, false},
		{"without a sender nothing is from somebody", `{"senders":["@bob:x"]}`, "a", "", `{}`, false},
		{"without a sender nothing is excluded", `{"not_senders":["@bob:x"]}`, "a", "", `{}`, true},
		{"type and sender", `{"types":["a"],"senders":["@bob:x"]}`, "a", alice, `{}`, false},
		{"a URL that is wanted", `{"contains_url":true}`, "a", alice, `{"url":"mxc://a/b"}`, true},
		{"a URL that is missing", `{"contains_url":true}`, "a", alice, `{"info":{"url":""}}`, false},
		{"a URL that is not wanted", `{"contains_url":false}`, "a", alice, `{"url":null}`, false},
		{"no URL, as is wanted", `{"contains_url":false}`, "a", alice, `{}`, true},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			f, err := ParseRoomEvents(value(t, r.filter))
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Match(r.eventType, r.sender, value(t, r.content)); got != r.want {
				t.Errorf("%s on %s from %s with %s: %v", r.filter, r.eventType, r.sender, r.content, got)
			}
			if f.All() && !r.want || f.None() && r.want {
				t.Errorf("%s: all %v, none %v", r.filter, f.All(), f.None())
			}
		})
	}
}

func TestRooms(t *testing.T) {
	rows := []struct {
		filter string
		want   bool // of !a:x
	}{
		{`{}`, true},
		{`{"rooms":["!a:x","!b:x"]}`, true},
		{`{"rooms":["!b:x"]}`, false},
		{`{"rooms":[]}`, false},
		{`{"not_rooms":["!b:x"]}`, true},
		{`{"not_rooms":["!a:x"]}`, false},
		{`{"rooms":["!a:x"],"not_rooms":["!a:x"]}`, false},
		{`{"rooms":["!8AQXNtMoOm0Hwv4l5VbcgHWTg6yiN4wKNSHLLkvWWrM","!a:x"]}`, true},
	}
	for _, r := range rows {
		f := parse(t, `{"room":`+r.filter+`}`)
		section, err := ParseRoomEvents(value(t, r.filter))
		if err != nil {
			t.Fatal(err)
		}
		if f.Room.AllowsRoom("!a:x") != r.want || section.AllowsRoom("!a:x") != r.want {
			t.Errorf("%s: want %v", r.filter, r.want)
		}
		if open := r.filter == `{}`; f.Room.AllRooms() != open || section.All() != open {
			t.Errorf("%s lets everything pass: %v", r.filter, !open)
		}
		if section.None() != (r.filter == `{"rooms":[]}`) {
			t.Errorf("%s lets nothing pass: %v", r.filter, section.None())
		}
	}
}

// naive matches the first star every way there is.
func naive(pattern, s string) bool {
	literal, rest, star := strings.Cut(pattern, "*")
	if !star {
		return s == pattern
	}
	if !strings.HasPrefix(s, literal) {
		return false
	}
	for i := len(literal); i <= len(s); i++ {
		if naive(rest, s[i:]) {
			return true
		}
	}
	return false
}

func TestPatternsAgreeWithANaiveMatcher(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringOfN(rapid.SampledFrom([]rune("ab**é")), 0, 10, -1).Draw(t, "pattern")
		s := rapid.StringOfN(rapid.SampledFrom([]rune("abé")), 0, 12, -1).Draw(t, "type")
		f, err := ParseRoomEvents(canonjson.Value(nil).With("types", canonjson.Value("["+string(canonjson.Text(pattern))+"]")))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := f.Match(s, "", nil), naive(pattern, s); got != want {
			t.Errorf("%q matches %q: got %v, want %v", pattern, s, got, want)
		}
	})
}

func TestMatchingDoesNotAllocate(t *testing.T) {
	f := parse(t, `{"room":{"rooms":["!a:x"],"timeline":{"types":["m.room.*","*.b*c"],"not_senders":["@b:x"],"contains_url":true}}}`)
	content := value(t, `{"body":"\"","url":"mxc://a/b"}`)
	allocs := testing.AllocsPerRun(100, func() {
		if !f.Room.AllowsRoom("!a:x") || !f.Room.Timeline.Match("m.room.message", "@a:x", content) {
			t.Error("does not match")
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{1, MaxStars} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f, err := ParseRoomEvents(value(b, `{"types":`+list(n, "m.room.x%d*")+`,"not_senders":`+list(10*n, "@u%d:x")+`}`))
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				f.Match("m.room.message", "@alice:x", nil)
			}
		})
	}
}
