package e2e

import (
	"net/http"
	"testing"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

func TestARoomIsUpgradedAndItsMembersFollow(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs := alice.logsIn("phone"), bob.logsIn("phone")
	old := phone.creates(&mautrix.ReqCreateRoom{Name: "Moving", Topic: "soon", Preset: "public_chat", RoomVersion: "10"})
	bobs.joins(old)
	phone.sees(old, "bob's join", bob.isMember(event.MembershipJoin))
	upgrades := func(d *device, version string) (next id.RoomID, err error) {
		var answer struct {
			ReplacementRoom id.RoomID `json:"replacement_room"`
		}
		_, err = d.MakeRequest(background, http.MethodPost, d.BuildClientURL("v3", "rooms", old, "upgrade"), map[string]string{"new_version": version}, &answer)
		return answer.ReplacementRoom, err
	}
	_, err := upgrades(bobs, "12")
	refused(t, "bob upgrades the room", err, mautrix.MForbidden)
	_, err = upgrades(phone, "no such version")
	refused(t, "an unknown version", err, mautrix.RespError{ErrCode: "M_UNSUPPORTED_ROOM_VERSION", StatusCode: http.StatusBadRequest})

	next, err := upgrades(phone, "12")
	phone.did("upgrades the room", err)
	phone.seesItself(next, "join")
	bobs.sees(old, "where the room went", func(r *view) bool {
		e := r.GetStateEvent(event.StateTombstone, "")
		return e != nil && e.Content.AsTombstone().ReplacementRoom == next
	})
	_, err = bobs.SendText(background, old, "is anybody here?")
	refused(t, "bob speaks in the old room", err, mautrix.MForbidden)
	bobs.joins(next)
	for _, d := range []*device{phone, bobs} {
		d.sees(next, "what the room was", func(r *view) bool {
			e := r.GetStateEvent(event.StateCreate, "")
			return r.topic() == "soon" && e != nil && e.Content.AsCreate().Predecessor.RoomID == old
		})
	}
	agree(next, phone, bobs)
	agree(old, phone, bobs)
}
