package canonjson

import "testing"

func TestIntegersAreCanonical(t *testing.T) {
	for _, n := range []int64{0, -1, 7, MaxInt, -MaxInt} {
		v := Integer(n)
		if got, ok := v.Int(); !ok || got != n || !IsCanonical(v, Strict) {
			t.Errorf("of %d comes %s, which is %d, %t", n, v, got, ok)
		}
	}
}

func TestArraysOfValues(t *testing.T) {
	for _, tt := range []struct {
		values []Value
		want   string
	}{
		{nil, "[]"}, {[]Value{Text("a")}, `["a"]`}, {[]Value{Integer(1), Value("{}"), Value("[]")}, "[1,{},[]]"},
	} {
		v := ArrayOf(tt.values)
		n := 0
		for range v.Elements() {
			n++
		}
		if string(v) != tt.want || n != len(tt.values) || !IsCanonical(v, Strict) {
			t.Errorf("of %s comes %s, which has %d elements", tt.values, v, n)
		}
	}
}

func TestObjectsOfMembers(t *testing.T) {
	for _, tt := range []struct {
		members map[string]Value
		want    string
	}{
		{nil, "{}"},
		{map[string]Value{"b": Integer(1), "a": Value("{}"), "": Value("null")}, `{"":null,"a":{},"b":1}`},
		{map[string]Value{"\uffee": Integer(1), "\U0001f600": Integer(2), "\"\n": Integer(3)}, "{\"\\\"\\n\":3,\"\uffee\":1,\"\U0001f600\":2}"},
	} {
		if v := ObjectOf(tt.members); string(v) != tt.want || !IsCanonical(v, Strict) {
			t.Errorf("of %s comes %s", tt.members, v)
		}
	}
}
