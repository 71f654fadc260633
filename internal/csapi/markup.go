package csapi

import (
	"fmt"
	"html"
	"strings"
)

// markup is HTML. A constant is markup by itself, and whatever else is becomes it
// by escaped: text is never converted.
//
// html/template would do this, too, and for more places than there are here. But it
// calls methods by names that are known only when it runs, for which the linker has
// to keep the methods of all types in the binary: 4 MB.
type markup string

// escaped returns text that can stand between tags, or in double quotes as the
// value of an attribute that is not code. Whether an address is one to lead people
// to is for the caller to know, and a part of one is escaped as such before.
func escaped(text string) markup {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\ufffd"), "\x00", "\ufffd")
	return markup(html.EscapeString(text))
}

// fill puts something into each place of m that is marked with {}, in their order.
// What is put there is not looked into. As many as places are needed: else it panics.
func (m markup) fill(into ...markup) markup {
	parts := strings.Split(string(m), "{}")
	if len(parts) != len(into)+1 {
		panic(fmt.Sprintf("csapi: %d things for the %d places of %s", len(into), len(parts)-1, m))
	}
	var b strings.Builder
	for i, thing := range into {
		b.WriteString(parts[i])
		b.WriteString(string(thing))
	}
	b.WriteString(parts[len(into)])
	return markup(b.String())
}
