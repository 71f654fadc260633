package room

import (
	"context"
	"fmt"
	"slices"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/stateres"
)

// cause is a redaction, as what it redacts is shown because of it.
type cause struct {
	num   stateres.Num
	event *event.Event // nil for none
}

// redacts finds out what a redaction takes effect on: nothing, when it names
// none or one that its sender may not redact. An event that the room does not
// have yet may come later, by another branch. The caller holds mu.
// https://spec.matrix.org/v1.19/rooms/v3/#handling-redactions
func (r *live) redacts(ctx context.Context, made *entry) error {
	redaction := made.event
	if redaction.Type() != event.TypeRedaction || redaction.Redacts() == "" {
		return nil
	}
	outlier, n, err := r.findOutlier(ctx, redaction.Redacts())
	if err != nil {
		return fmt.Errorf("looking for what %s redacts: %w", redaction.ID(), err)
	}
	if n == 0 || outlier { // an outlier is written anew when its place is known
		made.awaits = redaction.Redacts()
	}
	if n == 0 {
		return nil
	}
	target, err := r.event(ctx, n)
	if err != nil {
		return err
	}
	applies, err := r.applies(ctx, redaction, made.before, target)
	if applies {
		made.redacts, made.target = n, target
	}
	return err
}

// applies decides whether a redaction takes effect on an event, by the state
// before the redaction: that is the same on all servers, whatever they have
// received beside it.
func (r *live) applies(ctx context.Context, redaction *event.Event, before statetrie.Root, target *event.Event) (bool, error) {
	state := &snapshot{ctx: ctx, room: r, root: before}
	applies := eventauth.RedactionApplies(redaction, target, eventauth.LevelsIn(state))
	return applies, state.fault
}

// redactedEarly finds the first redaction of an event that came before it and
// takes effect. The caller holds mu.
func (r *live) redactedEarly(ctx context.Context, made *entry) error {
	var waiting []stateres.Num
	for n, m := range r.pending {
		if m.awaits == made.event.ID() {
			waiting = append(waiting, n)
		}
	}
	early, err := r.earlyRedactions(ctx, made.event.ID())
	if err != nil {
		return err
	}
	waiting = append(waiting, early...)
	slices.Sort(waiting)
	for _, n := range waiting {
		redaction, err := r.event(ctx, n)
		if err != nil {
			return err
		}
		k, err := r.known(ctx, n)
		if err != nil {
			return err
		}
		if applies, err := r.applies(ctx, redaction, k.before, made.event); applies || err != nil {
			made.because = cause{n, redaction}
			return err
		}
	}
	return nil
}

// earlyRedactions returns the redactions of an event that were committed before it.
func (r *live) earlyRedactions(ctx context.Context, target id.EventID) (early []stateres.Num, err error) {
	if early, read := r.ahead.redactions(target); read {
		return early, nil
	}
	err = r.engine.db.View(ctx, func(tx *store.Tx) error {
		early, err = store.List[stateres.Num](tx, "SELECT event FROM early_redactions WHERE room = $1 AND target = $2", r.num, target)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for redactions of %s: %w", target, err)
	}
	return early, nil
}

var insertEarlyRedactions = &store.Insert{Table: "early_redactions", Columns: []store.Column{
	{Name: "room", Type: store.Int}, {Name: "target", Type: store.Text}, {Name: "event", Type: store.Int},
}}

// writeRedactions adds to the batch what the event redacts, and what redacts it.
// That the state looks otherwise without being another is news of its own.
func (m entry) writeRedactions(b *journal.Batch, r *live) {
	if m.redacts != 0 {
		b.Append(r.num.Scope(), journal.KindRedaction, int64(m.redacts))
		markRedacted(b, m.redacts, m.num)
		breakRelation(b, r.num, m.redacts, m.target)
	}
	if m.awaits != "" {
		b.Insert(insertEarlyRedactions, r.num, m.awaits, m.num)
	}
	if m.because.event != nil {
		markRedacted(b, m.num, m.because.num)
	}
}

// redactionKey has the redaction too: of two in one group the first is to be
// recorded, not the last.
type redactionKey struct{ target, redaction stateres.Num }

// markRedacted records that a redaction applies. Of several the first counts.
func markRedacted(b *journal.Batch, target, redaction stateres.Num) {
	b.Write(redactionKey{target, redaction}, func(tx *store.Tx) error {
		err := tx.Queue("UPDATE events SET redacted_by = $2 WHERE event = $1 AND redacted_by IS NULL", target, redaction)
		if err != nil {
			return fmt.Errorf("redacting event %d: %w", target, err)
		}
		return nil
	})
}

// isRedacted reports whether an event of the room was redacted. The caller holds
// mu.
func (r *live) isRedacted(ctx context.Context, n stateres.Num) (redacted bool, err error) {
	for _, m := range r.pending {
		if m.redacts == n || m.num == n && m.because.event != nil {
			return true, nil
		}
	}
	err = r.engine.db.View(ctx, func(tx *store.Tx) error {
		var count int
		err := tx.Row("SELECT count(*) FROM events WHERE event = $1 AND redacted_by IS NOT NULL", n).Scan(&count)
		redacted = count > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("asking whether event %d is redacted: %w", n, err)
	}
	return redacted, nil
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
	r.engine.items.Change(target, redact)
}

// unredactedNotReceived is the code for an event that came in its redacted form.
const unredactedNotReceived mxerr.Code = "FI.MAU.MSC2815_UNREDACTED_CONTENT_NOT_RECEIVED"

// Unredacted returns an event of a room as it was before it was redacted, and says all
// the same what redacted it. https://github.com/matrix-org/matrix-spec-proposals/pull/2815
func (g *Engine) Unredacted(ctx context.Context, roomID id.RoomID, it Item) (Item, error) {
	if it.Event.Unsigned().Get("redacted_because") == nil {
		return it, nil
	}
	r, err := g.room(ctx, roomID)
	if err != nil {
		return it, err
	}
	e, err := g.event(ctx, it.Num, r.rules)
	if err != nil {
		return it, err
	}
	if !e.HashMatches() {
		return it, mxerr.New(unredactedNotReceived, "This server has it in its redacted form only").WithStatus(404)
	}
	it.Event = e.WithUnsigned(it.Event.Unsigned())
	return it, nil
}
