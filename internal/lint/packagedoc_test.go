package lint

import (
	"path"
	"strings"
	"testing"
)

// minDoc is the length in bytes below which a package comment can hardly say
// what the package is, what it promises and where it stops.
const minDoc = 80

// checkPackageDocs wants one comment for each package, beginning as godoc
// expects it.
func checkPackageDocs(h *house) []string {
	var complaints []string
	for _, p := range h.packages {
		var documented *file
		for _, f := range p.files {
			if f.syntax.Doc.Text() == "" { // none, or only directives like go:build
				continue
			}
			if documented != nil {
				complaints = append(complaints, h.complain(f.syntax.Doc.Pos(),
					"a second package comment, after the one in %s: godoc would join them in the order of the file names", documented.name))
				continue
			}
			documented = f
		}
		if documented == nil {
			complaints = append(complaints, h.complain(p.files[0].syntax.Package,
				"package %s has no package comment: say what it is, what it promises and where it stops", p.dir))
			continue
		}
		begin := "Package " + documented.syntax.Name.Name + " "
		if documented.syntax.Name.Name == "main" {
			begin = "Command " + path.Base(p.dir) + " "
		}
		doc := documented.syntax.Doc
		switch text := strings.TrimSpace(doc.Text()); {
		case !strings.HasPrefix(text, begin):
			complaints = append(complaints, h.complain(doc.Pos(), "the package comment does not begin with %q", begin))
		case len(text) < minDoc:
			complaints = append(complaints, h.complain(doc.Pos(),
				"the package comment has %d bytes: say what the package is, what it promises and where it stops", len(text)))
		}
	}
	return complaints
}

func TestPackageDocsReported(t *testing.T) {
	const long = " parses, checks and prints identifiers. It promises much,\n// and stops at storage, which it does not know.\n"
	testRule(t, checkPackageDocs, []row{
		{
			name: "a comment in one of the files",
			files: map[string]string{
				"matrix/id/doc.go":   "// Package id" + long + "package id\n",
				"matrix/id/user.go":  "package id\n",
				"cmd/parley/main.go": "// Command parley" + long + "package main\n",
			},
		},
		{
			name: "no comment",
			files: map[string]string{
				"matrix/id/user.go": "//go:build linux\npackage id\n",
				"matrix/id/room.go": "// not attached\n\npackage id\n",
			},
			want: []string{"matrix/id/room.go:3: package matrix/id has no package comment"},
		},
		{
			name:  "another beginning",
			files: map[string]string{"matrix/id/doc.go": "// This package" + long + "package id\n"},
			want:  []string{`does not begin with "Package id "`},
		},
		{
			name:  "a command that calls itself main",
			files: map[string]string{"cmd/parley/main.go": "// Package main" + long + "package main\n"},
			want:  []string{`does not begin with "Command parley "`},
		},
		{
			name:  "a few words",
			files: map[string]string{"matrix/id/doc.go": "// Package id has identifiers.\npackage id\n"},
			want:  []string{"matrix/id/doc.go:1: the package comment has 27 bytes"},
		},
		{
			name: "two comments",
			files: map[string]string{
				"matrix/id/doc.go":  "// Package id" + long + "package id\n",
				"matrix/id/user.go": "// Users are here.\npackage id\n",
			},
			want: []string{"matrix/id/user.go:1: a second package comment, after the one in matrix/id/doc.go"},
		},
	})
}
