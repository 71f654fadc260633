package pushrule

import (
	"bytes"

	"parley/matrix/canonjson"
	"parley/matrix/glob"
)

// DefaultNotificationLevel is the power a sender needs for a kind of
// notification that the power levels do not mention.
// https://spec.matrix.org/v1.19/client-server-api/#mroompower_levels
const DefaultNotificationLevel = 50

// A Context is what conditions need to know beyond the event.
type Context struct {
	// MemberCount is the number of joined members of the room.
	MemberCount int
	// DisplayName is the user's in the room. An empty one occurs nowhere.
	DisplayName string
	// SenderLevel is the power of the event's sender.
	SenderLevel int64
	// SenderIsCreator makes the power infinite, for room versions since 12.
	SenderIsCreator bool
	// NotificationLevel returns the level that the room's power levels demand
	// for a kind of notification such as "room". Nil means
	// DefaultNotificationLevel for each. It is called only if a rule asks.
	NotificationLevel func(key string) int64
	// Thread says whether the event is in a thread, and if so whether the user is
	// subscribed to it.
	Thread Thread
}

// A Thread is what a user has to do with the thread of an event.
type Thread uint8

const (
	NoThread Thread = iota // the event is in none
	Unsubscribed
	Subscribed
)

// A Result is what the most important rule that matched says. The zero Result
// means that none did, or that the event is the user's own.
type Result struct {
	Kind   Kind
	RuleID string
	// Actions are those of the rule, without historical ones. They belong to
	// the evaluator.
	Actions []Action
	// Notify says whether the user is notified. The rest says how, and is zero
	// if Notify is false.
	Notify    bool
	Highlight bool
	// Sound is empty for none.
	Sound string
	// Tweaks is an object with every tweak, highlight and sound included, for
	// the push gateway; nil if there are none. A tweak set without value is
	// true for highlight and null for others. It belongs to the evaluator.
	Tweaks canonjson.Value
}

// Evaluate finds the rule that applies to an event for the evaluator's user. It
// does not ask whether the user may see the event.
//
// The event is canonical JSON. Rules are written for the client format; in a
// PDU they find all that both have, which excludes event_id and, for the create
// event since room version 12, room_id.
func (e *Evaluator) Evaluate(event canonjson.Value, ctx Context) Result {
	var few [16]property
	ev := evaluation{properties: few[:]}
	if e.slots > len(few) {
		ev.properties = make([]property, e.slots)
	}
	e.paths.collect(event, ev.properties)

	sender := ev.properties[senderSlot].value
	if sender.Is(e.user) {
		return Result{}
	}
	if rule := ev.first(e.override, &ctx); rule != nil {
		return *rule
	}
	if rule := ev.first(e.content, &ctx); rule != nil {
		return *rule
	}
	if rule := ev.first(e.postcontent, &ctx); rule != nil {
		return *rule
	}
	if rule := e.rooms[string(ev.properties[roomSlot].value)]; rule != nil {
		return *rule
	}
	if rule := e.senders[string(sender)]; rule != nil {
		return *rule
	}
	if rule := ev.first(e.underride, &ctx); rule != nil {
		return *rule
	}
	return Result{}
}

// An evaluation is what is known of one event. It stays on the stack: texts of
// usual size are folded into buf and remembered by their place in it.
type evaluation struct {
	properties []property
	buf        [512]byte
	used       int // of buf
	// named is whether the body contains the display name, once asked.
	named, namedKnown bool
}

// first returns the result of the first rule whose checks all hold.
func (ev *evaluation) first(rules []compiledRule, ctx *Context) *Result {
	for i := range rules {
		if ev.all(rules[i].checks, ctx) {
			return &rules[i].result
		}
	}
	return nil
}

func (ev *evaluation) all(checks []check, ctx *Context) bool {
	for i := range checks {
		if !ev.holds(&checks[i], ctx) {
			return false
		}
	}
	return true
}

func (ev *evaluation) holds(c *check, ctx *Context) bool {
	switch c.kind {
	case eventMatch:
		text, ok := ev.folded(c.slot)
		return ok && c.glob.Match(text)
	case eventPropertyIs:
		// Canonical JSON writes equal values equally.
		return string(ev.properties[c.slot].value) == c.text
	case eventPropertyContains:
		for value := range ev.properties[c.slot].value.Elements() {
			if string(value) == c.text {
				return true
			}
		}
		return false
	case roomMemberCount:
		n := int64(ctx.MemberCount)
		return c.count.from <= n && n <= c.count.to
	case senderNotificationPermission:
		need := int64(DefaultNotificationLevel)
		if ctx.NotificationLevel != nil {
			need = ctx.NotificationLevel(c.text)
		}
		return ctx.SenderIsCreator || ctx.SenderLevel >= need
	case threadSubscription:
		return ctx.Thread != NoThread && c.wanted == (ctx.Thread == Subscribed)
	case containsDisplayName:
		return ev.isNamed(ctx.DisplayName)
	}
	return false
}

// folded returns the folded text of a property; ok is false if it is no string.
func (ev *evaluation) folded(slot int) (text []byte, ok bool) {
	p := &ev.properties[slot]
	switch {
	case p.value.Kind() != canonjson.String:
		return nil, false
	case !p.isFolded:
		p.isFolded = true
		ev.fold(p)
	}
	if p.large != nil {
		return p.large, true
	}
	return ev.buf[p.from:p.to], true
}

// fold keeps the folded text of a string.
func (ev *evaluation) fold(p *property) {
	raw := []byte(p.value[1 : len(p.value)-1])
	if bytes.IndexByte(raw, '\\') >= 0 {
		text, _ := p.value.Text()
		raw = []byte(text)
	}
	free := ev.buf[ev.used:]
	if len(raw) > len(free) {
		p.large = glob.Fold(make([]byte, 0, len(raw)), raw)
		return
	}
	// Folding lengthens no text that is UTF-8, but this must not rely on it.
	folded := glob.Fold(free[:0], raw)
	if len(folded) > len(free) {
		p.large = bytes.Clone(folded)
		return
	}
	p.from, p.to = ev.used, ev.used+len(folded)
	ev.used = p.to
}

// isNamed reports whether the body contains the display name.
func (ev *evaluation) isNamed(displayName string) bool {
	if !ev.namedKnown {
		ev.namedKnown = true
		body, ok := ev.folded(bodySlot)
		ev.named = ok && displayName != "" && glob.ContainsWords(body, glob.Fold(nil, []byte(displayName)))
	}
	return ev.named
}
