package room

import (
	"context"
	"fmt"
	"time"

	"parley/internal/statetrie"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// entry is an event that is being appended, with what belongs to it.
type entry struct {
	num   stateres.Num
	event *event.Event
	auth  []stateres.Num
	// status is what it is kept as. Of one that is put aside, follows are the
	// room's heads that it came after, and of what is below, only before, after
	// and row are filled in.
	status  int64
	follows []stateres.Num
	// before is the state before it, after the state after it, and current that
	// of the room with it, which is another if it is one of several heads.
	before, after, current statetrie.Root
	// redacts is the event that it takes effect on, if it is a redaction; awaits
	// is the event that it names, if the room does not have that yet.
	redacts stateres.Num
	target  *event.Event // what it takes effect on, as it was
	awaits  id.EventID
	// thread is the root of the thread that it is in, empty for the main timeline.
	thread id.EventID
	// outlier says that it is in the database already, without its place.
	outlier bool
	// past is what was counted before the gap that it is put into, nil if it is not
	// put into one. Others are behind it then, and it is no news.
	past *counted
	// gap is what it follows and the room does not have, if that is so.
	gap []id.EventID
	// sticky is until when it is to reach all clients, in milliseconds since 1970, 0
	// if it is not.
	sticky int64
	// because is the redaction that was there before the event, if there was one.
	because cause
	// relays says that other servers are told of it though it is another's.
	relays bool
	// transaction is the request of its sender that it comes from.
	transaction Transaction

	// What follows is filled in by advance.
	place    int64
	own      Total // of its thread, if it is in one
	replaces stateres.Num
	merges   bool
	members  []memberChange
	sight    *VisibilityAt // what the history visibility is from now on, if that changed
	sightNum stateres.Num  // of the event that says so
	hidden   hiding
	summary  *Summary // what the room's is from now on, if it may have changed
	// unwelcome says that guests cannot be in the room from now on.
	unwelcome bool
	tally     tally
	row       record // the room with it
}

// memberChange is what a user has become by the current state.
type memberChange struct {
	user       id.UserID
	num        stateres.Num // of the member event; that of the one before, if there is none any more
	before     string       // empty: nothing
	membership string
	inherits   bool // what the user has set for the room that this one replaces
}

// advance moves the room on to an event, which is the state that made.current
// says and leaves these forward extremities. The create event gives the room
// its ID where it has none before. The caller holds mu.
func (r *live) advance(ctx context.Context, made entry, heads []stateres.Num, head []*event.Event) (entry, error) {
	row := r.row
	row.change, row.root, row.head = int64(made.num), made.current, heads
	if made.gap != nil {
		row.place += gapPlaces
	}
	row.place++
	made.place = row.place
	summarised, err := r.note(ctx, &made, &row)
	if err != nil {
		return entry{}, err
	}
	if made.redacts != 0 && !summarised {
		target, err := r.event(ctx, made.redacts)
		if err != nil {
			return entry{}, err
		}
		t, isState := target.Tuple()
		summarised = isState && isSummarised(t)
	}
	if summarised {
		if made.summary, err = r.summarise(ctx, row.root); err != nil {
			return entry{}, err
		}
	}
	tally, err := r.tally(ctx, made, row)
	if err != nil {
		return entry{}, err
	}
	made.tally, row.total = tally, row.total.plus(tally.total())
	if made.thread != "" {
		row.threaded = row.threaded.plus(tally.total())
		if made.own, err = r.countThread(ctx, made.thread, tally.total()); err != nil {
			return entry{}, err
		}
	}
	if row.bumped == 0 || isSaying(made.event.Type()) {
		row.bumped = max(row.bumped, time.Now().UnixMilli())
	}
	if r.id == "" {
		r.id = made.event.RoomID()
	}
	r.stick(&made, &row)
	made.row = row
	r.row, r.head = row, head
	return made, nil
}

// note finds out what the event changes of the room's state, and whether it is
// what the event says. summarised says that the room's summary depends on it.
func (r *live) note(ctx context.Context, made *entry, row *record) (summarised bool, err error) {
	own, isState := made.event.Tuple()
	if isState {
		n, err := statetrie.Get(ctx, r.nodes, made.before, statetrie.Key(own))
		if err != nil {
			return false, fmt.Errorf("reading the state of %s: %w", r.id, err)
		}
		made.replaces = stateres.Num(n)
	}
	won := !isState
	for c, err := range statetrie.Diff(ctx, r.nodes, r.row.root, made.current) {
		if err != nil {
			return false, fmt.Errorf("comparing states of %s: %w", r.id, err)
		}
		if isState && c.Key == statetrie.Key(own) && c.New == uint64(made.num) {
			won = true
		} else {
			made.merges = true
		}
		summarised = summarised || isSummarised(event.Tuple(c.Key))
		if err := r.noteChange(ctx, c, made, row); err != nil {
			return false, err
		}
	}
	made.merges = made.merges || !won
	return summarised, nil
}

// noteChange keeps account of one change of the state.
func (r *live) noteChange(ctx context.Context, c statetrie.Change, made *entry, row *record) error {
	switch {
	case c.Type == event.TypeMember:
	case c.Type == event.TypeHistoryVisibility && c.StateKey == "":
		e, err := r.eventOrNil(ctx, stateres.Num(c.New))
		if err != nil {
			return err
		}
		made.sight, made.sightNum = &VisibilityAt{Visibility: VisibilityOf(e)}, stateres.Num(c.New)
		return nil
	case c.Type == typeGuestAccess && c.StateKey == "":
		e, err := r.eventOrNil(ctx, stateres.Num(c.New))
		made.unwelcome = c.Old != 0 && !admitsGuests(e)
		return err
	default:
		return nil
	}
	if !isUser(c.StateKey) {
		return nil
	}
	m := memberChange{user: id.UserID(c.StateKey), num: stateres.Num(c.New), membership: event.MembershipLeave}
	before, err := r.eventOrNil(ctx, stateres.Num(c.Old))
	if err != nil {
		return err
	}
	after, err := r.eventOrNil(ctx, stateres.Num(c.New))
	if err != nil {
		return err
	}
	if before != nil {
		m.before = before.Membership()
	}
	row.count(before, -1)
	row.count(after, +1)
	if after == nil {
		m.num = stateres.Num(c.Old)
	} else if m.membership = after.Membership(); m.membership == "" {
		m.membership = event.MembershipLeave
	}
	if m.inherits, err = r.inherits(ctx, m, made.current); err != nil {
		return err
	}
	made.members = append(made.members, m)
	return nil
}

const typeGuestAccess = "m.room.guest_access"

// admitsGuests reports whether guests can join by a guest access event, nil if
// there is none. https://spec.matrix.org/v1.19/client-server-api/#guest-access
func admitsGuests(e *event.Event) bool { return e != nil && text(e, "guest_access") == "can_join" }

// isUser reports whether a state key is that of a user's member event. The
// authorization rules let member events pass that make nobody a member.
func isUser(stateKey string) bool {
	_, err := id.ParseUserID(stateKey)
	return err == nil
}

// count adds to the number of members.
func (row *record) count(member *event.Event, by int64) {
	if member == nil {
		return
	}
	switch member.Membership() {
	case event.MembershipJoin:
		row.joined += by
	case event.MembershipInvite:
		row.invited += by
	}
}

func (r *live) eventOrNil(ctx context.Context, n stateres.Num) (*event.Event, error) {
	if n == 0 {
		return nil, nil
	}
	return r.event(ctx, n)
}
