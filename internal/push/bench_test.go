package push

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"parley/internal/accountdata"
	"parley/internal/journal"
	"parley/internal/receipt"
	"parley/internal/room"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
	"parley/matrix/pushrule"
	"parley/matrix/stateres"
)

// crowd is a room of very many users with pushers, of whom some have set something.
type crowd struct {
	*scene
	sender *Sender
	room   id.RoomID
}

func newCrowd(b *testing.B, members int) *crowd {
	db := storetest.Open(b, b.TempDir()+"/parley.db")
	c := &crowd{scene: newScene(b, db)}
	data := accountdata.New(db, c.journal, accountdata.Options{})
	c.sender = NewSender(Parts{
		DB: db, Journal: c.journal, Rooms: c.rooms, Pushers: NewPushers(db, c.journal, Ways{}), History: c.History,
		Receipts: receipt.New(db, c.journal, nil), Settings: data.RulesOf, Defaults: data.Defaults, Ignored: data.Ignored,
	})
	c.room = c.create()
	users := make([]id.UserID, members)
	var wg sync.WaitGroup
	for i := range users {
		users[i] = id.UserID(fmt.Sprintf("@user%d:a.test", i))
		wg.Go(func() {
			if _, err := c.rooms.Join(ctx, c.room, room.Move{Sender: users[i]}); err != nil {
				b.Error(err)
			}
			if err := data.EditRules(ctx, users[i], func(s pushrule.Settings) (pushrule.Settings, error) { return set(s, i, c.room) }); err != nil {
				b.Error(err)
			}
		})
		if i%200 == 199 {
			wg.Wait()
		}
	}
	wg.Wait()
	err := db.Update(ctx, func(tx *store.Tx) error {
		for i, user := range users {
			p := pusherOf(user, fmt.Sprint(i))
			p.pos = 1
			if err := p.put(tx, true); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = c.sender.open(ctx)
	}
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// set is what the nth user has set: half of them nothing; others have muted rooms,
// this one among them or not, want mentions only, or look for one of twenty words.
func set(s pushrule.Settings, n int, roomID id.RoomID) (pushrule.Settings, error) {
	mute := func(room string) pushrule.Rule {
		return pushrule.Rule{RuleID: room, Enabled: true, Conditions: []pushrule.Condition{pushrule.EventMatch("room_id", room)}}
	}
	var err error
	switch n % 10 {
	case 0, 1:
		for i := range 10 {
			s.Rules.Override = append(s.Rules.Override, mute(fmt.Sprintf("!%d-%d:a.test", n, i)))
		}
	case 2:
		s, err = s.PutRule(pushrule.Room, pushrule.Rule{RuleID: string(roomID), Enabled: true}, pushrule.Position{})
	case 3:
		s, err = s.PutRule(pushrule.Override, mute(string(roomID)), pushrule.Position{})
	case 4:
		word := pushrule.Rule{RuleID: "word", Enabled: true, Pattern: fmt.Sprint("word", n/10%20), Actions: []pushrule.Action{pushrule.Notify()}}
		s, err = s.PutRule(pushrule.Content, word, pushrule.Position{})
	}
	return s, err
}

// said returns the entry of a message, and the message.
func (c *crowd) said(b *testing.B) (journal.Entry, room.Item, *audience) {
	c.say(c.room, "it is about time for a word or two")
	entries, err := c.journal.Read(ctx, c.journal.Head()-1, 1)
	if err != nil || len(entries) != 1 || entries[0].Kind != journal.KindEvent {
		b.Fatal(entries, err)
	}
	items, err := c.rooms.Items(ctx, c.room, []stateres.Num{stateres.Num(entries[0].Ref)})
	if err != nil {
		b.Fatal(err)
	}
	a, err := c.sender.audience(ctx, room.Num(entries[0].Scope.Number()))
	if err != nil {
		b.Fatal(err)
	}
	return entries[0], items[0], a
}

// BenchmarkJudge evaluates the push rules of all members of a room for a message, and
// puts it into the queues of those whom it notifies.
func BenchmarkJudge(b *testing.B) {
	for _, members := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			c := newCrowd(b, members)
			e, it, a := c.said(b)
			if len(a.members) != members {
				b.Fatalf("the audience has %d members", len(a.members))
			}
			began := time.Now()
			if _, err := c.sender.judge(ctx, e.Pos, room.Num(e.Scope.Number()), c.room, it, a); err != nil {
				b.Fatal(err)
			}
			b.Logf("the first time: %v", time.Since(began))
			pos := e.Pos
			for b.Loop() {
				hits, err := c.sender.judge(ctx, e.Pos, room.Num(e.Scope.Number()), c.room, it, a)
				if err != nil || len(hits) != members*8/10 {
					b.Fatal(len(hits), err)
				}
				pos++
				c.sender.enqueue(&message{pos: pos, room: room.Num(e.Scope.Number()), roomID: c.room, event: it.Event, item: it}, hits)
			}
		})
	}
}
