package search

import (
	"strings"

	"parley/internal/room"
	"parley/internal/textindex"
	"parley/matrix/canonjson"
	"parley/matrix/event"
)

// A Key says where in an event a text is.
type Key string

// The keys that may be searched.
const (
	KeyBody  Key = "content.body"
	KeyName  Key = "content.name"
	KeyTopic Key = "content.topic"
)

// keyOf returns where an event has its text, empty if it is not one that has any.
func keyOf(e *event.Event) Key {
	_, isState := e.StateKey()
	switch t := e.Type(); {
	case t == "m.room.message" && !isState:
		return KeyBody
	case e.IsState("m.room.name", ""):
		return KeyName
	case e.IsState("m.room.topic", ""):
		return KeyTopic
	}
	return ""
}

// textOf returns what an event says, as it is compared: for an event that replaces
// another what it puts in the place of that.
func textOf(e *event.Event) string {
	content := e.Content()
	switch keyOf(e) {
	case KeyBody:
		if _, ok := room.Edited(e); ok {
			return textindex.Fold(plain(content.Get("m.new_content"), "body"))
		}
		body := plain(content, "body")
		if content.Get("m.relates_to").Get("m.in_reply_to") != nil {
			body = withoutQuote(body)
		}
		return textindex.Fold(body)
	case KeyName:
		return textindex.Fold(plain(content, "name"))
	case KeyTopic:
		return textindex.Fold(plain(content, "topic"))
	}
	return ""
}

// plain returns the plain text of a content: where it always was or, of a sender who
// leaves that out, in the block of texts.
// https://spec.matrix.org/v1.19/client-server-api/#mroomtopic_topiccontentblock
func plain(content canonjson.Value, name string) string {
	if text, ok := content.Get(name).Text(); ok {
		return text
	}
	block := content
	if name == "topic" {
		block = content.Get("m.topic")
	}
	for part := range block.Get("m.text").Elements() {
		kind, named := part.Get("mimetype").Text()
		if text, ok := part.Get("body").Text(); ok && (!named || kind == "text/plain") {
			return text
		}
	}
	return ""
}

// withoutQuote takes from a reply what it repeats of the event that it replies to, for
// clients that do not know replies: that would be found twice.
// https://spec.matrix.org/v1.12/client-server-api/#stripping-the-fallback
func withoutQuote(body string) string {
	rest := body
	for strings.HasPrefix(rest, "> ") || strings.HasPrefix(rest, ">\n") {
		_, after, more := strings.Cut(rest, "\n")
		if !more {
			return body
		}
		rest = after
	}
	return strings.TrimPrefix(rest, "\n")
}
