package room

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/pushrule"
	"parley/matrix/stateres"
)

// readers is a room whose members read now and then.
type readers struct {
	*node
	roomID   id.RoomID
	users    []id.UserID
	receipts map[id.UserID]Mark
}

// num returns the number of a room.
func (n *node) num(roomID id.RoomID) Num {
	n.t.Helper()
	r, err := n.room(ctx, roomID)
	if err != nil {
		n.t.Fatal(err)
	}
	return r.num
}

// check holds what is unread for each member against the rules of each, applied
// to each event.
func (r *readers) check() {
	r.t.Helper()
	items, now := r.items(r.roomID), r.now(r.roomID)
	moment, err := r.Now(ctx, r.roomID)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, user := range r.users {
		if e := now[event.Tuple{Type: event.TypeMember, StateKey: string(user)}].Event; e == nil || e.Membership() != "join" {
			continue
		}
		notifications, highlights := r.naive(user, items)
		got, err := r.Unread(ctx, user, r.num(r.roomID), moment, r.receipts[user])
		if err != nil || got.Notifications != notifications || got.Highlights != highlights {
			r.t.Fatalf("%s has %+v, %v; want %d notifications and %d highlights", user, got, err, notifications, highlights)
		}
	}
}

func (r *readers) naive(user id.UserID, items []Item) (notifications, highlights int64) {
	rules := pushrule.Compile(pushrule.Default(user), user)
	joined := false
	for _, it := range items {
		state := eventauth.MapState{}
		about := pushrule.Context{}
		for t, it := range r.stateAt(r.roomID, Moment{Root: it.Current}) {
			state[t] = it.Event
			if t.Type == event.TypeMember && it.Event.Membership() == "join" {
				about.MemberCount++
			}
		}
		levels := eventauth.LevelsIn(state)
		about.SenderLevel = int64(levels.User(it.Event.Sender()))
		about.NotificationLevel = func(key string) int64 { return int64(levels.Notification(key)) }
		was := joined
		joined = memberOf(state, user) == event.MembershipJoin
		spoke := it.Event.Sender() == user && it.Event.Type() != event.TypeMember
		if spoke || joined && !was || it.Place <= r.receipts[user].Place {
			notifications, highlights = 0, 0
			continue
		}
		if verdict := rules.Evaluate(it.Event.JSON(), about); verdict.Notify {
			notifications++
			if verdict.Highlight {
				highlights++
			}
		}
	}
	return notifications, highlights
}

// draft makes up what somebody says: anything that a rule may care about.
func (r *readers) draft(random *rand.Rand) Draft {
	sender := r.users[random.IntN(len(r.users))]
	d := message(sender, "hi")
	with := func(key, value string) { d.Content = d.Content.With(key, canonjson.Value(value)) }
	if random.IntN(2) == 0 {
		user := func() id.UserID {
			return append(r.users, "@remote:b.test", "@nobody:a.test")[random.IntN(len(r.users)+2)]
		}
		with("m.mentions", []string{
			fmt.Sprintf(`{"user_ids":[%q]}`, user()), fmt.Sprintf(`{"user_ids":[%q,%q,"nobody",7]}`, user(), user()),
			`{"room":true}`, fmt.Sprintf(`{"room":true,"user_ids":[%q]}`, user()), `{"room":"true"}`, `{"user_ids":"@bob:a.test"}`, `7`, `{}`,
		}[random.IntN(8)])
	}
	place := func(eventType, key string) { d.Type, d.StateKey = eventType, &key }
	switch random.IntN(14) {
	case 0:
		with("msgtype", `"m.notice"`)
	case 1:
		with("m.relates_to", `{"event_id":"$x","rel_type":"m.replace"}`)
	case 2:
		d.Type = "m.reaction"
	case 3:
		d.Type = "m.room.encrypted"
	case 4:
		d.Type = "org.example.custom"
	case 5:
		place("m.room.tombstone", "")
	case 6:
		place("m.room.topic", "")
	case 7:
		place(event.TypeMember, string(sender))
		with("membership", []string{`"join"`, `"leave"`}[random.IntN(2)])
	case 8:
		users := object(string(alice), level(100)).With(string(bob), level(50*random.IntN(2)))
		d = state(alice, event.TypePowerLevels, "", `{}`)
		with("users", string(users))
		with("notifications", fmt.Sprintf(`{"room":%d}`, 30*random.IntN(3)))
	case 9:
		d = member(alice, r.users[1+random.IntN(len(r.users)-1)], "ban")
		*d.StateKey = string(r.users[1+random.IntN(len(r.users)-1)])
		with("membership", []string{`"leave"`, `"invite"`}[random.IntN(2)])
	}
	return d
}

func TestUnread(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for seed := range uint64(6) {
			t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
				n := start(t, db, Options{Memory: []int{0, 1}[seed%2]})
				random := rand.New(rand.NewPCG(seed, 5))
				r := &readers{node: n, users: []id.UserID{alice, bob, carol, "@dave:a.test"}, receipts: make(map[id.UserID]Mark)}
				r.roomID = n.create(NewRoom{Preset: PublicChat, Version: "11"})
				n.send(r.roomID, join(bob))
				for range 60 {
					if _, err := n.Send(ctx, r.roomID, r.draft(random)); err != nil && !errors.Is(err, mxerr.Forbidden) {
						t.Fatal(err)
					}
					switch random.IntN(12) {
					case 0:
						items := n.items(r.roomID)
						it := items[random.IntN(len(items))]
						user := r.users[random.IntN(len(r.users))]
						if it.Place > r.receipts[user].Place {
							r.receipts[user] = Mark{it.Place, it.Unread, it.Loud}
						}
					case 1:
						n.reads.Clear()
					case 2:
						n.forgetAll()
					}
					r.check()
				}
			})
		}
	})
}

// TestUnreadIsReadBetweenCommitAndPublication: what is read then has the new
// event already, and must not get it a second time.
func TestUnreadIsReadBetweenCommitAndPublication(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		r := &readers{node: n, users: []id.UserID{alice, bob, carol}, receipts: make(map[id.UserID]Mark)}
		r.roomID = n.create(NewRoom{Preset: PublicChat, Version: "11"})
		n.send(r.roomID, join(bob))
		n.send(r.roomID, join(carol))
		said := n.send(r.roomID, message(carol, "oops"))
		var nums []stateres.Num
		for _, it := range n.items(r.roomID) {
			nums = append(nums, it.Num)
		}
		num := n.num(r.roomID)
		reading := false
		db.FailAt(func(p store.Point) error {
			if p != store.AfterCommit || !reading {
				return nil
			}
			for _, user := range r.users {
				if _, err := n.Unread(ctx, user, num, Moment{}, Mark{}); err != nil {
					t.Error(err)
				}
			}
			if _, err := n.Items(ctx, r.roomID, nums); err != nil {
				t.Error(err)
			}
			return nil
		})
		mention := message(carol, "hi")
		mention.Content = mention.Content.With("m.mentions", canonjson.Value(`{"user_ids":["@bob:a.test"]}`))
		for _, d := range []Draft{mention, mention, redaction(alice, said.EventID), message(bob, "what?"), mention} {
			n.reads.Clear()
			n.Engine.items.Clear()
			reading = true
			n.send(r.roomID, d)
			reading = false
			r.check()
			cached, err := n.Items(ctx, r.roomID, nums)
			if err != nil {
				t.Fatal(err)
			}
			for i, it := range n.items(r.roomID)[:len(nums)] {
				if !sameItem(cached[i], it) {
					t.Errorf("got\n%+v, want\n%+v", cached[i], it)
				}
			}
		}
	})
}
