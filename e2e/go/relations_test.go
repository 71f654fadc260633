package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// says in the thread of a root.
func (d *device) saysInThread(r id.RoomID, root id.EventID, text string) id.EventID {
	d.t.Helper()
	return d.sends(r, &event.MessageEventContent{MsgType: event.MsgText, Body: text, RelatesTo: (&event.RelatesTo{}).SetThread(root, "")})
}

func ids(events []*event.Event) []id.EventID {
	list := []id.EventID{}
	for _, e := range events {
		list = append(list, e.ID)
	}
	return list
}

func TestWhatRelatesToAMessageIsReadByPages(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs := alice.logsIn("phone"), bob.logsIn("phone")
	room := phone.createsWith("Pages", bobs)
	root := phone.says(room, "what shall we eat?")
	var reactions []id.EventID
	for _, key := range []string{"🍎", "🍐", "🍒", "🍓", "🍇"} {
		reactions = slices.Insert(reactions, 0, bobs.reacts(room, root, key))
	}
	phone.saysInThread(room, root, "not fruit again")

	all := []id.EventID{}
	request := &mautrix.ReqGetRelations{RelationType: event.RelAnnotation, EventType: event.EventReaction, Limit: 2}
	for page := 0; page == 0 || request.From != ""; page++ {
		got, err := phone.GetRelations(background, room, root, request)
		phone.did("reads what relates to a message", err)
		if len(got.Chunk) > 2 || page > 10 {
			t.Fatalf("page %d has %d events", page, len(got.Chunk))
		}
		all, request.From = append(all, ids(got.Chunk)...), got.NextBatch
	}
	if !slices.Equal(all, reactions) {
		t.Errorf("got %v, want %v", all, reactions)
	}
	forwards, err := phone.GetRelations(background, room, root, &mautrix.ReqGetRelations{Dir: mautrix.DirectionForward})
	phone.did("reads forwards", err)
	if got := ids(forwards.Chunk); len(got) != 6 || got[0] != reactions[4] {
		t.Errorf("forwards: got %v", got)
	}
	_, err = phone.GetRelations(background, room, "$unknown", &mautrix.ReqGetRelations{})
	refused(t, "what relates to nothing", err, mautrix.MNotFound)
	agree(room, phone, bobs)
}

func TestWhatBelongsToAMessageComesWithIt(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs := alice.logsIn("phone"), bob.logsIn("phone")
	room := phone.createsWith("Together", bobs)
	message := &event.MessageEventContent{MsgType: event.MsgText, Body: "the first"}
	root := phone.says(room, "teh frist")
	message.SetEdit(root)
	edit := phone.sends(room, message)
	bobs.saysInThread(room, root, "one")
	last := phone.saysInThread(room, root, "two")

	for _, d := range []*device{phone, bobs} {
		e, err := d.GetEvent(background, room, root)
		d.did("gets the message", err)
		r := e.Unsigned.Relations
		if r.GetLatestEdit() == nil || r.GetLatestEdit().ID != edit {
			t.Errorf("%s: the edit is %+v, want %s", d.who, r.GetLatestEdit(), edit)
		}
		if thread := r.GetThread(); thread == nil || thread.Count != 2 || thread.LatestEvent.ID != last || !thread.CurrentUserParticipated {
			t.Errorf("%s: the thread is %+v, want 2 events, the last %s", d.who, thread, last)
		}
		if err := e.Content.ParseRaw(e.Type); err != nil || e.Content.AsMessage().Body != "teh frist" {
			t.Errorf("%s: the message itself has become %+v, %v", d.who, e.Content.AsMessage(), err)
		}
	}
	agree(room, phone, bobs)
}

func TestAThreadIsReadApart(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs, bobsLaptop := alice.logsIn("phone"), bob.logsIn("phone"), bob.logsIn("laptop")
	room := phone.createsWith("Threads", bobs)
	root := phone.says(room, "who comes to dinner?")
	reply := phone.saysInThread(room, root, "it is at eight")
	bobs.sees(room, "two unread", func(r *view) bool { return r.unread == [2]int{2, 0} })

	inThread := func(thread id.EventID, upTo id.EventID) {
		bobs.did("reads in "+thread.String(), bobs.SendReceipt(background, room, upTo, event.ReceiptTypeRead, &mautrix.ReqSendReceipt{ThreadID: thread.String()}))
	}
	inThread(root, reply)
	bobsLaptop.sees(room, "that the thread is read", func(r *view) bool { return r.unread == [2]int{1, 0} })
	inThread("main", root)
	bobsLaptop.sees(room, "that all is read", func(r *view) bool { return r.unread == [2]int{0, 0} })
	phone.sees(room, "both of bob's receipts", func(r *view) bool {
		read := event.ReceiptTypeRead
		return r.receipts[reader{bob.id, read, root}] == reply && r.receipts[reader{bob.id, read, "main"}] == root
	})
	err := bobs.SendReceipt(background, room, root, event.ReceiptTypeRead, &mautrix.ReqSendReceipt{ThreadID: "$unknown"})
	refused(t, "a receipt in a thread that is none", err, mautrix.RespError{ErrCode: "M_INVALID_PARAM", StatusCode: http.StatusBadRequest})
	agree(room, phone, bobs, bobsLaptop)
}

func TestTheThreadsOfARoomAreListed(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs := alice.logsIn("phone"), bob.logsIn("phone")
	room := phone.createsWith("Many threads", bobs)
	roots := make([]id.EventID, 3)
	for i := range roots {
		roots[i] = phone.says(room, fmt.Sprint("about ", i))
		phone.saysInThread(room, roots[i], "let us begin")
	}
	bobs.saysInThread(room, roots[0], "it was over")

	list := func(include, from string) (page mautrix.RespGetRelations) {
		u := bobs.BuildURLWithQuery(mautrix.ClientURLPath{"v1", "rooms", room, "threads"}, map[string]string{"limit": "2", "include": include, "from": from})
		_, err := bobs.MakeRequest(background, http.MethodGet, u, nil, &page)
		bobs.did("lists the threads", err)
		return page
	}
	first := list("all", "")
	if got, want := ids(first.Chunk), []id.EventID{roots[0], roots[2]}; !slices.Equal(got, want) {
		t.Errorf("the first page: got %v, want %v", got, want)
	}
	if second := list("all", first.NextBatch); !slices.Equal(ids(second.Chunk), roots[1:2]) || second.NextBatch != "" {
		t.Errorf("the second page: got %v and %q, want %s and no more", ids(second.Chunk), second.NextBatch, roots[1])
	}
	if his := list("participated", ""); !slices.Equal(ids(his.Chunk), roots[:1]) {
		t.Errorf("bob's threads: got %v, want %s", ids(his.Chunk), roots[0])
	}
}

func TestNobodyReactsTwiceInTheSameWay(t *testing.T) {
	t.Parallel()
	alice, bob := newUser(t, "alice"), newUser(t, "bob")
	phone, bobs := alice.logsIn("phone"), bob.logsIn("phone")
	room := phone.createsWith("Once is enough", bobs)
	idea := phone.says(room, "let us go to the sea")
	yes := bobs.reacts(room, idea, "👍")
	_, err := bobs.SendReaction(background, room, idea, "👍")
	refused(t, "the same reaction again", err, mautrix.RespError{ErrCode: "M_DUPLICATE_ANNOTATION", StatusCode: http.StatusBadRequest})
	bobs.redacts(room, yes, "")
	phone.seesEvents(room, bobs.reacts(room, idea, "👍"))
	agree(room, phone, bobs)
}

func TestAMomentLeadsToAnEvent(t *testing.T) {
	t.Parallel()
	phone := newUser(t, "alice").logsIn("phone")
	room := phone.creates(&mautrix.ReqCreateRoom{Name: "Time"})
	said := phone.event(room, phone.says(room, "now"))
	at := time.UnixMilli(said.Timestamp)

	before, err := phone.TimestampToEvent(background, room, at.Add(time.Hour), mautrix.DirectionBackward)
	if err != nil || before.EventID != said.ID || !before.Timestamp.Time.Equal(at) {
		t.Errorf("before: got %+v, %v, want %s at %v", before, err, said.ID, at)
	}
	first, err := phone.TimestampToEvent(background, room, time.UnixMilli(0), mautrix.DirectionForward)
	phone.did("looks for the first event", err)
	if e, err := phone.GetEvent(background, room, first.EventID); err != nil || e.Type != event.StateCreate {
		t.Errorf("the first event is %+v, %v", e, err)
	}
	_, err = phone.TimestampToEvent(background, room, at.Add(time.Hour), mautrix.DirectionForward)
	refused(t, "an event of the future", err, mautrix.MNotFound)
	if _, err := phone.Context(background, room, first.EventID, nil, 5); err != nil && !errors.Is(err, mautrix.MNotFound) {
		t.Errorf("around the first event: %v", err)
	}
}
