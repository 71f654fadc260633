package pushrule

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"parley/matrix/canonjson"
)

func TestSplitKey(t *testing.T) {
	rows := []struct {
		name, key string
		want      []string
	}{
		{"one name", "type", []string{"type"}},
		{"a dot goes one level down", "content.body", []string{"content", "body"}},
		{"an escaped dot is part of the name", `content.m\.relates_to`, []string{"content", "m.relates_to"}},
		{"an escaped backslash is part of the name", `content.m\\foo`, []string{"content", `m\foo`}},
		{"another escape stays as it is", `content.\x`, []string{"content", `\x`}},
		{"an escaped backslash does not escape the dot after it", `a\\.b`, []string{`a\`, "b"}},
		{"a backslash at the end stays", `a\`, []string{`a\`}},
		{"three levels with a dot in the middle one", `content.m\.mentions.user_ids`, []string{"content", "m.mentions", "user_ids"}},
		{"a name can be empty", "a..b", []string{"a", "", "b"}},
		{"the first can be", ".a", []string{"", "a"}},
		{"the last can be", "a.", []string{"a", ""}},
		{"all can be", "", []string{""}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if got := splitKey(r.key); !slices.Equal(got, r.want) {
				t.Errorf("splitKey(%q) = %q, want %q", r.key, got, r.want)
			}
		})
	}
}

// FuzzDottedKey checks that names survive escaping, and that a key leads to its
// property and, if any name is changed, nowhere.
func FuzzDottedKey(f *testing.F) {
	f.Add(`content.m\.mentions.user_ids`)
	f.Add(`a\\.b\x.`)
	f.Add(`"quoted".` + "\x00\n")
	f.Fuzz(func(t *testing.T, key string) {
		names := splitKey(key)
		escape := strings.NewReplacer(".", `\.`, `\`, `\\`)
		var escaped []string
		for _, name := range names {
			escaped = append(escaped, escape.Replace(name))
		}
		again := strings.Join(escaped, ".")
		if got := splitKey(again); !slices.Equal(got, names) {
			t.Errorf("splitKey(%q) = %q, want %q", again, got, names)
		}
		if len(again) > MaxPattern || len(names) > 100 || !utf8.ValidString(key) {
			return
		}
		event := canonjson.Value(`"found"`)
		for _, name := range slices.Backward(names) {
			event = canonjson.Value(nil).With(name, event)
		}
		if !holds(EventMatch(again, "found"), event, Context{}) {
			t.Errorf("%q does not lead into %s", again, event)
		}
		other := escaped[: len(escaped)-1 : len(escaped)-1]
		other = append(other, escaped[len(escaped)-1]+"x")
		if holds(EventMatch(strings.Join(other, "."), "found"), event, Context{}) {
			t.Errorf("%q leads into %s", other, event)
		}
	})
}
