package e2e

import (
	"fmt"
	"slices"
	"testing"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

func TestMembersAreLoadedWhenTheySpeak(t *testing.T) {
	t.Parallel()
	alice := newUser(t, "alice")
	phone := alice.logsIn("phone")
	room := phone.creates(&mautrix.ReqCreateRoom{Name: "A crowd", Preset: "public_chat"})
	var crowd []*device
	for i := range 8 {
		d := newUser(t, fmt.Sprintf("member%d", i)).logsIn("phone")
		d.joins(room)
		crowd = append(crowd, d)
	}
	said := converses(room, 25, crowd[0], crowd[1])
	phone.seesEvents(room, said...)

	lazy := alice.logsInWith("tablet", lazily())
	lazy.seesEvents(room, said[24])
	lazy.sees(room, "how many there are", func(r *view) bool { return r.joined == 9 })
	lazy.knowsOnly(room, crowd[0].user, crowd[1].user)

	late := crowd[7].says(room, "and me")
	lazy.seesEvents(room, late)
	lazy.sees(room, "who that was", crowd[7].isMember(event.MembershipJoin))
	agree(room, lazy)

	_, err := lazy.Members(background, room)
	lazy.did("loads the members", err)
	for _, d := range crowd {
		if !lazy.StateStore.IsInRoom(background, room, d.user.id) {
			t.Errorf("%s is not among the members that %s loaded", d.user.name, lazy.who)
		}
	}
	agree(room, lazy, phone, crowd[3])
}

// knowsOnly expects that of the members, the first sync brought those who speak
// in its timeline, and besides them at most the device's own user and the
// heroes of the room.
func (d *device) knowsOnly(r id.RoomID, speakers ...*user) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	known := d.room(r)
	var have []id.UserID
	for _, e := range known.firstState {
		if e.Type == event.StateMember {
			have = append(have, id.UserID(e.GetStateKey()))
		}
	}
	for _, u := range speakers {
		if !slices.Contains(have, u.id) {
			d.t.Errorf("%s: the first sync lacks the member %s, who speaks in its timeline; it has %v", d.who, u.id, have)
		}
	}
	for _, m := range have {
		speaks := slices.ContainsFunc(speakers, func(u *user) bool { return u.id == m })
		if !speaks && m != d.user.id && !slices.Contains(known.heroes, m) {
			d.t.Errorf("%s: the first sync has the member %s, who says nothing in it", d.who, m)
		}
	}
}
