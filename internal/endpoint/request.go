package endpoint

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

// A plan says how to fill a request type. It is made once for each route.
type plan struct {
	path, query, header []param
	members             []member
	byName              map[string]int // index in members
	raw                 *rawBody
}

// A param is a field that gets its value from a text.
type param struct {
	name     string
	index    []int // of the field, for reflect
	set      textSetter
	many     bool // it takes all values, not just the first
	text     bool // it takes the empty string for a value
	required mxerr.Code
}

// A member is a field that gets its value from a member of the body.
type member struct {
	name     string
	index    []int
	set      jsonSetter
	null     bool // it takes null for a value
	required mxerr.Code
}

type rawBody struct {
	index    []int
	required bool
}

// maxMembers is how many members of a body a request type may name: decode
// notes in one word which of them it has seen.
const maxMembers = 64

// compile makes the plan for a request type and holds it against the route.
func compile(t reflect.Type, r *Route) (*plan, error) {
	p := &plan{byName: make(map[string]int)}
	if t.Kind() != reflect.Struct {
		return nil, errors.New("not a struct")
	}
	if err := p.addFields(t, nil, r); err != nil {
		return nil, err
	}
	for _, w := range r.wildcards {
		if !slices.ContainsFunc(p.path, func(f param) bool { return f.name == w.name }) {
			return nil, fmt.Errorf("no field for the wildcard {%s}", w.name)
		}
	}
	if r.Method == "GET" && (len(p.members) > 0 || p.raw != nil) {
		return nil, errors.New("fields for a body, which GET does not have")
	}
	return p, nil
}

func (p *plan) addFields(t reflect.Type, index []int, r *Route) error {
	for i := range t.NumField() {
		f := t.Field(i)
		f.Index = append(slices.Clone(index), i)
		if err := p.addField(f, r); err != nil {
			return fmt.Errorf("field %s: %w", f.Name, err)
		}
	}
	return nil
}

func (p *plan) addField(f reflect.StructField, r *Route) error {
	source, tag, err := fieldSource(f)
	switch {
	case err != nil:
		return err
	case source == "" && f.Anonymous && f.Type.Kind() == reflect.Struct:
		return p.addFields(f.Type, f.Index, r)
	case source == "" && !f.IsExported():
		return nil
	case source == "":
		return errors.New("no tag says where it comes from")
	case !f.IsExported():
		return errors.New("has a tag but is not exported")
	}
	required, err := requiredCode(f)
	if err != nil {
		return err
	}
	name, option, _ := strings.Cut(tag, ",")
	switch {
	case name == "":
		return fmt.Errorf("the tag %s has no name", source)
	case source == "json" && strings.ContainsAny(name, "\"\\"):
		return fmt.Errorf("the name %s would have to be escaped", name)
	case source == "json" && tag == "-":
		return nil
	case source == "json":
		return p.addMember(name, f, required)
	case source == "body":
		return p.addRaw(name, f, required)
	case source == "path":
		return p.addPath(name, option == "optional", f, r)
	case source == "query":
		return addParam(&p.query, name, f, required)
	}
	return addParam(&p.header, name, f, required)
}

// fieldSource returns the one tag that says where a field comes from, empty if
// there is none.
func fieldSource(f reflect.StructField) (source, tag string, err error) {
	for _, s := range [...]string{"path", "query", "header", "json", "body"} {
		if t, ok := f.Tag.Lookup(s); ok {
			if source != "" {
				return "", "", fmt.Errorf("both %s and %s", source, s)
			}
			source, tag = s, t
		}
	}
	return source, tag, nil
}

func requiredCode(f reflect.StructField) (mxerr.Code, error) {
	switch tag := f.Tag.Get("required"); {
	case tag == "", tag == "false":
		return "", nil
	case tag == "true":
		return mxerr.MissingParam, nil
	case mxerr.Code(tag).Known():
		return mxerr.Code(tag), nil
	default:
		return "", fmt.Errorf("required is %q, which is neither true nor a code", tag)
	}
}

func (p *plan) addPath(name string, optional bool, f reflect.StructField, r *Route) error {
	inPattern := slices.ContainsFunc(r.wildcards, func(w wildcard) bool { return w.name == name })
	switch {
	case !inPattern && optional:
		return nil
	case !inPattern:
		return fmt.Errorf("the pattern has no wildcard {%s}", name)
	case f.Type.Kind() == reflect.Slice && textUnmarshaler(f.Type) == nil:
		return errors.New("a wildcard has one value, not a slice")
	}
	return addParam(&p.path, name, f, "")
}

func addParam(list *[]param, name string, f reflect.StructField, required mxerr.Code) error {
	if slices.ContainsFunc(*list, func(p param) bool { return p.name == name }) {
		return fmt.Errorf("a second field for %s", name)
	}
	t := f.Type
	many := t.Kind() == reflect.Slice && textUnmarshaler(t) == nil
	if many {
		t = t.Elem()
	}
	set := textUnmarshaler(t)
	text := false
	if set == nil {
		set, text = textSetterFor(t)
	}
	if set == nil {
		return fmt.Errorf("a %s cannot be read from a text", t)
	}
	*list = append(*list, param{name, f.Index, set, many, text, required})
	return nil
}

func (p *plan) addMember(name string, f reflect.StructField, required mxerr.Code) error {
	if _, ok := p.byName[name]; ok {
		return fmt.Errorf("a second field for %s", name)
	}
	if len(p.members) == maxMembers {
		return fmt.Errorf("more than %d members", maxMembers)
	}
	p.byName[name] = len(p.members)
	set := jsonSetterFor(f.Type)
	p.members = append(p.members, member{name, f.Index, set, f.Type == valueType, required})
	return nil
}

func (p *plan) addRaw(name string, f reflect.StructField, required mxerr.Code) error {
	switch {
	case name != "raw":
		return fmt.Errorf("body is %q and can only be raw", name)
	case p.raw != nil:
		return errors.New("a second field for the raw body")
	case f.Type != valueType && f.Type != reflect.TypeFor[[]byte]():
		return errors.New("a raw body is a canonjson.Value or []byte")
	}
	p.raw = &rawBody{f.Index, required != ""}
	return nil
}

// decode fills req, a struct of the plan's type.
func (p *plan) decode(x *exchange, req reflect.Value) error {
	for i := range p.path {
		f := &p.path[i]
		if err := f.set(req.FieldByIndex(f.index), x.request.PathValue(f.name)); err != nil {
			return f.refuse("path parameter", err)
		}
	}
	if len(p.query) > 0 {
		var query url.Values
		if x.request.URL.RawQuery != "" {
			var err error
			if query, err = parseQuery(x.request.URL); err != nil {
				return err
			}
		}
		for i := range p.query {
			if err := p.query[i].fill(req, "query parameter", query[p.query[i].name]); err != nil {
				return err
			}
		}
	}
	for i := range p.header {
		f := &p.header[i]
		if err := f.fill(req, "header", x.request.Header.Values(f.name)); err != nil {
			return err
		}
	}
	if len(p.members) == 0 && p.raw == nil {
		return nil
	}
	return p.decodeBody(x, req)
}

// fill sets a field from the values that there are for it.
func (f *param) fill(req reflect.Value, where string, values []string) error {
	if !f.text && slices.Contains(values, "") {
		values = slices.DeleteFunc(slices.Clone(values), func(s string) bool { return s == "" })
	}
	if len(values) == 0 {
		if f.required != "" {
			return mxerr.New(f.required, "%s %s is missing", where, f.name)
		}
		return nil
	}
	field := req.FieldByIndex(f.index)
	if !f.many {
		if err := f.setText(field, values[0]); err != nil {
			return f.refuse(where, err)
		}
		return nil
	}
	list := reflect.MakeSlice(field.Type(), len(values), len(values))
	for i, s := range values {
		if err := f.setText(list.Index(i), s); err != nil {
			return f.refuse(where, err)
		}
	}
	field.Set(list)
	return nil
}

func (f *param) setText(dst reflect.Value, s string) error {
	if err := checkText(s); err != nil {
		return err
	}
	return f.set(dst, s)
}

func (f *param) refuse(where string, err error) error {
	return mxerr.New(mxerr.InvalidParam, "%s %s: %s", where, f.name, clip(err.Error(), 200))
}

func (p *plan) decodeBody(x *exchange, req reflect.Value) error {
	body, err := x.readContent()
	switch {
	case err != nil:
		return err
	case body == nil && p.raw != nil && p.raw.required:
		return mxerr.New(mxerr.NotJSON, "The request has no body")
	case body == nil:
		body = canonjson.Value("{}")
	case body.Kind() != canonjson.Object:
		return mxerr.New(mxerr.BadJSON, "The body is %s and has to be an object", describe(body))
	}
	if p.raw != nil {
		req.FieldByIndex(p.raw.index).SetBytes(body)
	}
	var seen uint64
	for key, value := range body.Members() {
		// Names that JSON has to escape do not occur in request types.
		i, ok := p.byName[string(key[1:len(key)-1])]
		if !ok || value.Kind() == canonjson.Null && !p.members[i].null {
			continue
		}
		m := &p.members[i]
		if err := m.set(req.FieldByIndex(m.index), value); err != nil {
			return mxerr.New(mxerr.BadJSON, "%s", m.name+clip(err.Error(), 200))
		}
		seen |= 1 << i
	}
	for i := range p.members {
		if m := &p.members[i]; m.required != "" && seen&(1<<i) == 0 {
			return mxerr.New(m.required, "%s is missing", m.name)
		}
	}
	return nil
}
