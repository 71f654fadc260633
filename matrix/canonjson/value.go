package canonjson

import (
	"bytes"
	"encoding/json"
	"iter"
)

// A Value is one JSON value in canonical form, or nil for none. Its methods
// trust that the bytes are canonical; on other bytes they give wrong answers
// or panic. They share memory with it, so a Value must not be modified while
// anything read from it is in use.
type Value []byte

// A Kind is the type of a JSON value.
type Kind uint8

const (
	Absent Kind = iota // the nil Value
	Null
	Bool
	Number
	String
	Array
	Object
)

// Kind returns the type of v, Absent for nil.
func (v Value) Kind() Kind {
	if len(v) == 0 {
		return Absent
	}
	switch v[0] {
	case '{':
		return Object
	case '[':
		return Array
	case '"':
		return String
	case 't', 'f':
		return Bool
	case 'n':
		return Null
	}
	return Number
}

// Get returns the member of an object, or nil when v has none of that name or
// is no object. Lookups chain: an absent object has absent members. The search
// ends where the name would stand.
func (v Value) Get(name string) Value {
	for key, value := range v.Members() {
		inside := key[1 : len(key)-1]
		switch escaped := bytes.IndexByte(inside, '\\') >= 0; {
		case escaped && key.Is(name), !escaped && string(inside) == name:
			return value
		case !escaped && string(inside) > name:
			return nil
		}
	}
	return nil
}

// Members yields the names and values of an object's members in canonical
// order, and nothing when v is no object. The names are strings.
func (v Value) Members() iter.Seq2[Value, Value] {
	return func(yield func(name, value Value) bool) {
		if v.Kind() != Object || v[1] == '}' {
			return
		}
		for i := 1; ; i++ {
			keyEnd := stringEnd(v, i)
			end := valueEnd(v, keyEnd+1)
			if !yield(v[i:keyEnd:keyEnd], v[keyEnd+1:end:end]) || v[end] == '}' {
				return
			}
			i = end
		}
	}
}

// Elements yields the elements of an array in order, and nothing when v is no
// array.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.Kind() != Array || v[1] == ']' {
			return
		}
		for i := 1; ; i++ {
			end := valueEnd(v, i)
			if !yield(v[i:end:end]) || v[end] == ']' {
				return
			}
			i = end
		}
	}
}

// Is reports whether v is the string s.
func (v Value) Is(s string) bool {
	if v.Kind() != String {
		return false
	}
	inside := v[1 : len(v)-1]
	if len(inside) == len(s) {
		// An escape is longer than what it stands for, so equal lengths mean
		// equal strings only when there is none.
		return string(inside) == s && bytes.IndexByte(inside, '\\') < 0
	}
	if len(inside) < len(s) || bytes.IndexByte(inside, '\\') < 0 {
		return false
	}
	return string(appendText(make([]byte, 0, len(inside)), inside)) == s
}

// Text returns the string that v is. ok is false when v is no string.
func (v Value) Text() (s string, ok bool) {
	if v.Kind() != String {
		return "", false
	}
	inside := v[1 : len(v)-1]
	if bytes.IndexByte(inside, '\\') < 0 {
		return string(inside), true
	}
	return string(appendText(make([]byte, 0, len(inside)), inside)), true
}

// String returns the text of a string and the JSON of anything else.
func (v Value) String() string {
	if s, ok := v.Text(); ok {
		return s
	}
	return string(v)
}

// Int returns the integer that v is. ok is false when v is no number, has a
// fraction or exponent, or does not fit an int64.
func (v Value) Int() (n int64, ok bool) {
	if v.Kind() != Number {
		return 0, false
	}
	return parseInt(v)
}

// True reports whether v is true.
func (v Value) True() bool { return len(v) > 0 && v[0] == 't' }

// False reports whether v is false; an absent value is neither.
func (v Value) False() bool { return len(v) > 0 && v[0] == 'f' }

// MarshalJSON makes a Value usable inside encoding/json; nil becomes null.
func (v Value) MarshalJSON() ([]byte, error) {
	if v == nil {
		return []byte("null"), nil
	}
	return v, nil
}

// UnmarshalJSON takes the canonical form of b by the strict rules.
func (v *Value) UnmarshalJSON(b []byte) error {
	value, err := Canonical(b, Strict)
	if err != nil {
		return err
	}
	*v = bytes.Clone(value)
	return nil
}

// Marshal returns the canonical form of what encoding/json makes of x, by the
// strict rules.
func Marshal(x any) (Value, error) {
	b, err := json.Marshal(x)
	if err != nil {
		return nil, err
	}
	return Canonical(b, Strict)
}

// stringEnd returns the index after the string that begins at i.
func stringEnd(v Value, i int) int {
	for i++; ; i++ {
		i += bytes.IndexByte(v[i:], '"')
		escapes := 0
		for v[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
}

// valueEnd returns the index after the value that begins at i.
func valueEnd(v Value, i int) int {
	depth := 0
	for {
		switch v[i] {
		case '"':
			i = stringEnd(v, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		default:
			i++
			if depth == 0 {
				for i < len(v) && v[i] != ',' && v[i] != '}' && v[i] != ']' {
					i++
				}
			}
		}
		if depth == 0 {
			return i
		}
	}
}
