package push

import (
	"context"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/pushrule"
)

// A hit is that an event notifies somebody.
type hit struct {
	*recipient
	result *pushrule.Result
}

// A judgement is about one event. Rules that several listeners share are evaluated
// once.
type judgement struct {
	*Sender
	pos       journal.Position
	roomID    id.RoomID
	item      room.Item
	at        room.Moment
	about     pushrule.Context
	mentioned map[id.UserID]bool
	// What shared rules say to who is not mentioned, and to who is.
	others, theirs map[standing]*pushrule.Result
	named          canonjson.Value // the event, as it mentions pushrule.Nobody
}

// standing is by which rules somebody goes, and what the thread of the event is to them.
type standing struct {
	rules  *localRules
	thread pushrule.Thread
}

// thread returns what the thread of the event is to a listener.
func (j *judgement) thread(ctx context.Context, user id.UserID) (pushrule.Thread, error) {
	if j.Wanted == nil || j.item.Thread == "" {
		return pushrule.NoThread, nil
	}
	wanted, err := j.Wanted(ctx, user, j.roomID)
	return room.ThreadFor(wanted, j.item.Thread), err
}

// judge returns whom of the audience of a room an event notifies.
func (s *Sender) judge(ctx context.Context, pos journal.Position, num room.Num, roomID id.RoomID, it room.Item, a *audience) ([]hit, error) {
	at, err := s.Rooms.At(ctx, roomID, pos)
	if err != nil {
		return nil, err
	}
	if err := s.learn(ctx, num, roomID, a); err != nil {
		return nil, err
	}
	j := judgement{
		Sender: s, pos: pos, roomID: roomID, item: it, at: at, mentioned: make(map[id.UserID]bool),
		others: make(map[standing]*pushrule.Result), theirs: make(map[standing]*pushrule.Result),
	}
	if j.about, err = s.Rooms.JudgingContext(ctx, roomID, at, it, it.Event); err != nil {
		return nil, err
	}
	for v := range it.Event.Content().Get("m.mentions").Get("user_ids").Elements() {
		text, _ := v.Text()
		j.mentioned[id.UserID(text)] = true
	}
	var hits []hit
	for user, l := range a.members {
		if user == it.Event.Sender() {
			continue
		}
		result, err := j.of(ctx, user, l)
		if err != nil {
			return nil, err
		}
		if !result.Notify {
			continue
		}
		if in, err := j.wasIn(ctx, user, l); err != nil || !in {
			if err != nil {
				return nil, err
			}
			continue
		}
		hits = append(hits, hit{l.recipient, result})
	}
	return s.heeded(ctx, it.Event, hits)
}

// wasIn reports whether a listener was in the room when the event came.
func (j *judgement) wasIn(ctx context.Context, user id.UserID, l *listener) (bool, error) {
	if l.since < j.pos {
		return true, nil
	}
	// What the user is has changed since. The user may have been in the room before.
	sight, err := j.Rooms.SightAt(ctx, j.roomID, user, j.pos)
	return err == nil && sight.MembershipAt(j.item.Place) == event.MembershipJoin, err
}

// of returns what the event is to a listener.
func (j *judgement) of(ctx context.Context, user id.UserID, l *listener) (*pushrule.Result, error) {
	rules, mentioned := l.rules, j.mentioned[user]
	thread, err := j.thread(ctx, user)
	if err != nil {
		return nil, err
	}
	if !rules.named && !(mentioned && rules.own) {
		return j.shared(standing{rules, thread}, mentioned)
	}
	about := j.about
	about.Thread = thread
	if rules.named {
		if about.DisplayName, err = j.Rooms.NameOf(ctx, j.roomID, j.at, user); err != nil {
			return nil, err
		}
	}
	var evaluator *pushrule.Evaluator
	if mentioned {
		evaluator, err = rules.compile(j.Defaults(user), user)
	} else {
		evaluator, err = j.prepare(rules)
	}
	if err != nil {
		return nil, err
	}
	result := evaluator.Evaluate(j.item.Event.JSON(), about)
	return &result, nil
}

// shared returns what the event is to all who have the same rules, and the same to do
// with its thread.
func (j *judgement) shared(of standing, mentioned bool) (*pushrule.Result, error) {
	known, e := j.others, j.item.Event.JSON()
	if mentioned {
		if known = j.theirs; j.named == nil {
			j.named = pushrule.WithMention(e)
		}
		e = j.named
	}
	result, ok := known[of]
	if ok {
		return result, nil
	}
	evaluator, err := j.prepare(of.rules)
	if err != nil {
		return nil, err
	}
	about := j.about
	about.Thread = of.thread
	now := evaluator.Evaluate(e, about)
	known[of] = &now
	return &now, nil
}

// heeded leaves out who does not want to hear of the sender of an event.
func (s *Sender) heeded(ctx context.Context, e *event.Event, hits []hit) ([]hit, error) {
	heeded := hits[:0]
	for _, h := range hits {
		ignored, err := s.Ignored(ctx, h.user)
		if err != nil {
			return nil, err
		}
		if !(room.Reads{Ignored: ignored}).Ignores(e) {
			heeded = append(heeded, h)
		}
	}
	return heeded, nil
}
