package room

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"parley/internal/journal"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
	"parley/matrix/stateres"
)

const typeTombstone = "m.room.tombstone"

// An Upgrade is how a room is to be replaced by another one:
// https://spec.matrix.org/v1.19/client-server-api/#room-upgrades
type Upgrade struct {
	Sender  id.UserID
	Version roomver.Version
	// Creators are further creators of the new room, where the version knows such.
	Creators []id.UserID
	// Profile is what the sender's member event says beside the membership.
	Profile canonjson.Value
	// Move, if not nil, adds to the batch that ends the old room what else moves
	// on to the new one.
	Move func(b *journal.Batch, from, to id.RoomID)
}

// together is how many events are appended at once when a room is replaced. A
// room may have many thousand bans, and nobody else can append meanwhile.
const together = 100

// Upgrade makes a room that replaces another one, with what of its state a new
// room takes over, and ends the old one with a tombstone. The tombstone is
// committed together with the last events of the new room: either all of it
// has come about, or nobody else has heard of the new room. If the room was
// replaced already, by the same request or somebody who was faster, the answer is
// the replacement.
func (g *Engine) Upgrade(ctx context.Context, roomID id.RoomID, u Upgrade) (id.RoomID, error) {
	rules, ok := roomver.Lookup(u.Version)
	if !ok {
		return "", mxerr.New(mxerr.UnsupportedRoomVersion, "This server does not know room version %q", u.Version)
	}
	for range attempts {
		replacement, err := g.upgrade(ctx, roomID, u, rules)
		if !errors.Is(err, errConflict) {
			return replacement, err
		}
		if err := g.journal.Refresh(ctx); err != nil { // for it may have been another node
			return "", err
		}
	}
	return "", fmt.Errorf("upgrading %s: %w", roomID, errConflict)
}

// upgrade tries it once. The error is errConflict when the old room has changed
// meanwhile.
func (g *Engine) upgrade(ctx context.Context, roomID id.RoomID, u Upgrade, rules *roomver.Rules) (id.RoomID, error) {
	old, err := g.room(ctx, roomID)
	if err != nil {
		return "", err
	}
	may, err := g.MaySend(ctx, roomID, u.Sender, typeTombstone, true)
	if err != nil {
		return "", err
	}
	if !may {
		return "", mxerr.New(mxerr.Forbidden, "You may not upgrade this room")
	}
	now, err := g.Now(ctx, roomID)
	if err != nil {
		return "", err
	}
	ended, err := g.StateNum(ctx, old.num, now.Root, event.Tuple{Type: typeTombstone})
	if err != nil {
		return "", err
	}
	if ended != 0 {
		if replacement, err := g.replaced(ctx, roomID, rules); replacement != "" || err != nil {
			return replacement, err
		}
	}
	estate, err := g.estate(ctx, old, now)
	if err != nil {
		return "", err
	}
	num, err := reserveNumbers(ctx, g.db, "room", 1)
	if err != nil {
		return "", err
	}
	fresh := newLive(g, Num(num), rules)
	if !rules.RoomIDFromCreate {
		if fresh.id, err = id.NewRoomID(rand.Text(), g.server); err != nil {
			return "", err
		}
	}
	err = succession{Upgrade: u, estate: estate, old: old, fresh: fresh, ended: ended}.run(ctx)
	return fresh.id, err
}

// replaced returns the room that has replaced another one, if it has these rules
// and somebody is in it; who wants another one than that gets a new one.
func (g *Engine) replaced(ctx context.Context, roomID id.RoomID, rules *roomver.Rules) (id.RoomID, error) {
	replacement, err := g.Replacement(ctx, roomID)
	if err != nil || replacement == "" {
		return "", err
	}
	predecessor, err := g.Predecessor(ctx, replacement)
	if errors.Is(err, mxerr.NotFound) || err == nil && predecessor != roomID {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	now, err := g.Now(ctx, replacement)
	if err != nil {
		return "", err
	}
	r, err := g.room(ctx, replacement)
	if err != nil || r.rules != rules || now.Joined == 0 {
		return "", err
	}
	return replacement, nil
}

// Replacement returns the room that the tombstone of a room names, empty without
// one. Whether there is such a room is another question.
func (g *Engine) Replacement(ctx context.Context, roomID id.RoomID) (id.RoomID, error) {
	return g.namedRoom(ctx, roomID, typeTombstone, func(content canonjson.Value) canonjson.Value { return content.Get("replacement_room") })
}

// Predecessor returns the room that a room says it replaces, empty if it does
// not.
func (g *Engine) Predecessor(ctx context.Context, roomID id.RoomID) (id.RoomID, error) {
	return g.namedRoom(ctx, roomID, event.TypeCreate, predecessorOf)
}

func predecessorOf(content canonjson.Value) canonjson.Value {
	return content.Get("predecessor").Get("room_id")
}

// namedRoom returns the room that a piece of state of a room names.
func (g *Engine) namedRoom(ctx context.Context, roomID id.RoomID, eventType string, name func(canonjson.Value) canonjson.Value) (id.RoomID, error) {
	now, err := g.Now(ctx, roomID)
	if err != nil {
		return "", err
	}
	e, err := g.State(ctx, roomID, now.Root, event.Tuple{Type: eventType})
	if err != nil || e == nil {
		return "", err
	}
	return roomNamed(name(e.Content())), nil
}

// roomNamed returns the room ID that a value is, empty if it is none.
func roomNamed(v canonjson.Value) id.RoomID {
	text, _ := v.Text()
	roomID, err := id.ParseRoomID(text)
	if err != nil {
		return ""
	}
	return roomID
}

// succession is one room that is about to replace another.
type succession struct {
	Upgrade
	estate     estate
	old, fresh *live
	ended      stateres.Num // the tombstone that the old room has already, 0 for none
}

// run makes the new room and ends the old one. Until the end nothing names the new
// room, so what is cut off before is a room that only its creator knows, until it is
// removed by [Engine.ForgetUnfinished]. The error is errConflict when the old room was
// not as expected.
func (s succession) run(ctx context.Context) error {
	drafts := s.estate.drafts(s)
	for len(drafts) > together {
		if err := s.fill(ctx, drafts[:together]); err != nil {
			return fmt.Errorf("filling a room that is to replace %s: %w", s.old.id, err)
		}
		drafts = drafts[together:]
	}
	last, wait, err := s.submit(ctx, drafts)
	if err != nil {
		if wait != nil {
			if _, failed := wait(); failed != nil {
				return failed
			}
		}
		return err
	}
	pos, err := wait()
	result := func() (journal.Position, error) { return pos, err }
	_, err = s.fresh.settle(last[0], result)
	_, oldErr := s.old.settle(last[1], result)
	return errors.Join(err, oldErr)
}

// fill appends some of the events of a new room that has too many of them to be
// appended at once.
func (s succession) fill(ctx context.Context, drafts []Draft) error {
	// The tombstone does not exist yet.
	s.old.mu.Lock()
	known := s.old.head[0].ID()
	s.old.mu.Unlock()
	a, wait, err := s.fillPart(ctx, drafts, known)
	if err != nil {
		return err
	}
	_, err = s.fresh.settle(a, wait)
	return err
}

func (s succession) fillPart(ctx context.Context, drafts []Draft, known id.EventID) (a appended, wait func() (journal.Position, error), err error) {
	s.fresh.mu.Lock()
	defer s.fresh.mu.Unlock()
	before := s.fresh.row
	made, err := s.buildCreate(ctx, known)
	if err != nil {
		return a, nil, err
	}
	more, err := s.fresh.buildAll(ctx, drafts)
	if err != nil {
		return a, nil, invalidState(err)
	}
	if made = append(made, more...); len(made) == 0 {
		return a, func() (journal.Position, error) { return 0, nil }, nil
	}
	a = s.fresh.finish(before, made)
	return a, s.old.engine.journal.Submit(func(b *journal.Batch) error {
		goOnWithRoom(b, s.fresh.num, made[len(made)-1].row.place)
		return a.change(b)
	}), nil
}

// submit builds the last events of both rooms and hands them to the journal. With
// an error there may be something to wait for before trying again.
func (s succession) submit(ctx context.Context, drafts []Draft) (last [2]appended, wait func() (journal.Position, error), err error) {
	s.old.mu.Lock()
	defer s.old.mu.Unlock()
	s.fresh.mu.Lock() // nobody who has this one waits for the other
	defer s.fresh.mu.Unlock()
	if s.old.stale {
		return last, nil, errConflict
	}
	state := &snapshot{ctx: ctx, room: s.old, root: s.old.row.root}
	if n := state.num(event.Tuple{Type: typeTombstone}); state.fault != nil {
		return last, nil, state.fault
	} else if n != s.ended {
		return last, s.old.confirm(n), errConflict
	}
	before, head, fresh := s.old.row, s.old.head, s.fresh.row
	made, ending, err := s.build(ctx, drafts)
	if err != nil {
		s.old.rewind(before, head, ending)
		return last, nil, err
	}
	last = [2]appended{s.fresh.finish(fresh, made), s.old.finish(before, ending)}
	return last, s.old.engine.journal.Submit(s.end(last)), nil
}

// end is the change that ends both.
func (s succession) end(last [2]appended) journal.Change {
	return func(b *journal.Batch) error {
		for _, a := range last {
			if err := a.change(b); err != nil {
				return err
			}
		}
		if !last[0].creates {
			finishRoom(b, s.fresh.num)
		}
		movePublished(b, s.old.id, s.fresh.id)
		if s.Move != nil {
			s.Move(b, s.old.id, s.fresh.id)
		}
		return nil
	}
}

// build builds the last events of the new room, if not all, and those that end the
// old one. Each names the other: where the ID of the new room is that of its create
// event, that has to be built first, and otherwise the tombstone. With an error the
// events of the old room are those that have to be taken back.
func (s succession) build(ctx context.Context, drafts []Draft) (made, ending []entry, err error) {
	if s.fresh.rules.RoomIDFromCreate {
		if made, err = s.buildCreate(ctx, ""); err != nil {
			return nil, nil, err
		}
	}
	if ending, err = s.old.buildAll(ctx, s.ending()); err != nil {
		return nil, nil, err
	}
	if !s.fresh.rules.RoomIDFromCreate {
		if made, err = s.buildCreate(ctx, ending[0].event.ID()); err != nil {
			return nil, ending, err
		}
	}
	rest, err := s.fresh.buildAll(ctx, drafts)
	return append(made, rest...), ending, invalidState(err)
}

// buildCreate builds the create event of the new room, unless that was done. The
// last event of the old room is named where it can be the tombstone.
func (s succession) buildCreate(ctx context.Context, last id.EventID) ([]entry, error) {
	if s.fresh.row.place > 0 {
		return nil, nil
	}
	predecessor := object("room_id", canonjson.Text(string(s.old.id)))
	if !s.fresh.rules.RoomIDFromCreate {
		predecessor = predecessor.With("event_id", canonjson.Text(string(last)))
	}
	content := s.estate.create(s).With("predecessor", predecessor)
	content, err := NewRoom{Creator: s.Sender, Content: content}.createContent(s.fresh.rules)
	if err != nil {
		return nil, err
	}
	d := drafting{sender: s.Sender}
	d.state(event.TypeCreate, "", content)
	return s.fresh.buildAll(ctx, d.drafts)
}

// ending returns what ends the old room, of which only the tombstone is necessary.
func (s succession) ending() []Draft {
	d := drafting{sender: s.Sender}
	d.state(typeTombstone, "", object("body", canonjson.Text("This room has been replaced")).
		With("replacement_room", canonjson.Text(string(s.fresh.id))))
	if content := s.estate.leftAliases(s.old.engine.server); content != nil {
		d.optional(typeCanonicalAlias, "", content)
	}
	if content := s.estate.raisedLevels(); content != nil {
		d.optional(event.TypePowerLevels, "", content)
	}
	for i := range d.drafts {
		d.drafts[i].stops = true // each follows the one before
	}
	return d.drafts
}
