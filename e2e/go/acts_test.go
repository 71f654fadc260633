package e2e

import (
	"slices"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// What a device does. Everything here has to succeed, or the scene ends.

func (d *device) did(what string, err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatalf("%s %s: %v", d.who, what, err)
	}
}

// creates makes a room and waits until the device syncs it.
func (d *device) creates(r *mautrix.ReqCreateRoom) id.RoomID {
	d.t.Helper()
	created, err := d.CreateRoom(background, r)
	d.did("creates a room", err)
	d.seesItself(created.RoomID, "join")
	return created.RoomID
}

// createsWith makes a private room and has the others' devices join it.
func (d *device) createsWith(name string, others ...*device) id.RoomID {
	d.t.Helper()
	r := d.creates(&mautrix.ReqCreateRoom{Name: name, Preset: "private_chat"})
	for _, other := range others {
		d.invites(r, other.user)
		other.joins(r)
	}
	for _, other := range others {
		d.sees(r, "the join of "+other.user.name, other.isMember(event.MembershipJoin))
	}
	return r
}

func (d *device) invites(r id.RoomID, u *user) {
	d.t.Helper()
	_, err := d.InviteUser(background, r, &mautrix.ReqInviteUser{UserID: u.id})
	d.did("invites "+u.name, err)
}

// joins joins a room and waits until the device syncs it.
func (d *device) joins(r id.RoomID) {
	d.t.Helper()
	joined, err := d.JoinRoomByID(background, r)
	d.did("joins", err)
	if joined.RoomID != r {
		d.t.Errorf("%s joins %s: the answer names %s", d.who, r, joined.RoomID)
	}
	d.seesItself(r, "join")
}

func (d *device) leaves(r id.RoomID) {
	d.t.Helper()
	_, err := d.LeaveRoom(background, r)
	d.did("leaves", err)
	d.seesItself(r, "leave")
}

func (d *device) forgets(r id.RoomID) {
	d.t.Helper()
	_, err := d.ForgetRoom(background, r)
	d.did("forgets the room", err)
}

func (d *device) kicks(r id.RoomID, u *user, reason string) {
	d.t.Helper()
	_, err := d.KickUser(background, r, &mautrix.ReqKickUser{UserID: u.id, Reason: reason})
	d.did("kicks "+u.name, err)
}

func (d *device) bans(r id.RoomID, u *user, reason string) {
	d.t.Helper()
	_, err := d.BanUser(background, r, &mautrix.ReqBanUser{UserID: u.id, Reason: reason})
	d.did("bans "+u.name, err)
}

func (d *device) unbans(r id.RoomID, u *user) {
	d.t.Helper()
	_, err := d.UnbanUser(background, r, &mautrix.ReqUnbanUser{UserID: u.id})
	d.did("unbans "+u.name, err)
}

func (d *device) says(r id.RoomID, text string) id.EventID {
	d.t.Helper()
	sent, err := d.SendText(background, r, text)
	d.did("says "+text, err)
	return sent.EventID
}

func (d *device) sends(r id.RoomID, message *event.MessageEventContent) id.EventID {
	d.t.Helper()
	sent, err := d.SendMessageEvent(background, r, event.EventMessage, message)
	d.did("sends "+message.Body, err)
	return sent.EventID
}

func (d *device) reacts(r id.RoomID, to id.EventID, with string) id.EventID {
	d.t.Helper()
	sent, err := d.SendReaction(background, r, to, with)
	d.did("reacts with "+with, err)
	return sent.EventID
}

func (d *device) redacts(r id.RoomID, e id.EventID, reason string) id.EventID {
	d.t.Helper()
	sent, err := d.RedactEvent(background, r, e, mautrix.ReqRedact{Reason: reason})
	d.did("redacts an event", err)
	return sent.EventID
}

func (d *device) sets(r id.RoomID, kind event.Type, content any) id.EventID {
	d.t.Helper()
	sent, err := d.SendStateEvent(background, r, kind, "", content)
	d.did("sets "+kind.Type, err)
	return sent.EventID
}

func (d *device) reads(r id.RoomID, upTo id.EventID) {
	d.t.Helper()
	d.did("reads", d.MarkRead(background, r, upTo))
}

func (d *device) types(r id.RoomID, typing bool, for_ time.Duration) {
	d.t.Helper()
	_, err := d.UserTyping(background, r, typing, for_)
	d.did("types", err)
}

// paginates goes back by one page, and says whether there is more.
func (d *device) paginates(r id.RoomID, limit int) (more bool) {
	d.t.Helper()
	d.mu.Lock()
	from := d.room(r).before
	d.mu.Unlock()
	if from == "" {
		return false
	}
	page, err := d.Messages(background, r, from, "", mautrix.DirectionBackward, nil, limit)
	d.did("pages back", err)
	if len(page.Chunk) > limit {
		d.t.Errorf("%s pages back by %d: got %d events", d.who, limit, len(page.Chunk))
	}
	d.notice(func() {
		known := d.room(r)
		slices.Reverse(page.Chunk)
		known.timeline = append(page.Chunk, known.timeline...)
		known.before = page.End
	})
	return page.End != ""
}

// paginatesToTheBeginning goes back until there is no more.
func (d *device) paginatesToTheBeginning(r id.RoomID, limit int) (pages int) {
	d.t.Helper()
	for pages = 1; d.paginates(r, limit); pages++ {
		if pages == 1000 {
			d.t.Fatalf("%s pages back without an end", d.who)
		}
	}
	return pages
}

// What a device waits for.

// sees waits until a condition on what the device knows of the room is true.
func (d *device) sees(r id.RoomID, what string, condition func(*view) bool) {
	d.t.Helper()
	d.until(what, func() bool { return condition(d.room(r)) })
}

// seesItself waits until a sync has the room in the part named.
func (d *device) seesItself(r id.RoomID, part string) {
	d.t.Helper()
	d.sees(r, "the room in the part "+part, func(known *view) bool { return known.part == part })
}

// seesEvents waits for events in the timeline, in this order.
func (d *device) seesEvents(r id.RoomID, events ...id.EventID) {
	d.t.Helper()
	d.sees(r, "events in the timeline, in order", func(known *view) bool {
		ids := known.ids()
		for _, e := range events {
			i := slices.Index(ids, e)
			if i < 0 {
				return false
			}
			ids = ids[i+1:]
		}
		return true
	})
}

// isMember is the condition that the device's user has a membership.
func (d *device) isMember(m event.Membership) func(*view) bool {
	return d.user.isMember(m)
}

func (u *user) isMember(m event.Membership) func(*view) bool {
	return func(known *view) bool { return known.member(u.id).Membership == m }
}

// event is an event that the device has in its timeline.
func (d *device) event(r id.RoomID, e id.EventID) *event.Event {
	d.t.Helper()
	d.seesEvents(r, e)
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.room(r).find(e)
}
