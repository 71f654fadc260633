package csapi

import (
	"context"
	"errors"
	"slices"

	"parley/internal/endpoint"
	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

const typeCanonicalAlias = "m.room.canonical_alias"

// canonicalAlias returns the event that says how a room is called, nil if there is
// none.
func (s *Server) canonicalAlias(ctx context.Context, roomID id.RoomID) (*event.Event, error) {
	now, err := s.Rooms.Now(ctx, roomID)
	if err != nil {
		return nil, err
	}
	return s.Rooms.State(ctx, roomID, now.Root, event.Tuple{Type: typeCanonicalAlias})
}

// checkCanonicalAlias refuses aliases that do not lead to the room. Those that
// the event has already may stay.
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidstateeventtypestatekey
func (s *Server) checkCanonicalAlias(ctx context.Context, roomID id.RoomID, content canonjson.Value) error {
	before, err := s.canonicalAlias(ctx, roomID)
	if err != nil {
		return err
	}
	known := make(map[string]bool)
	if before != nil {
		for _, a := range namedAliases(before.Content()) {
			known[a.String()] = true
		}
	}
	if list := content.Get("alt_aliases"); list != nil && list.Kind() != canonjson.Null && list.Kind() != canonjson.Array {
		return mxerr.New(mxerr.InvalidParam, "alt_aliases is no list")
	}
	for _, v := range namedAliases(content) {
		text, ok := v.Text()
		if !ok {
			return mxerr.New(mxerr.InvalidParam, "an alias is not a string")
		}
		if known[text] {
			continue
		}
		if err := s.checkLeadsTo(ctx, text, roomID); err != nil {
			return err
		}
		known[text] = true
	}
	return nil
}

// checkLeadsTo refuses what is no alias of a room.
func (s *Server) checkLeadsTo(ctx context.Context, text string, roomID id.RoomID) error {
	a, err := id.ParseRoomAlias(text)
	if err != nil {
		return mxerr.New(mxerr.InvalidParam, "%v", err)
	}
	leadsTo, err := s.Aliases.Resolve(ctx, a)
	if errors.Is(err, mxerr.NotFound) || err == nil && leadsTo != roomID {
		return mxerr.New(mxerr.BadAlias, "%s does not lead to this room", a)
	}
	return err
}

// namedAliases returns what a canonical alias event names.
func namedAliases(content canonjson.Value) []canonjson.Value {
	var list []canonjson.Value
	if v := content.Get("alias"); v != nil && v.Kind() != canonjson.Null && !v.Is("") {
		list = append(list, v)
	}
	for v := range content.Get("alt_aliases").Elements() {
		list = append(list, v)
	}
	return list
}

// withoutAlias returns the content of a canonical alias event less an alias: as it
// is, if it does not name it.
func withoutAlias(content canonjson.Value, alias id.RoomAlias) canonjson.Value {
	if content.Get("alias").Is(string(alias)) {
		content = content.Without("alias")
	}
	others := slices.Collect(content.Get("alt_aliases").Elements())
	left := slices.DeleteFunc(slices.Clone(others), func(v canonjson.Value) bool { return v.Is(string(alias)) })
	switch {
	case len(left) == len(others):
		return content
	case len(left) == 0:
		return content.Without("alt_aliases")
	}
	return content.With("alt_aliases", canonjson.ArrayOf(left))
}

// disown deletes an alias, and has its room no longer called by it, if it was and the
// caller may say so; if not, the alias is gone all the same. Both are committed
// together: of an alias that is gone nobody could ask again to be rid of the rest.
func (s *Server) disown(ctx context.Context, c endpoint.Caller, roomID id.RoomID, alias id.RoomAlias) error {
	e, err := s.canonicalAlias(ctx, roomID)
	if err != nil && !errors.Is(err, mxerr.NotFound) { // an alias may outlive its room
		return err
	}
	if e != nil {
		said, err := s.sayWithout(ctx, c, e, alias)
		if said || err != nil {
			return err
		}
	}
	return s.Aliases.Delete(ctx, alias, roomID)
}

// sayWithout deletes an alias together with what a canonical alias event says of it. It
// reports false if that is nothing, or the room does not let the caller say so.
func (s *Server) sayWithout(ctx context.Context, c endpoint.Caller, e *event.Event, alias id.RoomAlias) (said bool, err error) {
	content := withoutAlias(e.Content(), alias)
	if string(content) == string(e.Content()) {
		return false, nil
	}
	_, err = s.Rooms.Send(ctx, e.RoomID(), room.Draft{
		Type: typeCanonicalAlias, StateKey: new(string), Sender: c.UserID, Content: content, Instead: e.ID(),
		Along: func(b *journal.Batch, _ id.EventID) error { return s.Aliases.DeleteWith(b, alias, e.RoomID()) },
	})
	if refusal := (*mxerr.Error)(nil); errors.As(err, &refusal) || errors.Is(err, room.ErrSuperseded) {
		return false, nil // of what the room is called somebody else decides, or has just decided
	}
	return err == nil, err
}
