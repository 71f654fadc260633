package filter

import (
	"fmt"
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// Parse compiles the definition of a filter, which it keeps. The error is
// M_BAD_JSON and names the member that is wrong, or M_TOO_LARGE.
func Parse(definition canonjson.Value) (*Filter, error) {
	var p parser
	top := p.begin(definition)
	f := &Filter{
		Definition:  definition,
		EventFields: p.fields(top, "event_fields"),
		Federation:  p.eventFormat(top) == "federation",
		AccountData: p.events(p.object(top, "account_data")),
		Presence:    p.events(p.object(top, "presence")),
		Room:        p.room(p.object(top, "room")),

		ProfileFields: p.texts(p.object(top, "org.matrix.msc4429.profile_fields"), "ids"),
	}
	if p.err != nil {
		return nil, p.err
	}
	return f, nil
}

// ParseRoomEvents compiles what /messages, /context and /search take for a
// filter: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmessages
// The errors are those of Parse.
func ParseRoomEvents(definition canonjson.Value) (*RoomEventFilter, error) {
	var p parser
	f := p.roomEvents(p.begin(definition))
	if p.err != nil {
		return nil, p.err
	}
	return &f, nil
}

// A parser keeps the first error. After one its results mean nothing.
type parser struct{ err error }

// An object is one in the definition, with the path that leads to it.
type object struct {
	path string
	json canonjson.Value
}

// at is the path of a member.
func (o object) at(name string) string {
	if o.path == "" {
		return name
	}
	return o.path + "." + name
}

func (p *parser) refuse(path, format string, args ...any) {
	if p.err == nil {
		p.err = mxerr.New(mxerr.BadJSON, "The filter is not valid: %s %s", path, fmt.Sprintf(format, args...))
	}
}

func (p *parser) begin(definition canonjson.Value) object {
	switch {
	case len(definition) > MaxSize:
		p.err = mxerr.New(mxerr.TooLarge, "The filter is larger than %d bytes", MaxSize)
		return object{}
	case definition.Kind() != canonjson.Object:
		p.err = mxerr.New(mxerr.BadJSON, "The filter is not an object")
	}
	return object{json: definition}
}

// member returns a member, nil if it is not there.
func (p *parser) member(o object, name string, kind canonjson.Kind, what string) canonjson.Value {
	switch v := o.json.Get(name); v.Kind() {
	case kind:
		return v
	case canonjson.Absent, canonjson.Null:
	default:
		p.refuse(o.at(name), "has to be %s", what)
	}
	return nil
}

func (p *parser) object(o object, name string) object {
	return object{o.at(name), p.member(o, name, canonjson.Object, "an object")}
}

func (p *parser) flag(o object, name string) *bool {
	v := p.member(o, name, canonjson.Bool, "true or false")
	if v == nil {
		return nil
	}
	value := v.True()
	return &value
}

func (p *parser) isTrue(o object, name string) bool {
	value := p.flag(o, name)
	return value != nil && *value
}

// texts returns a list of strings, nil if it is not there.
func (p *parser) texts(o object, name string) []string {
	v := p.member(o, name, canonjson.Array, "an array")
	if v == nil {
		return nil
	}
	list := []string{}
	for element := range v.Elements() {
		text, ok := element.Text()
		if !ok {
			p.refuse(fmt.Sprintf("%s[%d]", o.at(name), len(list)), "has to be a string")
			break
		}
		if len(list) == MaxList {
			p.refuse(o.at(name), "has more than %d entries", MaxList)
			break
		}
		list = append(list, text)
	}
	return list
}

// ids returns a list of identifiers, nil if it is not there.
func ids[T ~string](p *parser, o object, name string, parse func(string) (T, error)) []T {
	texts := p.texts(o, name)
	if texts == nil {
		return nil
	}
	list := make([]T, len(texts))
	for i, text := range texts {
		var err error
		if list[i], err = parse(text); err != nil {
			p.refuse(fmt.Sprintf("%s[%d]:", o.at(name), i), "%v", err)
			break
		}
	}
	return list
}

func setOf[T comparable](list []T) set[T] {
	if list == nil {
		return nil
	}
	s := make(set[T], len(list))
	for _, x := range list {
		s[x] = struct{}{}
	}
	return s
}

func (p *parser) eventFormat(top object) string {
	format, _ := p.member(top, "event_format", canonjson.String, "a string").Text()
	if format != "" && format != "client" && format != "federation" {
		p.refuse("event_format", "has to be client or federation")
	}
	return format
}

func (p *parser) room(o object) RoomFilter {
	return RoomFilter{
		rooms:        p.rooms(o),
		IncludeLeave: p.isTrue(o, "include_leave"),
		Timeline:     p.roomEvents(p.object(o, "timeline")),
		State:        p.roomEvents(p.object(o, "state")),
		Ephemeral:    p.roomEvents(p.object(o, "ephemeral")),
		AccountData:  p.roomEvents(p.object(o, "account_data")),
	}
}

func (p *parser) rooms(o object) rooms {
	return rooms{
		in:  setOf(ids(p, o, "rooms", id.ParseRoomID)),
		out: setOf(ids(p, o, "not_rooms", id.ParseRoomID)),
	}
}

func (p *parser) events(o object) EventFilter {
	f := EventFilter{
		types:      p.types(o, "types"),
		notTypes:   p.types(o, "not_types"),
		senders:    setOf(ids(p, o, "senders", id.ParseUserID)),
		notSenders: setOf(ids(p, o, "not_senders", id.ParseUserID)),
		limit:      p.limit(o),
	}
	if f.notTypes.empty() {
		f.notTypes.given = false // it excludes nothing
	}
	return f
}

func (p *parser) roomEvents(o object) RoomEventFilter {
	return RoomEventFilter{
		EventFilter:               p.events(o),
		rooms:                     p.rooms(o),
		ContainsURL:               p.flag(o, "contains_url"),
		LazyLoadMembers:           p.isTrue(o, "lazy_load_members"),
		IncludeRedundantMembers:   p.isTrue(o, "include_redundant_members"),
		UnreadThreadNotifications: p.isTrue(o, "unread_thread_notifications"),
		RelatedByRelTypes:         p.texts(o, "related_by_rel_types"),
		RelatedBySenders:          ids(p, o, "related_by_senders", id.ParseUserID),
		relTypes:                  setOf(p.texts(o, "org.matrix.msc3874.rel_types")),
		notRelTypes:               setOf(p.texts(o, "org.matrix.msc3874.not_rel_types")),
	}
}

// limit returns one more than the limit, 0 if there is none.
func (p *parser) limit(o object) int {
	v := p.member(o, "limit", canonjson.Number, "an integer")
	if v == nil {
		return 0
	}
	limit, ok := v.Int()
	if !ok || limit < 0 {
		p.refuse(o.at("limit"), "has to be an integer greater than 0")
	}
	return int(min(limit, MaxLimit)) + 1
}

func (p *parser) types(o object, name string) types {
	texts := p.texts(o, name)
	if texts == nil {
		return types{}
	}
	t := types{given: true, exact: make(set[string])}
	stars := 0
	for _, text := range texts {
		parts := strings.Split(text, "*")
		stars += len(parts) - 1
		switch {
		case len(parts) == 1:
			t.exact[text] = struct{}{}
		case strings.Trim(text, "*") == "":
			t.all = true
		case stars <= MaxStars:
			t.wild = append(t.wild, compilePattern(parts))
		}
	}
	if stars > MaxStars {
		p.refuse(o.at(name), "has more than %d wildcards", MaxStars)
	}
	return t
}

// compilePattern leaves out what stands between two stars without a gap.
func compilePattern(parts []string) pattern {
	p := pattern{parts[0]}
	for _, part := range parts[1 : len(parts)-1] {
		if part != "" {
			p = append(p, part)
		}
	}
	return append(p, parts[len(parts)-1])
}
