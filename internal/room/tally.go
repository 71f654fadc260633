package room

import (
	"context"

	"parley/internal/statetrie"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/pushrule"
)

// nobody has rules by which the default ones say of an event what holds for
// everybody.
const nobody = pushrule.Nobody

// tally is whom an event notifies by the default push rules. Where there are rules
// about threads, everybody is one who subscribes to the thread.
// https://spec.matrix.org/v1.19/client-server-api/#default-rules
type tally struct {
	notifies bool // everybody
	loud     bool // it is a highlight for everybody
	// mentioned are the local members for whom it is a highlight though it is
	// none for everybody.
	mentioned []id.UserID
}

// total is what the event adds to totals.
func (t tally) total() (n Total) {
	if t.notifies {
		n.Unread = 1
	}
	if t.loud {
		n.Loud = 1
	}
	return n
}

// tally evaluates an event. The caller holds mu.
func (r *live) tally(ctx context.Context, made entry, row record) (tally, error) {
	e := made.event
	mentions := e.Content().Get("m.mentions")
	about := pushrule.Context{MemberCount: int(row.joined)}
	if made.thread != "" {
		about.Thread = pushrule.Subscribed
	}
	if mentions.Get("room").True() {
		if err := r.levelsFor(ctx, e, row, &about); err != nil {
			return tally{}, err
		}
	}
	all := r.engine.everybody.Evaluate(e.JSON(), about)
	t := tally{notifies: all.Notify, loud: all.Highlight}
	if t.loud || mentions.Get("user_ids") == nil {
		return t, nil
	}
	// Whether a mention is a highlight does not depend on whose it is.
	if !r.engine.everybody.Evaluate(pushrule.WithMention(e.JSON()), about).Highlight {
		return t, nil
	}
	var err error
	t.mentioned, err = r.mentioned(ctx, e, row, mentions)
	return t, err
}

// levelsFor fills in what decides whether the sender may notify the room.
func (r *live) levelsFor(ctx context.Context, e *event.Event, row record, about *pushrule.Context) error {
	state := &snapshot{ctx: ctx, room: r, root: row.root}
	levels := eventauth.LevelsIn(state)
	sender := levels.User(e.Sender())
	about.SenderLevel, about.SenderIsCreator = int64(sender), sender == eventauth.Creator
	about.NotificationLevel = func(key string) int64 { return int64(levels.Notification(key)) }
	return state.fault
}

// mentioned returns the local members whom an event mentions, less its sender.
func (r *live) mentioned(ctx context.Context, e *event.Event, row record, mentions canonjson.Value) ([]id.UserID, error) {
	var users []id.UserID
	seen := make(map[id.UserID]bool)
	for v := range mentions.Get("user_ids").Elements() {
		text, _ := v.Text()
		user := id.UserID(text)
		if _, err := id.ParseUserID(text); err != nil || user == e.Sender() || seen[user] || user.Server() != r.engine.server {
			continue
		}
		seen[user] = true
		n, err := statetrie.Get(ctx, r.nodes, row.root, statetrie.Key{Type: event.TypeMember, StateKey: text})
		if err != nil {
			return nil, err
		}
		if n != 0 {
			users = append(users, user)
		}
	}
	return users, nil
}
