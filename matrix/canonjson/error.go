package canonjson

import "fmt"

// A SyntaxError says what is wrong with a JSON text and where.
type SyntaxError struct {
	// Offset is the index of the offending byte, or the length of the text
	// when it ended too early.
	Offset int
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("invalid JSON at byte %d: %s", e.Offset, e.Reason)
}

func fail(offset int, format string, args ...any) error {
	return &SyntaxError{Offset: offset, Reason: fmt.Sprintf(format, args...)}
}
