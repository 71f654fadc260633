package e2e

import (
	"strings"
	"testing"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
)

func TestTwoPeopleTalk(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, laptop, bobs := alice.logsIn("phone"), alice.logsIn("laptop"), bob.logsIn("phone")
	room := phone.createsWith("The two of us", bobs)

	hello := phone.says(room, "hello")
	bobs.seesEvents(room, hello)
	answer := bobs.sends(room, &event.MessageEventContent{
		MsgType: event.MsgText, Body: "hello yourself",
		RelatesTo: &event.RelatesTo{InReplyTo: &event.InReplyTo{EventID: hello}},
	})
	phone.seesEvents(room, answer)
	edit := phone.sends(room, &event.MessageEventContent{
		MsgType: event.MsgText, Body: "* hello, Bob",
		NewContent: &event.MessageEventContent{MsgType: event.MsgText, Body: "hello, Bob"},
		RelatesTo:  &event.RelatesTo{Type: event.RelReplace, EventID: hello},
	})
	heart := bobs.reacts(room, edit, "❤")
	laptop.seesEvents(room, hello, answer, edit, heart)
	bobs.seesEvents(room, hello, answer, edit, heart)

	if got := laptop.event(room, answer).Content.AsMessage().GetReplyTo(); got != hello {
		t.Errorf("the answer replies to %q, want %q", got, hello)
	}
	if got := bobs.event(room, edit).Content.AsMessage(); got.RelatesTo.GetReplaceID() != hello || got.NewContent.Body != "hello, Bob" {
		t.Errorf("the edit of %s arrives as %+v", hello, got)
	}
	if got := phone.event(room, heart).Content.AsReaction().RelatesTo; got.EventID != edit || got.Key != "❤" {
		t.Errorf("the reaction arrives as %+v, want ❤ to %s", got, edit)
	}
	agree(room, phone, laptop, bobs)
}

func TestAMessageIsNamedOnlyToTheDeviceThatSentIt(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, laptop, bobs := alice.logsIn("phone"), alice.logsIn("laptop"), bob.logsIn("phone")
	room := phone.createsWith("Echoes", bobs)

	first, err := phone.SendMessageEvent(background, room, event.EventMessage,
		&event.MessageEventContent{MsgType: event.MsgText, Body: "once"}, mautrix.ReqSendEvent{TransactionID: "mine"})
	phone.did("sends", err)
	again, err := phone.SendMessageEvent(background, room, event.EventMessage,
		&event.MessageEventContent{MsgType: event.MsgText, Body: "once"}, mautrix.ReqSendEvent{TransactionID: "mine"})
	phone.did("sends the same again", err)
	if again.EventID != first.EventID {
		t.Errorf("sent with one transaction ID twice: %s and %s", first.EventID, again.EventID)
	}
	last := phone.says(room, "the end")
	for d, want := range map[*device]string{phone: "mine", laptop: "", bobs: ""} {
		d.seesEvents(room, first.EventID, last)
		if got := d.event(room, first.EventID).Unsigned.TransactionID; got != want {
			t.Errorf("%s sees the message with the transaction ID %q, want %q", d.who, got, want)
		}
	}
	agree(room, phone, laptop, bobs)
}

func TestAMessageIsRedacted(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs := alice.logsIn("phone"), bob.logsIn("phone")
	room := phone.createsWith("Regrets", bobs)

	secret := bobs.says(room, "my password is hunter2")
	phone.seesEvents(room, secret)
	redaction := phone.redacts(room, secret, "you do not want to say that")
	bobs.seesEvents(room, secret, redaction)
	if got := bobs.event(room, redaction); got.Redacts != secret && got.Content.AsRedaction().Redacts != secret {
		t.Errorf("the redaction of %s arrives as %+v", secret, got)
	}

	gone, err := bobs.GetEvent(background, room, secret)
	bobs.did("looks at the event", err)
	if strings.Contains(string(gone.Content.VeryRaw), "hunter2") {
		t.Errorf("after the redaction the event is %s", gone.Content.VeryRaw)
	}
	if because := gone.Unsigned.RedactedBecause; because == nil || because.ID != redaction {
		t.Errorf("the event was redacted because of %+v, want %s", because, redaction)
	}
	afresh := phone.startsAfresh()
	if got := afresh.event(room, secret); strings.Contains(string(got.Content.VeryRaw), "hunter2") {
		t.Errorf("a sync from the beginning has the event as %s", got.Content.VeryRaw)
	}

	alices := phone.says(room, "bob may not redact this")
	_, err = bobs.RedactEvent(background, room, alices)
	refused(t, "bob redacts what alice said", err, mautrix.MForbidden)
	agree(room, phone, afresh, bobs)
}

func TestTheStateOfARoomChanges(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs := alice.logsIn("phone"), bob.logsIn("phone")
	room := phone.createsWith("Before", bobs)

	phone.sets(room, event.StateRoomName, &event.RoomNameEventContent{Name: "After"})
	phone.sets(room, event.StateTopic, &event.TopicEventContent{Topic: "What we did afterwards"})
	bobs.sees(room, "the new name and topic", func(r *view) bool {
		return r.name() == "After" && r.topic() == "What we did afterwards"
	})
	_, err := bobs.SendStateEvent(background, room, event.StateRoomName, "", &event.RoomNameEventContent{Name: "Bob's"})
	refused(t, "bob names the room", err, mautrix.MForbidden)

	var levels event.PowerLevelsEventContent
	phone.did("asks for the power levels", phone.StateEvent(background, room, event.StatePowerLevels, "", &levels))
	levels.SetUserLevel(bob.id, 50)
	phone.sets(room, event.StatePowerLevels, &levels)
	bobs.sees(room, "its own power", func(*view) bool {
		have, err := bobs.StateStore.GetPowerLevels(background, room)
		return err == nil && have.GetUserLevel(bob.id) == 50
	})
	bobs.sets(room, event.StateRoomName, &event.RoomNameEventContent{Name: "Bob's"})
	phone.sees(room, "the name that bob gave", func(r *view) bool { return r.name() == "Bob's" })
	agree(room, phone, bobs)
}
