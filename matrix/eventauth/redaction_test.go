package eventauth_test

import (
	"testing"

	"parley/internal/roomtest"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

const neighbour = id.UserID("@neighbour:b.test") // on the server of bob

func TestRedactions(t *testing.T) {
	for _, row := range []struct {
		name           string
		by, of         id.UserID
		byRule         eventauth.Rule // where the rules decide
		applies        bool           // where they do not
		redact, events string         // levels
	}{
		{"of the own message", bob, bob, 0, true, "50", "0"},
		{"of a message from the same server", bob, neighbour, 0, true, "50", "0"},
		{"of a message from another server", bob, alice, eventauth.RedactionForbidden, false, "50", "0"},
		{"by one at the redact level", mod, alice, 0, true, "50", "0"},
		{"by one just below the redact level", mod, alice, eventauth.RedactionForbidden, false, "51", "0"},
		{"by anybody where redacting takes nothing", bob, alice, 0, true, "0", "0"},
		{"by one who may not send redactions", bob, bob, eventauth.RequiredLevel, true, "0", "1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
				main := scene(t, rules)
				main.Send(roomtest.Join(neighbour),
					levels(main, `{"redact":`+row.redact+`,"events":{"m.room.redaction":`+row.events+`}}`))
				target := main.Send(roomtest.Message(row.of, "hi"))
				redaction := main.Build(roomtest.Redaction(row.by, target))
				decides := specNumber(eventauth.RedactionForbidden, rules) != ""
				want := row.byRule
				if !decides && want == eventauth.RedactionForbidden {
					want = 0
				}
				wantVerdict(t, rules, judgeEvent(main, redaction), want)
				if want == 0 {
					got := eventauth.RedactionApplies(redaction, target, eventauth.LevelsIn(main))
					if wantApplies := row.applies || decides; got != wantApplies {
						t.Errorf("applies: got %v, want %v", got, wantApplies)
					}
				}
			})
		})
	}
}

// Where the rules decide, the domains are those of the event IDs, which need
// not be those of the senders.
func TestRedactionByDomainOfEventID(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		if specNumber(eventauth.RedactionForbidden, rules) == "" {
			return
		}
		main := scene(t, rules)
		redaction := func(own, target id.EventID) error {
			return judge(main, roomtest.Spec{Type: event.TypeRedaction, Sender: bob, ID: own, Redacts: target})
		}
		wantVerdict(t, rules, redaction("$r:b.test", "$t:b.test"), 0)
		wantVerdict(t, rules, redaction("$r:a.test", "$t:a.test"), 0)
		wantVerdict(t, rules, redaction("$r:b.test", "$t:a.test"), eventauth.RedactionForbidden)
		wantVerdict(t, rules, redaction("$r:b.test:8448", "$t:b.test"), eventauth.RedactionForbidden)
		wantVerdict(t, rules, redaction("$r:b.test", "$nodomain"), eventauth.RedactionForbidden)
		wantVerdict(t, rules, redaction("$r:b.test", ""), eventauth.RedactionForbidden)
	})
}

func TestRedactionOfSomethingElse(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		main := scene(t, rules)
		first, second := main.Send(roomtest.Message(bob, "one")), main.Send(roomtest.Message(bob, "two"))
		redaction := main.Build(roomtest.Redaction(bob, first))
		l := eventauth.LevelsIn(main)
		if !eventauth.RedactionApplies(redaction, first, l) {
			t.Error("it does not apply to its target")
		}
		if eventauth.RedactionApplies(redaction, second, l) {
			t.Error("it applies to another event")
		}
		if eventauth.RedactionApplies(first, second, l) {
			t.Error("a message applies as a redaction")
		}
		// Event IDs that are hashes cannot be had twice, but those that
		// servers choose can.
		if rules.EventID == roomver.EventIDCarried {
			other := roomtest.New(t, rules.Version).Create(carol, nil)
			namesake := roomtest.Message(bob, "elsewhere")
			namesake.ID = first.ID()
			if eventauth.RedactionApplies(redaction, other.Build(namesake), l) {
				t.Error("it applies to an event of another room")
			}
		}
	})
}
