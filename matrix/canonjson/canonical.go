package canonjson

// MaxDepth is how deeply arrays and objects may nest; the outermost one has
// depth 1. The specification names no limit. Other servers stop somewhere
// between 128 and 1,000, so nothing that travels the network comes near.
const MaxDepth = 512

// MaxSize is how many bytes a text may have. Callers have limits of their own
// that are far below; this one keeps offsets within 32 bits.
const MaxSize = 512 << 20

// MaxInt is the largest integer that canonical JSON may hold, 2^53-1, and
// -MaxInt the smallest: what every binary64 implementation keeps exact.
const MaxInt = 1<<53 - 1

// A Mode selects which numbers are accepted.
type Mode uint8

const (
	// Strict accepts integers from -MaxInt to MaxInt, written without
	// fraction, exponent or negative zero, and refuses every other number.
	Strict Mode = iota
	// Lenient accepts every JSON number that has a value. Integers of any
	// length keep their digits and -0 becomes 0. An integral value below 1e16
	// in exponent form becomes an integer, as in the specification's example.
	// Any other number with a fraction or exponent is a binary64 and is
	// written in its shortest form, with the exponent from 1e16 and below
	// 1e-4 on: so wrote the server that made nearly all events that have one,
	// and their hashes depend on it.
	Lenient
)

// Canonical returns the canonical form of src, which may have white space
// around its one value. When src is canonical already the result is src
// itself; otherwise it is a new slice. An error is a *SyntaxError.
func Canonical(src []byte, mode Mode) (Value, error) {
	if len(src) > MaxSize {
		return nil, fail(MaxSize, "text longer than %d bytes", MaxSize)
	}
	s := scanner{src: src, mode: mode, canonical: true}
	if err := s.text(); err != nil {
		return nil, err
	}
	if s.canonical {
		return src, nil
	}
	r := rewriter{src: src, out: make([]byte, 0, len(src)), members: make([]member, 0, 16)}
	r.value(skipSpace(src, 0))
	return r.out, nil
}

// IsCanonical reports whether src is the canonical form of some value that
// mode accepts. It never allocates when the answer is yes.
func IsCanonical(src []byte, mode Mode) bool {
	s := scanner{src: src, mode: mode, canonical: true}
	return s.text() == nil && s.canonical
}
