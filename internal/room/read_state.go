package room

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"

	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// State returns the event in a place of a state, nil when there is none.
func (g *Engine) State(ctx context.Context, roomID id.RoomID, root statetrie.Root, t event.Tuple) (*event.Event, error) {
	it, _, err := g.StateItem(ctx, roomID, root, t)
	return it.Event, err
}

// StateItem returns the event in a place of a state; ok is false when there is
// none.
func (g *Engine) StateItem(ctx context.Context, roomID id.RoomID, root statetrie.Root, t event.Tuple) (it Item, ok bool, err error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return Item{}, false, err
	}
	n, err := statetrie.Get(ctx, g.committed(r.num), root, statetrie.Key(t))
	if err != nil || n == 0 {
		return Item{}, false, err
	}
	list, err := g.itemsOf(ctx, r, []stateres.Num{stateres.Num(n)})
	if err != nil {
		return Item{}, false, err
	}
	return list[0], true, nil
}

// StateOf returns a state, of its members only those who sent some events, of each
// of them one, in no order. See [Engine.SenderNum].
func (g *Engine) StateOf(ctx context.Context, roomID id.RoomID, root statetrie.Root, sent map[id.UserID]Item) ([]Item, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	var nums []stateres.Num
	err = g.StateButMembers(ctx, r.num, root, func(_ event.Tuple, n stateres.Num) { nums = append(nums, n) })
	if err != nil {
		return nil, err
	}
	for _, it := range sent {
		n, err := g.SenderNum(ctx, roomID, root, it)
		if err != nil {
			return nil, err
		}
		if n != 0 {
			nums = append(nums, n)
		}
	}
	return g.itemsOf(ctx, r, nums)
}

// StateNums returns the numbers of a whole state or, unless it is empty, of one
// type of events in it, in the order of the numbers.
func (g *Engine) StateNums(ctx context.Context, roomID id.RoomID, root statetrie.Root, eventType string) ([]stateres.Num, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	entries := statetrie.All(ctx, g.committed(r.num), root)
	if eventType != "" {
		entries = statetrie.OfType(ctx, g.committed(r.num), root, eventType)
	}
	var nums []stateres.Num
	for entry, err := range entries {
		if err != nil {
			return nil, fmt.Errorf("reading a state of %s: %w", roomID, err)
		}
		nums = append(nums, stateres.Num(entry.Number))
	}
	slices.Sort(nums)
	return nums, nil
}

// Bare returns events of a room by their numbers, in the order of these, for who
// goes through very many: each is read from the database, nothing of it is kept
// in memory, and of an Item it has Num, Event, Place and Replaces only. Numbers
// that the room does not have are left out.
func (g *Engine) Bare(ctx context.Context, roomID id.RoomID, nums []stateres.Num) ([]Item, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	list := make([]Item, 0, len(nums))
	var redacted []stateres.Num
	err = g.db.View(ctx, func(tx *store.Tx) error {
		// Here, and of the plainest types, so that a row costs little beside itself.
		var num, place, replaces, because int64
		var eventID string
		var json []byte
		in, arg := tx.In(1, nums)
		for row, err := range tx.Query("SELECT event, event_id, place, replaces, redacted_by, json FROM events WHERE event "+in, arg) {
			if err != nil {
				return err
			}
			if err := row.Scan(&num, &eventID, &place, &replaces, &because, &json); err != nil {
				return err
			}
			if because != 0 {
				redacted = append(redacted, stateres.Num(num))
				continue
			}
			e, err := event.Load(json, id.EventID(eventID), r.rules)
			if err != nil {
				return err
			}
			list = append(list, Item{Num: stateres.Num(num), Event: e, Place: place, Replaces: stateres.Num(replaces)})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading events of %s: %w", roomID, err)
	}
	if len(redacted) > 0 {
		others, err := g.itemsOf(ctx, r, redacted)
		if err != nil {
			return nil, err
		}
		list = append(list, others...)
	}
	slices.SortFunc(list, func(a, b Item) int { return cmp.Compare(a.Num, b.Num) })
	return list, nil
}

// FullState returns a whole state, in no order.
func (g *Engine) FullState(ctx context.Context, roomID id.RoomID, root statetrie.Root) ([]Item, error) {
	return g.stateItems(ctx, roomID, func(nodes *nodes) iter.Seq2[statetrie.Entry, error] {
		return statetrie.All(ctx, nodes, root)
	})
}

// StateOfType returns the events of one type in a state, in no order.
func (g *Engine) StateOfType(ctx context.Context, roomID id.RoomID, root statetrie.Root, eventType string) ([]Item, error) {
	return g.stateItems(ctx, roomID, func(nodes *nodes) iter.Seq2[statetrie.Entry, error] {
		return statetrie.OfType(ctx, nodes, root, eventType)
	})
}

func (g *Engine) stateItems(
	ctx context.Context, roomID id.RoomID, entries func(*nodes) iter.Seq2[statetrie.Entry, error],
) ([]Item, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	var nums []stateres.Num
	for entry, err := range entries(g.committed(r.num)) {
		if err != nil {
			return nil, fmt.Errorf("reading a state of %s: %w", roomID, err)
		}
		nums = append(nums, stateres.Num(entry.Number))
	}
	return g.itemsOf(ctx, r, nums)
}

// StateButMembers calls f with what a state has beside members, in no order.
func (g *Engine) StateButMembers(ctx context.Context, room Num, root statetrie.Root, f func(event.Tuple, stateres.Num)) error {
	for entry, err := range statetrie.NotOfType(ctx, g.committed(room), root, event.TypeMember) {
		if err != nil {
			return fmt.Errorf("reading a state of room %d: %w", room, err)
		}
		f(event.Tuple(entry.Key), stateres.Num(entry.Number))
	}
	return nil
}

// StateNum returns the number of the event in a place of a state, 0 when there
// is none.
func (g *Engine) StateNum(ctx context.Context, room Num, root statetrie.Root, t event.Tuple) (stateres.Num, error) {
	n, err := statetrie.Get(ctx, g.committed(room), root, statetrie.Key(t))
	return stateres.Num(n), err
}

// SenderNum returns the number of the member event of who sent an event, 0 when there
// is none: that in a state, or if it has none, as while members of the room are
// missing, the one that the event is authorised by.
func (g *Engine) SenderNum(ctx context.Context, roomID id.RoomID, root statetrie.Root, sent Item) (stateres.Num, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return 0, err
	}
	member := event.Tuple{Type: event.TypeMember, StateKey: string(sent.Event.Sender())}
	n, err := g.StateNum(ctx, r.num, root, member)
	if n != 0 || err != nil {
		return n, err
	}
	auths, err := g.authsOf(ctx, r, []stateres.Num{sent.Num})
	if err != nil {
		return 0, err
	}
	found, err := g.itemsFound(ctx, r, auths) // some may have been purged
	for _, it := range found {
		if it.Event != nil && it.Event.IsState(member.Type, member.StateKey) {
			return it.Num, err
		}
	}
	return 0, err
}

// StateDiff returns what leads from one state of a room to another, in no order.
func (g *Engine) StateDiff(ctx context.Context, room Num, before, after statetrie.Root) ([]statetrie.Change, error) {
	var changes []statetrie.Change
	for c, err := range statetrie.Diff(ctx, g.committed(room), before, after) {
		if err != nil {
			return nil, fmt.Errorf("comparing states of room %d: %w", room, err)
		}
		changes = append(changes, c)
	}
	return changes, nil
}
