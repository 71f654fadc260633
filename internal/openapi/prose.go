package openapi

import "encoding/json"

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

// clientEvent is the definition that all others of events for clients are made of.
const clientEvent = "definitions.client_event_without_room_id"

// addProse adds what is not in the data to its definitions.
func addProse(definitions map[string]any) {
	var more any
	if err := json.Unmarshal([]byte(prose), &more); err != nil {
		panic(err) // it is written above
	}
	definitions[clientEvent] = map[string]any{"allOf": []any{definitions[clientEvent], more}}
}
