package room

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/internal/journal"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// A Draft is what somebody wants to send.
type Draft struct {
	Type     string
	StateKey *string // nil for an event that is not state
	Sender   id.UserID
	Content  canonjson.Value // an object in strict canonical form; nil for an empty one
	Redacts  id.EventID      // of a redaction, the event that it redacts
	Sticky   int64           // for how many milliseconds it is to be sticky; 0: it is not
	Time     int64           // origin_server_ts; 0 for the present
	// Instead, unless empty, is the event that must be in the place in the state:
	// a change of what somebody has seen there. Otherwise nothing is sent and the
	// error is ErrSuperseded.
	Instead id.EventID

	// Transaction is the request that the event comes from.
	Transaction Transaction
	// Along, unless nil, adds to the batch of the event what is committed with it, and
	// may refuse. It is called as a [journal.Change] is, and not for state that says
	// what the state says already, of which nothing is committed.
	Along func(*journal.Batch, id.EventID) error

	// evicts says that the sender has no say in it.
	evicts bool
	// unrecommended says that it goes without the signature of the room's policy server.
	unrecommended bool
	// authoriser is the local user in whose name the sender joins, if anybody.
	authoriser id.UserID
	// exchanged says that it is an invite by one that was left for an address: the
	// sender may be of another server.
	exchanged bool
	// stops says that the room waits while its policy server signs: what follows is
	// built on the event.
	stops bool
	// optional: if the room refuses it, it is left out of what is sent together.
	optional bool
}

// authorisedVia names the user in whose name somebody joins. This server vouches
// for it, so it is the server that says who it is, and not the sender.
const authorisedVia = "join_authorised_via_users_server"

// content is what the event is to say.
func (d Draft) content() canonjson.Value {
	switch {
	case d.Type != event.TypeMember || d.Content.Kind() != canonjson.Object:
		return d.Content
	case d.authoriser == "":
		return d.Content.Without(authorisedVia)
	}
	return d.Content.With(authorisedVia, canonjson.Text(string(d.authoriser)))
}

// check refuses what the authorization rules let pass and we do not make: a
// member who is no user.
func (d Draft) check() error {
	if d.Type != event.TypeMember || d.StateKey == nil {
		return nil
	}
	if _, err := id.ParseUserID(*d.StateKey); err != nil {
		return mxerr.New(mxerr.BadJSON, "The state_key of a member event must be a user ID").Wrap(err)
	}
	return nil
}

// Sent is an event that has become part of its room.
type Sent struct {
	EventID id.EventID
	// Pos is a position of the journal at which the event is visible.
	Pos journal.Position
}

// attempts is how often an append is tried again after a conflict. Each means
// that another append was committed in between, so the room moves on all the
// same.
const attempts = 50

// Send sends an event into a room as a local user. It returns when the event is
// durable. If the transaction was sent before, it returns the event of then. An
// error is a *mxerr.Error when the user is to be told: that there is
// no such room, that the rules forbid it, that the event is malformed.
func (g *Engine) Send(ctx context.Context, roomID id.RoomID, d Draft) (Sent, error) {
	d.Content = d.content()
	if err := g.mayMove(ctx, roomID, d); err != nil {
		return Sent{}, err
	}
	for range attempts {
		r, err := g.room(ctx, roomID)
		if err != nil {
			return Sent{}, err
		}
		key := transactionKey{d.Sender, d.Transaction, r.num}
		if eventID := g.repeated(key); eventID != "" {
			return g.repeat(ctx, eventID)
		}
		sent, err := r.send(ctx, d, key)
		if lacks := (unsigned{}); errors.As(err, &lacks) {
			sent, err = g.sendSigned(ctx, r, d, key, lacks.by)
		}
		if earlier := (errRepeated{}); errors.As(err, &earlier) {
			return g.repeat(ctx, earlier.eventID)
		}
		if !errors.Is(err, errConflict) {
			return sent, err
		}
		g.forget(r)
	}
	return Sent{}, fmt.Errorf("sending into %s: %w", roomID, errConflict)
}

// repeat answers with an event that is durable, but may not be visible yet:
// another node may have appended it.
func (g *Engine) repeat(ctx context.Context, eventID id.EventID) (Sent, error) {
	err := g.journal.Refresh(ctx)
	return Sent{EventID: eventID, Pos: g.journal.Head()}, err
}

// send appends one event. The error is errConflict when the room has to be read
// anew.
func (r *live) send(ctx context.Context, d Draft, key transactionKey) (Sent, error) {
	a, wait, err := r.submit(ctx, []Draft{d}, key)
	if err != nil && wait != nil {
		if _, failed := r.settle(a, wait); failed != nil {
			err = failed
		}
	}
	if err != nil {
		return Sent{}, err
	}
	pos, err := r.settle(a, wait)
	return Sent{EventID: a.entries[0].event.ID(), Pos: pos}, err
}

// submit builds events, each on the one before, on the room as it is, or will be
// when all that was submitted before is committed, and hands them to the
// journal, as the request that the key names. With an error there may be
// something to wait for before it holds.
func (r *live) submit(ctx context.Context, drafts []Draft, key transactionKey) (a appended, wait func() (journal.Position, error), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stale {
		return a, nil, errConflict
	}
	if err := r.expected(ctx, drafts); err != nil {
		return a, r.barrier(err), err
	}
	for _, d := range drafts {
		if err := r.mayRelate(ctx, d); err != nil {
			return a, r.barrier(err), err
		}
	}
	if err := r.unsent(ctx, drafts[0]); err != nil {
		return a, nil, err
	}
	before := r.row
	made, err := r.buildAll(ctx, drafts)
	if err != nil {
		return a, nil, err
	}
	a = r.finish(before, made)
	change := r.engine.once(along(a.change, drafts[0].Along, made[0].event.ID()), key, made[0].event.ID(), time.Now())
	return a, r.engine.journal.Submit(change), nil
}

// along makes a change one that brings something along.
func along(change journal.Change, with func(*journal.Batch, id.EventID) error, eventID id.EventID) journal.Change {
	if with == nil {
		return change
	}
	return func(b *journal.Batch) error {
		if err := change(b); err != nil {
			return err
		}
		return with(b, eventID)
	}
}

// buildAll builds events, each on the one before. After an error the room is as
// it was. The caller holds mu.
func (r *live) buildAll(ctx context.Context, drafts []Draft) (made []entry, err error) {
	before, head := r.row, r.head
	for _, d := range drafts {
		e, err := r.build(ctx, d)
		refusal := (*mxerr.Error)(nil)
		switch {
		case err == nil:
			made = append(made, e)
		case !d.optional || !errors.As(err, &refusal):
			r.rewind(before, head, made)
			return nil, err
		}
	}
	return made, nil
}

// rewind takes back events that were built and not handed to the journal. The
// caller holds mu.
func (r *live) rewind(before record, head []*event.Event, made []entry) {
	r.row, r.head = before, head
	for _, m := range made {
		r.withdraw(m)
	}
}

// barrier returns what waits until that is durable which a draft was refused for:
// an event that it repeats, or one that came before it. It is nil if that is
// durable already. Waiting fails when it did not come about. The caller holds mu.
func (r *live) barrier(refusal error) (wait func() (journal.Position, error)) {
	var because id.EventID // empty: whatever came before it
	earlier, duplicate := errRepeated{}, errDuplicate{}
	switch {
	case errors.As(refusal, &earlier):
		because = earlier.eventID
	case errors.As(refusal, &duplicate):
		because = duplicate.eventID
	case !errors.Is(refusal, ErrSuperseded):
		return nil
	}
	for n, m := range r.pending {
		if because == "" || m.event.ID() == because {
			return r.confirm(n)
		}
	}
	return nil
}

// ErrSuperseded is the error of a draft that was to come instead of an event: the
// state has another one in its place.
var ErrSuperseded = errors.New("the state has changed meanwhile")

// expected holds a single piece of state against what the room has in its place.
// The error is errRepeated if the same sender says the same again, by which
// nothing is gained, and ErrSuperseded if it comes instead of another event.
func (r *live) expected(ctx context.Context, drafts []Draft) error {
	d := drafts[0]
	if len(drafts) != 1 || d.StateKey == nil {
		return nil
	}
	state := &snapshot{ctx: ctx, room: r, root: r.row.root}
	place := event.Tuple{Type: d.Type, StateKey: *d.StateKey}
	e := state.StateEvent(place)
	switch {
	case state.fault != nil:
		return state.fault
	case d.Instead != "" && (e == nil || e.ID() != d.Instead):
		return ErrSuperseded
	case e == nil || d.Sticky != 0 || e.Sender() != d.Sender || string(e.Content()) != string(d.Content):
		return nil
	case d.Type != event.TypeMember && eventauth.Check(e, state) != nil:
		return state.fault // who may not say it any more is refused as always; who has left may leave again
	}
	// What was redacted does not say it any more.
	if redacted, err := r.isRedacted(ctx, state.num(place)); redacted || err != nil {
		return err
	}
	return errRepeated{e.ID()}
}

// settle waits for the commit of what was submitted.
func (r *live) settle(a appended, wait func() (journal.Position, error)) (journal.Position, error) {
	pos, err := wait()
	if err != nil {
		r.mu.Lock()
		r.stale = true
		r.mu.Unlock()
		r.engine.forget(r)
		return 0, err
	}
	r.settled(a)
	return pos, nil
}
