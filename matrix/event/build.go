package event

import (
	"bytes"
	"fmt"
	"strconv"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/signing"
)

// A Reference is how one event names another.
type Reference struct {
	ID id.EventID
	// Hash is the reference hash of the named event. Only room versions 1 and
	// 2 put it on the wire.
	Hash Hash
}

// Reference returns how other events name this one.
func (e *Event) Reference() Reference {
	r := Reference{ID: e.id}
	if e.rules.HashedReferences {
		r.Hash = e.ReferenceHash()
	}
	return r
}

// Proto is what a new event will say, before it has hashes, signatures and an
// ID.
type Proto struct {
	Type     string
	StateKey *string // nil for an event that is not state
	Sender   id.UserID
	// RoomID is left out of a create event where that makes the room ID.
	RoomID id.RoomID
	// Content and Unsigned are objects in strict canonical form; nil for an
	// empty content and no unsigned.
	Content        canonjson.Value
	Unsigned       canonjson.Value
	OriginServerTS int64 // milliseconds since 1970
	Depth          int64 // cut to what the room version allows
	PrevEvents     []Reference
	AuthEvents     []Reference
	// Redacts is the target of a redaction, empty otherwise. Build puts it
	// where the room version wants it.
	Redacts id.EventID
	// Sticky is for how many milliseconds the event is to be sticky, 0 if it is not.
	Sticky int64
	// EventID is needed where events carry their ID, and ignored elsewhere. It
	// must never have been used.
	EventID id.EventID
}

// Build makes the event: https://spec.matrix.org/v1.19/server-server-api/#signing-events
// It is held to everything that Parse demands, and its content to strict
// canonical JSON in every room version. The server is that of the sender, and
// where event IDs have a domain, that domain: a signature of another does not
// make the event valid.
func (p Proto) Build(rules *roomver.Rules, server id.ServerName, key signing.Key) (*Event, error) {
	e, err := p.build(rules)
	if err != nil {
		return nil, fmt.Errorf("building %s event: %w", p.Type, err)
	}
	if e = e.Sign(server, key); len(e.json) > MaxSize {
		return nil, fmt.Errorf("building %s event: %w", p.Type, tooLarge(len(e.json)))
	}
	return e, nil
}

func (p Proto) build(rules *roomver.Rules) (*Event, error) {
	if err := checkObject("content", p.Content); err != nil {
		return nil, err
	}
	if err := checkObject("unsigned", p.Unsigned); err != nil {
		return nil, err
	}
	if ts := p.OriginServerTS; ts > canonjson.MaxInt || ts < -canonjson.MaxInt {
		return nil, invalid("origin_server_ts", "%d is beyond 2^53-1", ts)
	}
	if p.Redacts != "" {
		if _, err := id.ParseEventID(string(p.Redacts)); err != nil || p.Type != TypeRedaction {
			return nil, invalid("redacts", "%q in an event of type %s", p.Redacts, p.Type)
		}
	}
	json := withHash(p.object(rules))
	if p.Unsigned != nil {
		json = json.With("unsigned", p.Unsigned)
	}
	return parse(json, rules)
}

// withHash returns an event with the hash of its content, and no signatures.
func withHash(json canonjson.Value) canonjson.Value {
	sum := contentHash(json)
	hashes := `{"sha256":"` + signing.EncodeBase64(sum[:]) + `"}`
	return json.With("hashes", canonjson.Value(hashes)).With("signatures", canonjson.Value("{}"))
}

// Complete makes an event of a template that another server gave for one of a
// user of this server, by adding hash and signature:
// https://spec.matrix.org/v1.19/server-server-api/#joining-rooms The caller has
// seen to what the template says; where events carry their ID, it has put one in.
// The event is held to everything that Parse demands.
func Complete(template canonjson.Value, rules *roomver.Rules, server id.ServerName, key signing.Key) (*Event, error) {
	e, err := parse(withHash(template.Without("hashes", "signatures", "unsigned")), rules)
	if err != nil {
		return nil, fmt.Errorf("completing a template: %w", err)
	}
	if e = e.Sign(server, key); len(e.json) > MaxSize {
		return nil, fmt.Errorf("completing a template: %w", tooLarge(len(e.json)))
	}
	return e, nil
}

func checkObject(field string, v canonjson.Value) error {
	if v == nil {
		return nil
	}
	canonical, err := canonjson.Canonical(v, canonjson.Strict)
	if err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	if v.Kind() != canonjson.Object || !bytes.Equal(v, canonical) {
		return invalid(field, "not an object in canonical form")
	}
	return nil
}

// object writes the members in canonical order.
func (p Proto) object(rules *roomver.Rules) canonjson.Value {
	content := p.Content
	if content == nil {
		content = canonjson.Value("{}")
	}
	if p.Redacts != "" && rules.RedactsInContent {
		content = content.With("redacts", canonjson.Text(string(p.Redacts)))
	}
	out := append(make([]byte, 0, 1024+len(content)), `{"auth_events":`...)
	out = appendReferences(out, p.AuthEvents, rules)
	out = append(append(out, `,"content":`...), content...)
	out = append(out, `,"depth":`...)
	out = strconv.AppendInt(out, min(p.Depth, rules.MaxDepth), 10)
	if rules.EventID == roomver.EventIDCarried {
		out = canonjson.AppendString(append(out, `,"event_id":`...), string(p.EventID))
	}
	if p.Sticky != 0 {
		out = appendSticky(out, p.Sticky)
	}
	out = strconv.AppendInt(append(out, `,"origin_server_ts":`...), p.OriginServerTS, 10)
	out = appendReferences(append(out, `,"prev_events":`...), p.PrevEvents, rules)
	if p.Redacts != "" && !rules.RedactsInContent {
		out = canonjson.AppendString(append(out, `,"redacts":`...), string(p.Redacts))
	}
	if !rules.RoomIDFromCreate || p.Type != TypeCreate {
		out = canonjson.AppendString(append(out, `,"room_id":`...), string(p.RoomID))
	}
	out = canonjson.AppendString(append(out, `,"sender":`...), string(p.Sender))
	if p.StateKey != nil {
		out = canonjson.AppendString(append(out, `,"state_key":`...), *p.StateKey)
	}
	out = canonjson.AppendString(append(out, `,"type":`...), p.Type)
	return append(out, '}')
}

func appendReferences(out []byte, refs []Reference, rules *roomver.Rules) []byte {
	out = append(out, '[')
	for i, r := range refs {
		if i > 0 {
			out = append(out, ',')
		}
		if !rules.HashedReferences {
			out = canonjson.AppendString(out, string(r.ID))
			continue
		}
		out = canonjson.AppendString(append(out, '['), string(r.ID))
		out = append(append(out, `,{"sha256":"`...), signing.EncodeBase64(r.Hash[:])...)
		out = append(out, `"}]`...)
	}
	return append(out, ']')
}
