package eventauth

import (
	"fmt"

	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// A Refusal says which rule refuses an event.
type Refusal struct {
	Rule    Rule
	Event   id.EventID
	Version roomver.Version
	// Number is the number of the rule in the room version.
	Number string
	// Detail says what in this event broke the rule; it may be empty.
	Detail string
}

func (r *Refusal) Error() string {
	msg := fmt.Sprintf("event %s refused by rule %s of room version %s: %s", r.Event, r.Number, r.Version, r.Rule)
	if r.Detail != "" {
		msg += " (" + r.Detail + ")"
	}
	return msg
}

func refuse(e *event.Event, rule Rule, format string, args ...any) error {
	return &Refusal{
		Rule:    rule,
		Event:   e.ID(),
		Version: e.Rules().Version,
		Number:  rule.Number(e.Rules()),
		Detail:  fmt.Sprintf(format, args...),
	}
}
