package filter

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"parley/matrix/canonjson"
)

const someEvent = `{"content":{"a.b":1,"a\\b":2,"body":"hi","m.relates_to":{"event_id":"$x","rel_type":"m.thread"},"n":{"o":{"p":[{"q":1}],"r":null}}},"sender":"@a:b","type":"m.room.message"}`

func TestEventFields(t *testing.T) {
	rows := []struct{ name, fields, want string }{
		{"no list is everything", `null`, someEvent},
		{"so is an empty one", `[]`, someEvent},
		{"one member", `["type"]`, `{"type":"m.room.message"}`},
		{"several members", `["type","sender"]`, `{"sender":"@a:b","type":"m.room.message"}`},
		{"a member within", `["content.body"]`, `{"content":{"body":"hi"}}`},
		{"an escaped dot", `["content.a\\.b"]`, `{"content":{"a.b":1}}`},
		{"an escaped backslash", `["content.a\\\\b"]`, `{"content":{"a\\b":2}}`},
		{"a backslash that escapes nothing", `["content.a\\b"]`, `{"content":{"a\\b":2}}`},
		{"several levels", `["content.m\\.relates_to.rel_type","content.n.o.r"]`, `{"content":{"m.relates_to":{"rel_type":"m.thread"},"n":{"o":{"r":null}}}}`},
		{"a whole object", `["content.n"]`, `{"content":{"n":{"o":{"p":[{"q":1}],"r":null}}}}`},
		{"a whole object and a member of it", `["content.n","content.n.o.r"]`, `{"content":{"n":{"o":{"p":[{"q":1}],"r":null}}}}`},
		{"a member and its whole object", `["content.n.o.r","content.n"]`, `{"content":{"n":{"o":{"p":[{"q":1}],"r":null}}}}`},
		{"what is not there", `["unsigned","content.x","type"]`, `{"type":"m.room.message"}`},
		{"nothing that is there", `["content.x.y"]`, `{}`},
		{"what is no object has no members", `["type.x","content.n.o.p.q","sender"]`, `{"sender":"@a:b"}`},
		{"an unescaped dot is not part of a name", `["content.a.b"]`, `{}`},
		{"an empty name", `["","content."]`, `{}`},
		{"the same twice", `["type","type"]`, `{"type":"m.room.message"}`},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			f := parse(t, `{"event_fields":`+r.fields+`}`)
			if got := string(f.EventFields.Append([]byte("x"), value(t, someEvent))); got != "x"+r.want {
				t.Errorf("%s: got %s, want %s", r.fields, got, r.want)
			}
		})
	}
}

func TestSplitPath(t *testing.T) {
	for path, want := range map[string][]string{
		``: {""}, `a`: {"a"}, `a.b`: {"a", "b"}, `.`: {"", ""}, `a\.b.c`: {"a.b", "c"}, `a\\.b`: {`a\`, "b"},
		`a\\\.b`: {`a\.b`}, `a\`: {`a\`}, `\x`: {`\x`}, `é\..é`: {"é.", "é"},
	} {
		if got := splitPath(path); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", path, got, want)
		}
	}
}

// reduce does with maps what Fields does with bytes.
func reduce(event map[string]any, paths []string) map[string]any {
	reduced := make(map[string]any)
	for _, path := range paths {
		from, to := event, reduced
		names := splitPath(path)
		last := len(names) - 1
		var missing bool
		for i := 0; i < last && !missing; i++ {
			from, _ = from[names[i]].(map[string]any)
			missing = from == nil
		}
		v, ok := from[names[last]]
		if missing || !ok {
			continue
		}
		from = event
		for _, name := range names[:last] {
			from = from[name].(map[string]any)
			next, ok := to[name].(map[string]any)
			if !ok {
				next = make(map[string]any)
				to[name] = next
			}
			to = next
		}
		to[names[last]] = v
	}
	return reduced
}

func FuzzEventFields(f *testing.F) {
	f.Add(someEvent, "content.body type")
	f.Add(someEvent, `content.m\.relates_to content.a\.b content.n.o`)
	f.Add(`{"":{"":1},"a":{}}`, ". a a.b")
	f.Fuzz(func(t *testing.T, text, joined string) {
		event, err := canonjson.Canonical([]byte(text), canonjson.Strict)
		if err != nil || event.Kind() != canonjson.Object {
			return
		}
		paths := strings.Split(strings.ToValidUTF8(joined, "?"), " ")
		var p parser
		names, err := canonjson.Marshal(paths)
		if err != nil {
			t.Fatal(err)
		}
		fields := p.fields(object{json: canonjson.Value(nil).With("f", names)}, "f")
		if p.err != nil {
			return
		}
		got := fields.Append(nil, event)
		if !canonjson.IsCanonical(got, canonjson.Strict) {
			t.Fatalf("%s is not canonical", got)
		}
		if again := fields.Append(nil, got); string(again) != string(got) {
			t.Errorf("reduced again: %s, before: %s", again, got)
		}
		// The longer paths come first, so that whole objects, which come
		// later, are not written to.
		slices.SortStableFunc(paths, func(a, b string) int { return len(splitPath(b)) - len(splitPath(a)) })
		var parsed map[string]any
		if err := json.Unmarshal(event, &parsed); err != nil {
			t.Fatal(err)
		}
		want, err := canonjson.Marshal(reduce(parsed, paths))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%q of %s: got %s, want %s", paths, event, got, want)
		}
	})
}
