package loadgen

import (
	"context"
	"fmt"
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// heals measures how long it takes until a room is one again that two sides have
// gone on with by themselves: from when the other side begins to send what it has
// until the measured server has all of it, and the state that follows.
func (a *among) heals(ctx context.Context) error {
	for _, n := range a.o.Forks {
		row, err := a.begin(ctx, "heal", "two forks of %s in a room of %s", count(n, "event"), count(a.o.ForkMembers, "member"))
		if err != nil {
			return err
		}
		f, err := a.joined(ctx, a.o.ForkMembers, a.names[:1])
		if err != nil {
			return err
		}
		if err := a.goOn(ctx, f, n); err != nil {
			return err
		}
		theirs, topic, err := fork(f, n)
		if err != nil {
			return err
		}
		if err := a.receive(ctx, row, []*farRoom{f}, [][]*event.Event{theirs}); err != nil {
			return err
		}
		if err := a.look(ctx, row, f, topic); err != nil {
			return err
		}
		a.rows = append(a.rows, *row)
	}
	return nil
}

// Of the events of a fork each fifth is of the state: the topic of a part of the
// room, or somebody who comes or goes.
const stateEvery = 5

func topicOf(i int) (kind, key string) { return "org.example.topic", fmt.Sprint(i % 50) }

// fork is what the others do meanwhile. It returns which topic they set last.
func fork(f *farRoom, n int) (events []*event.Event, topic *event.Event, err error) {
	for i := range n {
		member := f.members[i%len(f.members)]
		kind, content := "m.room.message", message100(i)
		var key *string
		switch {
		case i%stateEvery != 0:
		case i%(3*stateEvery) == 0:
			member = id.UserID(fmt.Sprintf("@late%d:%s", i, f.servers[0]))
			kind, key, content = event.TypeMember, text(string(member)), canonjson.Value(joinContent)
		case i%(3*stateEvery) == stateEvery:
			member = f.members[len(f.members)-1-i%len(f.members)]
			kind, key, content = event.TypeMember, text(string(member)), canonjson.Value(`{"membership":"leave"}`)
		default:
			name, of := topicOf(i)
			kind, key, content = name, &of, canonjson.Value(fmt.Sprintf(`{"topic":"theirs %d"}`, i))
		}
		e, err := f.tip.say(kind, key, member, content)
		if err != nil {
			return nil, nil, err
		}
		if events = append(events, e); kind == "org.example.topic" {
			topic = e
		}
	}
	return events, topic, nil
}

// goOn is what the user of the measured server does meanwhile.
func (a *among) goOn(ctx context.Context, f *farRoom, n int) error {
	for i := range n {
		if i%stateEvery != 0 {
			if _, err := a.say(ctx, f, fmt.Sprintf("%s-%d", a.batch(), i), strings.Repeat("x", 100)); err != nil {
				return err
			}
			continue
		}
		kind, key := topicOf(i)
		err := a.do(ctx, "PUT", path("/_matrix/client/v3/rooms/%s/state/%s/%s", string(f.id), kind, key), map[string]string{"topic": fmt.Sprint("ours ", i)}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// look sees whether what the others have set last, and after this server, is the
// state.
func (a *among) look(ctx context.Context, row *Row, f *farRoom, topic *event.Event) error {
	if topic == nil {
		return nil
	}
	key, _ := topic.StateKey()
	var is struct{ Topic string }
	if err := a.do(ctx, "GET", path("/_matrix/client/v3/rooms/%s/state/%s/%s", string(f.id), topic.Type(), key), nil, &is); err != nil {
		return err
	}
	if want, _ := topic.Content().Get("topic").Text(); is.Topic != want {
		row.note("the topic is %q after this, and the others have set %q", is.Topic, want)
	}
	return nil
}
