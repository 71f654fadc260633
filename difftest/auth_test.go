package difftest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/matrix-org/gomatrixserverlib"

	"parley/matrix/event"
	"parley/matrix/eventauth"
)

// TestAuth compares what the authorization rules say about random events in
// random room states.
func TestAuth(t *testing.T) {
	s := newSeries(t, "auth", "DIFFTEST_EVENTS", fullEvents)
	s.run(func(index int, rng *rand.Rand) {
		w := newWorld(rng)
		e, pdu := w.load(w.candidate())
		s.compareAuth(index, w, e, pdu, authExplanations)
	})
	checkUse(t, s, authExplanations)
	s.report(t)
}

// authDifference is an event about which the libraries differ in a state.
type authDifference struct {
	w *world
	e *event.Event
	// refusal is parley's, nil when it allows.
	refusal *eventauth.Refusal
	// other is gomatrixserverlib's refusal or panic, nil when it allows.
	other error
}

func (s *series) compareAuth(index int, w *world, e *event.Event, pdu gomatrixserverlib.PDU, known []explanation[authDifference]) {
	d := authDifference{w: w, e: e}
	if err := eventauth.Check(e, w.state); err != nil && !errors.As(err, &d.refusal) {
		s.differ(index, "parley fails", err.Error())
		return
	}
	d.other = guard(func() error { return gomatrixserverlib.Allowed(pdu, w.provider(), userOf) })
	switch {
	case d.refusal == nil && d.other == nil:
		s.count("auth: both allow")
	case d.refusal != nil && d.other != nil && !isPanic(d.other):
		s.count("auth: both refuse")
	case explain(s, known, d):
		s.count("auth: explained")
	default:
		s.differ(index, d.kind(), d.String())
	}
}

func isPanic(err error) bool {
	return errors.As(err, new(panicked))
}

func (d authDifference) kind() string {
	if d.refusal != nil {
		return fmt.Sprintf("auth: only parley refuses %s: %s", d.e.Type(), d.refusal.Rule)
	}
	return fmt.Sprintf("auth: only gomatrixserverlib refuses %s: %.40s", d.e.Type(), skipQuoted(d.other.Error()))
}

func (d authDifference) String() string {
	text := fmt.Sprintf("room version %s\nevent %s\nparley: %v\ngomatrixserverlib: %v\n", d.w.rules.Version, d.e.JSON(), d.refusal, d.other)
	for t, e := range d.w.state {
		text += fmt.Sprintf("state %s %q by %s: %s\n", t.Type, t.StateKey, e.Sender(), e.Content())
	}
	return text
}

// skipQuoted leaves out what stands in quotes, so that errors that differ in
// names only look alike.
func skipQuoted(s string) string {
	var out []byte
	quoted := false
	for _, c := range []byte(s) {
		if c == '"' {
			quoted = !quoted
		} else if !quoted {
			out = append(out, c)
		}
	}
	return string(out)
}
