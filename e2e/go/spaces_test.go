package e2e

import (
	"fmt"
	"slices"
	"testing"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// createsSpace makes a public space with children.
func (d *device) createsSpace(name string, children ...id.RoomID) id.RoomID {
	d.t.Helper()
	space := d.creates(&mautrix.ReqCreateRoom{Name: name, Preset: "public_chat", CreationContent: map[string]any{"type": event.RoomTypeSpace}})
	for i, child := range children {
		content := &event.SpaceChildEventContent{Via: []string{d.UserID.Homeserver()}, Order: fmt.Sprintf("%03d", i), Suggested: i == 0}
		_, err := d.SendStateEvent(background, space, event.StateSpaceChild, child.String(), content)
		d.did("puts a room into the space", err)
	}
	return space
}

func TestASpaceIsWalkedThroughByPages(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs := alice.logsIn("phone"), bob.logsIn("phone")
	var names []string
	var rooms []id.RoomID
	for i := range 7 {
		names = append(names, fmt.Sprint("Room ", i))
		rooms = append(rooms, phone.creates(&mautrix.ReqCreateRoom{Name: names[i], Preset: "public_chat"}))
	}
	secret := phone.creates(&mautrix.ReqCreateRoom{Name: "Secret", Preset: "private_chat"})
	inner := phone.createsSpace("Inner", rooms[5:]...)
	outer := phone.createsSpace("Outer", append(rooms[:5:5], secret, inner)...)
	bobs.joins(outer)

	walk := func(d *device, request mautrix.ReqHierarchy) (got []string) {
		for page := 0; page == 0 || request.From != ""; page++ {
			h, err := d.Hierarchy(background, outer, &request)
			d.did("walks through the space", err)
			if request.Limit > 0 && len(h.Rooms) > request.Limit || page > 20 {
				t.Fatalf("page %d has %d rooms", page, len(h.Rooms))
			}
			for _, r := range h.Rooms {
				got = append(got, r.Name)
			}
			request.From = h.NextBatch
		}
		return got
	}
	one := 1
	all := slices.Concat([]string{"Outer"}, names[:5], []string{"Inner"}, names[5:])
	for _, tt := range []struct {
		name    string
		who     *device
		request mautrix.ReqHierarchy
		want    []string
	}{
		{"all at once", bobs, mautrix.ReqHierarchy{}, all},
		{"three by three", bobs, mautrix.ReqHierarchy{Limit: 3}, all},
		{"not so deep", bobs, mautrix.ReqHierarchy{MaxDepth: &one}, all[:7]},
		{"what is suggested", bobs, mautrix.ReqHierarchy{SuggestedOnly: true}, all[:2]},
		{"with what only alice may see", phone, mautrix.ReqHierarchy{}, slices.Insert(slices.Clone(all), 6, "Secret")},
	} {
		if got := walk(tt.who, tt.request); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	carols := newUser(t, "carol").logsIn("phone")
	_, err := carols.Hierarchy(background, secret, nil)
	refused(t, "carol walks through a room that is not for her", err, mautrix.MForbidden)
	agree(outer, phone, bobs)
}

func TestARoomIsDescribedToWhoIsNotInIt(t *testing.T) {
	t.Parallel()
	phone, bobs := newUser(t, "alice").logsIn("phone"), newUser(t, "bob").logsIn("phone")
	open := phone.creates(&mautrix.ReqCreateRoom{Name: "Open", Topic: "for all", Preset: "public_chat", RoomAliasName: "open-" + bobs.user.username})
	secret := phone.creates(&mautrix.ReqCreateRoom{Name: "Secret", Preset: "private_chat"})
	_, err := bobs.Versions(background)
	bobs.did("asks for the versions", err)

	alias := id.NewRoomAlias("open-"+bobs.user.username, phone.UserID.Homeserver())
	for _, name := range []string{open.String(), alias.String()} {
		s, err := bobs.GetRoomSummary(background, name)
		bobs.did("asks what "+name+" is", err)
		if s.RoomID != open || s.Name != "Open" || s.Topic != "for all" || s.JoinRule != event.JoinRulePublic || s.NumJoinedMembers != 1 || s.CanonicalAlias != alias {
			t.Errorf("%s: got %+v", name, s)
		}
	}
	_, err = bobs.GetRoomSummary(background, secret.String())
	refused(t, "a room that is not for bob", err, mautrix.MNotFound)
}
