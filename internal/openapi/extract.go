package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Extract returns what extract.json has, made of the specification's data in a
// directory: that which has api and event-schemas. It holds what a response is
// checked against and nothing else, and has a line for each thing, so that the
// difference of two versions can be read.
func Extract(dir string) ([]byte, error) {
	x := &extractor{dir: dir, files: make(map[string]any), definitions: make(map[string]any)}
	operations := make(map[string]any)
	for _, api := range []string{"client-server", "server-server", "push-gateway"} {
		of, err := x.operations("api/" + api)
		if err != nil {
			return nil, err
		}
		maps.Copy(operations, of)
	}
	requests := make(map[string]any)
	for _, api := range []string{"application-service", "push-gateway", "server-server"} {
		if err := x.requests("api/"+api, requests); err != nil {
			return nil, err
		}
	}
	events, err := x.events("event-schemas/schema")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString("{\n")
	write(&b, "operations", operations)
	b.WriteString(",\n")
	write(&b, "requests", requests)
	b.WriteString(",\n")
	write(&b, "events", events)
	b.WriteString(",\n")
	write(&b, "definitions", x.definitions)
	b.WriteString("\n}\n")
	return b.Bytes(), nil
}

// write writes a member of the extract, with a line for each of its members.
func write(b *bytes.Buffer, name string, members map[string]any) {
	fmt.Fprintf(b, "%q:{", name)
	for i, key := range slices.Sorted(maps.Keys(members)) {
		if i > 0 {
			b.WriteByte(',')
		}
		var line bytes.Buffer
		e := json.NewEncoder(&line)
		e.SetEscapeHTML(false)
		if err := e.Encode(members[key]); err != nil {
			panic(err) // it is made of what was decoded
		}
		fmt.Fprintf(b, "\n%q:%s", key, bytes.TrimSuffix(line.Bytes(), []byte("\n")))
	}
	b.WriteString("\n}")
}

// An extractor goes through the files of the data. Names of files are relative to
// its directory, with slashes.
type extractor struct {
	dir         string
	files       map[string]any
	definitions map[string]any
}

func (x *extractor) file(name string) (any, error) {
	if content, ok := x.files[name]; ok {
		return content, nil
	}
	text, err := os.ReadFile(filepath.Join(x.dir, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	var content any
	if err := yaml.Unmarshal(text, &content); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	x.files[name] = content
	return content, nil
}

// object is v as an object, nil if it is none.
func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// follow returns what a reference in a file leads to, and the file where that is.
func (x *extractor) follow(in, ref string) (any, string, error) {
	file, fragment, _ := strings.Cut(ref, "#")
	if file != "" {
		in = path.Join(path.Dir(in), file)
	}
	v, err := x.file(in)
	if err != nil {
		return nil, "", err
	}
	for _, step := range strings.Split(strings.Trim(fragment, "/"), "/") {
		if step != "" {
			v = object(v)[step]
		}
	}
	if v == nil {
		return nil, "", fmt.Errorf("%s: %s leads nowhere", in, ref)
	}
	return v, in, nil
}

// behind is v, or what it refers to if it is a reference.
func (x *extractor) behind(in string, v any) (map[string]any, string, error) {
	ref, ok := object(v)["$ref"].(string)
	if !ok {
		return object(v), in, nil
	}
	to, file, err := x.follow(in, ref)
	if err != nil {
		return nil, "", err
	}
	return x.behind(file, to)
}

// operations are the responses of those of all files in a directory.
func (x *extractor) operations(dir string) (map[string]any, error) {
	all := make(map[string]any)
	err := x.each(dir, func(key, file string, op map[string]any) error {
		responses, err := x.responses(file, object(op["responses"]))
		if err == nil {
			all[key] = either(object(all[key]), responses)
		}
		return err
	})
	return all, err
}

// requests adds the schemas of the bodies with which a server asks others, where they have
// any.
func (x *extractor) requests(dir string, all map[string]any) error {
	return x.each(dir, func(key, file string, op map[string]any) error {
		body, in, err := x.behind(file, op["requestBody"])
		if err != nil {
			return err
		}
		all[key], err = x.schema(in, object(object(object(body["content"])["application/json"])["schema"]))
		return err
	})
}

// each calls f for each operation of all files in a directory.
func (x *extractor) each(dir string, f func(key, file string, op map[string]any) error) error {
	names, err := filepath.Glob(filepath.Join(x.dir, filepath.FromSlash(dir), "*.yaml"))
	if err != nil {
		return err
	}
	for _, name := range names {
		file := path.Join(dir, filepath.Base(name))
		content, err := x.file(file)
		if err != nil {
			return err
		}
		base, err := basePath(object(content))
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		paths := object(object(content)["paths"])
		for _, p := range slices.Sorted(maps.Keys(paths)) {
			for method, op := range object(paths[p]) {
				if object(op)["responses"] == nil {
					continue
				}
				// A path that is there already has a space at its end.
				key := strings.ToUpper(method) + " " + base + strings.TrimSpace(p)
				if err := f(key, file, object(op)); err != nil {
					return fmt.Errorf("%s: %s %s: %w", file, method, p, err)
				}
			}
		}
	}
	return nil
}

// either is what may be answered to an operation that is described twice.
func either(a, b map[string]any) map[string]any {
	both := maps.Clone(b)
	for status, content := range a {
		const kind = "application/json"
		one, other := object(content)[kind], object(b[status])[kind]
		switch {
		case other == nil:
			both[status] = content
		case !reflect.DeepEqual(one, other):
			both[status] = map[string]any{kind: map[string]any{"anyOf": []any{one, other}}}
		}
	}
	return both
}

// basePath is what the paths of a file begin with.
func basePath(file map[string]any) (string, error) {
	servers, _ := file["servers"].([]any)
	if len(servers) != 1 {
		return "", fmt.Errorf("there are %d servers", len(servers))
	}
	server := object(servers[0])
	base, ok := object(object(server["variables"])["basePath"])["default"].(string)
	if !ok {
		// That of the well-known files has no variable.
		text, _ := server["url"].(string)
		u, err := url.Parse(strings.NewReplacer("{protocol}", "https", "{hostname}", "x").Replace(text))
		if err != nil {
			return "", err
		}
		base = u.Path
	}
	return strings.TrimSuffix(base, "/"), nil
}

// responses are those of an operation by status: the types of their bodies, and
// for JSON the schema.
func (x *extractor) responses(file string, list map[string]any) (map[string]any, error) {
	all := make(map[string]any)
	for status, v := range list {
		response, in, err := x.behind(file, v)
		if err != nil {
			return nil, err
		}
		content := make(map[string]any)
		for kind, v := range object(response["content"]) {
			schema := map[string]any{}
			if kind == "application/json" {
				if schema, err = x.schema(in, object(object(v)["schema"])); err != nil {
					return nil, fmt.Errorf("status %s: %w", status, err)
				}
			}
			content[kind] = schema
		}
		all[status] = content
	}
	return all, nil
}

// events are the schemas of what events have as their content, by type.
func (x *extractor) events(dir string) (map[string]any, error) {
	names, err := filepath.Glob(filepath.Join(x.dir, filepath.FromSlash(dir), "m.*.yaml"))
	if err != nil {
		return nil, err
	}
	all := make(map[string]any)
	for _, name := range names {
		file := path.Join(dir, filepath.Base(name))
		content, err := x.file(file)
		if err != nil {
			return nil, err
		}
		kind := strings.TrimSuffix(filepath.Base(name), ".yaml")
		properties := object(object(content)["properties"])
		if strings.Contains(kind, "$") || properties["content"] == nil {
			continue // a variant of another, or a part of others
		}
		if all[kind], err = x.schema(file, object(properties["content"])); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return all, nil
}
