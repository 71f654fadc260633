package openapi

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"parley/matrix/mxerr"
)

const jsonType = "application/json"

// A Response is one, with what was asked for.
type Response struct {
	Method string
	Path   string // escaped
	Query  string // escaped
	Status int
	Header http.Header
	Body   []byte
}

// Check returns what is wrong with a response, a line for each thing. Of a request
// that is for none of the operations it knows only how it is refused.
func (c *Checker) Check(r Response) []string {
	var wrong []string
	switch {
	case isPage(r.Path):
		return nil
	case begins(r.Path, "/_matrix/client/", "/_matrix/media/", "/.well-known/matrix/"):
		wrong = cors(r)
	case !begins(r.Path, "/_matrix/federation/", "/_matrix/key/", "/_matrix/push/"):
		return nil
	}
	if r.Method == http.MethodOptions || r.Method == http.MethodHead {
		return wrong
	}
	key := c.Operation(r.Method, r.Path)
	switch {
	case r.Status >= 400:
		wrong = append(wrong, c.refusal(key, r)...)
	case key != "":
		wrong = append(wrong, c.answer(key, r)...)
	}
	for i, w := range wrong {
		wrong[i] = fmt.Sprintf("%s: %d: %s", cmp.Or(key, r.Method+" "+r.Path), r.Status, w)
	}
	return wrong
}

// Request returns what is wrong with a request that a server has made of another one, of an
// application service or of a push gateway, a line for each thing. The path is escaped.
func (c *Checker) Request(method, path string, body []byte) []string {
	key := find(c.requests, method, path)
	switch {
	case key == "":
		return []string{method + " " + path + " is no operation"}
	case len(object(c.requests[key])) == 0:
		if len(body) > 0 {
			return []string{key + " has no body"}
		}
		return nil
	}
	v, err := decode(body)
	if err != nil {
		return []string{fmt.Sprintf("%s: the body is no JSON: %v: %.100s", key, err, body)}
	}
	wrong := c.validate(v, "requests", key)
	for i, w := range wrong {
		wrong[i] = key + ": " + w
	}
	return wrong
}

// begins reports whether a path begins in one of some ways.
func begins(path string, ways ...string) bool {
	return slices.ContainsFunc(ways, func(way string) bool { return strings.HasPrefix(path, way) })
}

// cors returns what a browser would miss.
// https://spec.matrix.org/v1.19/client-server-api/#web-browser-clients
func cors(r Response) (wrong []string) {
	if got := r.Header.Get("Access-Control-Allow-Origin"); got != "*" {
		wrong = append(wrong, fmt.Sprintf("Access-Control-Allow-Origin is %q", got))
	}
	for name, words := range map[string][]string{
		"Access-Control-Allow-Methods": {"GET", "POST", "PUT", "DELETE", "OPTIONS"},
		"Access-Control-Allow-Headers": {"X-Requested-With", "Content-Type", "Authorization"},
	} {
		have := strings.Split(strings.ReplaceAll(r.Header.Get(name), " ", ""), ",")
		for _, word := range words {
			if !slices.Contains(have, word) {
				wrong = append(wrong, fmt.Sprintf("%s lacks %s", name, word))
			}
		}
	}
	return wrong
}

// answer checks what is no refusal.
func (c *Checker) answer(key string, r Response) []string {
	status := strconv.Itoa(r.Status)
	if inParts(key, r.Status) || waitsForDevice(key, r.Status) {
		return nil
	}
	kinds, ok := c.operations[key][status]
	if !ok {
		return []string{"the status is not documented"}
	}
	if _, typed := kinds[jsonType]; !typed {
		return nil // a picture, or another place
	}
	v, wrong := body(r)
	if wrong != "" {
		return []string{wrong}
	}
	if loose[key] != "" || delays(r.Query) {
		return nil
	}
	if cut(r.Query) {
		v = withoutEvents(v)
	}
	list := append(c.validate(v, "operations", key, status, jsonType), c.content(key, v)...)
	c.unknown(v, []map[string]any{object(kinds[jsonType])}, nil, func(at []string) {
		if additional[key][at[len(at)-1]] == "" && !addedToEvents(at) && !ofWholeEvent(key, at) {
			list = append(list, pointer(at)+": the specification does not know this member")
		}
	})
	return list
}

// withoutEvents returns a value with all lists of events emptied.
func withoutEvents(v any) any {
	members := object(v)
	for name, value := range members {
		if list, ok := value.([]any); ok && name == "events" {
			members[name] = list[:0]
		}
		withoutEvents(value)
	}
	return v
}

func pointer(at []string) string { return "/" + strings.Join(at, "/") }

// body is the JSON of a response, or what is wrong with it.
func body(r Response) (any, string) {
	if got := r.Header.Get("Content-Type"); got != jsonType {
		return nil, fmt.Sprintf("Content-Type is %q", got)
	}
	v, err := decode(r.Body)
	if err != nil {
		return nil, fmt.Sprintf("the body is no JSON: %v: %.100s", err, r.Body)
	}
	return v, ""
}

// refusal checks an error.
// https://spec.matrix.org/v1.19/client-server-api/#standard-error-response
func (c *Checker) refusal(key string, r Response) []string {
	v, wrong := body(r)
	if wrong != "" {
		return []string{wrong}
	}
	status := strconv.Itoa(r.Status)
	documented := c.operations[key][status]
	_, authenticate := object(v)["flows"]
	if authenticate && r.Status == http.StatusUnauthorized {
		if like := confirmed[key]; like != "" {
			key, documented = like, c.operations[like][status]
		}
		if documented == nil {
			return []string{"there is nothing to authenticate for"}
		}
		return c.validate(v, "operations", key, status, jsonType)
	}
	code, _ := object(v)["errcode"].(string)
	list := c.validate(v, "definitions", "definitions.errors.error")
	if len(list) == 0 && !mxerr.Code(code).Known() && (key != "" || proposed[code] == "") {
		list = append(list, fmt.Sprintf("the errcode is %q", code))
	}
	if text, _ := object(v)["error"].(string); text == "" {
		list = append(list, "the error does not say anything")
	}
	switch {
	case documented == nil:
		if key != "" && !inParts(key, r.Status) && !common(r.Status, mxerr.Code(code)) && !passedOn(key, r.Status, mxerr.Code(code)) &&
			!elsewhere(key, r.Status, mxerr.Code(code)) && !unsigned(key, r.Status, mxerr.Code(code)) {
			list = append(list, fmt.Sprintf("the status is not documented: %.200s", r.Body))
		}
	case r.Status != http.StatusUnauthorized && documented[jsonType] != nil:
		list = append(list, c.validate(v, "operations", key, status, jsonType)...)
	}
	return list
}

// validate returns how a value violates the schema at a place of the extract.
func (c *Checker) validate(v any, steps ...string) []string {
	err := c.schema(steps...).Validate(v)
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return []string{err.Error()}
	}
	var wrong []string
	leaves(invalid.DetailedOutput(), func(u *jsonschema.OutputUnit) {
		wrong = append(wrong, cmp.Or(u.InstanceLocation, "/")+": "+u.Error.String())
	})
	return wrong
}

// leaves calls f for what is wrong in the end.
func leaves(u *jsonschema.OutputUnit, f func(*jsonschema.OutputUnit)) {
	if len(u.Errors) == 0 {
		f(u)
	}
	for i := range u.Errors {
		leaves(&u.Errors[i], f)
	}
}

// content checks the content of what the server makes itself in a /sync: of what
// clients send it has to repeat everything.
func (c *Checker) content(key string, v any) (wrong []string) {
	if key != "GET /_matrix/client/v3/sync" {
		return nil
	}
	events := func(at string, v any, own func(string) bool) {
		list, _ := object(v)["events"].([]any)
		for i, e := range list {
			name, _ := object(e)["type"].(string)
			if c.events[name] == nil || !own(name) {
				continue
			}
			for _, w := range c.validate(object(e)["content"], "events", name) {
				wrong = append(wrong, fmt.Sprintf("%s/events/%d: the content of %s: %s", at, i, name, w))
			}
		}
	}
	all := func(string) bool { return true }
	events("/presence", object(v)["presence"], all)
	events("/account_data", object(v)["account_data"], managed)
	rooms := object(object(v)["rooms"])
	for _, part := range []string{"join", "leave"} {
		for name, room := range object(rooms[part]) {
			at := "/rooms/" + part + "/" + name
			events(at+"/ephemeral", object(room)["ephemeral"], all)
			events(at+"/account_data", object(room)["account_data"], managed)
		}
	}
	return wrong
}

// managed reports whether account data is written by the server only.
func managed(kind string) bool {
	return kind == "m.push_rules" || kind == "m.fully_read"
}

// Content returns how the content of an event violates the schema of its type, as
// JSON. A type that the specification does not have may have any.
func (c *Checker) Content(kind string, content []byte) []string {
	if c.events[kind] == nil {
		return nil
	}
	v, err := decode(content)
	if err != nil {
		return []string{err.Error()}
	}
	return c.validate(v, "events", kind)
}
