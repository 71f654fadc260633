package room

import (
	"context"

	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/pushrule"
)

// Judge evaluates push rules of a user on events of a room, as what they said
// before they were redacted, if they are. The members of the room are counted, and
// the user is named, as they are at the moment; what the sender may do is what it
// was when the event was appended. It does not ask whether the user may see them.
//
// Wanted says which threads the user subscribes to, nil where there are no rules
// about that.
func (g *Engine) Judge(ctx context.Context, roomID id.RoomID, user id.UserID, rules *pushrule.Evaluator, at Moment, wanted Wanted, items []Item) ([]pushrule.Result, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	name, err := g.NameOf(ctx, roomID, at, user)
	if err != nil {
		return nil, err
	}
	results := make([]pushrule.Result, len(items))
	for i, it := range items {
		e := it.Event
		if e.Unsigned().Get("redacted_because") != nil {
			if e, err = g.event(ctx, it.Num, r.rules); err != nil {
				return nil, err
			}
		}
		about, err := g.JudgingContext(ctx, roomID, at, it, e)
		if err != nil {
			return nil, err
		}
		about.DisplayName, about.Thread = name, ThreadFor(wanted, it.Thread)
		results[i] = rules.Evaluate(e.JSON(), about)
	}
	return results, nil
}

// ThreadFor says what the thread of an event, empty for none, is to who subscribes to
// some; nil where there are no rules about that.
func ThreadFor(wanted Wanted, thread id.EventID) pushrule.Thread {
	switch {
	case thread == "" || wanted == nil:
		return pushrule.NoThread
	case wanted.Has(thread):
		return pushrule.Subscribed
	}
	return pushrule.Unsubscribed
}

// JudgingContext is what push rules need to know beyond an event of a room, but for
// the name of whose rules they are. The event is that of the item, or as it was before
// it was redacted.
func (g *Engine) JudgingContext(ctx context.Context, roomID id.RoomID, at Moment, it Item, e *event.Event) (pushrule.Context, error) {
	about := pushrule.Context{MemberCount: int(at.Joined)}
	if !e.Content().Get("m.mentions").Get("room").True() {
		return about, nil
	}
	err := g.levelsAt(ctx, roomID, it, &about)
	return about, err
}

// NameOf returns what a user is called in a room at a moment, empty for somebody who
// has no name there.
func (g *Engine) NameOf(ctx context.Context, roomID id.RoomID, at Moment, user id.UserID) (string, error) {
	self, err := g.State(ctx, roomID, at.Root, event.Tuple{Type: event.TypeMember, StateKey: string(user)})
	if err != nil || self == nil {
		return "", err
	}
	return text(self, "displayname"), nil
}

// levelsAt fills in what decides whether the sender of an event may notify the
// room.
func (g *Engine) levelsAt(ctx context.Context, roomID id.RoomID, it Item, about *pushrule.Context) error {
	create, err := g.State(ctx, roomID, it.Current, event.Tuple{Type: event.TypeCreate})
	if err != nil {
		return err
	}
	power, err := g.State(ctx, roomID, it.Current, event.Tuple{Type: event.TypePowerLevels})
	if err != nil {
		return err
	}
	levels := eventauth.NewLevels(create, power)
	sender := levels.User(it.Event.Sender())
	about.SenderLevel, about.SenderIsCreator = int64(sender), sender == eventauth.Creator
	about.NotificationLevel = func(key string) int64 { return int64(levels.Notification(key)) }
	return nil
}

// text returns a text of an event's content, empty if there is none.
func text(e *event.Event, key string) string {
	s, _ := e.Content().Get(key).Text()
	return s
}

// HasRead returns which of some events of a room a user has read, by receipts or by
// speaking.
func (g *Engine) HasRead(ctx context.Context, user id.UserID, room Num, receipts Reads, items []Item) ([]bool, error) {
	r, err := g.reader(ctx, readKey{user, room}, Moment{}, receipts)
	if err != nil {
		return nil, err
	}
	r.threads = further(r.spoken.All, receipts.All) // that they have nothing that counts does not make them read
	read := make([]bool, len(items))
	for i, it := range items {
		read[i] = it.Place <= r.markOf(it.Thread).Place
	}
	return read, nil
}
