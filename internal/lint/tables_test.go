package lint

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// missingRows returns a complaint for each package below a directory that no row of
// a table in a page has in its first column.
func missingRows(h *house, page, below string) []string {
	var complaints []string
	for _, p := range h.packages {
		if !strings.HasPrefix(p.dir, below+"/") {
			continue
		}
		named := func(line string) bool {
			first, _, ok := strings.Cut(strings.TrimPrefix(line, "|"), "|")
			return ok && strings.HasPrefix(line, "|") && strings.Contains(first, "`"+p.dir+"`")
		}
		if !slices.ContainsFunc(strings.Split(page, "\n"), named) {
			complaints = append(complaints, fmt.Sprintf("no row of a table is for %s: who looks for it there takes it for not built", p.dir))
		}
	}
	return complaints
}

// TestTablesHaveAllPackages: of those below internal/ README has only some.
func TestTablesHaveAllPackages(t *testing.T) {
	root := os.DirFS("../..")
	h, err := readHouse(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []struct{ page, below string }{
		{"README.md", "matrix"}, {"docs/ARCHITECTURE.md", "matrix"}, {"docs/ARCHITECTURE.md", "internal"},
	} {
		page, err := os.ReadFile("../../" + table.page)
		if err != nil {
			t.Fatal(err)
		}
		for _, complaint := range missingRows(h, string(page), table.below) {
			t.Errorf("%s: %s", table.page, complaint)
		}
	}
}

func TestMissingRowsReported(t *testing.T) {
	h, err := readHouse(fstest.MapFS{
		"matrix/id/a.go": {Data: []byte("package id")}, "matrix/idle/a.go": {Data: []byte("package idle")},
		"internal/room/a.go": {Data: []byte("package room")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for page, want := range map[string]int{
		"| `matrix/id` | ids |\n| `matrix/idle` | nothing |":               0,
		"| [`matrix/id`](matrix/id), [`matrix/idle`](matrix/idle) | two |": 0,
		"| `matrix/idle` | nothing, see `matrix/id` |":                     1,
		"`matrix/id` and `matrix/idle` are told of in a sentence":          2,
	} {
		if got := missingRows(h, page, "matrix"); len(got) != want {
			t.Errorf("%q: got %q, want %d", page, got, want)
		}
	}
}
