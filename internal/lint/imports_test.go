package lint

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// A layer may import the layers below it, whichever they are, and nothing
// beside or above it. What two packages of one layer share either belongs to a
// layer below, or one gets it from its constructor as a function or a small
// interface.
type layer struct {
	name     string
	why      string // why nothing below may import this layer, nor the packages of it each other
	packages []string
}

// layers is the house from the roof down. Packages that are not built yet are
// listed where the design puts them.
var layers = []layer{
	{"lint", "it reads the sources of all packages and is part of none", []string{
		"internal/lint"}},
	{"commands", "a command wires the parts and decides nothing, so there is nothing in it to use", []string{
		"cmd/parley"}},
	{"load generator", "a server is measured from outside and does not measure itself", []string{
		"internal/loadgen"}},
	{"kill tests", "it kills whole servers and looks into what they leave; what is looked at does not look itself", []string{
		"internal/killtest"}},
	{"simulation", "it drives whole test servers through faults", []string{
		"internal/simtest"}},
	{"federation tests", "they play scenes between whole servers", []string{
		"internal/fedtest"}},
	{"API tests", "they go through all that whole servers serve", []string{
		"internal/apitest"}},
	{"test servers", "it starts whole servers in memory", []string{
		"internal/hstest"}},
	{"server", "it alone knows all parts, and hands each what it needs", []string{
		"internal/server"}},
	{"config", "a part gets its settings as values from its constructor, and can be read without knowing the configuration file", []string{
		"internal/config"}},
	{"routes", "a route turns a request into one call; what two APIs share is a matter of the domain below them", []string{
		"internal/csapi", "internal/ssapi", "internal/idapi", "internal/adminapi", "internal/web"}},
	{"endpoint", "it is the frame around every route: authentication, limits, decoding, errors", []string{
		"internal/endpoint"}},
	{"consumers", "a consumer reads the journal behind a cursor of its own and never decides; what decides must not wait for it", []string{
		"internal/feed", "internal/inherit", "internal/fedsend", "internal/push", "internal/appservice", "internal/search", "internal/directory"}},
	{"domains", "a domain decides what is true about its own subject and can be understood without the others", []string{
		"internal/room", "internal/account", "internal/oauth", "internal/e2ee", "internal/receipt", "internal/accountdata",
		"internal/profile", "internal/filter", "internal/alias", "internal/identity", "internal/report", "internal/inbound", "internal/notice", "internal/ephemeral", "internal/todevice", "internal/devicelist", "internal/delay", "internal/subscription", "internal/rendezvous", "internal/media", "internal/gateway", "internal/sso", "internal/rtc"}},
	{"ground", "it carries facts for the domains without knowing what they mean", []string{
		"internal/journal", "internal/statetrie", "internal/remote", "internal/textindex"}},
	{"test rooms", "it builds rooms of signed events for tests; what runs does not contain it", []string{
		"internal/roomtest"}},
	{"test databases", "it gives tests a database with tables; what runs opens its own", []string{
		"internal/store/storetest"}},
	{"test buckets", "it gives tests a service for objects, in memory; what runs asks a real one", []string{
		"internal/bucket/buckettest"}},
	{"responses of the specification", "tests ask it what is wrong with a response; what runs does not contain it", []string{
		"internal/openapi"}},
	{"test mail", "it takes the mail that tests have sent; what runs has a server of somebody else", []string{
		"internal/mail/mailtest"}},
	{"test identity provider", "it says in tests who somebody is; what runs asks those of others", []string{
		"internal/sso/ssotest"}},
	{"test browser", "it reads what tests have pushed; what runs has no browser", []string{
		"internal/gateway/gatewaytest"}},
	{"test network", "it connects test servers in memory; what runs listens on real addresses", []string{
		"internal/memnet"}},
	{"schema", "the tables are made before anybody uses them", []string{
		"internal/schema"}},
	{"base", "it knows no domain: connections and transactions, hints between nodes, what is kept in memory, what is done later, objects in a bucket, mail and text messages, lines on a terminal", []string{
		"internal/store", "internal/bus", "internal/bucket", "internal/cache", "internal/durable", "internal/errand", "internal/mail", "internal/sms", "internal/termlog"}},
}

// kernel lists, for each package of the protocol, which others it may import,
// and what for.
var kernel = map[string]map[string]string{
	"matrix/canonjson": {},
	"matrix/glob":      {},
	"matrix/id": {
		"matrix/canonjson": "the strings of identifiers are those of canonical JSON",
	},
	"matrix/mxerr": {
		"matrix/canonjson": "an error is a JSON body",
	},
	"matrix/roomver": {
		"matrix/canonjson": "a room version says which JSON its events may be",
	},
	"matrix/signing": {
		"matrix/canonjson": "what is signed is canonical JSON",
		"matrix/id":        "signatures lie below the names of servers and keys",
	},
	"matrix/xmatrix": {
		"matrix/canonjson": "a request is signed as canonical JSON",
		"matrix/id":        "it is from one server to another",
		"matrix/signing":   "it is signed",
	},
	"matrix/event": {
		"matrix/canonjson": "an event is hashed and signed as canonical JSON",
		"matrix/id":        "its sender, room and references are identifiers",
		"matrix/roomver":   "its format, its ID and its redaction depend on the room version",
		"matrix/signing":   "it is signed by the server of its sender",
	},
	"matrix/eventauth": {
		"matrix/canonjson": "the rules read the contents of events",
		"matrix/glob":      "access control lists are lists of patterns",
		"matrix/id":        "the rules compare users and servers",
		"matrix/roomver":   "the room version says which rules apply",
		"matrix/signing":   "invites by a third party are signed within their content",
		"matrix/event":     "events are what it judges",
	},
	"matrix/stateres": {
		"matrix/canonjson": "the power order reads the contents of events",
		"matrix/id":        "events are named by their IDs",
		"matrix/roomver":   "the room version names the algorithm",
		"matrix/event":     "events are what it orders",
		"matrix/eventauth": "resolution keeps the events that pass authorization",
	},
	"matrix/pushrule": {
		"matrix/canonjson": "conditions look into the contents of events",
		"matrix/glob":      "conditions compare texts with patterns",
		"matrix/id":        "rules name users and rooms",
		"matrix/mxerr":     "an edit that is refused is a Matrix error",
		"matrix/roomver":   "conditions may depend on what the room version supports",
	},
}

// impure lists what would give the protocol an input or an output besides its
// arguments and results. The entry that matches most of a path decides, for
// the packages below it too; an empty reason allows them.
var impure = map[string]string{
	"C":             "the binary is built without cgo",
	"context":       "a pure function is not cancelled: its work is bounded by its input",
	"crypto/rand":   "randomness is an argument",
	"database/sql":  "the protocol does not know how its values are stored",
	"log":           "what there is to say is returned",
	"math/rand":     "randomness is an argument",
	"net":           "the protocol is given bytes and does not fetch them",
	"net/netip":     "",
	"net/url":       "",
	"os":            "the protocol has no environment and no files",
	"path/filepath": "the protocol has no files",
	"syscall":       "the protocol has no environment and no files",
	"testing":       "test code does not belong into what callers link",
	"time":          "the time is an argument, in the milliseconds that Matrix uses",
	"unsafe":        "bytes from outside must not be able to become memory errors",
}

// allowed holds the exceptions to impure, by package and path, with reasons.
var allowed = map[string]map[string]string{
	"matrix/event": {
		"unsafe": "the strings of an event lie in its bytes, which are never written after parsing",
	},
	"matrix/id": {
		"database/sql/driver": "identifiers implement driver.Valuer once for all tables; the interface brings no database",
	},
}

// strangers are packages above layers whose packages they may not import all the
// same. Of the module they may import the protocol only.
var strangers = map[string]string{
	"internal/loadgen": "it measures any server over HTTP, and would measure something else if it could reach into ours",
}

// bulky lists packages that nothing may import, by what they cost. Tests may.
var bulky = map[string]string{
	"html/template": "it calls methods by name, for which the linker keeps the methods of all types: 4 MB of the binary",
	"text/template": "it calls methods by name, for which the linker keeps the methods of all types: 4 MB of the binary",
}

// checkImports holds every import of the module against the layers and the
// two tables of the protocol.
func checkImports(h *house) []string {
	var complaints []string
	for _, p := range h.packages {
		inKernel := p.dir == "matrix" || strings.HasPrefix(p.dir, "matrix/")
		switch {
		case inKernel && kernel[p.dir] == nil:
			complaints = append(complaints, h.complain(p.files[0].syntax.Package,
				"package %s has no row in the kernel table of internal/lint: say there which packages of the protocol it may import, and why", p.dir))
			continue
		case !inKernel && height(p.dir) < 0:
			complaints = append(complaints, h.complain(p.files[0].syntax.Package,
				"package %s is in no layer: give it a layer in internal/lint", p.dir))
			continue
		}
		for _, f := range p.files {
			for _, spec := range f.syntax.Imports {
				to := importPath(spec)
				wrong := bulky[to]
				switch {
				case wrong != "":
				case inKernel:
					wrong = wrongInKernel(p.dir, to)
				default:
					wrong = wrongInLayers(p.dir, to)
				}
				if wrong != "" {
					complaints = append(complaints, h.complain(spec.Pos(), "%s imports %s: %s", p.dir, to, wrong))
				}
			}
		}
	}
	return complaints
}

// wrongInKernel says why a package of the protocol may not import a path; an
// empty answer means that it may.
func wrongInKernel(from, to string) string {
	if ours, ok := strings.CutPrefix(to, module+"/"); ok {
		if kernel[from][ours] != "" {
			return ""
		}
		if !strings.HasPrefix(ours, "matrix/") {
			return "the protocol is pure and public, and knows nothing of the server built on it"
		}
		return "the packages of the protocol build on each other in one order, and this one may import only: " +
			strings.Join(slices.Sorted(maps.Keys(kernel[from])), ", ")
	}
	if strings.Contains(strings.SplitN(to, "/", 2)[0], ".") {
		return "the protocol needs nothing but the standard library"
	}
	if allowed[from][to] != "" {
		return ""
	}
	for path := to; ; {
		if why, ok := impure[path]; ok {
			return why
		}
		slash := strings.LastIndexByte(path, '/')
		if slash < 0 {
			return ""
		}
		path = path[:slash]
	}
}

// wrongInLayers is wrongInKernel for all other packages.
func wrongInLayers(from, to string) string {
	if to == "C" {
		return impure["C"]
	}
	ours, ok := strings.CutPrefix(to, module+"/")
	if !ok || strings.HasPrefix(ours, "matrix/") {
		return ""
	}
	if why := strangers[from]; why != "" {
		return why
	}
	a, b := height(from), height(ours)
	switch {
	case b < 0:
		return "it is in no layer: give it a layer in internal/lint"
	case b > a:
		return ""
	case b == a:
		return "both are in layer " + layers[b].name + ", and packages of one layer do not import each other: " + layers[b].why
	default:
		return "layer " + layers[b].name + " is above layer " + layers[a].name + ": " + layers[b].why
	}
}

// height is the index in layers of the layer of a package, -1 for none.
func height(dir string) int {
	return slices.IndexFunc(layers, func(l layer) bool { return slices.Contains(l.packages, dir) })
}

func TestImportsReported(t *testing.T) {
	testRule(t, checkImports, []row{
		{
			name: "downwards is right, past layers too",
			files: map[string]string{
				"cmd/parley/main.go":     "package main\n\nimport (\n\t\"os\"\n\t\"parley/internal/server\"\n\t\"parley/internal/store\"\n\t\"parley/matrix/id\"\n\t\"modernc.org/sqlite\"\n)\n",
				"internal/room/send.go":  "package room\n\nimport (\n\t\"context\"\n\t\"parley/internal/journal\"\n\t\"parley/matrix/eventauth\"\n)\n",
				"matrix/event/parse.go":  "package event\n\nimport (\n\t\"bytes\"\n\t\"parley/matrix/canonjson\"\n)\n",
				"matrix/id/server.go":    "package id\n\nimport (\n\t\"database/sql/driver\"\n\t\"net/netip\"\n)\n",
				"internal/store/open.go": "package store\n\nimport \"database/sql\"\n",
			},
		},
		{
			name: "a tagged file counts",
			files: map[string]string{
				"internal/journal/check.go": "//go:build invariants\n\npackage journal\n\nimport \"parley/internal/feed\"\n",
			},
			want: []string{"internal/journal/check.go:5: internal/journal imports parley/internal/feed: layer consumers is above layer ground: "},
		},
		{
			name:  "upwards",
			files: map[string]string{"internal/room/send.go": "package room\n\nimport \"parley/internal/csapi\"\n"},
			want:  []string{"internal/room/send.go:3: internal/room imports parley/internal/csapi: layer routes is above layer domains: "},
		},
		{
			name:  "sideways",
			files: map[string]string{"internal/room/send.go": "package room\n\nimport \"parley/internal/account\"\n"},
			want:  []string{"packages of one layer do not import each other"},
		},
		{
			name:  "a stranger to the server",
			files: map[string]string{"internal/loadgen/send.go": "package loadgen\n\nimport (\n\t\"parley/internal/room\"\n\t\"parley/matrix/id\"\n)\n"},
			want:  []string{"internal/loadgen/send.go:4: internal/loadgen imports parley/internal/room: it measures any server over HTTP"},
		},
		{
			name:  "a package without a layer",
			files: map[string]string{"internal/util/strings.go": "package util\n"},
			want:  []string{"internal/util/strings.go:1: package internal/util is in no layer: give it a layer"},
		},
		{
			name:  "importing a package without a layer",
			files: map[string]string{"internal/room/send.go": "package room\n\nimport \"parley/internal/util\"\n"},
			want:  []string{"internal/room imports parley/internal/util: it is in no layer"},
		},
		{
			name:  "a package of the protocol without a row",
			files: map[string]string{"matrix/content/room.go": "package content\n"},
			want:  []string{"matrix/content/room.go:1: package matrix/content has no row"},
		},
		{
			name:  "the protocol against its order",
			files: map[string]string{"matrix/event/check.go": "package event\n\nimport \"parley/matrix/eventauth\"\n"},
			want:  []string{"may import only: matrix/canonjson, matrix/id, matrix/roomver, matrix/signing"},
		},
		{
			name:  "the protocol importing the server",
			files: map[string]string{"matrix/stateres/v2.go": "package stateres\n\nimport \"parley/internal/statetrie\"\n"},
			want:  []string{"matrix/stateres/v2.go:3: matrix/stateres imports parley/internal/statetrie: the protocol is pure"},
		},
		{
			name:  "the protocol importing another module",
			files: map[string]string{"matrix/id/user.go": "package id\n\nimport \"golang.org/x/text/cases\"\n"},
			want:  []string{"needs nothing but the standard library"},
		},
		{
			name: "the protocol importing the outside world",
			files: map[string]string{"matrix/roomver/a.go": "package roomver\n\nimport (\n\t\"context\"\n\t\"crypto/rand\"\n\t\"database/sql\"\n" +
				"\t\"database/sql/driver\"\n\t\"log/slog\"\n\t\"math/rand/v2\"\n\t\"net\"\n\t\"net/http\"\n\t\"net/url\"\n\t\"os\"\n\t\"time\"\n)\n"},
			want: []string{"context", "crypto/rand", "database/sql", "database/sql/driver", "log/slog", "math/rand/v2", "imports net:", "net/http", "imports os:", "imports time:"},
		},
		{
			name: "what makes the binary large",
			files: map[string]string{
				"internal/csapi/page.go": "package csapi\n\nimport \"html/template\"\n",
				"matrix/event/print.go":  "package event\n\nimport \"text/template\"\n",
			},
			want: []string{"internal/csapi imports html/template: it calls methods by name", "matrix/event imports text/template: it calls methods by name"},
		},
		{
			name:  "cgo",
			files: map[string]string{"internal/store/open.go": "package store\n\nimport \"C\"\n"},
			want:  []string{"built without cgo"},
		},
	})
}

func TestImportTables(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range layers {
		if len(l.why) < 20 {
			t.Errorf("layer %s: the reason %q does not say much", l.name, l.why)
		}
		for _, p := range l.packages {
			if seen[p] {
				t.Errorf("%s is in two layers", p)
			}
			seen[p] = true
		}
	}
	// Follow the permitted edges: a package that is reached from itself would
	// be a permitted cycle.
	for start := range kernel {
		reached := map[string]bool{}
		todo := []string{start}
		for len(todo) > 0 {
			p := todo[0]
			todo = todo[1:]
			for next, why := range kernel[p] {
				if kernel[next] == nil {
					t.Errorf("%s may import %s, which has no row", p, next)
				}
				if why == "" {
					t.Errorf("%s may import %s without a reason", p, next)
				}
				if !reached[next] {
					reached[next] = true
					todo = append(todo, next)
				}
			}
		}
		if reached[start] {
			t.Errorf("the kernel table lets %s import itself in the end", start)
		}
	}
}
