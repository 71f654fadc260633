package canonjson

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// scanner validates a text in one pass without allocating, and notes whether
// it is canonical. After a pass without error a rewriter may assume that the
// text is valid.
type scanner struct {
	src       []byte
	mode      Mode
	depth     int
	canonical bool
}

func (s *scanner) text() error {
	i := s.space(0)
	i, err := s.value(i)
	if err != nil {
		return err
	}
	if i = s.space(i); i != len(s.src) {
		return fail(i, "%q after the end of the value", s.src[i])
	}
	return nil
}

func skipSpace(src []byte, i int) int {
	for i < len(src) && (src[i] == ' ' || src[i] == '\n' || src[i] == '\t' || src[i] == '\r') {
		i++
	}
	return i
}

func (s *scanner) space(i int) int {
	if i < len(s.src) && s.src[i] > ' ' {
		return i
	}
	end := skipSpace(s.src, i)
	if end != i {
		s.canonical = false
	}
	return end
}

// value validates the value that begins at i and returns the index after it.
func (s *scanner) value(i int) (int, error) {
	if i >= len(s.src) {
		return i, fail(i, "text ends where a value is expected")
	}
	switch c := s.src[i]; {
	case c == '"':
		return s.string(i)
	case c == '{':
		return s.object(i)
	case c == '[':
		return s.array(i)
	case c == '-' || '0' <= c && c <= '9':
		return s.number(i)
	case c == 't':
		return s.literal(i, "true")
	case c == 'f':
		return s.literal(i, "false")
	case c == 'n':
		return s.literal(i, "null")
	default:
		return i, fail(i, "%q where a value is expected", c)
	}
}

func (s *scanner) literal(i int, word string) (int, error) {
	if end := i + len(word); end <= len(s.src) && string(s.src[i:end]) == word {
		return end, nil
	}
	return i, fail(i, "unknown word where %q may stand", word)
}

func (s *scanner) enter(i int) error {
	if s.depth++; s.depth > MaxDepth {
		return fail(i, "nested deeper than %d", MaxDepth)
	}
	return nil
}

func (s *scanner) array(i int) (int, error) {
	if err := s.enter(i); err != nil {
		return i, err
	}
	if i = s.space(i + 1); i < len(s.src) && s.src[i] == ']' {
		s.depth--
		return i + 1, nil
	}
	for {
		var err error
		if i, err = s.value(i); err != nil {
			return i, err
		}
		if i = s.space(i); i >= len(s.src) {
			return i, fail(i, "text ends inside an array")
		}
		switch s.src[i] {
		case ',':
			i = s.space(i + 1)
		case ']':
			s.depth--
			return i + 1, nil
		default:
			return i, fail(i, "%q where ',' or ']' is expected", s.src[i])
		}
	}
}

func (s *scanner) object(i int) (int, error) {
	if err := s.enter(i); err != nil {
		return i, err
	}
	if i = s.space(i + 1); i < len(s.src) && s.src[i] == '}' {
		s.depth--
		return i + 1, nil
	}
	var previous []byte
	for {
		keyEnd, next, err := s.member(i)
		if err != nil {
			return i, err
		}
		key := s.src[i:keyEnd]
		if s.canonical && previous != nil && compareStrings(previous, key) >= 0 {
			s.canonical = false
		}
		previous = key
		if next >= len(s.src) {
			return next, fail(next, "text ends inside an object")
		}
		switch s.src[next] {
		case ',':
			i = s.space(next + 1)
		case '}':
			s.depth--
			return next + 1, nil
		default:
			return next, fail(next, "%q where ',' or '}' is expected", s.src[next])
		}
	}
}

// member validates one name and its value, and returns the end of the name
// and the index of what follows the value.
func (s *scanner) member(i int) (keyEnd, next int, err error) {
	if i >= len(s.src) || s.src[i] != '"' {
		return i, i, fail(i, "no member name where one is expected")
	}
	if keyEnd, err = s.string(i); err != nil {
		return i, i, err
	}
	colon := s.space(keyEnd)
	if colon >= len(s.src) || s.src[colon] != ':' {
		return i, i, fail(colon, "no ':' after a member name")
	}
	if next, err = s.value(s.space(colon + 1)); err != nil {
		return i, i, err
	}
	return keyEnd, s.space(next), nil
}

// plain marks the bytes that stand for themselves inside a string, whatever
// surrounds them. Bytes from 0x80 on need their sequence checked.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x80; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// plainEnd returns the index of the first byte from i on that is not plain. It
// looks at eight bytes at once: subtracting moves the high bit of a byte that is
// a quote, a backslash or a control character, or of one above it, and bytes
// beyond ASCII have it.
func plainEnd(src []byte, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(src); i += 8 {
		x := binary.LittleEndian.Uint64(src[i:])
		found := (x | (x - ones*' ') | ((x ^ ones*'"') - ones) | ((x ^ ones*'\\') - ones)) & highs
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(src) && plain[src[i]] {
		i++
	}
	return i
}

func (s *scanner) string(i int) (int, error) {
	i++
	for {
		start := i
		if i = plainEnd(s.src, i); i >= len(s.src) {
			return i, fail(start, "text ends inside a string")
		}
		switch c := s.src[i]; {
		case c == '"':
			return i + 1, nil
		case c == '\\':
			end, err := s.escape(i)
			if err != nil {
				return i, err
			}
			i = end
		case c < 0x20:
			return i, fail(i, "raw control character %#02x in a string", c)
		default:
			r, size := utf8.DecodeRune(s.src[i:])
			if r == utf8.RuneError && size <= 1 {
				return i, fail(i, "string is not valid UTF-8")
			}
			i += size
		}
	}
}

// escape validates the escape sequence at i; a surrogate pair counts as one.
func (s *scanner) escape(i int) (int, error) {
	r, size := decodeEscape(s.src[i:])
	if size == 0 {
		return i, fail(i, "invalid escape sequence or lone surrogate")
	}
	if s.canonical {
		var short [6]byte
		s.canonical = bytes.Equal(appendRune(short[:0], r), s.src[i:i+size])
	}
	return i + size, nil
}
