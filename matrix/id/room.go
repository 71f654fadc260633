package id

// A RoomID is "!opaque:server" or, since room version 12, the ID of the room's
// create event with '!' in place of '$'. The server in it, if any, is a
// namespace: it need not be in the room, or exist.
//
// https://spec.matrix.org/v1.19/appendices/#room-ids
type RoomID string

// ParseRoomID accepts the form of every room version: with a server name, any
// valid UTF-8 without colon and NUL before it, also none; without one, at least
// one character of the same. [RoomID.HasForm] tells whether an ID suits a
// particular version.
func ParseRoomID(s string) (RoomID, error) {
	return parse[RoomID](KindRoomID, s, checkRoomID)
}

func checkRoomID(s string) string { return checkQualifiedOrOpaque(s, roomSigil) }

// NewRoomID builds a room ID of the form with a server name, for room versions
// before 12. The localpart must not be empty and should be letters and digits.
func NewRoomID(localpart string, server ServerName) (RoomID, error) {
	return join(KindRoomID, roomSigil, localpart, server, ParseRoomID)
}

// Server returns the server name in the ID; ok is false if the ID has none.
func (r RoomID) Server() (name ServerName, ok bool) {
	_, server, ok := split(string(r), roomSigil)
	return ServerName(server), ok
}

// HasForm reports whether a valid ID is of the given form.
func (r RoomID) HasForm(f Form) bool { return hasForm(string(r), roomSigil, f) }

// CreateEventID returns the ID of the event that created the room, if the room
// ID is of the form without a server name. It is the reverse of [EventID.RoomID].
func (r RoomID) CreateEventID() (id EventID, ok bool) {
	opaque, ok := opaquePart(string(r), roomSigil)
	if !ok {
		return "", false
	}
	return EventID(string(eventSigil) + opaque), true
}

// A RoomAlias is "#localpart:server": a name for a room that its server resolves.
//
// https://spec.matrix.org/v1.19/appendices/#room-aliases
type RoomAlias string

// ParseRoomAlias accepts any valid UTF-8 without colon and NUL as localpart. The
// specification sets no least length, so the localpart may be empty.
func ParseRoomAlias(s string) (RoomAlias, error) {
	return parse[RoomAlias](KindRoomAlias, s, checkRoomAlias)
}

func checkRoomAlias(s string) string { return checkQualified(s, aliasSigil) }

// NewRoomAlias builds an alias whose localpart is not empty.
func NewRoomAlias(localpart string, server ServerName) (RoomAlias, error) {
	return join(KindRoomAlias, aliasSigil, localpart, server, ParseRoomAlias)
}

// Localpart returns the part between the sigil and the first colon.
func (a RoomAlias) Localpart() string {
	localpart, _, _ := split(string(a), aliasSigil)
	return localpart
}

// Server returns the server that resolves the alias.
func (a RoomAlias) Server() ServerName {
	_, server, _ := split(string(a), aliasSigil)
	return ServerName(server)
}
