package id

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxLength is the greatest length of an identifier in bytes, sigil and server
// name included.
const MaxLength = 255

// The sigils of the common identifier format:
// https://spec.matrix.org/v1.19/appendices/#common-identifier-format
const (
	userSigil  = '@'
	roomSigil  = '!'
	eventSigil = '$'
	aliasSigil = '#'
)

// A charset says of each byte whether it is allowed.
type charset [256]bool

const (
	digits = "0123456789"
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

var (
	namespacedChars = chars(lower, digits, "-_.")
	opaqueChars     = chars(digits, upper, lower, "-._~")
)

func chars(allowed ...string) (set charset) {
	for _, s := range allowed {
		for i := range len(s) {
			set[s[i]] = true
		}
	}
	return set
}

// firstOutside returns the index of the first byte of s that set does not
// allow, or -1.
func (set *charset) firstOutside(s string) int {
	for i := range len(s) {
		if !set[s[i]] {
			return i
		}
	}
	return -1
}

// IsNamespaced reports whether s follows the common namespaced identifier
// grammar: 1 to 255 of a-z, 0-9, '-', '_' and '.', the first a letter. Whether
// a name may begin with "m." is the caller's question.
//
// https://spec.matrix.org/v1.19/appendices/#common-namespaced-identifier-grammar
func IsNamespaced(s string) bool {
	return 0 < len(s) && len(s) <= MaxLength && 'a' <= s[0] && s[0] <= 'z' && namespacedChars.firstOutside(s) < 0
}

// IsOpaque reports whether s follows the opaque identifier grammar: 1 to 255 of
// a-z, A-Z, 0-9, '-', '.', '_' and '~'. Some uses have a lower limit of length.
//
// https://spec.matrix.org/v1.19/appendices/#opaque-identifiers
func IsOpaque(s string) bool {
	return 0 < len(s) && len(s) <= MaxLength && opaqueChars.firstOutside(s) < 0
}

// The check functions below and in the files of the types return the reason
// for which s is refused, or "" if it is fine. Reasons are formatted only on
// the way out, so that the good case allocates nothing. Where a function takes
// at, it is the offset of s in the whole identifier.

// parse is the body of every parser.
func parse[T ~string](kind Kind, s string, check func(string) string) (T, error) {
	if reason := check(s); reason != "" {
		return "", refuse(kind, s, reason)
	}
	return T(s), nil
}

func checkLength(s string) string {
	switch {
	case s == "":
		return "empty"
	case len(s) > MaxLength:
		return fmt.Sprintf("%d bytes long, at most %d are allowed", len(s), MaxLength)
	}
	return ""
}

// checkText accepts what old grammars call any legal non-surrogate code points
// except NUL. UTF-8 cannot express a lone surrogate, so valid is enough.
func checkText(s string, at int) string {
	if i := strings.IndexByte(s, 0); i >= 0 {
		return fmt.Sprintf("NUL at byte %d", at+i)
	}
	if utf8.ValidString(s) {
		return ""
	}
	for i := 0; ; {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size <= 1 {
			return fmt.Sprintf("invalid UTF-8 at byte %d", at+i)
		}
		i += size
	}
}

// checkChars names the part of the identifier that s is in its reason.
func checkChars(s string, at int, set *charset, part string) string {
	i := set.firstOutside(s)
	if i < 0 {
		return ""
	}
	r, size := utf8.DecodeRuneInString(s[i:])
	if r == utf8.RuneError && size <= 1 {
		return fmt.Sprintf("invalid UTF-8 at byte %d", at+i)
	}
	return fmt.Sprintf("character %q at byte %d is not allowed in a %s", r, at+i, part)
}

// split takes an identifier of the form sigil localpart ":" server apart at the
// first colon. It does not check the parts; ok is false if there is no sigil or
// no colon.
func split(s string, sigil byte) (localpart, server string, ok bool) {
	if s == "" || s[0] != sigil {
		return "", "", false
	}
	localpart, server, ok = strings.Cut(s[1:], ":")
	if !ok {
		return "", "", false
	}
	return localpart, server, true
}

// opaquePart returns what follows the sigil of an identifier without a server
// name. ok is false if there is one, or no sigil, or nothing after it.
func opaquePart(s string, sigil byte) (opaque string, ok bool) {
	if len(s) < 2 || s[0] != sigil || strings.IndexByte(s, ':') >= 0 {
		return "", false
	}
	return s[1:], true
}

// join refuses a colon in the localpart, because the result would parse as
// another localpart on another server.
func join[T ~string](kind Kind, sigil byte, localpart string, server ServerName, parse func(string) (T, error)) (T, error) {
	switch {
	case localpart == "":
		return "", refuse(kind, localpart, "localpart is empty")
	case strings.IndexByte(localpart, ':') >= 0:
		return "", refuse(kind, localpart, "colon in the localpart")
	}
	return parse(string(rune(sigil)) + localpart + ":" + string(server))
}

// checkQualified checks the form sigil localpart ":" server with the widest
// grammar of localparts, which includes the empty one.
func checkQualified(s string, sigil byte) string {
	if reason := checkLength(s); reason != "" {
		return reason
	}
	if s[0] != sigil {
		return fmt.Sprintf("does not start with %q", sigil)
	}
	localpart, server, ok := split(s, sigil)
	if !ok {
		return "no ':' before a server name"
	}
	if reason := checkText(localpart, 1); reason != "" {
		return reason
	}
	return checkServerName(server, len(s)-len(server))
}

// checkQualifiedOrOpaque also accepts a sigil with any other text and no colon:
// the forms of room and event IDs that are a hash.
func checkQualifiedOrOpaque(s string, sigil byte) string {
	opaque, ok := opaquePart(s, sigil)
	switch {
	case !ok && len(s) == 1 && s[0] == sigil:
		return "nothing after the sigil"
	case !ok:
		return checkQualified(s, sigil)
	case len(s) > MaxLength:
		return checkLength(s)
	}
	return checkText(opaque, 1)
}

// A Form is one of the shapes that event IDs and room IDs take, depending on
// the version of the room.
type Form uint8

const (
	// Qualified is sigil localpart ":" server: event IDs of room versions 1
	// and 2, room IDs of versions 1 to 11.
	Qualified Form = iota
	// Base64 is the sigil and a SHA-256 hash in standard base64 without
	// padding, 43 characters: event IDs of room version 3.
	Base64
	// Base64URL is the same in the URL-safe alphabet: event IDs since room
	// version 4, room IDs since version 12.
	Base64URL
)

func (f Form) String() string {
	switch f {
	case Qualified:
		return "qualified"
	case Base64:
		return "base64"
	case Base64URL:
		return "URL-safe base64"
	}
	return fmt.Sprintf("Form(%d)", uint8(f))
}

// hashLength is the length of 32 bytes in base64 without padding.
const hashLength = 43

var (
	base64Chars    = chars(upper, lower, digits, "+/")
	base64URLChars = chars(upper, lower, digits, "-_")
	// The last of 43 characters carries four bits of the hash; the two that
	// are left must be zero, or two IDs would stand for one hash.
	base64Last = chars("AEIMQUYcgkosw048")
)

func hasForm(s string, sigil byte, f Form) bool {
	if f == Qualified {
		_, _, ok := split(s, sigil)
		return ok
	}
	set := &base64URLChars
	if f == Base64 {
		set = &base64Chars
	}
	opaque, ok := opaquePart(s, sigil)
	return ok && len(opaque) == hashLength && set.firstOutside(opaque) < 0 && base64Last[opaque[hashLength-1]]
}
