package room

import (
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

func redaction(sender id.UserID, target id.EventID) Draft {
	return Draft{Type: event.TypeRedaction, Sender: sender, Redacts: target}
}

func TestRedactions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
			roomID, other := n.create(NewRoom{Preset: PublicChat, Version: rules.Version}), n.create(NewRoom{Preset: PublicChat, Version: rules.Version})
			n.send(roomID, join(bob))
			n.send(other, join(bob))
			isRedacted := func(eventID id.EventID) (redacted bool, because id.EventID) {
				t.Helper()
				e := n.eventByID(roomID, eventID)
				if e == nil || e.ID() != eventID {
					t.Fatalf("event %s is %v", eventID, e)
				}
				text, _ := e.Unsigned().Get("redacted_because").Get("event_id").Text()
				return e.Content().Get("body") == nil, id.EventID(text)
			}
			own, others := n.send(roomID, message(bob, "oops")).EventID, n.send(roomID, message(bob, "spam")).EventID
			elsewhere := n.send(other, message(bob, "elsewhere")).EventID

			first := n.send(roomID, redaction(bob, own)).EventID
			n.send(roomID, redaction(alice, own))
			if redacted, because := isRedacted(own); !redacted || because != first {
				t.Errorf("own event redacted: %v, because of %s instead of %s", redacted, because, first)
			}
			n.send(roomID, redaction(alice, others))
			if redacted, _ := isRedacted(others); !redacted {
				t.Error("a moderator's redaction does not apply")
			}
			n.send(roomID, redaction(alice, elsewhere))
			if n.eventByID(other, elsewhere).Content().Get("body") == nil {
				t.Error("an event of another room is redacted")
			}
			n.send(roomID, redaction(alice, "$nowhere:a.test"))
			n.check(roomID)
		})
	})
}
