package event

import (
	"strconv"

	"parley/matrix/canonjson"
)

// Client says how an event is shown to a client.
type Client struct {
	// Unsigned replaces what the PDU has; nil leaves the member out.
	Unsigned canonjson.Value
	// OmitRoomID leaves room_id out, as in /sync, where the room is known.
	OmitRoomID bool
}

// AppendClient appends the event as clients get it:
// https://spec.matrix.org/v1.19/client-server-api/#room-event-format
// A redaction names its target both at the top level and in content, in every
// room version, because clients look in one place only.
func (e *Event) AppendClient(dst []byte, c Client) []byte {
	dst = append(dst, `{"content":`...)
	dst = append(dst, e.clientContent()...)
	dst = canonjson.AppendString(append(dst, `,"event_id":`...), string(e.id))
	if e.sticky > 0 {
		dst = appendSticky(dst, e.sticky)
	}
	dst = strconv.AppendInt(append(dst, `,"origin_server_ts":`...), e.originServerTS, 10)
	if e.redacts != "" {
		dst = canonjson.AppendString(append(dst, `,"redacts":`...), string(e.redacts))
	}
	if !c.OmitRoomID {
		dst = canonjson.AppendString(append(dst, `,"room_id":`...), string(e.roomID))
	}
	dst = canonjson.AppendString(append(dst, `,"sender":`...), string(e.sender))
	if e.isState {
		dst = canonjson.AppendString(append(dst, `,"state_key":`...), e.stateKey)
	}
	dst = canonjson.AppendString(append(dst, `,"type":`...), e.eventType)
	if c.Unsigned != nil {
		dst = append(append(dst, `,"unsigned":`...), c.Unsigned...)
	}
	return append(dst, '}')
}

func (e *Event) clientContent() canonjson.Value {
	if e.eventType != TypeRedaction || e.redacts == "" || e.rules.RedactsInContent {
		return e.content
	}
	return e.content.With("redacts", canonjson.Text(string(e.redacts)))
}

// AppendStripped appends the stripped form of a state event, as invited and
// knocking users get it:
// https://spec.matrix.org/v1.19/client-server-api/#stripped-state
func (e *Event) AppendStripped(dst []byte) []byte {
	dst = append(append(dst, `{"content":`...), e.content...)
	dst = canonjson.AppendString(append(dst, `,"sender":`...), string(e.sender))
	dst = canonjson.AppendString(append(dst, `,"state_key":`...), e.stateKey)
	dst = canonjson.AppendString(append(dst, `,"type":`...), e.eventType)
	return append(dst, '}')
}
