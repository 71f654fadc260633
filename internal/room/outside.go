package room

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
)

// Outside is what a local user is to a room that this server is not in: invited,
// knocking, or neither any more. The room has no state here, and the member event
// no place in it.
type Outside struct {
	User       id.UserID
	Membership string
	Version    roomver.Version
	// Through is the server that it came from, or went to.
	Through id.ServerName
	// Event is the member event, nil for one that is of no further use.
	Event *event.Event
	// Preview is what the user gets to see of the room, stripped.
	Preview []canonjson.Value
}

// How much of a preview is kept, of what another server sends.
const (
	mostPreview = 40
	previewSize = 64 << 10
)

// strip reads what another server lets a user see of a room.
func strip(list canonjson.Value) (stripped []canonjson.Value) {
	size := 0
	for e := range list.Elements() {
		one := canonjson.Value("{}")
		for _, name := range [...]string{"content", "sender", "state_key", "type"} {
			value := e.Get(name)
			if name == "content" && value.Kind() != canonjson.Object || name != "content" && value.Kind() != canonjson.String {
				one = nil
				break
			}
			one = one.With(name, value)
		}
		if size += len(one); one != nil && len(stripped) < mostPreview && size < previewSize {
			stripped = append(stripped, one)
		}
	}
	return stripped
}

// outside returns what a user is to a room that this server is not in, nothing if
// there is nothing.
func (g *Engine) outside(ctx context.Context, roomID id.RoomID, user id.UserID) (o Outside, err error) {
	r, err := g.room(ctx, roomID)
	if errors.Is(err, mxerr.NotFound) {
		return o, nil
	}
	if err != nil {
		return o, err
	}
	var member, preview []byte
	err = g.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row(`
			SELECT outside.membership, outside.server, outside.event, outside.preview
			FROM outside JOIN memberships ON memberships.user_id = outside.user_id AND memberships.room = outside.room AND memberships.pos = outside.pos
			WHERE outside.room = $1 AND outside.user_id = $2`, r.num, user).Scan(&o.Membership, &o.Through, &member, &preview)
	})
	if errors.Is(err, store.ErrNoRows) {
		return o, nil
	}
	if err != nil {
		return o, fmt.Errorf("reading what %s is to %s: %w", user, roomID, err)
	}
	o.User, o.Version = user, r.rules.Version
	for e := range canonjson.Value(preview).Elements() {
		o.Preview = append(o.Preview, e)
	}
	o.Event, err = event.Parse(member, r.rules)
	return o, err
}

// Outside is outside for a /sync; ok is false for a room that this server is in.
func (g *Engine) Outside(ctx context.Context, roomID id.RoomID, user id.UserID) (o Outside, ok bool, err error) {
	o, err = g.outside(ctx, roomID, user)
	return o, o.Event != nil, err
}

// noteOutside records what a local user has become to a room that this server is
// not in. If it is in the room by now, the error is errConflict.
func (g *Engine) noteOutside(ctx context.Context, roomID id.RoomID, o Outside) (Sent, error) {
	rules, ok := roomver.Lookup(o.Version)
	if !ok {
		return Sent{}, mxerr.New(mxerr.IncompatibleRoomVersion, "This server does not support room version %q", string(o.Version)).
			With("room_version", string(o.Version))
	}
	// What the user was before is no longer so, and is shown by the event alone.
	o.Preview = slices.DeleteFunc(slices.Clone(o.Preview), func(e canonjson.Value) bool {
		return e.Get("type").Is(event.TypeMember) && e.Get("state_key").Is(string(o.User))
	})
	unlock, err := g.arriving.lock(ctx, roomID)
	if err != nil {
		return Sent{}, err
	}
	defer unlock()
	for range attempts {
		if abroad, err := g.isAbroad(ctx, roomID); err != nil || !abroad {
			return Sent{}, errors.Join(err, errConflict)
		}
		r, err := g.roomOrNew(ctx, roomID, rules)
		if err != nil {
			return Sent{}, err
		}
		pos, err := r.noteOutside(ctx, o)
		if !errors.Is(err, errConflict) {
			return Sent{Pos: pos}, err
		}
		g.forget(r)
	}
	return Sent{}, fmt.Errorf("noting what %s is to %s: %w", o.User, roomID, errConflict)
}

func (r *live) noteOutside(ctx context.Context, o Outside) (journal.Position, error) {
	a, wait, err := r.submitOutside(ctx, o)
	if err != nil {
		return 0, err
	}
	return r.settle(a, wait)
}

func (r *live) submitOutside(ctx context.Context, o Outside) (a appended, wait func() (journal.Position, error), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stale {
		return a, nil, errConflict
	}
	num, err := r.engine.numbers.above(ctx, nil)
	if err != nil {
		return a, nil, err
	}
	before := r.row
	r.row.change, r.row.place = int64(num), r.row.place+1
	a = appended{room: r, before: before, creates: !r.exists}
	r.exists = true
	after := r.row
	return a, r.engine.journal.Submit(func(b *journal.Batch) error { return a.outside(b, o, after) }), nil
}

// outside is what the journal is to commit of a user and a room that this server
// is not in.
func (a appended) outside(b *journal.Batch, o Outside, after record) error {
	r := a.room
	if _, err := a.expect(b); err != nil {
		return err
	}
	pos := b.Append(journal.UserScope(o.User), journal.KindMembership, int64(r.num))
	after.pos = pos
	b.Remember(r.num, lastAppend{after.change, pos})
	b.Insert(insertSights, r.num, o.User, after.place, pos, int64(0), o.Membership)
	if a.creates {
		b.Write(createKey{r.num}, func(tx *store.Tx) error { return insertRoom(tx, r.id, after) })
	}
	b.Write(r.num, func(tx *store.Tx) error { return writeRoom(tx, after) })
	b.Write(memberKey{r.num, o.User}, func(tx *store.Tx) error {
		if err := putOutside(tx, r.num, o, pos); err != nil {
			return err
		}
		return putMembership(tx, r.num, memberChange{user: o.User, membership: o.Membership}, pos)
	})
	b.Durable(func() {
		r.recent.moment(after.moment())
		r.engine.appended(r, a.creates)
	})
	return nil
}

func putOutside(tx *store.Tx, room Num, o Outside, pos journal.Position) error {
	if o.Event == nil {
		return tx.Queue("DELETE FROM outside WHERE room = $1 AND user_id = $2", room, o.User)
	}
	preview, err := canonjson.Marshal(append([]canonjson.Value{}, o.Preview...))
	if err == nil {
		err = tx.Queue(`
			INSERT INTO outside (room, user_id, membership, event, preview, pos, server) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (room, user_id) DO UPDATE SET membership = excluded.membership, server = excluded.server, event = excluded.event,
				preview = excluded.preview, pos = excluded.pos`,
			room, o.User, o.Membership, o.Event.JSON(), preview, pos, o.Through)
	}
	if err != nil {
		return fmt.Errorf("storing what %s is to room %d: %w", o.User, room, err)
	}
	return nil
}
