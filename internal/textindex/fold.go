package textindex

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// MaxText is how many bytes of a text, as it is folded, are searched: what somebody
// pastes is not to cost the index more than what people say.
const MaxText = 8 << 10

// maxRaw is how much of a text is folded at all.
const maxRaw = 4 * MaxText

// Fold returns a text as it is compared: without case, accents, and forms of width
// and style, with one space for any white space and control characters. The accents
// are those of Latin, Greek and Cyrillic; marks that make another letter in other
// scripts stay.
func Fold(s string) string {
	if len(s) > maxRaw {
		s = s[:cut(s, maxRaw)]
	}
	s = strings.ToValidUTF8(s, " ")
	if !isASCII(s) {
		s = norm.NFKD.String(s)
		s = strings.Map(func(r rune) rune {
			if r >= 0x300 && r <= 0x36f {
				return -1
			}
			return r
		}, s)
		s = norm.NFC.String(cases.Fold().String(s))
	}
	var b strings.Builder
	b.Grow(min(len(s), MaxText))
	space := true // no space at the beginning
	for _, r := range s {
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			if !space {
				b.WriteByte(' ')
			}
			space = true
			continue
		}
		if r < utf8.RuneSelf {
			r = unicode.ToLower(r)
		}
		if b.Len()+utf8.RuneLen(r) > MaxText {
			break
		}
		b.WriteRune(r)
		space = false
	}
	return strings.TrimSuffix(b.String(), " ")
}

// cut returns where to cut a text that has more than n bytes, between characters.
func cut(s string, n int) int {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return n
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
