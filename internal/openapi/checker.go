package openapi

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"parley/matrix/id"
)

//go:embed extract.json
var extract []byte

// The resource that the schemas are in, for their compiler.
const resource = "mem:///extract.json"

// A Checker checks responses. Any number of goroutines may use it.
type Checker struct {
	// operations are the statuses of each operation, and the types of what is
	// answered with them.
	operations map[string]map[string]map[string]any
	// requests are what servers ask others with.
	requests    map[string]any
	events      map[string]any
	definitions map[string]any

	mu       sync.Mutex
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema // by where they are
}

// New returns a Checker.
func New() *Checker {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(extract)))
	if err != nil {
		panic(fmt.Sprintf("extract.json: %v", err))
	}
	all := object(doc)
	c := &Checker{
		compiler: jsonschema.NewCompiler(), compiled: make(map[string]*jsonschema.Schema),
		operations: make(map[string]map[string]map[string]any), requests: object(all["requests"]), events: object(all["events"]), definitions: object(all["definitions"]),
	}
	for key, statuses := range object(all["operations"]) {
		c.operations[key] = make(map[string]map[string]any)
		for status, kinds := range object(statuses) {
			c.operations[key][status] = object(kinds)
		}
	}
	addProse(c.definitions)
	c.compiler.AssertFormat()
	for name, parse := range formats {
		c.compiler.RegisterFormat(&jsonschema.Format{Name: name, Validate: func(v any) error {
			if text, ok := v.(string); ok {
				return parse(text)
			}
			return nil
		}})
	}
	if err := c.compiler.AddResource(resource, doc); err != nil {
		panic(fmt.Sprintf("extract.json: %v", err))
	}
	return c
}

// formats are those that the specification adds.
var formats = map[string]func(string) error{
	"mx-user-id":     func(s string) error { _, err := id.ParseUserID(s); return err },
	"mx-event-id":    func(s string) error { _, err := id.ParseEventID(s); return err },
	"mx-room-id":     func(s string) error { _, err := id.ParseRoomID(s); return err },
	"mx-room-alias":  func(s string) error { _, err := id.ParseRoomAlias(s); return err },
	"mx-server-name": func(s string) error { _, err := id.ParseServerName(s); return err },
	"mx-mxc-uri":     func(s string) error { _, err := id.ParseContentURI(s); return err },
}

// schema returns the compiled schema at a place of the extract.
func (c *Checker) schema(steps ...string) *jsonschema.Schema {
	at := "#"
	for _, s := range steps {
		at += "/" + url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(s))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.compiled[at]; s != nil {
		return s
	}
	s, err := c.compiler.Compile(resource + at)
	if err != nil {
		panic(fmt.Sprintf("extract.json%s: %v", at, err))
	}
	c.compiled[at] = s
	return s
}

// Operations returns METHOD PATH of all operations, in no order.
func (c *Checker) Operations() []string {
	var all []string
	for key := range c.operations {
		all = append(all, key)
	}
	return all
}

// Operation returns METHOD PATH, with wildcards, of the operation that a request
// is for, empty if there is none. The path is as it was sent, escaped and without
// query.
func (c *Checker) Operation(method, path string) string {
	if rest, ok := strings.CutPrefix(path, "/_matrix/client/r0/"); ok {
		path = "/_matrix/client/v3/" + rest // old clients use the old name of that
	}
	return find(c.operations, method, path)
}

// find returns the operation of a list that a request is for, the one with the fewest
// wildcards, empty if there is none.
func find[V any](operations map[string]V, method, path string) string {
	best, literal := "", -1
	for key := range operations {
		m, pattern, _ := strings.Cut(key, " ")
		if m != method {
			continue
		}
		if n, ok := match(pattern, path); ok && n > literal {
			best, literal = key, n
		}
	}
	return best
}

// match reports whether a path is one of a pattern, and how many segments are not
// wildcards. Only a state key may be empty, or missing altogether.
func match(pattern, path string) (literal int, ok bool) {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	const key = "{stateKey}"
	if want[len(want)-1] == key && len(got) == len(want)-1 {
		got = append(got, "")
	}
	if len(want) != len(got) {
		return 0, false
	}
	for i, w := range want {
		switch {
		case strings.HasPrefix(w, "{"):
			if got[i] == "" && w != key {
				return 0, false
			}
		case w != got[i]:
			return 0, false
		default:
			literal++
		}
	}
	return literal, true
}

// decode is JSON as the schemas are asked about it.
func decode(text []byte) (any, error) {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}
