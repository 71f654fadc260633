package ssapi

import (
	"bufio"
	"io"
	"net/http"

	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

// An object is a response of which the lists may be too long to be in memory as
// a whole. It remembers the first error.
type object struct {
	w     *bufio.Writer
	err   error
	begun bool
}

func newObject(w http.ResponseWriter) *object {
	w.Header().Set("Content-Type", "application/json")
	return &object{w: bufio.NewWriterSize(w, 32<<10)}
}

// name writes the name of the next member.
func (o *object) name(name string) {
	if o.begun {
		o.w.WriteByte(',')
	} else {
		o.w.WriteByte('{')
	}
	o.begun = true
	o.w.WriteString(`"` + name + `":`)
}

// value writes a member.
func (o *object) value(name string, value canonjson.Value) {
	o.name(name)
	o.w.Write(value)
}

// list writes a member whose elements a function yields.
func (o *object) list(name string, elements func(yield func(canonjson.Value) error) error) {
	if o.err != nil {
		return
	}
	o.name(name)
	o.w.WriteByte('[')
	first := true
	o.err = elements(func(element canonjson.Value) error {
		if !first {
			o.w.WriteByte(',')
		}
		first = false
		_, err := o.w.Write(element)
		return err
	})
	o.w.WriteByte(']')
}

// end completes the object. With an error, what was written so far is cut off.
func (o *object) end() error { return o.endWith("}") }

// endWith is end for an object within something else.
func (o *object) endWith(end string) error {
	if o.err != nil {
		return o.err
	}
	o.w.WriteString(end)
	return o.w.Flush()
}

// readBody reads the body of a request, which is an object.
func readBody(r *http.Request) (canonjson.Value, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	body, err := canonjson.Canonical(raw, canonjson.Lenient)
	switch {
	case err != nil:
		return nil, mxerr.New(mxerr.NotJSON, "The body is not JSON").Wrap(err)
	case body.Kind() != canonjson.Object:
		return nil, mxerr.New(mxerr.BadJSON, "The body has to be an object")
	}
	return body, nil
}

// parse reads an identifier of a request.
func parse[T any](into *T, text string, parse func(string) (T, error)) (err error) {
	if *into, err = parse(text); err != nil {
		return mxerr.New(mxerr.InvalidParam, "%s", err.Error())
	}
	return nil
}
