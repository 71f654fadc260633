package room

import (
	"context"
	"errors"
	"strings"

	"parley/internal/remote"
	"parley/internal/statetrie"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/stateres"
)

// gathering is a whole state on its way from another server: its events are stored
// as they come, and of those that are stored it is only remembered where they are in
// the state. So a state of a hundred thousand members is never in memory, as long as
// what authorises them comes before them, or was there.
type gathering struct {
	handed
	live *live
	// waits are events whose auth events have not come yet, by whether they are in
	// the state.
	waits [2][]*event.Event
	begun bool // something may have been stored

	state   map[event.Tuple]stateres.Num
	members handedMembers
}

func (g *Engine) gather(r *live) *gathering {
	return &gathering{
		handed: handed{engine: g, room: r.id, rules: r.rules}, live: r,
		state: make(map[event.Tuple]stateres.Num), members: handedMembers{present: make(servers)},
	}
}

// events returns what is to be called with the events. What is left of them is
// taken in by end.
func (x *gathering) events(ctx context.Context) remote.Handed {
	check := x.handed.events(ctx)
	return func(inState bool, pdu canonjson.Value) error {
		if err := check(inState, pdu); err != nil || len(x.handed.state)+len(x.chain) == 0 {
			return err
		}
		return x.store(ctx)
	}
}

// end takes in what has come since, and what waits.
func (x *gathering) end(ctx context.Context) error {
	if err := x.handed.end(ctx); err != nil {
		return err
	}
	x.handed.state, x.chain = append(x.handed.state, x.waits[1]...), append(x.chain, x.waits[0]...)
	x.waits = [2][]*event.Event{}
	return x.store(ctx)
}

// store stores what is checked and can be judged; the rest waits.
func (x *gathering) store(ctx context.Context) error {
	if err := x.begin(ctx); err != nil {
		return err
	}
	list, nums, err := x.engine.storeJudged(ctx, x.live, x.all())
	if err != nil {
		return err
	}
	judged := make(map[id.EventID]int64, len(list))
	for _, o := range list {
		judged[o.event.ID()] = o.status
	}
	for i, events := range [2][]*event.Event{x.chain, x.handed.state} {
		for _, e := range events {
			status, ok := judged[e.ID()]
			if !ok {
				x.waits[i] = append(x.waits[i], e)
				continue
			}
			if inState := i == 1; inState && status == accepted {
				if err := x.place(e, nums[e.ID()]); err != nil {
					return err
				}
			}
		}
		clear(events)
	}
	x.chain, x.handed.state = x.chain[:0], x.handed.state[:0]
	return nil
}

// begin notes, before anything is stored, that it is for a room that is not there.
func (x *gathering) begin(ctx context.Context) error {
	if x.begun {
		return nil
	}
	x.begun = true
	x.live.mu.Lock()
	exists := x.live.exists
	x.live.mu.Unlock()
	if exists {
		return nil
	}
	return x.engine.beginRoom(ctx, x.live.num)
}

// place puts an event into the state. Nothing of it is kept: its strings lie in its
// bytes.
func (x *gathering) place(e *event.Event, n stateres.Num) error {
	t, ok := e.Tuple()
	if !ok {
		return nil
	}
	switch other, ok := x.state[t]; {
	case ok && other != n:
		return badHandover("The other server says two things about %s %q", t.Type, t.StateKey)
	case ok:
		return nil // it says it twice
	}
	if t.StateKey = strings.Clone(t.StateKey); t.Type == event.TypeMember {
		t.Type = event.TypeMember
	} else {
		t.Type = strings.Clone(t.Type)
	}
	x.state[t] = n
	x.members.add(t, n, e)
	return nil
}

// whole stores the state and its members, once all has come.
func (x *gathering) whole(ctx context.Context, p partial) (w wholeState, err error) {
	g := x.engine
	if err := x.sameRoom(ctx); err != nil {
		return w, err
	}
	if w.heardState, err = x.trie(ctx); err != nil {
		return w, err
	}
	w.members, x.state = x.members, nil
	joined, err := g.joinedAt(ctx, p.join)
	if err != nil {
		return w, err
	}
	return w, g.storeMemberRows(ctx, x.live, w.members.list, p.place-1, insertMembershipsBefore(joined))
}

// trie stores the trie of the state, unless something was purged since it was begun to be
// gathered: what is known by its number may be gone.
func (x *gathering) trie(ctx context.Context) (heardState, error) {
	state, err := x.engine.storeTrie(ctx, x.live, func(yield func(statetrie.Entry) bool) {
		for t, n := range x.state {
			if !yield(statetrie.Entry{Key: statetrie.Key(t), Number: uint64(n)}) {
				return
			}
		}
	})
	if err != nil {
		return state, err
	}
	return state, x.live.expectHeard(state)
}

// discard deletes what was stored, if it was for a room that was not there and has not
// become one of that number.
func (x *gathering) discard(ctx context.Context) error {
	g := x.engine
	if !x.begun {
		return nil
	}
	switch r, err := g.room(ctx, x.live.id); {
	case err == nil && r.num == x.live.num:
		return nil
	case err != nil && !errors.Is(err, mxerr.NotFound):
		return err
	}
	return g.deleteUnfinished(ctx, x.live.num)
}

// sameRoom refuses a state of a room that has begun otherwise.
func (x *gathering) sameRoom(ctx context.Context) error {
	begin := event.Tuple{Type: event.TypeCreate}
	x.live.mu.Lock()
	defer x.live.mu.Unlock()
	known := &snapshot{ctx: ctx, room: x.live, root: x.live.row.root}
	create := known.num(begin)
	if known.fault != nil {
		return known.fault
	}
	if create == 0 || x.state[begin] != create {
		return errors.New("it is the state of another room")
	}
	return nil
}
