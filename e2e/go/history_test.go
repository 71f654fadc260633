package e2e

import (
	"fmt"
	"slices"
	"testing"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// converses has two devices say n things in turns.
func converses(r id.RoomID, n int, devices ...*device) []id.EventID {
	var said []id.EventID
	for i := range n {
		d := devices[i%len(devices)]
		d.t.Helper()
		said = append(said, d.says(r, fmt.Sprintf("number %d", i)))
	}
	return said
}

func TestHistoryIsPagedBackToItsBeginning(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs := alice.logsIn("phone"), bob.logsIn("phone")
	room := phone.createsWith("A long story", bobs)
	said := converses(room, 45, phone, bobs)
	phone.seesEvents(room, said...)

	afresh := phone.startsAfresh()
	afresh.sees(room, "the last events, and that there are more", func(r *view) bool {
		return len(r.timeline) == 20 && r.before != "" && r.timeline[19].ID == said[44]
	})
	if pages := afresh.paginatesToTheBeginning(room, 10); pages < 3 {
		t.Errorf("45 messages and the making of the room, of which 20 events are known, came in %d pages of 10", pages)
	}
	afresh.seesEvents(room, said...)
	afresh.sees(room, "the room's first event", func(r *view) bool { return r.timeline[0].Type == event.StateCreate })
	phone.paginatesToTheBeginning(room, 100)
	bobs.paginatesToTheBeginning(room, 3)
	agree(room, phone, afresh, bobs)
}

func TestHistoryIsPagedForwardsAsItIsBackwards(t *testing.T) {
	t.Parallel()
	alice := newUser(t, "alice")
	phone := alice.logsIn("phone")
	room := phone.creates(&mautrix.ReqCreateRoom{Name: "Forwards"})
	said := converses(room, 25, phone)
	phone.seesEvents(room, said...)

	var forwards []id.EventID
	from := ""
	for page := 0; ; page++ {
		answer, err := phone.Messages(background, room, from, "", mautrix.DirectionForward, nil, 4)
		phone.did("pages forwards", err)
		for _, e := range answer.Chunk {
			forwards = append(forwards, e.ID)
		}
		if from = answer.End; from == "" || len(answer.Chunk) == 0 {
			break
		}
		if page == 1000 {
			t.Fatal("paging forwards does not come to an end")
		}
	}
	if backwards := phone.allMessages(room); !slices.Equal(forwards, backwards) {
		t.Errorf("forwards:\n%v\nbackwards, from the end to the beginning:\n%v", forwards, backwards)
	}

	around, err := phone.Context(background, room, said[10], nil, 6)
	phone.did("asks for the context", err)
	var ids []id.EventID
	for _, e := range slices.Backward(around.EventsBefore) {
		ids = append(ids, e.ID)
	}
	ids = append(ids, around.Event.ID)
	for _, e := range around.EventsAfter {
		ids = append(ids, e.ID)
	}
	i := slices.Index(ids, said[10])
	if want := said[10-i : 10-i+len(ids)]; len(ids) < 3 || !slices.Equal(ids, want) {
		t.Errorf("around %s lie %v, want %v", said[10], ids, want)
	}
	agree(room, phone)
}

func TestADeviceThatSleptFindsTheGapAndFillsIt(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs := alice.logsIn("phone"), bob.logsIn("phone")
	room := phone.createsWith("While you slept", bobs)
	before := phone.says(room, "good night")
	phone.seesEvents(room, before)

	phone.fallsAsleep()
	missed := converses(room, 30, bobs)
	bobs.did("takes a name", bobs.SetDisplayName(background, "Robert, who talks a lot"))
	phone.wakesUp()

	phone.sees(room, "a gap", func(r *view) bool { return r.limited && len(r.timeline) == 20 })
	phone.sees(room, "the state after the gap", func(r *view) bool {
		return r.member(bob.id).Displayname == "Robert, who talks a lot"
	})
	phone.paginates(room, 20)
	phone.seesEvents(room, append([]id.EventID{before}, missed...)...)
	phone.paginatesToTheBeginning(room, 20)
	agree(room, phone, bobs)
}

func TestASyncFromTheBeginningIsTheSumOfAllSyncs(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs := alice.logsIn("phone"), bob.logsIn("phone")
	room := phone.createsWith("Everything", bobs)
	phone.sets(room, event.StateTopic, &event.TopicEventContent{Topic: "All of it"})
	phone.did("tags the room", phone.AddTag(background, room, event.RoomTagFavourite, 0.5))
	said := converses(room, 7, phone, bobs)
	bobs.reads(room, said[4])
	phone.reads(room, said[3])
	bobs.did("takes a name", bobs.SetDisplayName(background, "Robert"))
	gone := bobs.redacts(room, said[5], "")
	for _, d := range []*device{phone, bobs} {
		d.seesEvents(room, gone)
		d.sees(room, "how far the others have read", func(r *view) bool {
			return r.read(bob) == said[4] && r.read(alice) == said[3]
		})
		d.sees(room, "bob's name", func(r *view) bool { return r.member(bob.id).Displayname == "Robert" })
	}

	for _, d := range []*device{phone, bobs} {
		afresh := d.startsAfresh()
		afresh.seesEvents(room, gone)
		agree(room, d, afresh)
	}
}
