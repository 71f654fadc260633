package lint

import (
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"regexp"
	"strings"
	"testing"
)

// A process can hold many servers, which is how the tests run a federation in
// one process; so nothing may be shared between two servers by accident. A
// package-level variable is allowed where it is a constant that Go cannot
// spell: an error, a table, a compiled pattern, an embedded file, an interface
// assertion. In terms of syntax, such a variable
//
//   - is unexported, or an error (Err...), so that importers cannot assign it;
//   - has its value from its declaration, or from go:embed;
//   - is not a store waiting to be filled: no make, new, chan, empty map, and
//     nothing of sync or sync/atomic;
//   - comes from a source whose values do not change: literals, functions of
//     its own package, and the packages in unchanging. An error may come from
//     anywhere;
//   - is not assigned, in whole or in part, by any function.
//
// Writing through a pointer or a slice taken from a table escapes the rule.
// And there is no init: what must happen first is called by somebody.

// unchanging lists packages from which variables may take their values.
var unchanging = map[string]string{
	"encoding/base64": "an Encoding has no methods that change it",
	"encoding/hex":    "functions and errors only",
	"errors":          "an error is a value",
	"fmt":             "Errorf makes an error",
	"hash/crc32":      "tables are computed once",
	"html/template":   "a template is not changed by executing it",
	"math/big":        "numbers too large for a constant",
	"net/netip":       "addresses and prefixes are values",
	"reflect":         "a Type is a value",
	"regexp":          "a pattern is safe for concurrent use and does not change",
	"strings":         "a Replacer is safe for concurrent use and does not change",
	"text/template":   "a template is not changed by executing it",
	"unicode":         "range tables",
}

var errorName = regexp.MustCompile(`^([eE]rr)($|[A-Z0-9])`)

func checkState(h *house) []string {
	var complaints []string
	for _, p := range h.packages {
		info := resolve(h.fset, p)
		for _, f := range p.files {
			for _, decl := range f.syntax.Decls {
				switch decl := decl.(type) {
				case *ast.GenDecl:
					for _, spec := range decl.Specs {
						if spec, ok := spec.(*ast.ValueSpec); ok && decl.Tok == token.VAR {
							complaints = append(complaints, variables(h, info, decl, spec)...)
						}
					}
				case *ast.FuncDecl:
					if decl.Recv == nil && decl.Name.Name == "init" {
						complaints = append(complaints, h.complain(decl.Pos(), "func init runs unasked in every program and test that links the package: call a constructor"))
					}
				}
			}
			complaints = append(complaints, assignments(h, info, f)...)
		}
	}
	return complaints
}

// resolve finds out which identifier means which object of the package. Names
// that come from imports remain unknown, as does every type: that suffices to
// tell a package-level variable from a local one, and needs no build.
func resolve(fset *token.FileSet, p *pkg) *types.Info {
	info := &types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
	var files []*ast.File
	for _, f := range p.files {
		files = append(files, f.syntax)
	}
	conf := types.Config{
		Importer:    emptyPackages{},
		FakeImportC: true,
		Error:       func(error) {}, // names from imports are unknown here; real mistakes are the compiler's to report
	}
	conf.Check(p.dir, fset, files, info)
	return info
}

// emptyPackages answers every import with a package of the right name that
// declares nothing.
type emptyPackages struct{}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

func (emptyPackages) Import(importPath string) (*types.Package, error) {
	name := path.Base(importPath)
	if majorVersion.MatchString(name) {
		name = path.Base(path.Dir(importPath))
	}
	p := types.NewPackage(importPath, name)
	p.MarkComplete()
	return p, nil
}

// variables reports what is wrong with one var declaration of a package.
func variables(h *house, info *types.Info, decl *ast.GenDecl, spec *ast.ValueSpec) []string {
	var complaints []string
	for i, name := range spec.Names {
		if name.Name == "_" {
			continue
		}
		complain := func(format string, args ...any) {
			args = append([]any{name.Name}, args...)
			complaints = append(complaints, h.complain(name.Pos(), "package variable %s "+format, args...))
		}
		isError := errorName.MatchString(name.Name)
		if name.IsExported() && !isError {
			complain("is exported: every importer can change it; make it a constant, a function or unexported")
			continue
		}
		if len(spec.Values) == 0 {
			if !embedded(decl, spec) {
				complain("has no value: somebody assigns it later, which makes it state of the whole process; make it a field")
			}
			continue
		}
		value := spec.Values[min(i, len(spec.Values)-1)]
		if what := store(info, spec.Type, value); what != "" {
			complain("is %s, state of the whole process: make it a field of what its constructor returns", what)
			continue
		}
		if from := source(info, value); from != "" && !isError && unchanging[from] == "" && !strings.HasPrefix(from, module+"/matrix/") {
			complain("takes its value from %s, which is not known to give values that stay as they are: pass it in a constructor, or add the package to the table in internal/lint with a reason", from)
		}
	}
	return complaints
}

// embedded reports whether go:embed fills the variable. The directive stands
// above the spec or, in a declaration without parentheses, above the keyword.
func embedded(decl *ast.GenDecl, spec *ast.ValueSpec) bool {
	for _, group := range []*ast.CommentGroup{decl.Doc, spec.Doc} {
		if group == nil {
			continue
		}
		for _, c := range group.List {
			if strings.HasPrefix(c.Text, "//go:embed ") {
				return true
			}
		}
	}
	return false
}

// store names the part of a variable's type or value that is there to be
// changed. Function literals are not looked into: what they make is theirs.
func store(info *types.Info, parts ...ast.Expr) string {
	found := ""
	for _, part := range parts {
		if part == nil {
			continue
		}
		ast.Inspect(part, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncLit:
				return false
			case *ast.ChanType:
				found = "a channel"
			case *ast.CompositeLit:
				if _, isMap := n.Type.(*ast.MapType); isMap && len(n.Elts) == 0 {
					found = "an empty map"
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "make" || f.Name == "new") {
					found = "made by " + f.Name
				}
			case *ast.SelectorExpr:
				if from := source(info, n); from == "sync" || from == "sync/atomic" {
					found = "of type " + from + "." + n.Sel.Name
				}
			}
			return found == ""
		})
	}
	return found
}

// source returns the import path of the package an expression begins with, as
// in base64.RawStdEncoding.Strict(); "" if it begins with something else.
func source(info *types.Info, x ast.Expr) string {
	for {
		switch e := x.(type) {
		case *ast.CallExpr:
			x = e.Fun
		case *ast.SelectorExpr:
			x = e.X
		case *ast.IndexExpr:
			x = e.X
		case *ast.IndexListExpr:
			x = e.X
		case *ast.ParenExpr:
			x = e.X
		case *ast.StarExpr:
			x = e.X
		case *ast.UnaryExpr:
			x = e.X
		case *ast.Ident:
			if p, ok := info.Uses[e].(*types.PkgName); ok {
				return p.Imported().Path()
			}
			return ""
		default:
			return ""
		}
	}
}

// assignments reports every statement that changes a package variable.
func assignments(h *house, info *types.Info, f *file) []string {
	var complaints []string
	changed := func(x ast.Expr) {
		if v := packageVariable(info, x); v != nil {
			complaints = append(complaints, h.complain(x.Pos(), "package variable %s is changed here, for every server in the process: make it a field", v.Name()))
		}
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, x := range n.Lhs {
				changed(x)
			}
		case *ast.IncDecStmt:
			changed(n.X)
		case *ast.RangeStmt:
			if n.Tok == token.ASSIGN {
				changed(n.Key)
				changed(n.Value)
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 0 && (f.Name == "delete" || f.Name == "clear" || f.Name == "copy") {
				changed(n.Args[0])
			}
		}
		return true
	})
	return complaints
}

// packageVariable returns the package-level variable of which the expression
// is the whole or a part, nil if there is none.
func packageVariable(info *types.Info, x ast.Expr) *types.Var {
	for {
		switch e := x.(type) {
		case *ast.IndexExpr:
			x = e.X
		case *ast.SliceExpr:
			x = e.X
		case *ast.SelectorExpr:
			x = e.X
		case *ast.StarExpr:
			x = e.X
		case *ast.ParenExpr:
			x = e.X
		case *ast.Ident:
			v, ok := info.Uses[e].(*types.Var)
			if ok && v.Pkg() != nil && v.Parent() == v.Pkg().Scope() {
				return v
			}
			return nil
		default:
			return nil
		}
	}
}

func TestStateReported(t *testing.T) {
	in := func(body string) map[string]string {
		return map[string]string{"matrix/id/a.go": "package id\n\n" + body + "\n"}
	}
	testRule(t, checkState, []row{
		{
			name: "constants that Go cannot spell",
			files: in(`import (
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"regexp"
	tmpl "html/template"
	"parley/matrix/mxerr"
)

var ErrTooLong = errors.New("too long")
var errEnd, errFull = io.EOF, &mxerr.Error{Code: "M_LIMIT"}
var _ fmt.Stringer = UserID("")
var grammar = regexp.MustCompile("^@")
var encoding = base64.RawURLEncoding.Strict()
var page = tmpl.Must(tmpl.New("page").Parse(""))
var reserved = []byte("abc")
var (
	names = map[string]int{"a": 1}
	steps = [...]func(int) int{double}
	table = buildTable()
	other = func() map[string]int { m := make(map[string]int); m["x"] = 1; return m }()
	zero  Level = -1
	first = &Row{Name: "x"}
	forbidden = mxerr.New("M_FORBIDDEN")
)

//go:embed rules.json
var rules []byte

var (
	//go:embed more.json
	more []byte
)

func buildTable() (t [256]bool) { t['a'] = true; return t }

func local() {
	names := map[string]int{}
	names["b"] = 2
	var table struct{ n int }
	table.n++
	grammar, ok := 1, true
	_, _ = grammar, ok
}`),
		},
		{name: "init", files: in("func init() {}"), want: []string{"matrix/id/a.go:3: func init runs unasked"}},
		{name: "a method may be named init", files: in("func (t *T) init() {}")},
		{name: "no value", files: in("var count int"), want: []string{"matrix/id/a.go:3: package variable count has no value"}},
		{name: "no value in a group", files: in("var (\n\tcache map[string]int\n)"), want: []string{"a.go:4: package variable cache has no value"}},
		{name: "exported", files: in("var Table = map[string]int{\"a\": 1}"), want: []string{"package variable Table is exported"}},
		{name: "a name that only begins like an error", files: in("var Errand = 1"), want: []string{"Errand is exported"}},
		{name: "make", files: in("var cache = make(map[string]int)"), want: []string{"cache is made by make"}},
		{name: "new", files: in("var last = new(T)"), want: []string{"last is made by new"}},
		{name: "a channel", files: in("var wake chan int = channel()"), want: []string{"wake is a channel"}},
		{name: "an empty map", files: in("var cache = map[string]int{}"), want: []string{"cache is an empty map"}},
		{
			name:  "a map inside",
			files: in("var cache = &struct{ m map[string]int }{m: map[string]int{}}"),
			want:  []string{"cache is an empty map"},
		},
		{
			name:  "a lock, by another name of its package",
			files: in("import s \"sync\"\n\nvar pool = s.Pool{New: func() any { return new(T) }}"),
			want:  []string{"pool is of type sync.Pool"},
		},
		{
			name:  "a lock inside",
			files: in("import \"sync\"\n\nvar cache = struct{ mu sync.Mutex }{}"),
			want:  []string{"cache is of type sync.Mutex"},
		},
		{
			name:  "an atomic",
			files: in("import \"sync/atomic\"\n\nvar count = &atomic.Int64{}"),
			want:  []string{"count is of type sync/atomic.Int64"},
		},
		{name: "a clock", files: in("import \"time\"\n\nvar now = time.Now"), want: []string{"now takes its value from time"}},
		{
			name:  "a random source",
			files: in("import \"math/rand/v2\"\n\nvar rng = rand.New(rand.NewPCG(1, 2))"),
			want:  []string{"rng takes its value from math/rand/v2"},
		},
		{name: "a logger", files: in("import \"log/slog\"\n\nvar log = slog.Default()"), want: []string{"log takes its value from log/slog"}},
		{
			name:  "the second of two",
			files: in("import \"net/http\"\n\nvar a, b = 1, http.DefaultClient"),
			want:  []string{"b takes its value from net/http"},
		},
		{
			name: "assigned in another file",
			files: map[string]string{
				"matrix/id/a.go": "package id\n\nvar limit = 255\n",
				"matrix/id/b.go": "package id\n\nfunc SetLimit(n int) { limit = n }\n",
			},
			want: []string{"matrix/id/b.go:3: package variable limit is changed here"},
		},
		{
			name:  "changed in part",
			files: in("var t = T{}\n\nfunc f() {\n\tt.n++\n\tt.m[1] = 2\n\tdelete(t.m, 1)\n\tclear(t.m)\n\t(*t.p).q += 1\n\tcopy(t.s[:2], s)\n\tfor t.i = range 3 {\n\t}\n}"),
			want:  []string{":6:", ":7:", ":8:", ":9:", ":10:", ":11:", ":12:"},
		},
	})
}
