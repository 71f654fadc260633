package pushrule

import (
	"bytes"
	"slices"
	"strings"

	"parley/matrix/canonjson"
)

// splitKey returns the property names of a dot-separated path. A backslash
// makes a dot or backslash after it part of the name and stands for itself
// before anything else.
// https://spec.matrix.org/v1.19/appendices/#dot-separated-property-paths
func splitKey(key string) []string {
	var names []string
	var name strings.Builder
	for i := 0; i < len(key); i++ {
		switch c := key[i]; {
		case c == '.':
			names = append(names, name.String())
			name.Reset()
			continue
		case c == '\\' && i+1 < len(key) && (key[i+1] == '.' || key[i+1] == '\\'):
			i++
		}
		name.WriteByte(key[i])
	}
	return append(names, name.String())
}

// A property is what an event has at one path, and its folded text once a
// condition has asked for it: in large, or else between two places of a buffer.
type property struct {
	value    canonjson.Value
	isFolded bool
	from, to int
	large    []byte
}

// A pathNode is one level of the paths that any rule looks at, so that one walk
// through an event finds all of them.
type pathNode struct {
	name     canonjson.Value // as JSON: comparing bytes compares names
	slot     int             // index of the property, -1 if no path ends here
	children []*pathNode     // ordered by the bytes of their names
}

// child returns the node below n with the name, and where it is or would be.
func (n *pathNode) child(name canonjson.Value) (int, *pathNode) {
	i, found := slices.BinarySearchFunc(n.children, name, func(c *pathNode, name canonjson.Value) int {
		return bytes.Compare(c.name, name)
	})
	if !found {
		return i, nil
	}
	return i, n.children[i]
}

// collect stores the values that v has at the paths below n.
func (n *pathNode) collect(v canonjson.Value, properties []property) {
	for name, value := range v.Members() {
		_, child := n.child(name)
		if child == nil {
			continue
		}
		if child.slot >= 0 {
			properties[child.slot].value = value
		}
		if len(child.children) > 0 {
			child.collect(value, properties)
		}
	}
}
