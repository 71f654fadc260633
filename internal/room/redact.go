package room

import (
	"context"
	"fmt"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/stateres"
)

// redacts returns the number of the event that a redaction takes effect on, 0
// when there is none: it names none, one that is not in the room, or one that
// its sender may not redact.
// https://spec.matrix.org/v1.19/rooms/v3/#handling-redactions
func (r *live) redacts(ctx context.Context, redaction *event.Event, state eventauth.State) (target stateres.Num, err error) {
	if redaction.Type() != event.TypeRedaction || redaction.Redacts() == "" {
		return 0, nil
	}
	levels := eventauth.LevelsIn(state) // reads the state, which it cannot do within a transaction
	err = r.engine.db.View(ctx, func(tx *store.Tx) error {
		num, room, err := findEvent(tx, redaction.Redacts())
		if err != nil || num == 0 || room != r.num {
			return err
		}
		found, err := readEvents(tx, []stateres.Num{num}, r.rules)
		if err == nil && eventauth.RedactionApplies(redaction, found[num], levels) {
			target = num
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("looking for what %s redacts: %w", redaction.ID(), err)
	}
	return target, nil
}

type redactionKey struct{ target stateres.Num }

// markRedacted records that a redaction applies. Of several the first counts.
func markRedacted(b *journal.Batch, target, redaction stateres.Num) {
	b.Write(redactionKey{target}, func(tx *store.Tx) error {
		err := tx.Queue("UPDATE events SET redacted_by = $2 WHERE event = $1 AND redacted_by IS NULL", target, redaction)
		if err != nil {
			return fmt.Errorf("redacting event %d: %w", target, err)
		}
		return nil
	})
}

// shown returns the form in which an event may be shown: as it is, or redacted,
// with the redaction in unsigned.redacted_because.
// https://spec.matrix.org/v1.19/client-server-api/#redactions
func shown(e, because *event.Event) *event.Event {
	if because == nil {
		return e
	}
	unsigned := canonjson.Value("{}").With("redacted_because", because.AppendClient(nil, event.Client{}))
	return e.Redacted().WithUnsigned(unsigned)
}

// redacted changes what is in memory of an event as it is shown. Of several
// redactions the first counts.
func (r *live) redacted(target stateres.Num, because *event.Event) {
	redact := func(it Item) Item {
		if it.Event.Unsigned().Get("redacted_because") == nil {
			it.Event = shown(it.Event, because)
		}
		return it
	}
	r.recent.change(target, redact)
	r.engine.items.change(target, redact)
}
