package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// A view is what a device knows of a room.
type view struct {
	*mautrix.Room                       // its state
	part          string                // of the sync that had it last: join, invite, knock, leave
	invitation    []*event.Event        // the stripped state, while part is invite
	timeline      []*event.Event        // without gaps
	before        string                // where the history before the timeline begins; empty if there is none
	limited       bool                  // whether there was ever a gap
	receipts      map[reader]id.EventID // the last read
	typing        []id.UserID           //
	unread        [2]int                // notifications, highlights
	joined        int                   // members, by the summary
	invited       int                   //
	heroes        []id.UserID           //
	account       map[string]string     // account data as JSON, by type
	lazy          bool                  // whether members may be missing
	firstState    []*event.Event        // the state block of the first sync that had the room as joined
}

// A reader is one of the places up to which a user has read a room.
type reader struct {
	user   id.UserID
	kind   event.ReceiptType
	thread event.ThreadID
}

// room is never nil: of a room it has not heard of, a device knows nothing.
// Needs d.mu.
func (d *device) room(r id.RoomID) *view {
	known := d.rooms[r]
	if known == nil {
		known = &view{Room: mautrix.NewRoom(r), lazy: d.lazy, receipts: map[reader]id.EventID{}, account: map[string]string{}}
		d.rooms[r] = known
	}
	return known
}

// takesIn applies a sync, as the specification tells a client to.
func (d *device) takesIn(s *mautrix.RespSync) {
	d.syncs++
	put(d.account, s.AccountData.Events)
	for _, e := range s.Presence.Events {
		d.presence[e.Sender] = e.Content.AsPresence()
	}
	for r, part := range s.Rooms.Invite {
		known := d.room(r)
		known.part, known.invitation = "invite", part.State.Events
	}
	for r := range s.Rooms.Knock {
		d.room(r).part = "knock"
	}
	for r, part := range s.Rooms.Join {
		d.room(r).takesInJoined(part)
	}
	for r, part := range s.Rooms.Leave {
		known := d.room(r)
		known.part, known.invitation, known.typing = "leave", nil, nil
		known.takesInTimeline(part.State.Events, part.Timeline)
	}
}

func (r *view) takesInJoined(part *mautrix.SyncJoinedRoom) {
	if r.part != "join" {
		r.firstState = part.State.Events
	}
	r.part, r.invitation = "join", nil
	r.takesInTimeline(part.State.Events, part.Timeline)
	for _, e := range part.Ephemeral.Events {
		switch e.Type {
		case event.EphemeralEventTyping:
			r.typing = e.Content.AsTyping().UserIDs
		case event.EphemeralEventReceipt:
			r.takesInReceipts(*e.Content.AsReceipt())
		}
	}
	put(r.account, part.AccountData.Events)
	if u := part.UnreadNotifications; u != nil {
		r.unread = [2]int{u.NotificationCount, u.HighlightCount}
	}
	if n := part.Summary.JoinedMemberCount; n != nil {
		r.joined = *n
	}
	if n := part.Summary.InvitedMemberCount; n != nil {
		r.invited = *n
	}
	if h := part.Summary.Heroes; h != nil {
		r.heroes = h
	}
}

func (r *view) takesInTimeline(state []*event.Event, timeline mautrix.SyncTimeline) {
	for _, e := range state {
		r.UpdateState(e)
	}
	for _, e := range timeline.Events {
		if e.StateKey != nil {
			r.UpdateState(e)
		}
	}
	first := r.timeline == nil
	if timeline.Limited && !first {
		r.timeline, r.limited = nil, true
	}
	if first || timeline.Limited {
		r.before = timeline.PrevBatch
	}
	r.timeline = append(r.timeline, timeline.Events...)
}

func (r *view) takesInReceipts(receipts event.ReceiptEventContent) {
	for read, kinds := range receipts {
		for kind, users := range kinds {
			for user, receipt := range users {
				r.receipts[reader{user, kind, receipt.ThreadID}] = read
			}
		}
	}
}

func put(data map[string]string, events []*event.Event) {
	for _, e := range events {
		data[e.Type.Type] = plain(e.Content.VeryRaw)
	}
}

// ids are the IDs of the timeline, oldest first.
func (r *view) ids() []id.EventID {
	var ids []id.EventID
	for _, e := range r.timeline {
		ids = append(ids, e.ID)
	}
	return ids
}

// find is nil if the event is not in the timeline.
func (r *view) find(e id.EventID) *event.Event {
	i := slices.IndexFunc(r.timeline, func(have *event.Event) bool { return have.ID == e })
	if i < 0 {
		return nil
	}
	return r.timeline[i]
}

// member is the content of a membership event, or an empty one.
func (r *view) member(u id.UserID) event.MemberEventContent {
	e := r.GetStateEvent(event.StateMember, u.String())
	if e == nil {
		return event.MemberEventContent{}
	}
	return *e.Content.AsMember()
}

func (r *view) name() string {
	if e := r.GetStateEvent(event.StateRoomName, ""); e != nil {
		return e.Content.AsRoomName().Name
	}
	return ""
}

func (r *view) topic() string {
	if e := r.GetStateEvent(event.StateTopic, ""); e != nil {
		return e.Content.AsTopic().Topic
	}
	return ""
}

// read is the event that a user's receipt is at.
func (r *view) read(u *user) id.EventID {
	return r.receipts[reader{user: u.id, kind: event.ReceiptTypeRead}]
}

// knows is what a device knows, for the message of a test that failed.
func (d *device) knows() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%s has seen %d syncs, and of rooms:", d.who, d.syncs)
	for _, r := range slices.Sorted(maps.Keys(d.rooms)) {
		known := d.rooms[r]
		fmt.Fprintf(&b, "\n%s (%s): unread %v, typing %v, receipts %v, %d joined, %d invited, heroes %v",
			r, known.part, known.unread, known.typing, known.receipts, known.joined, known.invited, known.heroes)
		for _, e := range known.timeline {
			fmt.Fprintf(&b, "\n\t%s %s %s %.120s", e.ID, e.Sender, e.Type.Type, e.Content.VeryRaw)
		}
		for _, e := range known.invitation {
			fmt.Fprintf(&b, "\n\tstripped: %s %s %q %.120s", e.Sender, e.Type.Type, e.GetStateKey(), e.Content.VeryRaw)
		}
	}
	return b.String()
}

// plain is JSON in a form in which equal values are equal strings.
func plain(text []byte) string {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return "not JSON: " + string(text)
	}
	sorted, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(sorted)
}
