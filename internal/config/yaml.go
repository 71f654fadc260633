package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	// maxFileSize is many times what all keys with their comments take. The
	// YAML parser takes time that grows with the square of the size.
	maxFileSize = 64 << 10
	// maxBrackets is how deep [ and { may be nested. No key needs any; tens of
	// thousands keep the parser busy for half a minute.
	maxBrackets = 16
)

// readFile reads the YAML file: sections of keys, two levels in all. Of YAML
// nothing else is taken, in particular no anchors, aliases and tags.
func (r *reader) readFile(name string, content []byte) {
	f := yamlFile{r: r, name: name, settings: settings(), given: r.once(), begun: map[string]string{}}
	for _, s := range f.settings {
		f.names = append(f.names, s.name)
		if section, _, ok := strings.Cut(s.name, "."); ok && !slices.Contains(f.sections, section) {
			f.sections = append(f.sections, section)
		}
	}
	root, ok := f.parse(content)
	if !ok {
		r.partial = true
		return
	}
	if root == nil {
		return
	}
	top, ok := entries(root)
	if !ok {
		r.partial = true
		r.problem("%s: is %s, want keys with values, such as server_name: example.org", f.at(root), describe(root))
		return
	}
	for _, entry := range top {
		f.readEntry("", entry)
	}
}

// yamlFile is the file while it is read.
type yamlFile struct {
	r        *reader
	name     string
	settings []setting
	names    []string // of the settings
	sections []string
	given    once
	// begun has the place where each section was first met.
	begun map[string]string
}

// parse returns the root of the only document, nil if the file says nothing. If
// it is not ok, the problem is reported.
func (f *yamlFile) parse(content []byte) (root ast.Node, ok bool) {
	if len(content) > maxFileSize {
		f.r.problem("%s: has more than %d bytes", f.name, maxFileSize)
		return nil, false
	}
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	for i, line := range bytes.Split(content, []byte("\n")) {
		if !utf8.Valid(line) {
			f.r.problem("%s:%d: is not UTF-8", f.name, i+1)
			return nil, false
		}
	}
	tokens := lexer.Tokenize(string(content))
	depth := 0
	for _, t := range tokens {
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth = max(0, depth-1)
		}
		if depth > maxBrackets {
			f.r.problem("%s:%d: brackets are nested deeper than %d", f.name, t.Position.Line, maxBrackets)
			return nil, false
		}
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		f.r.problems = append(f.r.problems, f.syntaxError(err))
		return nil, false
	}
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case root != nil:
			f.r.problem("%s: a second document begins, want one", f.at(doc.Body))
		default:
			root = doc.Body
		}
	}
	return root, true
}

// syntaxError leaves out the lines that the parser's own message quotes: there
// may be a secret in them.
func (f *yamlFile) syntaxError(err error) error {
	var syntax interface {
		error
		GetToken() *token.Token
		GetMessage() string
	}
	if !errors.As(err, &syntax) {
		return fmt.Errorf("%s: is not valid YAML", f.name)
	}
	if t := syntax.GetToken(); t != nil && t.Position != nil {
		return fmt.Errorf("%s:%d: is not valid YAML: %s", f.name, t.Position.Line, syntax.GetMessage())
	}
	return fmt.Errorf("%s: is not valid YAML: %s", f.name, syntax.GetMessage())
}

// readEntry reads one key with its value. A key of a section may be written in
// the section or, with its dot, outside.
func (f *yamlFile) readEntry(section string, entry *ast.MappingValueNode) {
	name := section + keyText(entry)
	for _, s := range f.settings {
		if s.name == name {
			f.readSetting(s, entry)
			return
		}
	}
	if slices.Contains(f.sections, name) {
		f.readSection(name, entry)
		return
	}
	near := f.names
	if _, isSection := entries(entry.Value); isSection {
		near = f.sections
	}
	f.r.problem("%s: the key %s is not known%s", f.at(entry.Key), show(name), suggestion("", name, near))
}

func (f *yamlFile) readSection(name string, section *ast.MappingValueNode) {
	line := f.at(section.Key)
	if first, again := f.begun[name]; again {
		f.r.problem("%s: the section %s is there twice, first at %s", line, name, first)
	} else {
		f.begun[name] = line
	}
	if section.Value.Type() == ast.NullType {
		return // all its keys are commented out
	}
	in, ok := entries(section.Value)
	if !ok {
		f.r.problem("%s: %s is %s, want a section with keys", line, name, describe(section.Value))
		return
	}
	for _, entry := range in {
		f.readEntry(name+".", entry)
	}
}

func (f *yamlFile) readSetting(s setting, entry *ast.MappingValueNode) {
	where := f.at(entry.Key) + ": " + s.name
	if !f.given.first(s, where) {
		return
	}
	text, ok := scalar(entry.Value, s.key.value.plain)
	if !ok {
		f.r.problem("%s: %s, want %v", where, s.describe(entry.Value), s.key.value.plain)
		return
	}
	f.r.set(s, where, text)
}

func (f *yamlFile) at(n ast.Node) string {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return fmt.Sprintf("%s:%d", f.name, t.Position.Line)
	}
	return f.name
}

// keyText is the key as it was written, but for quotes. Keys that are not text,
// such as 1 or <<, give text that is no key of ours.
func keyText(entry *ast.MappingValueNode) string {
	if s, ok := entry.Key.(*ast.StringNode); ok {
		return s.Value
	}
	return entry.Key.GetToken().Value
}

// entries are the keys and values of a mapping. The parser has a shorter form
// for a mapping with one key.
func entries(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// scalar is the text of a value, if it has the right type.
func scalar(n ast.Node, plain plainType) (string, bool) {
	switch n := n.(type) {
	case *ast.BoolNode:
		return strconv.FormatBool(n.Value), plain == plainBoolean
	case *ast.IntegerNode:
		return n.GetToken().Value, plain == plainNumber
	case *ast.StringNode:
		return n.Value, plain == plainText
	case *ast.LiteralNode:
		return n.Value.Value, plain == plainText
	}
	return "", false
}

// describe says what a value is that should be something else, and shows it
// where that is not too much.
func (s setting) describe(n ast.Node) string {
	switch n.Type() {
	case ast.StringType, ast.BoolType, ast.IntegerType, ast.FloatType, ast.InfinityType, ast.NanType:
		text := s.key.show(n.GetToken().Value)
		return text + " is " + describe(n)
	}
	return "is " + describe(n)
}

func describe(n ast.Node) string {
	switch n.Type() {
	case ast.NullType:
		return "empty"
	case ast.BoolType:
		return "true or false"
	case ast.IntegerType, ast.FloatType, ast.InfinityType, ast.NanType:
		return "a number"
	case ast.StringType, ast.LiteralType:
		return "text"
	case ast.SequenceType:
		return "a list"
	case ast.MappingType, ast.MappingValueType:
		return "a section"
	case ast.AnchorType, ast.AliasType, ast.TagType, ast.DirectiveType:
		return "YAML's " + strings.ToLower(n.Type().YAMLName())
	}
	return "something else"
}
