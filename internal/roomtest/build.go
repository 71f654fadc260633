package roomtest

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/signing"
)

// Build returns the event that Send would send, without sending it.
func (b *Branch) Build(spec Spec) *event.Event {
	b.room.tb.Helper()
	e, err := b.TryBuild(spec)
	if err != nil {
		b.room.tb.Fatalf("roomtest: %v", err)
	}
	return e
}

// TryBuild is Build for what may turn out not to be an event.
func (b *Branch) TryBuild(spec Spec) (*event.Event, error) {
	content, err := contentJSON(spec.Content, b.room.rules)
	if err != nil {
		return nil, fmt.Errorf("content of %s: %w", spec.Type, err)
	}
	rules, server := b.room.rules, spec.Sender.Server()
	key := b.room.key(server)
	proto := b.proto(spec, content)
	var e *event.Event
	if spec.Edit == nil && canonjson.IsCanonical(content, canonjson.Strict) {
		e, err = proto.Build(rules, server, key)
	} else {
		e, err = buildEdited(proto, spec.Edit, rules, server, key)
	}
	if err != nil {
		return nil, err
	}
	for _, signer := range spec.Signers {
		e = e.Sign(signer, b.room.key(signer))
	}
	return e, nil
}

// proto fills in what the spec leaves to the branch.
func (b *Branch) proto(spec Spec, content canonjson.Value) event.Proto {
	r := b.room
	r.serial++
	ts := spec.TS
	if ts == 0 {
		r.ts++
		ts = r.ts
	}
	prev := spec.Prev
	if prev == nil {
		prev = b.heads
	}
	depth := spec.Depth
	if depth == 0 {
		for _, p := range prev {
			depth = max(depth, p.Depth())
		}
		if depth < math.MaxInt64 {
			depth++
		}
	}
	roomID := r.id
	if roomID == "" {
		roomID = id.RoomID("!" + strings.TrimPrefix(string(spec.Sender), "@"))
	}
	auth := spec.Auth
	if auth == nil {
		auth = b.selection(spec, content)
	}
	eventID := spec.ID
	if eventID == "" {
		eventID = id.EventID("$" + strconv.Itoa(r.serial) + ":" + string(spec.Sender.Server()))
	}
	return event.Proto{
		Type:           spec.Type,
		StateKey:       spec.StateKey,
		Sender:         spec.Sender,
		RoomID:         roomID,
		Content:        content,
		OriginServerTS: ts,
		Depth:          depth,
		PrevEvents:     references(prev),
		AuthEvents:     references(auth),
		Redacts:        spec.Redacts,
		EventID:        eventID,
	}
}

func (b *Branch) selection(spec Spec, content canonjson.Value) []*event.Event {
	draft := eventauth.Draft{Type: spec.Type, StateKey: spec.StateKey, Sender: spec.Sender, Content: content}
	var selected []*event.Event
	for _, t := range draft.Selection(b.room.rules) {
		if e := b.state[t]; e != nil {
			selected = append(selected, e)
		}
	}
	return selected
}

func references(events []*event.Event) []event.Reference {
	refs := make([]event.Reference, 0, len(events))
	for _, e := range events {
		refs = append(refs, e.Reference())
	}
	return refs
}

// buildEdited makes an event that [event.Proto] has no way to say: it builds
// one without content, changes it, and does again what Build did.
func buildEdited(p event.Proto, edit func(canonjson.Value) canonjson.Value, rules *roomver.Rules, server id.ServerName, key signing.Key) (*event.Event, error) {
	content := p.Content
	p.Content = nil
	plain, err := p.Build(rules, server, key)
	if err != nil {
		return nil, err
	}
	if redacts := plain.Content().Get("redacts"); redacts != nil {
		content = content.With("redacts", redacts)
	}
	changed := plain.JSON().With("content", content).Without("hashes", "signatures")
	if edit != nil {
		changed = edit(changed)
	}
	if changed.Get("signatures") == nil {
		changed = changed.With("signatures", canonjson.Value("{}"))
	}
	if changed.Get("hashes") == nil {
		unhashed, err := event.Parse(changed.With("hashes", canonjson.Value("{}")), rules)
		if err != nil {
			return nil, err
		}
		sum := unhashed.ContentHash()
		changed = changed.With("hashes", canonjson.Value(nil).With("sha256", canonjson.Text(signing.EncodeBase64(sum[:]))))
	}
	e, err := event.Parse(changed, rules)
	if err != nil {
		return nil, err
	}
	return e.Sign(server, key), nil
}

// contentJSON returns the JSON that a [Spec] means, with the numbers that the
// room version accepts.
func contentJSON(content any, rules *roomver.Rules) (canonjson.Value, error) {
	mode := canonjson.Lenient
	if rules.StrictJSON {
		mode = canonjson.Strict
	}
	switch content := content.(type) {
	case nil:
		return canonjson.Value("{}"), nil
	case string:
		return canonjson.Canonical([]byte(content), mode)
	case canonjson.Value:
		return canonjson.Canonical(content, mode)
	}
	text, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	return canonjson.Canonical(text, mode)
}
