package feed

import (
	"math"
	"slices"
	"strings"
	"time"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// A SlidingForm is one of the two in which clients speak sliding sync. All that is
// different between them is in this file.
type SlidingForm uint8

const (
	// SlidingMerged is the form of MSC4186 as it was merged.
	// https://github.com/matrix-org/matrix-spec-proposals/blob/main/proposals/4186-simplified-sliding-sync.md
	SlidingMerged SlidingForm = iota
	// SlidingUnstable is the form that clients used before, as
	// org.matrix.simplified_msc3575. Its pos and timeout are in the query.
	SlidingUnstable
)

// The bounds of a request.
const (
	mostLists         = 100
	mostSubscriptions = 100
	// Before there was a limit, clients subscribed to what they had ever shown.
	mostSubscriptionsUnstable = 1000
	mostRanges                = 100
	mostElements              = 1000 // in one place
	mostFiltered              = 1000 // in one list of a filter
	longestConn               = 255
	mostTimeline              = 100 // more is not given at once
	defaultTimeline           = 10
)

// names are those of members of an answer.
type slidingNames struct{ stripped, expanded string }

func (f SlidingForm) names() slidingNames {
	if f == SlidingUnstable {
		return slidingNames{stripped: "invite_state", expanded: "unstable_expanded_timeline"}
	}
	return slidingNames{stripped: "stripped_state", expanded: "expanded_timeline"}
}

// standing says whether a room says what the user is to it, and which lists it is in.
func (f SlidingForm) standing() bool { return f == SlidingMerged }

// counts says whether a room says what is unread.
func (f SlidingForm) counts() bool { return f == SlidingUnstable }

// empties says whether a room has the lists of state and events even when there is
// nothing in them.
func (f SlidingForm) empties() bool { return f == SlidingUnstable }

// expandedIsLimited says whether a timeline that has older events than before is told
// of as one that may not be the continuation: clients look only then for what they
// have already.
func (f SlidingForm) expandedIsLimited() bool { return f == SlidingUnstable }

// stubs says whether it can be told that there is no state any more where there
// was some. Otherwise the room is told anew.
func (f SlidingForm) stubs() bool { return f == SlidingMerged }

// ParseSliding reads the body of a request. What it does not know it ignores.
func ParseSliding(form SlidingForm, user id.UserID, body canonjson.Value) (*SlidingRequest, error) {
	d := &slidingDecoder{form: form, user: user}
	if body != nil && body.Kind() != canonjson.Object {
		return nil, mxerr.New(mxerr.BadJSON, "The body is not an object")
	}
	q := &SlidingRequest{User: user, Form: form}
	q.Conn = d.text(body, "conn_id", "")
	if len(q.Conn) > longestConn || strings.ContainsRune(q.Conn, 0) {
		d.refuse("conn_id is too long, or has NUL in it")
	}
	if form == SlidingMerged {
		q.Pos = d.text(body, "pos", "")
		q.Timeout = time.Duration(min(d.count(body, "timeout", 0), longestTimeout)) * time.Millisecond
		q.SetPresence = d.text(body, "set_presence", "")
	} else {
		q.TxnID = d.text(body, "txn_id", "")
	}
	for name, v := range d.object(body, "lists") {
		key, _ := name.Text()
		if len(q.lists) == mostLists {
			return nil, mxerr.New(mxerr.InvalidParam, "There may be %d lists", mostLists)
		}
		q.lists = append(q.lists, d.list(key, v))
	}
	most := mostSubscriptions
	if form == SlidingUnstable {
		most = mostSubscriptionsUnstable
	}
	q.subscriptions = make(map[id.RoomID]wish)
	for name, v := range d.object(body, "room_subscriptions") {
		key, _ := name.Text()
		roomID, err := id.ParseRoomID(key)
		if err != nil {
			d.refuse("%q is not a room ID", key)
		}
		if len(q.subscriptions) == most {
			return nil, mxerr.New(mxerr.InvalidParam, "There may be %d subscriptions", most)
		}
		q.subscriptions[roomID] = d.wish(v)
	}
	d.extensions(q, body)
	return q, d.err
}

// longestTimeout is five minutes, in milliseconds.
const longestTimeout = 5 * 60 * 1000

// A slidingDecoder keeps the first thing that is wrong.
type slidingDecoder struct {
	form SlidingForm
	user id.UserID
	err  error
}

func (d *slidingDecoder) refuse(format string, args ...any) {
	if d.err == nil {
		d.err = mxerr.New(mxerr.InvalidParam, format, args...)
	}
}

// wrong refuses what is not of the type that it has to be.
func (d *slidingDecoder) wrong(name, want string) {
	if d.err == nil {
		d.err = mxerr.New(mxerr.BadJSON, "%s is not %s", name, want)
	}
}

// get returns a member, nil if it is not there or null.
func (d *slidingDecoder) get(v canonjson.Value, name string) canonjson.Value {
	if v.Kind() != canonjson.Object {
		return nil
	}
	if v = v.Get(name); v.Kind() == canonjson.Null {
		return nil
	}
	return v
}

func (d *slidingDecoder) text(v canonjson.Value, name, missing string) string {
	if v = d.get(v, name); v == nil {
		return missing
	}
	text, ok := v.Text()
	if !ok {
		d.wrong(name, "a string")
	}
	return text
}

func (d *slidingDecoder) count(v canonjson.Value, name string, missing int64) int64 {
	if v = d.get(v, name); v == nil {
		return missing
	}
	n, ok := v.Int()
	if !ok || n < 0 {
		d.wrong(name, "an integer from 0 on")
	}
	return max(n, 0)
}

// flag returns nil for what is not there.
func (d *slidingDecoder) flag(v canonjson.Value, name string) *bool {
	if v = d.get(v, name); v == nil {
		return nil
	}
	yes := v.True()
	if !yes && !v.False() {
		d.wrong(name, "true or false")
	}
	return &yes
}

func (d *slidingDecoder) object(v canonjson.Value, name string) func(func(canonjson.Value, canonjson.Value) bool) {
	v = d.get(v, name)
	if v != nil && v.Kind() != canonjson.Object {
		d.wrong(name, "an object")
	}
	return func(yield func(canonjson.Value, canonjson.Value) bool) {
		if v.Kind() == canonjson.Object {
			v.Members()(yield)
		}
	}
}

func (d *slidingDecoder) array(v canonjson.Value, name string, most int) (list []canonjson.Value, there bool) {
	if v = d.get(v, name); v == nil {
		return nil, false
	}
	if v.Kind() != canonjson.Array {
		d.wrong(name, "a list")
		return nil, true
	}
	for e := range v.Elements() {
		if len(list) == most {
			d.refuse("%s has more than %d elements", name, most)
			break
		}
		list = append(list, e)
	}
	return list, true
}

// texts returns the strings of a list. null stands for an empty one where that is
// allowed.
func (d *slidingDecoder) texts(v canonjson.Value, name string, null bool) (texts []string, there bool) {
	list, there := d.array(v, name, mostFiltered)
	for _, e := range list {
		text, ok := e.Text()
		if !ok && !(null && e.Kind() == canonjson.Null) {
			d.wrong(name, "a list of strings")
		}
		texts = append(texts, text)
	}
	return texts, there
}

func (d *slidingDecoder) list(key string, v canonjson.Value) slidingList {
	l := slidingList{key: key, wish: d.wish(v)}
	if d.form == SlidingMerged && !id.IsOpaque(key) {
		d.refuse("The key of a list has other characters than letters, digits, and ._~-")
	}
	if len(key) > longestConn {
		d.refuse("The key of a list is too long")
	}
	if d.form == SlidingMerged {
		if r := d.get(v, "range"); r != nil {
			l.ranges = append(l.ranges, d.interval(r))
		} else {
			l.ranges = []interval{{0, math.MaxInt64}}
		}
	} else {
		list, _ := d.array(v, "ranges", mostRanges)
		for _, r := range list {
			l.ranges = append(l.ranges, d.interval(r))
		}
	}
	l.filter = d.filter(d.get(v, "filters"))
	return l
}

func (d *slidingDecoder) interval(v canonjson.Value) interval {
	var ends []int64
	if v.Kind() == canonjson.Array {
		for e := range v.Elements() {
			n, ok := e.Int()
			if !ok || len(ends) == 2 {
				ends = nil
				break
			}
			ends = append(ends, n)
		}
	}
	if len(ends) != 2 {
		d.wrong("A range", "a list of two integers")
		return interval{}
	}
	if ends[0] < 0 || ends[1] < ends[0] {
		d.refuse("A range goes from an index to the same or a larger one")
	}
	return interval{ends[0], ends[1]}
}

func (d *slidingDecoder) filter(v canonjson.Value) (f slidingFilter) {
	if v == nil {
		return f
	}
	if v.Kind() != canonjson.Object {
		d.wrong("filters", "an object")
		return f
	}
	f.direct, f.encrypted = d.flag(v, "is_dm"), d.flag(v, "is_encrypted")
	if f.invited = d.flag(v, "is_invited"); d.form == SlidingUnstable {
		f.invited = d.flag(v, "is_invite")
	}
	f.types, f.byType = d.texts(v, "room_types", true)
	f.notTypes, _ = d.texts(v, "not_room_types", true)
	f.tags, f.byTag = d.texts(v, "tags", false)
	f.notTags, _ = d.texts(v, "not_tags", false)
	var spaces []string
	spaces, f.bySpace = d.texts(v, "spaces", false)
	for _, text := range spaces {
		roomID, err := id.ParseRoomID(text)
		if err != nil {
			d.refuse("%q is not a room ID", text)
			continue
		}
		f.spaces = append(f.spaces, roomID)
	}
	return f
}

// wish reads what is asked for of each room of a list, or of one.
func (d *slidingDecoder) wish(v canonjson.Value) (w wish) {
	if v.Kind() != canonjson.Object {
		d.wrong("A list or a subscription", "an object")
		return w
	}
	for _, name := range []string{"timeline_limit", "required_state"} {
		if d.form == SlidingMerged && d.get(v, name) == nil && d.err == nil {
			d.err = mxerr.New(mxerr.MissingParam, "%s is missing", name)
		}
	}
	w.limit = int(min(d.count(v, "timeline_limit", defaultTimeline), mostTimeline))
	var asked want
	if d.form == SlidingUnstable {
		asked = d.pairs(v)
	} else {
		asked = d.required(d.get(v, "required_state"))
	}
	w.want = asked.encode()
	return w
}

// required reads required_state as it is in the merged form.
func (d *slidingDecoder) required(v canonjson.Value) (w want) {
	if v.Kind() != canonjson.Object {
		d.wrong("required_state", "an object")
		return w
	}
	for name, to := range map[string]*[]element{"include": &w.include, "exclude": &w.exclude} {
		list, _ := d.array(v, name, mostElements)
		for _, one := range list {
			if one.Kind() != canonjson.Object {
				d.wrong("An element of "+name, "an object")
				continue
			}
			*to = append(*to, element{
				anyType: d.get(one, "type") == nil, eventType: d.text(one, "type", ""),
				anyKey: d.get(one, "state_key") == nil, key: d.text(one, "state_key", ""),
			})
		}
	}
	lazy := d.flag(v, "lazy_members")
	w.lazy = lazy != nil && *lazy
	return w
}

// pairs reads required_state as it is in the unstable form: types and state keys,
// either of which may be *, and as a key $ME, and for members $LAZY.
func (d *slidingDecoder) pairs(v canonjson.Value) (w want) {
	list, _ := d.array(v, "required_state", mostElements)
	for _, one := range list {
		var parts []string
		if one.Kind() == canonjson.Array {
			for e := range one.Elements() {
				text, ok := e.Text()
				if !ok || len(parts) == 2 {
					parts = nil
					break
				}
				parts = append(parts, text)
			}
		}
		if len(parts) != 2 {
			d.wrong("An element of required_state", "a list of two strings")
			continue
		}
		e := element{eventType: parts[0], anyType: parts[0] == "*", key: parts[1], anyKey: parts[1] == "*"}
		switch {
		case e.eventType == event.TypeMember && e.key == "$LAZY":
			w.lazy = true
			continue
		case e.key == "$ME":
			e.key = string(d.user)
		case e.eventType == event.TypeMember && e.anyKey:
			e.members, e.key = true, ""
		}
		if e.anyType {
			e.eventType = ""
		}
		if e.anyKey {
			e.key = ""
		}
		w.include = append(w.include, e)
	}
	return w
}

// extensions reads which extensions a request wants.
func (d *slidingDecoder) extensions(q *SlidingRequest, body canonjson.Value) {
	all := d.get(body, "extensions")
	if all != nil && all.Kind() != canonjson.Object {
		d.wrong("extensions", "an object")
		return
	}
	get := func(name string) (v canonjson.Value, on bool) {
		v = d.get(all, name)
		if v != nil && v.Kind() != canonjson.Object {
			d.wrong(name, "an object")
			return nil, false
		}
		on = d.get(v, "enabled") != nil && *d.flag(v, "enabled")
		return v, on
	}
	scoped := func(name string) (s scope) {
		var v canonjson.Value
		s.name = name
		if v, s.on = get(name); !s.on {
			return s
		}
		lists, ok := d.texts(v, "lists", false)
		s.allLists = !ok || slices.Contains(lists, "*")
		s.lists = lists
		rooms, ok := d.texts(v, "rooms", false)
		s.allRooms = !ok || slices.Contains(rooms, "*")
		for _, roomID := range rooms {
			s.rooms = append(s.rooms, id.RoomID(roomID))
		}
		return s
	}
	q.accountData, q.receipts, q.typing = scoped("account_data"), scoped("receipts"), scoped("typing")
	q.profiles = scoped(profilesExtension)
	if fields, ok := d.texts(d.get(all, profilesExtension), "fields", false); ok {
		q.profileFields = append([]string{}, fields...)
	}
	if d.form == SlidingMerged && !q.typing.on {
		// https://github.com/matrix-org/matrix-spec-proposals/pull/4508: until it is merged.
		q.typing = scoped("org.matrix.msc4508.typing")
	}
	var v canonjson.Value
	if v, q.toDevice.on = get("to_device"); q.toDevice.on {
		q.toDevice.since = d.text(v, "since", "")
		q.toDevice.limit = int(max(1, min(d.count(v, "limit", mostToDevice), mostToDevice)))
	}
	_, q.e2ee = get("e2ee")
	if v, q.sticky.on = get(stickyExtension); q.sticky.on {
		q.sticky.since = d.text(v, "since", "")
		q.sticky.limit = int(max(1, min(d.count(v, "limit", mostStickyEvents), mostStickyEvents)))
	}
	if v, q.threads.on = get(threadSubscriptions); q.threads.on {
		q.threads.limit = int(max(1, min(d.count(v, "limit", mostThreadSubscriptions), mostThreadSubscriptions)))
	}
}
