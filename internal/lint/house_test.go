package lint

import (
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// module is the path in go.mod; import paths in the tables of this package
// leave it out.
const module = "parley"

// A house is the non-test source of every package of the module.
type house struct {
	fset     *token.FileSet
	packages []*pkg // sorted by dir
}

type pkg struct {
	dir   string // relative to the root, with slashes; "." for the root
	files []*file
}

type file struct {
	name   string // relative to the root
	syntax *ast.File
	lines  int
}

// A rule returns one complaint, "file:line: what is wrong: why", for each
// place that breaks it.
type rule func(*house) []string

func TestHouse(t *testing.T) {
	h, err := readHouse(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(h.packages) == 0 {
		t.Fatal("found no packages, so nothing was checked")
	}
	rules := []struct {
		name  string
		check rule
	}{
		{"imports", checkImports},
		{"packagedoc", checkPackageDocs},
		{"state", checkState},
		{"versions", checkVersions},
		{"length", checkLength},
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, complaint := range r.check(h) {
				t.Error(complaint)
			}
		})
	}
}

// readHouse parses all packages below the root of fsys. It opens every
// directory and file itself rather than asking the go command, because go test
// reuses an earlier result unless something changed that this process opened:
// a package that is added tomorrow must not be covered by today's pass.
func readHouse(fsys fs.FS) (*house, error) {
	h := &house{fset: token.NewFileSet()}
	byDir := map[string]*pkg{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && outsideModule(fsys, name) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := readFile(h.fset, fsys, name)
		if err != nil {
			return err
		}
		if neverBuilt(f.syntax) {
			return nil
		}
		dir := path.Dir(name)
		if byDir[dir] == nil {
			byDir[dir] = &pkg{dir: dir}
			h.packages = append(h.packages, byDir[dir])
		}
		byDir[dir].files = append(byDir[dir].files, f)
		return nil
	})
	slices.SortFunc(h.packages, func(a, b *pkg) int { return strings.Compare(a.dir, b.dir) })
	return h, err
}

func readFile(fset *token.FileSet, fsys fs.FS, name string) (*file, error) {
	src, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	syntax, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &file{name: name, syntax: syntax, lines: strings.Count(string(src), "\n")}, nil
}

// outsideModule reports whether ./... leaves the directory out.
func outsideModule(fsys fs.FS, dir string) bool {
	base := path.Base(dir)
	if base[0] == '.' || base[0] == '_' || base == "testdata" || base == "vendor" || base == "node_modules" {
		return true
	}
	_, err := fs.Stat(fsys, path.Join(dir, "go.mod"))
	return err == nil
}

// neverBuilt reports whether the file is a program to be started by name with
// go run, which says `//go:build ignore` and belongs to no package.
func neverBuilt(f *ast.File) bool {
	for _, group := range f.Comments {
		if group.Pos() > f.Package {
			return false
		}
		for _, c := range group.List {
			if expr, err := constraint.Parse(c.Text); err == nil && expr.String() == "ignore" {
				return true
			}
		}
	}
	return false
}

func (h *house) complain(at token.Pos, format string, args ...any) string {
	p := h.fset.Position(at)
	return fmt.Sprintf("%s:%d: %s", p.Filename, p.Line, fmt.Sprintf(format, args...))
}

// importPath is the path in an import declaration; the parser has made sure
// that it is a valid string.
func importPath(spec *ast.ImportSpec) string {
	p, _ := strconv.Unquote(spec.Path.Value)
	return p
}

// A row gives a rule a small house. Every wanted text must be part of the
// complaint at its index, and there must be no other complaints.
type row struct {
	name  string
	files map[string]string
	want  []string
}

func testRule(t *testing.T, check rule, rows []row) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			fsys := fstest.MapFS{}
			for name, src := range r.files {
				fsys[name] = &fstest.MapFile{Data: []byte(src)}
			}
			h, err := readHouse(fsys)
			if err != nil {
				t.Fatal(err)
			}
			got := check(h)
			if len(got) != len(r.want) {
				t.Fatalf("got %d complaints, want %d:\n%s", len(got), len(r.want), strings.Join(got, "\n"))
			}
			for i, want := range r.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("complaint %d: got %q, want it to contain %q", i, got[i], want)
				}
			}
		})
	}
}

func TestReadHouse(t *testing.T) {
	const src = "package x\n"
	h, err := readHouse(fstest.MapFS{
		"matrix/id/user.go":          {Data: []byte(src)},
		"matrix/id/room.go":          {Data: []byte("//go:build linux || plan9\n\npackage id\n")},
		"matrix/id/user_test.go":     {Data: []byte("package id\n\nsyntax error\n")},
		"matrix/id/generate.go":      {Data: []byte("//go:build ignore\n\npackage main\n")},
		"matrix/id/testdata/bad.go":  {Data: []byte("syntax error\n")},
		"difftest/go.mod":            {Data: []byte("module difftest\n")},
		"difftest/compare.go":        {Data: []byte("syntax error\n")},
		".hidden/x.go":               {Data: []byte("syntax error\n")},
		"cmd/parley/main.go":         {Data: []byte(src)},
		"web/node_modules/flat/x.go": {Data: []byte("syntax error\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range h.packages {
		for _, f := range p.files {
			got = append(got, f.name)
		}
	}
	want := []string{"cmd/parley/main.go", "matrix/id/room.go", "matrix/id/user.go"}
	if !slices.Equal(got, want) {
		t.Errorf("got files %q, want %q", got, want)
	}

	if _, err := readHouse(fstest.MapFS{"a.go": {Data: []byte("pakage a\n")}}); err == nil {
		t.Error("a file that does not parse: got no error")
	}
}
