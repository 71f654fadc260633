package mxerr

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
)

// testdata/codes.tsv is the list of the specification, kept apart from the code
// so that a slip in one of them shows.
func TestCodesAreThoseOfTheSpecification(t *testing.T) {
	text, err := os.ReadFile("testdata/codes.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for line := range strings.Lines(string(text)) {
		want = append(want, strings.TrimSuffix(line, "\n"))
	}
	want = want[1:] // column names
	for code, status := range Codes() {
		got = append(got, string(code)+"\t"+strconv.Itoa(status))
		if code.Status() != status || !code.Known() {
			t.Errorf("%s: got status %d, known %t, want %d, true", code, code.Status(), code.Known(), status)
		}
	}
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) || want[i] != got[i] {
			t.Fatalf("from line %d on: got %q, want %q", i+2, got[min(i, len(got)):], want[min(i, len(want)):])
		}
	}
}

// A constant that is missing in the table of statuses would answer 400.
func TestEveryConstantHasDocumentationAndStatus(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	constants := 0
	for _, decl := range file.Decls {
		block, ok := decl.(*ast.GenDecl)
		if !ok || block.Tok != token.CONST {
			continue
		}
		for _, spec := range block.Specs {
			spec := spec.(*ast.ValueSpec)
			name := spec.Names[0].Name
			code, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			constants++
			if !Code(code).Known() {
				t.Errorf("%s has no status", name)
			}
			if !strings.HasPrefix(spec.Doc.Text(), name) {
				t.Errorf("%s: documentation %q does not begin with the name", name, spec.Doc.Text())
			}
			if got := strings.ReplaceAll(code[len("M_"):], "_", ""); got != strings.ToUpper(name) {
				t.Errorf("%s is called %s", code, name)
			}
		}
	}
	if constants != len(usual) {
		t.Errorf("%d constants, %d statuses", constants, len(usual))
	}
}

func TestCodesCanStopEarly(t *testing.T) {
	n := 0
	for range Codes() {
		n++
		break
	}
	if n != 1 {
		t.Errorf("got %d codes after a break, want 1", n)
	}
}

func TestUnknownCodesAreBadRequests(t *testing.T) {
	c := Code("ORG.EXAMPLE_TOO_LATE")
	if c.Known() || c.Status() != 400 || Code("").Known() {
		t.Errorf("%s: got known %t, status %d, want false, 400", c, c.Known(), c.Status())
	}
}

func TestMarshalJSON(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  *Error
		want string
	}{
		{"code and message", New(Forbidden, "You are %s.", "banned"), `{"errcode":"M_FORBIDDEN","error":"You are banned."}`},
		{"empty message is still there", New(NotFound, ""), `{"errcode":"M_NOT_FOUND","error":""}`},
		{"zero value", &Error{}, `{"errcode":"","error":""}`},
		{"extra members", New(LimitExceeded, "Slow down.").With("retry_after_ms", 2000), `{"errcode":"M_LIMIT_EXCEEDED","error":"Slow down.","retry_after_ms":2000}`},
		{"several members", New(UserLimitExceeded, "Full.").With("info_uri", "https://example.org/").With("can_upgrade", true), `{"can_upgrade":true,"errcode":"M_USER_LIMIT_EXCEEDED","error":"Full.","info_uri":"https://example.org/"}`},
		{"later value wins", New(UnknownToken, "").With("soft_logout", false).With("soft_logout", true), `{"errcode":"M_UNKNOWN_TOKEN","error":"","soft_logout":true}`},
		{"members cannot replace code and message", New(Forbidden, "No.").With("errcode", "M_X").With("error", "Yes."), `{"errcode":"M_FORBIDDEN","error":"No."}`},
		{"status is not in the body", New(Unrecognized, "").WithStatus(405), `{"errcode":"M_UNRECOGNIZED","error":""}`},
		{"cause is not in the body", New(Unknown, "Oops.").Wrap(errors.New("secret")), `{"errcode":"M_UNKNOWN","error":"Oops."}`},
	} {
		if got, err := json.Marshal(tt.err); err != nil || string(got) != tt.want {
			t.Errorf("%s: got %s, %v, want %s", tt.name, got, err, tt.want)
		}
	}
	if got, err := json.Marshal(New(Unknown, "").With("f", func() {})); err == nil {
		t.Errorf("member that is not JSON: got %s, want an error", got)
	}
}

func TestIsComparesCodes(t *testing.T) {
	notFound := fmt.Errorf("loading: %w", New(NotFound, "No such room.").WithStatus(400).Wrap(io.EOF))
	wrapping := New(Forbidden, "").Wrap(notFound)
	for _, tt := range []struct {
		name   string
		err    error
		target error
		want   bool
	}{
		{"code", notFound, NotFound, true},
		{"other code", notFound, Forbidden, false},
		{"error with the code", notFound, New(NotFound, "other words"), true},
		{"error with another code", notFound, New(Forbidden, "No such room."), false},
		{"nil error", notFound, (*Error)(nil), false},
		{"cause", notFound, io.EOF, true},
		{"other cause", notFound, io.ErrUnexpectedEOF, false},
		{"outer code", wrapping, Forbidden, true},
		{"code of the cause", wrapping, NotFound, true},
		{"bare code", fmt.Errorf("loading: %w", NotFound), NotFound, true},
	} {
		if got := errors.Is(tt.err, tt.target); got != tt.want {
			t.Errorf("%s: got %t, want %t", tt.name, got, tt.want)
		}
	}
}

func TestAs(t *testing.T) {
	var e *Error
	if !errors.As(New(Forbidden, "").Wrap(New(NotFound, "")), &e) || e.Code != Forbidden {
		t.Errorf("got %v, want the outer error", e)
	}
	if !errors.As(fmt.Errorf("loading: %w", NotFound), &e) || e.Code != NotFound || e.Status != 404 || e.Message != "M_NOT_FOUND" {
		t.Errorf("bare code: got %+v, want a refusal with status 404", e)
	}
	var path *os.PathError
	if errors.As(NotFound, &path) {
		t.Error("a code is taken for another type of error")
	}
}

func TestErrorIsForTheLog(t *testing.T) {
	for want, err := range map[string]*Error{
		"M_NOT_FOUND":                    New(NotFound, ""),
		"M_NOT_FOUND: No such room.":     New(NotFound, "No such room."),
		"M_NOT_FOUND: No such room: EOF": New(NotFound, "No such room").Wrap(io.EOF),
		"M_NOT_FOUND: EOF":               New(NotFound, "").Wrap(io.EOF),
	} {
		if got := err.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestMethodsReturnCopies(t *testing.T) {
	base := New(LimitExceeded, "Slow down.").With("a", 1)
	changed := base.With("b", 2).WithStatus(503).Wrap(io.EOF)
	if base.Status != 429 || len(base.Fields) != 1 || base.Unwrap() != nil {
		t.Errorf("got %+v, want the first error unchanged", base)
	}
	if changed.Status != 503 || len(changed.Fields) != 2 || changed.Unwrap() != io.EOF {
		t.Errorf("got %+v, want all changes", changed)
	}
}
