package feed

import (
	"slices"
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/event"
)

// A want is which state of a room a client asks for in one place of a request.
// https://github.com/matrix-org/matrix-spec-proposals/blob/main/proposals/4186-simplified-sliding-sync.md#requiredstaterequest
type want struct {
	include, exclude []element
	// lazy asks for the members who say something and for what changes of members,
	// and so not for the others, unless include names them.
	lazy bool
}

// An element matches state by its type and its key, where it has them.
type element struct {
	anyType, anyKey bool
	eventType, key  string
	// members says that an element of any key means the members as well, though the
	// others are loaded lazily.
	members bool
}

func (e element) match(t event.Tuple) bool {
	return (e.anyType || e.eventType == t.Type) && (e.anyKey || e.key == t.StateKey)
}

// covers reports whether all that another element matches matches this one.
func (e element) covers(other element) bool {
	return (e.anyType || !other.anyType && e.eventType == other.eventType) && (e.anyKey || !other.anyKey && e.key == other.key)
}

// names reports whether an element asks for members even where they are loaded
// lazily.
func (e element) names() bool { return !e.anyKey || e.members }

// match reports whether the client wants to have an event of the state at any rate.
func (w *want) match(t event.Tuple) bool {
	for _, e := range w.exclude {
		if e.match(t) {
			return false
		}
	}
	member := w.lazy && t.Type == event.TypeMember
	for _, e := range w.include {
		if e.match(t) && (!member || e.names()) {
			return true
		}
	}
	return false
}

// covers reports whether it is clear that who has what this want asks for has what
// another one does.
func (w *want) covers(other *want) bool {
	if w.lazy != other.lazy {
		return false
	}
	for _, e := range other.include {
		// Where members are loaded lazily an element of any key does not mean them.
		member := w.lazy && e.names() && (e.anyType || e.eventType == event.TypeMember)
		covers := func(f element) bool { return f.covers(e) && f.members == e.members && (!member || f.names()) }
		if !slices.ContainsFunc(w.include, covers) {
			return false
		}
	}
	for _, e := range w.exclude {
		if !slices.ContainsFunc(other.exclude, func(f element) bool { return f.covers(e) }) {
			return false
		}
	}
	return true
}

// wants is what the places of a request ask for that are about one room: all that
// any of them does.
type wants struct {
	list []*want
	text string // the same wants have the same text
}

func (w *wants) match(t event.Tuple) bool {
	return slices.ContainsFunc(w.list, func(one *want) bool { return one.match(t) })
}

func (w *wants) lazy() bool {
	return slices.ContainsFunc(w.list, func(one *want) bool { return one.lazy })
}

func (w *wants) covers(other *wants) bool {
	for _, one := range other.list {
		if !slices.ContainsFunc(w.list, func(mine *want) bool { return mine.covers(one) }) {
			return false
		}
	}
	return true
}

// encode returns a want as text, which has no line break.
func (w *want) encode() string {
	dst := append([]byte(`{"exclude":`), encodeElements(w.exclude)...)
	dst = append(append(dst, `,"include":`...), encodeElements(w.include)...)
	if w.lazy {
		dst = append(dst, `,"lazy":true`...)
	}
	return string(append(dst, '}'))
}

func encodeElements(list []element) []byte {
	var texts []string
	for _, e := range list {
		dst := []byte{'['}
		if dst = appendPart(dst, e.anyType, e.eventType); e.members {
			dst = append(dst, `,true`...)
		} else {
			dst = appendPart(append(dst, ','), e.anyKey, e.key)
		}
		texts = append(texts, string(append(dst, ']')))
	}
	slices.Sort(texts)
	return []byte("[" + strings.Join(slices.Compact(texts), ",") + "]")
}

func appendPart(dst []byte, any bool, text string) []byte {
	if any {
		return append(dst, "null"...)
	}
	return canonjson.AppendString(dst, text)
}

// parseWants reads what unite has put together of what encode wrote.
func parseWants(text string) *wants {
	w := &wants{text: text}
	for line := range strings.SplitSeq(text, "\n") {
		v := canonjson.Value(line)
		w.list = append(w.list, &want{
			include: parseElements(v.Get("include")), exclude: parseElements(v.Get("exclude")), lazy: v.Get("lazy").True(),
		})
	}
	return w
}

func parseElements(v canonjson.Value) (list []element) {
	for pair := range v.Elements() {
		parts := slices.Collect(pair.Elements())
		var e element
		var typed, keyed bool
		e.eventType, typed = parts[0].Text()
		e.key, keyed = parts[1].Text()
		e.anyType, e.anyKey, e.members = !typed, !keyed, parts[1].True()
		list = append(list, e)
	}
	return list
}
