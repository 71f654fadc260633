package canonjson

import (
	"maps"
	"slices"
	"strconv"
)

// With returns a copy of the object v in which the member has the value. A nil
// v counts as an empty object; v must not be of another kind.
func (v Value) With(name string, value Value) Value {
	out := make([]byte, 0, len(v)+len(name)+len(value)+6)
	key := AppendString(nil, name)
	out = append(out, '{')
	written := false
	for k, old := range v.Members() {
		order := compareStrings(k, key)
		if order >= 0 && !written {
			out = appendMember(out, key, value)
			written = true
		}
		if order != 0 {
			out = appendMember(out, k, old)
		}
	}
	if !written {
		out = appendMember(out, key, value)
	}
	return append(out, '}')
}

// Without returns the object v less the named members: v itself when it has
// none of them.
func (v Value) Without(names ...string) Value {
	return v.Filter(func(name Value) bool {
		return !slices.ContainsFunc(names, name.Is)
	})
}

// Filter returns the object v with those members whose name keep accepts: v
// itself when it accepts all.
func (v Value) Filter(keep func(name Value) bool) Value {
	dropped := false
	for name := range v.Members() {
		if !keep(name) {
			dropped = true
			break
		}
	}
	if !dropped {
		return v
	}
	out := make([]byte, 1, len(v))
	out[0] = '{'
	for name, value := range v.Members() {
		if keep(name) {
			out = appendMember(out, name, value)
		}
	}
	return append(out, '}')
}

func appendMember(out []byte, key, value Value) []byte {
	if len(out) > 1 {
		out = append(out, ',')
	}
	out = append(out, key...)
	out = append(out, ':')
	return append(out, value...)
}

// Text returns s as a canonical JSON string.
func Text(s string) Value { return AppendString(make([]byte, 0, len(s)+2), s) }

// ArrayOf returns an array of values.
func ArrayOf(values []Value) Value {
	size := 2
	for _, v := range values {
		size += len(v) + 1
	}
	out := append(make([]byte, 0, size), '[')
	for i, v := range values {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, v...)
	}
	return append(out, ']')
}

// ObjectOf returns an object of members. Their names must be valid UTF-8.
func ObjectOf(members map[string]Value) Value {
	out := []byte{'{'}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		out = appendMember(out, Text(name), members[name])
	}
	return append(out, '}')
}

// Integer returns n as canonical JSON, which has no numbers beyond [MaxInt]: n must
// be none.
func Integer(n int64) Value { return strconv.AppendInt(nil, n, 10) }
