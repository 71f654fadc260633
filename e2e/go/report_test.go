package e2e

import (
	"testing"

	"maunium.net/go/mautrix"
)

func TestWhatIsOutOfOrderIsReported(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs := alice.logsIn("phone"), bob.logsIn("phone")
	room := phone.createsWith("Orderly", bobs)
	rude := bobs.says(room, "something rude")
	phone.did("reports an event", phone.ReportEvent(background, room, rude, "it is rude"))
	phone.did("reports a room", phone.ReportRoom(background, room, "it is full of bob"))
	phone.did("reports a user", phone.ReportUser(background, bob.id, "he is rude"))
	carols := newUser(t, "carol").logsIn("phone")
	refused(t, "carol reports what she cannot see", carols.ReportEvent(background, room, rude, "gossip"), mautrix.MNotFound)
	agree(room, phone, bobs)
}
