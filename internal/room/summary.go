package room

import (
	"context"

	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// A Summary is what a directory shows of a room. What is not set is empty.
type Summary struct {
	RoomID         id.RoomID
	Version        roomver.Version
	Name, Topic    string
	CanonicalAlias string
	AvatarURL      string
	JoinRule       string // as it is, or invite
	RoomType       string
	Encryption     string // the algorithm
	WorldReadable  bool
	GuestCanJoin   bool
	Joined         int64 // members
}

// Summary returns the summary of a room.
func (g *Engine) Summary(ctx context.Context, roomID id.RoomID) (Summary, error) {
	now, err := g.Now(ctx, roomID)
	if err != nil {
		return Summary{}, err
	}
	s := Summary{RoomID: roomID, Joined: now.Joined, JoinRule: "invite"}
	for _, part := range []struct {
		eventType string
		read      func(*event.Event)
	}{
		{event.TypeCreate, func(e *event.Event) { s.Version, s.RoomType = e.Rules().Version, text(e, "type") }},
		{"m.room.name", func(e *event.Event) { s.Name = text(e, "name") }},
		{"m.room.topic", func(e *event.Event) { s.Topic = text(e, "topic") }},
		{"m.room.canonical_alias", func(e *event.Event) { s.CanonicalAlias = text(e, "alias") }},
		{"m.room.avatar", func(e *event.Event) { s.AvatarURL = text(e, "url") }},
		{"m.room.encryption", func(e *event.Event) { s.Encryption = text(e, "algorithm") }},
		{typeGuestAccess, func(e *event.Event) { s.GuestCanJoin = admitsGuests(e) }},
		{event.TypeHistoryVisibility, func(e *event.Event) { s.WorldReadable = VisibilityOf(e) == WorldReadable }},
		{event.TypeJoinRules, func(e *event.Event) {
			if rule := text(e, "join_rule"); rule != "" {
				s.JoinRule = rule
			}
		}},
	} {
		e, err := g.State(ctx, roomID, now.Root, event.Tuple{Type: part.eventType})
		if err != nil {
			return Summary{}, err
		}
		if e != nil {
			part.read(e)
		}
	}
	return s, nil
}

// text returns a text of an event's content, empty if there is none.
func text(e *event.Event, key string) string {
	s, _ := e.Content().Get(key).Text()
	return s
}
