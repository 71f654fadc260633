package openapi

import "encoding/json"

// sender is who an event is of that belongs to no room: the schema of m.presence
// has it, and not that of the list of such events in a sync.
const sender = `{"properties": {"sender": {"type": "string", "format": "mx-user-id"}}}`

// prose is what the specification says of client events in words only, as another
// part of their schema: relations that are aggregated, and what m.room.redaction
// has beside its content for rooms of old versions and old clients.
// https://spec.matrix.org/v1.19/client-server-api/#aggregations-of-child-events
const prose = `{
	"properties": {
		"redacts": {"type": "string", "format": "mx-event-id"},
		"unsigned": {"properties": {"m.relations": {"type": "object", "properties": {
			"m.reference": {"type": "object", "required": ["chunk"], "properties": {"chunk": {"type": "array", "items":
				{"type": "object", "required": ["event_id"], "properties": {"event_id": {"type": "string", "format": "mx-event-id"}}}}}},
			"m.replace": ` + related + `,
			"m.thread": {"type": "object", "required": ["latest_event", "count", "current_user_participated"], "properties": {
				"latest_event": ` + related + `, "count": {"type": "integer", "minimum": 1}, "current_user_participated": {"type": "boolean"}}}
		}}}}
	}
}`

// related is an event within another.
const related = `{"allOf": [{"$ref": "` + definitionsAt + clientEvent + `"}, {"properties": {"room_id": {"type": "string", "format": "mx-room-id"}}}]}`

const (
	// clientEvent is the definition that all others of events for clients are made of.
	clientEvent = "definitions.client_event_without_room_id"
	// anyEvent is that of events that belong to no room.
	anyEvent = "event-schemas.schema.core-event-schema.event"
)

// addProse adds what is not in the data to its definitions.
func addProse(definitions map[string]any) {
	for name, text := range map[string]string{clientEvent: prose, anyEvent: sender} {
		var more any
		if err := json.Unmarshal([]byte(text), &more); err != nil {
			panic(err) // it is written above
		}
		definitions[name] = map[string]any{"allOf": []any{definitions[name], more}}
	}
}
