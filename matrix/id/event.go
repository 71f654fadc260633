package id

// An EventID is "$opaque:server" in rooms of version 1 and 2 and "$" with the
// event's reference hash in all later ones, where it can be computed from the
// event and so proves what it names.
//
// https://spec.matrix.org/v1.19/appendices/#event-ids
type EventID string

// ParseEventID accepts the form of every room version: with a server name, any
// valid UTF-8 without colon and NUL before it; without one, at least one
// character of the same. [EventID.HasForm] tells whether an ID suits a
// particular version.
func ParseEventID(s string) (EventID, error) {
	return parse[EventID](KindEventID, s, checkEventID)
}

func checkEventID(s string) string { return checkQualifiedOrOpaque(s, eventSigil) }

// NewEventID builds an event ID of the form with a server name, for room
// versions 1 and 2. The localpart must not be empty.
func NewEventID(localpart string, server ServerName) (EventID, error) {
	return join(KindEventID, eventSigil, localpart, server, ParseEventID)
}

// Server returns the server name in the ID; ok is false if the ID has none.
func (e EventID) Server() (name ServerName, ok bool) {
	_, server, ok := split(string(e), eventSigil)
	return ServerName(server), ok
}

// HasForm reports whether a valid ID is of the given form. A hash without
// characters special to either alphabet has both base64 forms.
func (e EventID) HasForm(f Form) bool { return hasForm(string(e), eventSigil, f) }

// RoomID returns the ID of the room that this event creates, if the event ID is
// of a form without a server name. Only room versions since 12 name rooms so.
func (e EventID) RoomID() (id RoomID, ok bool) {
	opaque, ok := opaquePart(string(e), eventSigil)
	if !ok {
		return "", false
	}
	return RoomID(string(roomSigil) + opaque), true
}
