package event

import (
	"bytes"
	"fmt"
	"unsafe"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// Limits of a PDU, https://spec.matrix.org/v1.19/client-server-api/#size-limits
// and the event formats of the room versions.
const (
	MaxSize       = 65536 // bytes of the whole PDU as canonical JSON
	MaxField      = 255   // bytes of type, state_key, sender, room_id, event_id
	MaxPrevEvents = 20
	MaxAuthEvents = 10
)

// A FormatError says why bytes are not an event of their room version. Such
// an event is dropped as if it had never been sent.
type FormatError struct {
	// Field is the top-level key that is wrong, empty when it is the whole.
	Field  string
	Reason string
}

func (e *FormatError) Error() string {
	if e.Field == "" {
		return "invalid event: " + e.Reason
	}
	return "invalid event: " + e.Field + ": " + e.Reason
}

func invalid(field, format string, args ...any) error {
	return &FormatError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

func tooLarge(size int) error { return invalid("", "%d bytes are more than %d", size, MaxSize) }

// Parse reads a PDU that came from outside and computes its ID. It checks the
// form that the room version demands and all limits, but neither hashes,
// signatures nor authorization.
//
// The event takes raw over when that is canonical already: the caller must not
// modify it afterwards, and should copy it first when it is a small part of
// something large.
func Parse(raw []byte, rules *roomver.Rules) (*Event, error) {
	mode := canonjson.Lenient
	if rules.StrictJSON {
		mode = canonjson.Strict
	}
	json, err := canonjson.Canonical(raw, mode)
	if err != nil {
		return nil, fmt.Errorf("invalid event: %w", err)
	}
	return parse(json, rules)
}

func parse(json canonjson.Value, rules *roomver.Rules) (*Event, error) {
	if len(json) > MaxSize {
		return nil, tooLarge(len(json))
	}
	e := &Event{rules: rules, json: json}
	if err := e.readHeader(); err != nil {
		return nil, err
	}
	if rules.EventID != roomver.EventIDCarried {
		e.id = e.computeID()
	}
	e.setRoomID()
	return e, nil
}

// Load makes an event from JSON and ID that a store kept of an event which
// Parse or Build returned. It checks the form but does not hash.
func Load(json canonjson.Value, eventID id.EventID, rules *roomver.Rules) (*Event, error) {
	e := &Event{rules: rules, json: json, id: eventID}
	if err := e.readHeader(); err != nil {
		return nil, fmt.Errorf("loading %s: %w", eventID, err)
	}
	e.setRoomID()
	return e, nil
}

// setRoomID gives the create event the room ID that follows from its own ID.
func (e *Event) setRoomID() {
	if e.roomID == "" {
		e.roomID, _ = e.id.RoomID()
	}
}

// readHeader reads every field but content from the JSON in one pass over its
// members.
func (e *Event) readHeader() error {
	if e.json.Kind() != canonjson.Object {
		return invalid("", "not an object")
	}
	var found fields
	for name, value := range e.json.Members() {
		if field := lookupField(name); field != 0 {
			found |= field
			if err := e.readField(field, value); err != nil {
				return err
			}
		}
	}
	required := fieldType | fieldSender | fieldContent | fieldDepth | fieldTS | fieldHashes |
		fieldSignatures | fieldPrev | fieldAuth | fieldRoomID
	if e.rules.EventID == roomver.EventIDCarried {
		required |= fieldEventID
	}
	if e.rules.RoomIDFromCreate && e.eventType == TypeCreate {
		required &^= fieldRoomID
	}
	if missing := required &^ found; missing != 0 {
		return invalid(missing.first(), "missing")
	}
	switch {
	case e.eventType != TypeRedaction:
		e.redacts = ""
	case e.rules.RedactsInContent:
		e.readRedacts(e.content.Get("redacts"))
	}
	return nil
}

func (e *Event) readField(field fields, v canonjson.Value) (err error) {
	switch field {
	case fieldType:
		e.eventType, err = readText("type", v)
	case fieldStateKey:
		e.isState = true
		e.stateKey, err = readText("state_key", v)
	case fieldSender:
		e.sender, err = readID("sender", v, id.ParseUserID)
	case fieldRoomID:
		e.roomID, err = readID("room_id", v, id.ParseRoomID)
	case fieldEventID:
		if e.rules.EventID == roomver.EventIDCarried {
			err = e.readCarriedID(v)
		}
	case fieldContent:
		e.content, err = readObject("content", v)
	case fieldHashes:
		e.hashes, err = readObject("hashes", v)
	case fieldSignatures:
		e.signatures, err = readObject("signatures", v)
	case fieldUnsigned:
		e.unsigned, err = readObject("unsigned", v)
	case fieldSticky:
		e.readSticky(v)
	case fieldDepth:
		if e.depth, err = readInt("depth", v); err == nil && (e.depth < 0 || e.depth > e.rules.MaxDepth) {
			err = invalid("depth", "%d is not between 0 and %d", e.depth, e.rules.MaxDepth)
		}
	case fieldTS:
		e.originServerTS, err = readInt("origin_server_ts", v)
	case fieldPrev:
		e.prev, err = e.readReferences("prev_events", v, MaxPrevEvents)
	case fieldAuth:
		e.auth, err = e.readReferences("auth_events", v, MaxAuthEvents)
	case fieldRedacts:
		if !e.rules.RedactsInContent {
			e.readRedacts(v)
		}
	}
	return err
}

// readCarriedID reads the event ID of room versions whose events carry one.
func (e *Event) readCarriedID(v canonjson.Value) error {
	eventID, err := readID("event_id", v, id.ParseEventID)
	if err != nil {
		return err
	}
	if _, ok := eventID.Server(); !ok {
		return invalid("event_id", "%q has no domain", eventID)
	}
	e.id = eventID
	return nil
}

// readRedacts leaves the target empty when it is not an event ID: such a
// redaction is valid and redacts nothing.
func (e *Event) readRedacts(v canonjson.Value) {
	if target, err := readID("redacts", v, id.ParseEventID); err == nil {
		e.redacts = target
	}
}

// readReferences reads a list of event IDs, or of pairs of an event ID and
// hashes, as the room version has it.
func (e *Event) readReferences(field string, v canonjson.Value, most int) ([]id.EventID, error) {
	if v.Kind() != canonjson.Array {
		return nil, invalid(field, "not an array")
	}
	refs := e.refs.list()
	for item := range v.Elements() {
		if len(refs) == most {
			return nil, invalid(field, "more than %d events", most)
		}
		if e.rules.HashedReferences {
			var ok bool
			if item, ok = pairedID(item); !ok {
				return nil, invalid(field, "entry %d is not a pair of event ID and hashes", len(refs))
			}
		}
		ref, err := readID(field, item, id.ParseEventID)
		if err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	e.refs.used += len(refs)
	return refs, nil
}

// references is room inside an event for the IDs that it refers to, which most
// events have few of, so that their lists need not be allocated.
type references struct {
	room [6]id.EventID
	used int // of room; more when a list did not fit
}

// list returns an empty list with what room is left.
func (r *references) list() []id.EventID {
	left := r.room[min(r.used, len(r.room)):]
	return left[:0:len(left)]
}

func pairedID(pair canonjson.Value) (eventID canonjson.Value, ok bool) {
	n := 0
	var hashes canonjson.Value
	for item := range pair.Elements() {
		switch n++; n {
		case 1:
			eventID = item
		case 2:
			hashes = item
		}
	}
	return eventID, n == 2 && hashes.Kind() == canonjson.Object
}

func readText(field string, v canonjson.Value) (string, error) {
	s, ok := text(v)
	if !ok {
		return "", invalid(field, "not a string")
	}
	if len(s) > MaxField {
		return "", invalid(field, "%d bytes are more than %d", len(s), MaxField)
	}
	return s, nil
}

func readID[T ~string](field string, v canonjson.Value, parse func(string) (T, error)) (T, error) {
	s, ok := text(v)
	if !ok {
		return "", invalid(field, "not a string")
	}
	parsed, err := parse(s)
	if err != nil {
		return "", invalid(field, "%v", err)
	}
	return parsed, nil
}

func readObject(field string, v canonjson.Value) (canonjson.Value, error) {
	if v.Kind() != canonjson.Object {
		return nil, invalid(field, "not an object")
	}
	return v, nil
}

func readInt(field string, v canonjson.Value) (int64, error) {
	n, ok := v.Int()
	if !ok {
		return 0, invalid(field, "not an integer of 64 bits")
	}
	return n, nil
}

// text is [canonjson.Value.Text] without a copy where the string has no
// escapes: the result lies in the event's JSON, which nobody modifies.
func text(v canonjson.Value) (string, bool) {
	if v.Kind() != canonjson.String || bytes.IndexByte(v, '\\') >= 0 {
		return v.Text()
	}
	if len(v) == 2 {
		return "", true
	}
	return unsafe.String(&v[1], len(v)-2), true
}
