package feed

import (
	"context"
	"slices"

	"parley/internal/room"
	"parley/matrix/event"
	"parley/matrix/id"
)

// pruned returns events as they are left when their senders have had themselves
// erased: whoever was not in the room when they were sent gets them redacted.
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate
func (f *Feed) pruned(ctx context.Context, v Viewer, items []room.Item) ([]room.Item, error) {
	if f.Erased == nil {
		return items, nil
	}
	var senders []id.UserID
	for _, it := range items {
		if v.missed(it) {
			senders = append(senders, it.Event.Sender())
		}
	}
	if len(senders) == 0 {
		return items, nil
	}
	slices.Sort(senders)
	erased, err := f.Erased(ctx, slices.Compact(senders))
	if err != nil || len(erased) == 0 {
		return items, err
	}
	pruned := slices.Clone(items)
	for i, it := range pruned {
		if erased[it.Event.Sender()] && v.missed(it) && it.Event.Unsigned().Get("redacted_because") == nil {
			pruned[i].Event = it.Event.Redacted()
		}
	}
	return pruned, nil
}

// missed reports whether an event is one that its sender can take back from the
// viewer: one that the viewer was not there for. What a room is, its state says for
// everybody: a client that did not learn who may do what, or that it must encrypt,
// would do wrong. So of state it is only what users say of themselves.
func (v *Viewer) missed(it room.Item) bool {
	if key, isState := it.Event.StateKey(); isState && (it.Event.Type() != event.TypeMember || key != string(it.Event.Sender())) {
		return false
	}
	return v.Membership != nil && v.Membership(it.Place) != event.MembershipJoin
}
