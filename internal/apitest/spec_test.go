package apitest

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"parley/internal/endpoint"
)

// An operation is one that the specification has for clients, or for other servers.
type operation struct {
	module, method, path string
	auth                 string // as endpoints.tsv has it
	limited              bool   // it may be answered with 429
	guests               bool   // they may use it
	query                []string
	members              []string // NAME:TYPE of the body
}

// operations reads testdata/operations.tsv.
func operations(t testing.TB) []operation {
	t.Helper()
	var ops []operation
	for _, row := range readTable(t, filepath.Join("testdata", "operations.tsv")) {
		list := func(column string) []string {
			if row[column] == "-" {
				return nil
			}
			return strings.Fields(row[column])
		}
		ops = append(ops, operation{
			module: row["module"], method: row["method"], path: row["path"], auth: row["auth"],
			limited: row["limited"] == "yes", guests: row["guests"] == "yes",
			query: list("query"), members: list("members"),
		})
	}
	return ops
}

// readTable reads lines of columns that tabs separate, the first of which has the
// names of the columns.
func readTable(t testing.TB, name string) []map[string]string {
	t.Helper()
	lines := readLines(t, name)
	if len(lines) < 2 {
		t.Fatalf("%s is empty", name)
	}
	names := strings.Split(lines[0], "\t")
	var rows []map[string]string
	for i, line := range lines[1:] {
		values := strings.Split(line, "\t")
		if len(values) != len(names) {
			t.Fatalf("%s:%d: got %d columns, want %d", name, i+2, len(values), len(names))
		}
		row := make(map[string]string)
		for i, n := range names {
			row[n] = values[i]
		}
		rows = append(rows, row)
	}
	return rows
}

func readLines(t testing.TB, name string) []string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []string
	s := bufio.NewScanner(f)
	for s.Scan() {
		lines = append(lines, s.Text())
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// keyOf names an operation or a route, whatever it calls its wildcards. A state
// event may be asked for without its key, and a path that ends with a slash does
// so in a pattern with {$}.
func keyOf(method, path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		switch {
		case s == "{$}":
			segments[i] = ""
		case strings.HasPrefix(s, "{"):
			segments[i] = "{}"
		}
	}
	return method + " " + strings.Join(segments, "/")
}

// betweenServers reports whether it is of the server-server API.
func (o operation) betweenServers() bool {
	return strings.HasPrefix(o.path, "/_matrix/federation/") || strings.HasPrefix(o.path, "/_matrix/key/") ||
		strings.HasPrefix(o.path, "/_matrix/policy/") || o.path == "/.well-known/matrix/server"
}

func (o operation) key() string        { return keyOf(o.method, o.path) }
func routeKey(r endpoint.Route) string { return keyOf(r.Method, r.Pattern) }

// TestOperationsAreThoseOfTheSpecification compares the committed list with the
// specification as data, where that lies beside the repository. Where it does
// not, the list is what there is, and only its form is checked.
func TestOperationsAreThoseOfTheSpecification(t *testing.T) {
	ops := operations(t)
	if len(ops) < 190 {
		t.Errorf("there are %d operations, and were 199", len(ops))
	}
	seen := make(map[string]operation)
	for _, op := range ops {
		if _, ok := seen[op.key()]; ok {
			t.Errorf("%s is there twice", op.key())
		}
		seen[op.key()] = op
		if !slices.Contains([]string{"none", "access token", "optional access token", "as token", "server signature", "openid token (query)"}, op.auth) {
			t.Errorf("%s: auth is %q", op.key(), op.auth)
		}
	}
	name := above(t, filepath.Join("shared", "spec", "endpoints.tsv"))
	if name == "" {
		t.Log("the specification is not here: its list of endpoints is taken from testdata alone")
		return
	}
	inSpec := make(map[string]bool)
	for _, row := range readTable(t, name) {
		if row["api"] != "client-server" && row["api"] != "server-server" {
			continue
		}
		key := keyOf(row["method"], row["path"])
		inSpec[key] = true
		op, ok := seen[key]
		if !ok {
			t.Errorf("%s is in the specification and not in testdata/operations.tsv", key)
			continue
		}
		if op.auth != row["auth"] || op.limited != (row["rate_limited"] == "yes") || op.guests != (row["guest_ok"] == "yes") {
			t.Errorf("%s: got auth %s, limited %v, guests %v, the specification has %s, %s, %s",
				key, op.auth, op.limited, op.guests, row["auth"], row["rate_limited"], row["guest_ok"])
		}
	}
	for key := range seen {
		if !inSpec[key] {
			t.Errorf("%s is in testdata/operations.tsv and not in the specification", key)
		}
	}
}

// above returns a file in this directory or the nearest one above it that has it,
// empty if none does.
func above(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path
		} else if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}
