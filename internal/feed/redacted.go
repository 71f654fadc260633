package feed

import (
	"context"

	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// findRedacted finds what of the state at the end was redacted behind the last
// answer.
func (b *stateBlock) findRedacted(ctx context.Context) error {
	if len(b.w.redacted) == 0 {
		return nil
	}
	items, err := b.Rooms.ItemsLeft(ctx, b.w.id, b.w.redacted)
	if err != nil {
		return err
	}
	for _, it := range items {
		t, ok := it.Event.Tuple()
		if !ok {
			continue
		}
		n, err := b.Rooms.StateNum(ctx, b.w.num, b.final, t)
		if err != nil {
			return err
		}
		if n == it.Num {
			b.redacted = append(b.redacted, it)
		}
	}
	return nil
}

// redactedUntold returns what was redacted of the state without the timeline
// saying so, or having it as it is now.
func (b *stateBlock) redactedUntold() (nums []stateres.Num) {
	shown := make(map[id.EventID]bool)
	for _, it := range b.timeline.items {
		shown[it.Event.ID()], shown[it.Event.Redacts()] = true, true
	}
	for _, it := range b.redacted {
		t, _ := it.Event.Tuple()
		if !shown[it.Event.ID()] && (!b.lazy() || t.Type != event.TypeMember || b.wanted(id.UserID(t.StateKey))) {
			nums = append(nums, it.Num)
		}
	}
	return nums
}
