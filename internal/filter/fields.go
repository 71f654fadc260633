package filter

import (
	"bytes"
	"slices"
	"strings"

	"parley/matrix/canonjson"
)

// Fields are the members to which events are reduced. The zero value stands for
// all.
type Fields struct {
	children []field // by the bytes of their names
}

// A field is one level of the paths, which share what they begin with.
type field struct {
	name canonjson.Value // as JSON: comparing bytes compares names
	// whole says that a path ends here. Otherwise children is not empty.
	whole    bool
	children []field
}

// All reports whether events are not reduced.
func (f Fields) All() bool { return len(f.children) == 0 }

// Append appends an event, reduced to the fields, to dst, which may not share
// memory with it. Objects on the way to fields that the event has not are left
// out. The walk goes no deeper than the fields do.
func (f Fields) Append(dst []byte, event canonjson.Value) []byte {
	if f.All() {
		return append(dst, event...)
	}
	dst, _ = appendFields(dst, event, f.children)
	return dst
}

// appendFields appends those members of an object that are fields, and tells
// whether there were any.
func appendFields(dst []byte, object canonjson.Value, fields []field) (extended []byte, some bool) {
	dst = append(dst, '{')
	for name, value := range object.Members() {
		i, ok := findField(fields, name)
		if !ok {
			continue
		}
		before := len(dst)
		if some {
			dst = append(dst, ',')
		}
		dst = append(append(dst, name...), ':')
		has := fields[i].whole
		if has {
			dst = append(dst, value...)
		} else {
			dst, has = appendFields(dst, value, fields[i].children)
		}
		if !has {
			dst = dst[:before]
		}
		some = some || has
	}
	return append(dst, '}'), some
}

func findField(fields []field, name canonjson.Value) (int, bool) {
	return slices.BinarySearchFunc(fields, name, func(f field, name canonjson.Value) int { return bytes.Compare(f.name, name) })
}

func (p *parser) fields(o object, name string) Fields {
	var root field
	for _, path := range p.texts(o, name) {
		names := splitPath(path)
		if len(names) > MaxNames {
			p.refuse(o.at(name), "has a path of more than %d names", MaxNames)
			return Fields{}
		}
		root.add(names)
	}
	return Fields{root.children}
}

// add makes a path below the field.
func (f *field) add(names []string) {
	for _, name := range names {
		if f.whole {
			return
		}
		text := canonjson.Text(name)
		i, ok := findField(f.children, text)
		if !ok {
			f.children = slices.Insert(f.children, i, field{name: text})
		}
		f = &f.children[i]
	}
	f.whole, f.children = true, nil
}

// splitPath returns the names in a path. A backslash makes a dot or backslash
// after it part of a name, and stands for itself before anything else.
// https://spec.matrix.org/v1.19/appendices/#dot-separated-property-paths
func splitPath(path string) []string {
	var names []string
	var name strings.Builder
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '.' {
			names = append(names, name.String())
			name.Reset()
			continue
		}
		if c == '\\' && i+1 < len(path) && (path[i+1] == '.' || path[i+1] == '\\') {
			i++
		}
		name.WriteByte(path[i])
	}
	return append(names, name.String())
}
