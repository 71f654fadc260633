package csapi

import (
	"go/ast"
	"go/parser"
	"go/token"
	"html"
	"io/fs"
	"os"
	"strings"
	"testing"

	"parley/internal/account"

	"pgregory.net/rapid"
)

func TestTextBecomesMarkup(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{"", ""},
		{"Terms & Conditions", "Terms &amp; Conditions"},
		{"&amp;", "&amp;amp;"},
		{`"><script>alert('x')</script>`, "&#34;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"},
		{"ä {} 😀", "ä {} 😀"},
		{"a\x00b", "a\ufffdb"},
		{"a\xffb", "a\ufffdb"},
	} {
		if got := escaped(row.text); string(got) != row.want {
			t.Errorf("%q: got %q, want %q", row.text, got, row.want)
		}
	}
}

func TestPlacesAreFilled(t *testing.T) {
	for _, row := range []struct {
		m    markup
		into []markup
		want markup
	}{
		{"<p>", nil, "<p>"},
		{"{}", []markup{"a"}, "a"},
		{"<p>{}</p>{}", []markup{"a", ""}, "<p>a</p>"},
		{"<p>{} {}</p>", []markup{"{}", "b"}, "<p>{} b</p>"}, // what is filled in has no places
	} {
		if got := row.m.fill(row.into...); got != row.want {
			t.Errorf("%s with %q: got %s, want %s", row.m, row.into, got, row.want)
		}
	}
	for _, into := range [][]markup{nil, {"a", "b"}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("one place took %q", into)
				}
			}()
			markup("<p>{}</p>").fill(into...)
		}()
	}
}

// TestTextStaysText: whatever people and other servers write, the pages have the
// same elements and attributes, and show it.
func TestTextStaysText(t *testing.T) {
	stages := []account.Stage{
		account.StageDummy, account.StagePassword, account.StageRegistrationToken, account.StageTerms, account.StageEmail, account.StageMSISDN,
	}
	form := func(stage account.Stage, text string) string {
		terms := account.Terms{text: {Version: text, Languages: map[string]account.Document{"en": {Name: text, URL: "https://a.test/" + text}}}}
		return string(stageContent{
			stage: stage, session: text, user: text, refusal: text, terms: termsMarkup(terms, ""), sent: sentProof{text, text, text},
		}.markup())
	}
	bones := func(page string) string {
		return strings.Map(func(r rune) rune {
			if strings.ContainsRune(`<>"'`, r) {
				return r
			}
			return -1
		}, page)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringOfN(rapid.RuneFrom([]rune(`<>"'&;=/{}`+"\x00`script")), 1, 20, -1)).
			Filter(func(s string) bool { return s != "" }).Draw(t, "text")
		stage := rapid.SampledFrom(stages).Draw(t, "stage")
		page := form(stage, text)
		if got, want := bones(page), bones(form(stage, "x")); got != want {
			t.Errorf("%s with %q has %s, want %s", stage, text, got, want)
		}
		if shown := strings.ReplaceAll(text, "\x00", "\ufffd"); !strings.Contains(html.UnescapeString(page), shown) {
			t.Errorf("%s does not show %q: %s", stage, text, page)
		}
	})
}

// TestOnlyConstantsAreMarkup: and what markup.go makes of text.
func TestOnlyConstantsAreMarkup(t *testing.T) {
	names, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	conversions := 0
	for _, name := range names {
		if name == "markup.go" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			if to, ok := call.Fun.(*ast.Ident); !ok || to.Name != "markup" {
				return true
			}
			conversions++
			if _, constant := call.Args[0].(*ast.BasicLit); !constant {
				t.Errorf("%s: text is made markup without being escaped", fset.Position(call.Pos()))
			}
			return true
		})
	}
	if conversions == 0 {
		t.Error("there are no conversions to look at")
	}
}
