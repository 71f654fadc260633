package feed

import (
	"parley/internal/e2ee"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// Response is the answer to a sync.
type Response struct {
	// Next is the token to ask with for what comes after.
	Next Token

	accountData []canonjson.Value
	presence    []canonjson.Value
	join        []section
	invite      []section
	knock       []section
	leave       []section
	toDevice    []canonjson.Value
	devices     DeviceLists
	counts      *e2ee.Counts // nil if there is no device to be told
	keysCounted bool         // they are news
	profiles    profiles
}

// A section is what is told of one room.
type section struct {
	id   id.RoomID
	json canonjson.Value
}

// empty reports whether there is nothing to tell.
func (r *Response) empty() bool {
	return len(r.accountData)+len(r.presence)+len(r.join)+len(r.invite)+len(r.knock)+len(r.leave)+len(r.toDevice)+len(r.devices.Changed)+len(r.devices.Left)+len(r.profiles) == 0 &&
		!r.keysCounted
}

// AppendJSON implements endpoint.Appender. Parts without content are left out.
func (r *Response) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	if len(r.accountData) > 0 {
		dst = append(appendEvents(append(dst, `"account_data":`...), r.accountData), ',')
	}
	if len(r.devices.Changed)+len(r.devices.Left) > 0 {
		dst = append(r.devices.append(append(dst, `"device_lists":`...)), ',')
	}
	if r.counts != nil {
		dst = appendKeyCounts(dst, r.counts)
	}
	dst = canonjson.AppendString(append(dst, `"next_batch":`...), r.Next.String())
	if len(r.profiles) > 0 {
		dst = append(append(dst, `,"`+profilesSection+`":`...), r.profiles.updates()...)
	}
	if len(r.presence) > 0 {
		dst = appendEvents(append(dst, `,"presence":`...), r.presence)
	}
	if len(r.join)+len(r.invite)+len(r.knock)+len(r.leave) > 0 {
		dst = append(dst, `,"rooms":`...)
		open := byte('{')
		for _, part := range []struct {
			name     string
			sections []section
		}{{"invite", r.invite}, {"join", r.join}, {"knock", r.knock}, {"leave", r.leave}} {
			if len(part.sections) > 0 {
				dst = appendSections(append(append(append(dst, open, '"'), part.name...), `":`...), part.sections)
				open = ','
			}
		}
		dst = append(dst, '}')
	}
	if len(r.toDevice) > 0 {
		dst = appendEvents(append(dst, `,"to_device":`...), r.toDevice)
	}
	return append(dst, '}')
}

func appendSections(dst []byte, sections []section) []byte {
	open := byte('{')
	for _, s := range sections {
		dst = append(canonjson.AppendString(append(dst, open), string(s.id)), ':')
		dst = append(dst, s.json...)
		open = ','
	}
	return append(dst, '}')
}

// appendEvents appends an object with the member events.
func appendEvents[T ~[]byte](dst []byte, events []T) []byte {
	dst = append(dst, `{"events":[`...)
	for i, e := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, e...)
	}
	return append(dst, `]}`...)
}

// typed is an event that has nothing but a type and a content.
func typed(eventType string, content canonjson.Value) canonjson.Value {
	dst := append([]byte(`{"content":`), content...)
	dst = canonjson.AppendString(append(dst, `,"type":`...), eventType)
	return append(dst, '}')
}
