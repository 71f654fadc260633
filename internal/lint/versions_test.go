package lint

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Room versions are opaque names. A package that asks "is it 11?" is wrong for
// version 12 or for the next one; matrix/roomver answers the question that was
// meant ("is the creator the sender of the create event?") from its table. So
// only matrix/roomver compares versions. The rule is syntactic, and looks at
// files of packages that get hold of a room version at all.
const versionsOwner = "matrix/roomver"

// versionCarriers are the packages whose values lead to a room version.
var versionCarriers = []string{"matrix/roomver", "matrix/event", "matrix/eventauth", "matrix/stateres"}

var (
	versionConstant = regexp.MustCompile(`^(V[0-9]+|Default)$`)
	versionLiteral  = regexp.MustCompile(`^["` + "`" + `]([1-9]|1[0-9])["` + "`" + `]$`)
)

const versionAdvice = "only matrix/roomver compares room versions: ask its table the question that is meant, or give it a new field"

// checkVersions reports comparisons and switches on a selector named Version,
// on the constants roomver.Default, roomver.V1 and so on, and of anything named like a version
// with a string like "11". The empty string is no version, and asking for it
// is right.
func checkVersions(h *house) []string {
	var complaints []string
	for _, p := range h.packages {
		if p.dir == versionsOwner || !carriesVersions(p) {
			continue
		}
		for _, f := range p.files {
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.BinaryExpr:
					if comparison(n.Op) && comparesVersions(n.X, n.Y) {
						complaints = append(complaints, h.complain(n.OpPos, "a comparison of room versions: %s", versionAdvice))
					}
				case *ast.SwitchStmt:
					if n.Tag != nil && switchesOnVersions(n) {
						complaints = append(complaints, h.complain(n.Switch, "a switch on a room version: %s", versionAdvice))
					}
				}
				return true
			})
		}
	}
	return complaints
}

func carriesVersions(p *pkg) bool {
	for _, f := range p.files {
		for _, spec := range f.syntax.Imports {
			ours, ok := strings.CutPrefix(importPath(spec), module+"/")
			if ok && slices.Contains(versionCarriers, ours) {
				return true
			}
		}
	}
	return false
}

func comparison(op token.Token) bool {
	switch op {
	case token.EQL, token.NEQ, token.LSS, token.GTR, token.LEQ, token.GEQ:
		return true
	}
	return false
}

func comparesVersions(x, y ast.Expr) bool {
	if emptyString(x) || emptyString(y) {
		return false
	}
	return isVersion(x) || isVersion(y) ||
		namedVersion(x) && isVersionLiteral(y) || namedVersion(y) && isVersionLiteral(x)
}

func switchesOnVersions(s *ast.SwitchStmt) bool {
	if isVersion(s.Tag) {
		return true
	}
	for _, stmt := range s.Body.List {
		for _, value := range stmt.(*ast.CaseClause).List {
			if comparesVersions(s.Tag, value) {
				return true
			}
		}
	}
	return false
}

// isVersion reports whether the expression is x.Version, roomver.Default or roomver.V1.
func isVersion(x ast.Expr) bool {
	sel, ok := ast.Unparen(x).(*ast.SelectorExpr)
	if !ok {
		return false
	}
	from, _ := sel.X.(*ast.Ident)
	return sel.Sel.Name == "Version" || from != nil && from.Name == "roomver" && versionConstant.MatchString(sel.Sel.Name)
}

// namedVersion reports whether the expression is a variable, a field or a call
// with "version" in its name.
func namedVersion(x ast.Expr) bool {
	var name string
	switch x := ast.Unparen(x).(type) {
	case *ast.Ident:
		name = x.Name
	case *ast.SelectorExpr:
		name = x.Sel.Name
	case *ast.CallExpr:
		return namedVersion(x.Fun)
	}
	return strings.Contains(strings.ToLower(name), "version")
}

func isVersionLiteral(x ast.Expr) bool {
	lit, ok := ast.Unparen(x).(*ast.BasicLit)
	return ok && versionLiteral.MatchString(lit.Value)
}

func emptyString(x ast.Expr) bool {
	lit, ok := ast.Unparen(x).(*ast.BasicLit)
	return ok && (lit.Value == `""` || lit.Value == "``")
}

func TestVersionsReported(t *testing.T) {
	in := func(dir, body string) map[string]string {
		return map[string]string{dir + "/a.go": "package a\n\nimport \"parley/matrix/roomver\"\n\nfunc f() bool {\n\t" + body + "\n}\n"}
	}
	const place = "matrix/eventauth/a.go:6: "
	testRule(t, checkVersions, []row{
		{name: "asking the table", files: in("matrix/eventauth", `return rules.KnockAllowed && rules.Algorithm == roomver.StateResV2`)},
		{name: "asking whether there is a version", files: in("matrix/eventauth", `return create.Version == "" || "" != rules.Version`)},
		{name: "a number that is no version", files: in("matrix/eventauth", `return level == "11"`)},
		{name: "the owner compares", files: in("matrix/roomver", `return rules.Version == "11"`)},
		{
			name:  "a version of something else",
			files: map[string]string{"internal/e2ee/backup.go": "package e2ee\n\nfunc f() bool { return backup.Version == stored.Version }\n"},
		},
		{name: "two versions", files: in("matrix/eventauth", `return a.Version == b.Version`), want: []string{place + "a comparison of room versions"}},
		{name: "order", files: in("matrix/eventauth", `return (rules.Version) >= minimum`), want: []string{place}},
		{name: "a constant", files: in("matrix/eventauth", `return v != roomver.V12`), want: []string{place}},
		{name: "the default version", files: in("matrix/eventauth", `return roomver.Default == v`), want: []string{place}},
		{name: "a literal on the left", files: in("matrix/eventauth", `return "10" == roomVersion`), want: []string{place}},
		{name: "a method", files: in("matrix/eventauth", `return room.RoomVersion() == "1"`), want: []string{place}},
		{name: "a switch on the field", files: in("matrix/eventauth", `switch rules.Version {}; return true`), want: []string{place + "a switch on a room version"}},
		{name: "a switch over constants", files: in("matrix/eventauth", `switch v { case roomver.V1, roomver.V2: return true }; return false`), want: []string{place}},
		{name: "a switch over literals", files: in("matrix/eventauth", `switch version { case "1": return true }; return false`), want: []string{place}},
		{
			name: "a package that meets versions in another file",
			files: map[string]string{
				"internal/room/create.go":  "package room\n\nimport \"parley/matrix/event\"\n",
				"internal/room/upgrade.go": "package room\n\nfunc f() bool { return r.rules.Version == next }\n",
			},
			want: []string{"internal/room/upgrade.go:3: "},
		},
	})
}
