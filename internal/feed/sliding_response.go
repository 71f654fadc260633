package feed

import (
	"strconv"

	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// SlidingResponse is the answer to a request of sliding sync.
type SlidingResponse struct {
	pos, txnID string
	lists      []listCount
	rooms      []section
	extensions []extension
}

type listCount struct {
	key   string
	count int64
}

// An extension is what one has to tell. quiet says that it is no reason to answer.
type extension struct {
	name  string
	json  []byte
	quiet bool
}

func (r *SlidingResponse) empty() bool {
	for _, e := range r.extensions {
		if !e.quiet {
			return false
		}
	}
	return len(r.rooms) == 0
}

// Pos returns what the client is to come with the next time.
func (r *SlidingResponse) Pos() string { return r.pos }

// AppendJSON implements endpoint.Appender.
func (r *SlidingResponse) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"extensions":{`...)
	for i, e := range r.extensions {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(canonjson.AppendString(dst, e.name), ':'), e.json...)
	}
	dst = append(dst, `},"lists":{`...)
	for i, l := range r.lists {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(canonjson.AppendString(dst, l.key), `:{"count":`...)
		dst = append(strconv.AppendInt(dst, l.count, 10), '}')
	}
	dst = canonjson.AppendString(append(dst, `},"pos":`...), r.pos)
	dst = append(dst, `,"rooms":`...)
	if len(r.rooms) == 0 {
		dst = append(dst, `{}`...)
	} else {
		dst = appendSections(dst, r.rooms)
	}
	if r.txnID != "" {
		dst = canonjson.AppendString(append(dst, `,"txn_id":`...), r.txnID)
	}
	return append(dst, '}')
}

// An object is one in the making.
type object []byte

func newObject() object { return object{'{'} }

func (o object) name(name string) object {
	if len(o) > 1 {
		o = append(o, ',')
	}
	return append(canonjson.AppendString(o, name), ':')
}

func (o object) number(name string, n int64) object {
	return strconv.AppendInt(o.name(name), n, 10)
}

func (o object) yes(name string) object { return append(o.name(name), "true"...) }

func (o object) flag(name string, yes bool) object { return strconv.AppendBool(o.name(name), yes) }

func (o object) text(name, text string) object { return canonjson.AppendString(o.name(name), text) }

// textOrNull is text, with null for an empty one.
func (o object) textOrNull(name, text string) object {
	if text == "" {
		return append(o.name(name), "null"...)
	}
	return o.text(name, text)
}

func (o object) raw(name string, json []byte) object { return append(o.name(name), json...) }

func (o object) texts(name string, texts []string) object {
	o = append(o.name(name), '[')
	for i, text := range texts {
		if i > 0 {
			o = append(o, ',')
		}
		o = canonjson.AppendString(o, text)
	}
	return append(o, ']')
}

func (o object) events(name string, events []canonjson.Value) object {
	o = append(o.name(name), '[')
	for i, e := range events {
		if i > 0 {
			o = append(o, ',')
		}
		o = append(o, e...)
	}
	return append(o, ']')
}

func (o object) end() []byte { return append(o, '}') }

// byRoom collects what is told of rooms under their IDs.
type byRoom struct{ sections []section }

func (b *byRoom) add(roomID id.RoomID, json canonjson.Value) {
	b.sections = append(b.sections, section{roomID, json})
}

func (b *byRoom) json() []byte {
	if len(b.sections) == 0 {
		return []byte(`{}`)
	}
	return appendSections(nil, b.sections)
}
