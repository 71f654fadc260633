package appservice

import (
	"context"
	"maps"
	"slices"

	"parley/internal/journal"
	"parley/internal/receipt"
	"parley/internal/room"
	"parley/matrix/id"
)

// A reading is what an entry of the journal says of receipts: that there are others in a
// room, or by the scope of a user, private ones of this user there.
type reading struct {
	room  int64
	scope journal.Scope
}

// addReceipts adds the receipts that changed behind a position. Private ones are told
// only of the service's own users.
func (w *worker) addReceipts(ctx context.Context, d *draft, readings map[reading]bool, after journal.Position) error {
	viewers := make(map[id.UserID][]int64) // the rooms; of nobody: public ones
	for r := range readings {
		in, err := w.interestAt(ctx, room.Num(r.room), d.upTo)
		if err != nil {
			return err
		}
		if !in.is() {
			continue
		}
		if r.scope.Kind() == journal.ScopeRoom {
			viewers[""] = append(viewers[""], r.room)
			continue
		}
		for member := range in.members {
			if journal.UserScope(member) == r.scope {
				viewers[member] = append(viewers[member], r.room)
			}
		}
	}
	for _, viewer := range slices.Sorted(maps.Keys(viewers)) {
		if err := w.addReceiptsFor(ctx, d, viewer, viewers[viewer], after); err != nil {
			return err
		}
	}
	return nil
}

// addReceiptsFor adds the public receipts of rooms, or the private ones of a user.
func (w *worker) addReceiptsFor(ctx context.Context, d *draft, viewer id.UserID, rooms []int64, after journal.Position) error {
	slices.Sort(rooms)
	found, err := w.Receipts.Since(ctx, rooms, viewer, after, d.upTo)
	if err != nil {
		return err
	}
	kind := receipt.TypePrivate
	if viewer == "" {
		kind = receipt.TypeRead
	}
	for _, num := range rooms {
		roomID, err := w.Rooms.RoomID(ctx, room.Num(num))
		if err != nil {
			continue // it is gone
		}
		list := slices.DeleteFunc(found[num], func(r receipt.Receipt) bool { return r.Type != kind || viewer != "" && r.User != viewer })
		for _, content := range receipt.Contents(list) {
			d.ephemeral = append(d.ephemeral, ofRoom("m.receipt", roomID, content))
		}
	}
	return nil
}
