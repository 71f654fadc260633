package endpoint

import (
	"encoding"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"

	"parley/matrix/canonjson"
)

var valueType = reflect.TypeFor[canonjson.Value]()

// A badValue says what is wrong with a value; the text follows the name of the
// parameter.
type badValue string

func (e badValue) Error() string { return string(e) }

// A textSetter sets a value from a text without NUL. Its errors are for the
// client.
type textSetter func(dst reflect.Value, s string) error

// A jsonSetter sets a value from JSON. Its errors are for the client and begin
// with what separates them from the name of the member.
type jsonSetter func(dst reflect.Value, v canonjson.Value) error

// textUnmarshaler returns the setter of a type that reads texts itself, nil if
// it does not.
func textUnmarshaler(t reflect.Type) textSetter {
	if !reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return nil
	}
	return func(dst reflect.Value, s string) error {
		return dst.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s))
	}
}

// textSetterFor returns the setter of a type that does not read texts itself,
// nil if there is none. text says that the empty string is a value of it.
func textSetterFor(t reflect.Type) (set textSetter, text bool) {
	switch t.Kind() {
	case reflect.String:
		return func(dst reflect.Value, s string) error { dst.SetString(s); return nil }, true
	case reflect.Bool:
		return setBool, false
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return setInt, false
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return setUint, false
	case reflect.Pointer:
		elem := t.Elem()
		set := textUnmarshaler(elem)
		if set == nil && elem.Kind() != reflect.Pointer {
			set, text = textSetterFor(elem)
		}
		if set == nil {
			return nil, false
		}
		return func(dst reflect.Value, s string) error {
			dst.Set(reflect.New(elem))
			return set(dst.Elem(), s)
		}, text
	}
	return nil, false
}

func setBool(dst reflect.Value, s string) error {
	if s != "true" && s != "false" {
		return badValue("is neither true nor false")
	}
	dst.SetBool(s == "true")
	return nil
}

func setInt(dst reflect.Value, s string) error {
	n, err := strconv.ParseInt(s, 10, dst.Type().Bits())
	if err != nil {
		return notInteger(err)
	}
	dst.SetInt(n)
	return nil
}

func setUint(dst reflect.Value, s string) error {
	n, err := strconv.ParseUint(s, 10, dst.Type().Bits())
	if err != nil {
		return notInteger(err)
	}
	dst.SetUint(n)
	return nil
}

func notInteger(err error) error {
	if errors.Is(err, strconv.ErrRange) {
		return badValue("is an integer out of range")
	}
	return badValue("is not an integer that is allowed here")
}

// jsonSetterFor returns the setter for members of a type. Texts and numbers are
// read from the canonical form directly, everything else by encoding/json.
func jsonSetterFor(t reflect.Type) jsonSetter {
	switch {
	case t == valueType:
		return func(dst reflect.Value, v canonjson.Value) error { dst.SetBytes(v); return nil }
	case t == reflect.SliceOf(valueType):
		return listFromJSON
	case t.Kind() == reflect.Pointer && t.Elem().Kind() != reflect.Pointer && !readsJSON(t.Elem()):
		set := jsonSetterFor(t.Elem())
		return func(dst reflect.Value, v canonjson.Value) error {
			dst.Set(reflect.New(t.Elem()))
			return set(dst.Elem(), v)
		}
	case readsJSON(t):
		return unmarshal
	}
	if set := textUnmarshaler(t); set != nil {
		return fromString(set)
	}
	switch t.Kind() {
	case reflect.String:
		return fromString(func(dst reflect.Value, s string) error { dst.SetString(s); return nil })
	case reflect.Bool:
		return boolFromJSON
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return intFromJSON
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return uintFromJSON
	}
	return unmarshal
}

func readsJSON(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
}

func fromString(set textSetter) jsonSetter {
	return func(dst reflect.Value, v canonjson.Value) error {
		s, ok := v.Text()
		if !ok {
			return wrongKind(v, "a string")
		}
		if err := set(dst, s); err != nil {
			return badValue(": " + err.Error())
		}
		return nil
	}
}

func boolFromJSON(dst reflect.Value, v canonjson.Value) error {
	if v.Kind() != canonjson.Bool {
		return wrongKind(v, "true or false")
	}
	dst.SetBool(v.True())
	return nil
}

func intFromJSON(dst reflect.Value, v canonjson.Value) error {
	n, ok := v.Int()
	switch {
	case v.Kind() != canonjson.Number:
		return wrongKind(v, "an integer")
	case !ok || dst.OverflowInt(n):
		return badValue(" is not an integer within range")
	}
	dst.SetInt(n)
	return nil
}

func uintFromJSON(dst reflect.Value, v canonjson.Value) error {
	n, ok := v.Int()
	switch {
	case v.Kind() != canonjson.Number:
		return wrongKind(v, "an integer")
	case !ok || n < 0 || dst.OverflowUint(uint64(n)):
		return badValue(" is not an integer within range")
	}
	dst.SetUint(uint64(n))
	return nil
}

// listFromJSON keeps the elements as they are. Through encoding/json each would
// be held to the strict rules, and one bad event would spoil a transaction.
func listFromJSON(dst reflect.Value, v canonjson.Value) error {
	if v.Kind() != canonjson.Array {
		return wrongKind(v, "an array")
	}
	dst.Set(reflect.ValueOf(slices.AppendSeq([]canonjson.Value{}, v.Elements())))
	return nil
}

func unmarshal(dst reflect.Value, v canonjson.Value) error {
	err := json.Unmarshal(v, dst.Addr().Interface())
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong) && wrong.Field != "":
		return badValue("." + wrong.Field + ": " + wrong.Value + " is not what belongs here")
	case errors.As(err, &wrong):
		return badValue(": " + wrong.Value + " is not what belongs here")
	}
	return badValue(": " + err.Error())
}

func wrongKind(v canonjson.Value, want string) error {
	return badValue(" is " + describe(v) + " and has to be " + want)
}

// describe names the type of a value in a sentence.
func describe(v canonjson.Value) string {
	return [...]string{
		canonjson.Absent: "absent",
		canonjson.Null:   "null",
		canonjson.Bool:   "a boolean",
		canonjson.Number: "a number",
		canonjson.String: "a string",
		canonjson.Array:  "an array",
		canonjson.Object: "an object",
	}[v.Kind()]
}

// clip shortens a message that may repeat what came in.
func clip(s string, longest int) string {
	if len(s) <= longest {
		return s
	}
	end := longest
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
