package glob

import (
	"unicode"
	"unicode/utf8"
)

// fold returns the character that stands for r and all that differ from it
// only in case: lower case for ASCII, the least code point beyond ASCII for
// others.
func fold(r rune) rune {
	switch {
	case 'A' <= r && r <= 'Z':
		return r + ('a' - 'A')
	case r < 0x80, caseless(r):
		return r
	}
	least := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		if other >= 0x80 && other < least {
			least = other
		}
	}
	return least
}

// caseless reports, for the scripts of East Asia and for symbols, that r has no
// other case. It only saves time.
func caseless(r rune) bool {
	return 0x2E00 <= r && r < 0xA640 || 0xAC00 <= r && r < 0xFB00 || r >= 0x1F000
}

// Fold appends the form of s in which texts that differ only in case are the
// same. It has as many characters as s, and what is not UTF-8 becomes U+FFFD.
func Fold(dst, s []byte) []byte {
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, size := utf8.DecodeRune(s[i:])
		dst = utf8.AppendRune(dst, fold(r))
		i += size
	}
	return dst
}

// atBoundary reports whether a match of words may begin or end at i.
// Folding keeps ASCII and other characters apart, so folded text has the
// boundaries of the original.
func atBoundary(text []byte, i int) bool {
	return i == 0 || i == len(text) || !isWord(text[i-1]) || !isWord(text[i])
}

func isWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}
