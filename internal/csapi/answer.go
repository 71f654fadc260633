package csapi

import (
	"parley/matrix/canonjson"
)

// An object is a JSON object that is being put together, of events mostly, which
// encoding/json would go through once more.
type object []byte

// member begins a member; its value is to be appended.
func (o object) member(name string) object {
	if o[len(o)-1] != '{' {
		o = append(o, ',')
	}
	return append(canonjson.AppendString(o, name), ':')
}

// text adds a member unless it is empty.
func (o object) text(name, value string) object {
	if value == "" {
		return o
	}
	return canonjson.AppendString(o.member(name), value)
}

// events adds a list of events.
func (o object) events(name string, list []canonjson.Value) object {
	o = append(o.member(name), '[')
	for i, e := range list {
		if i > 0 {
			o = append(o, ',')
		}
		o = append(o, e...)
	}
	return append(o, ']')
}
