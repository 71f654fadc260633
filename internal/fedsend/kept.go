package fedsend

import (
	"context"
	"slices"

	"parley/internal/journal"
	"parley/matrix/id"
)

// dispatchKept adds to the work what servers are to get as surely as events, by some
// entries of the journal. It keeps the journal's order for each server.
func (s *Sender) dispatchKept(ctx context.Context, entries []journal.Entry, work map[id.ServerName][]owed) error {
	devices, err := s.DeviceLists.Publish(ctx, entries)
	if err != nil {
		return err
	}
	for _, o := range devices {
		work[o.Server] = insert(work[o.Server], owed{pos: o.Pos, json: o.EDU, edu: true})
	}
	if !slices.ContainsFunc(entries, func(e journal.Entry) bool { return e.Kind == journal.KindAbroad }) {
		return nil
	}
	list, err := s.ToDevice.Owed(ctx, entries[0].Pos, entries[len(entries)-1].Pos)
	if err != nil {
		return err
	}
	for _, o := range list {
		work[o.Server] = insert(work[o.Server], owed{pos: o.Pos, json: o.EDU, edu: true, apart: true})
	}
	return nil
}

// insert puts something into a list, behind what has its position.
func insert(list []owed, o owed) []owed {
	at := len(list)
	for at > 0 && list[at-1].pos > o.pos {
		at--
	}
	return slices.Insert(list, at, o)
}

// readKept returns what of that a server is owed between two positions, and up to
// where that is all.
func (s *Sender) readKept(ctx context.Context, server id.ServerName, from, to journal.Position, limit int) (list []owed, upTo journal.Position, err error) {
	messages, upTo, err := s.ToDevice.OwedTo(ctx, server, from, to, limit)
	if err != nil {
		return nil, 0, err
	}
	// Of what has one position, messages may depend on devices.
	devices, upTo, err := s.DeviceLists.OwedTo(ctx, server, from, upTo, limit)
	if err != nil {
		return nil, 0, err
	}
	for _, o := range devices {
		list = append(list, owed{pos: o.Pos, json: o.EDU, edu: true})
	}
	for _, o := range messages {
		list = append(list, owed{pos: o.Pos, json: o.EDU, edu: true})
	}
	return list, upTo, nil
}
