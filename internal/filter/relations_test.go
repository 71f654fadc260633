package filter

import (
	"testing"

	"parley/matrix/canonjson"
)

func TestEventsAreFilteredByTheirRelation(t *testing.T) {
	const thread, edit, none, broken = `{"m.relates_to":{"rel_type":"m.thread"}}`, `{"m.relates_to":{"rel_type":"m.replace"}}`, `{}`, `{"m.relates_to":{"rel_type":1}}`
	for _, c := range []struct {
		name, filter string
		want         []string
	}{
		{"without threads", `{"org.matrix.msc3874.not_rel_types":["m.thread"]}`, []string{edit, none, broken}},
		{"threads only", `{"org.matrix.msc3874.rel_types":["m.thread"]}`, []string{thread}},
		{"both, of which what is not wanted counts", `{"org.matrix.msc3874.not_rel_types":["m.thread"],"org.matrix.msc3874.rel_types":["m.replace","m.thread"]}`, []string{edit}},
		{"no relation is wanted", `{"org.matrix.msc3874.rel_types":[]}`, nil},
		{"all are", `{"org.matrix.msc3874.not_rel_types":[]}`, []string{thread, edit, none, broken}},
		{"an empty one is none", `{"org.matrix.msc3874.not_rel_types":[""],"org.matrix.msc3874.rel_types":[""]}`, nil},
	} {
		f, err := ParseRoomEvents(canonjson.Value(c.filter))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, content := range []string{thread, edit, none, broken} {
			if f.Match("m.room.message", "@a:b", canonjson.Value(content)) {
				got = append(got, content)
			}
		}
		if len(got) != len(c.want) || len(got) == 4 != f.All() || c.name == "no relation is wanted" != f.None() {
			t.Errorf("%s: got %v, want %v; all %v, none %v", c.name, got, c.want, f.All(), f.None())
		}
	}
}
