package id

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// A Kind names a type of identifier in words, for messages.
type Kind string

const (
	KindServerName Kind = "server name"
	KindUserID     Kind = "user ID"
	KindRoomID     Kind = "room ID"
	KindRoomAlias  Kind = "room alias"
	KindEventID    Kind = "event ID"
	KindKeyID      Kind = "key ID"
	KindContentURI Kind = "content URI"
	KindDeviceID   Kind = "device ID"
)

// displayLength is how many bytes of a refused input an [Error] repeats. Inputs
// come from outside and can be megabytes long.
const displayLength = 80

// An Error says which kind of identifier was expected, what came instead, and
// what is wrong with it.
type Error struct {
	Kind Kind
	// Input is the refused text, cut with an ellipsis if it is long. It is
	// hostile: quote it before showing it, as Error does.
	Input string
	// Reason says what is wrong. Byte offsets in it count from the start of
	// the whole identifier.
	Reason string
}

func (e *Error) Error() string {
	return fmt.Sprintf("invalid %s %q: %s", e.Kind, e.Input, e.Reason)
}

// refuse copies what it keeps of input, so that an error in a log queue does not
// hold on to the request body that the input is a part of.
func refuse(kind Kind, input, reason string) error {
	if len(input) <= displayLength {
		return &Error{Kind: kind, Input: strings.Clone(input), Reason: reason}
	}
	cut := displayLength
	for cut > displayLength-utf8.UTFMax && !utf8.RuneStart(input[cut]) {
		cut--
	}
	return &Error{Kind: kind, Input: input[:cut] + "…", Reason: reason}
}
