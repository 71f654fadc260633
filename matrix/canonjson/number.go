package canonjson

import (
	"bytes"
	"math"
	"strconv"
)

// number validates the number that begins at i and returns the index after it.
func (s *scanner) number(i int) (int, error) {
	end, integer := numberEnd(s.src, i)
	if end < 0 {
		return i, fail(i, "malformed number")
	}
	token := s.src[i:end]
	switch {
	case s.mode == Strict:
		if !integer {
			return i, fail(i, "number %.24q is not an integer in plain digits", token)
		}
		if string(token) == "-0" {
			return i, fail(i, "negative zero")
		}
		if n, ok := parseInt(token); !ok || n > MaxInt || n < -MaxInt {
			return i, fail(i, "integer %.24q is beyond 2^53-1", token)
		}
	case integer:
		s.canonical = s.canonical && string(token) != "-0"
	default:
		var buf [32]byte
		form, ok := appendFloat(buf[:0], token)
		if !ok {
			return i, fail(i, "number %.24q is beyond binary64", token)
		}
		s.canonical = s.canonical && bytes.Equal(form, token)
	}
	return end, nil
}

// numberEnd returns the index after the number at i, and whether it has
// neither fraction nor exponent. The index is -1 when the number is malformed.
func numberEnd(src []byte, i int) (end int, integer bool) {
	if src[i] == '-' {
		i++
	}
	start := i
	if i = digitsEnd(src, i); i == start || src[start] == '0' && i > start+1 {
		return -1, false
	}
	integer = true
	if i < len(src) && src[i] == '.' {
		integer = false
		start = i + 1
		if i = digitsEnd(src, start); i == start {
			return -1, false
		}
	}
	if i < len(src) && (src[i] == 'e' || src[i] == 'E') {
		integer = false
		if i++; i < len(src) && (src[i] == '+' || src[i] == '-') {
			i++
		}
		start = i
		if i = digitsEnd(src, start); i == start {
			return -1, false
		}
	}
	return i, integer
}

func digitsEnd(src []byte, i int) int {
	for i < len(src) && '0' <= src[i] && src[i] <= '9' {
		i++
	}
	return i
}

// parseInt reads digits with an optional minus sign. ok is false when the
// number does not fit an int64 or is no integer.
func parseInt(token []byte) (n int64, ok bool) {
	digits := token
	negative := len(token) > 0 && token[0] == '-'
	if negative {
		digits = token[1:]
	}
	if len(digits) == 0 {
		return 0, false
	}
	var u uint64
	for _, c := range digits {
		if c < '0' || c > '9' || u > (1<<63)/10 {
			return 0, false
		}
		u = u*10 + uint64(c-'0')
	}
	switch {
	case negative && u <= 1<<63:
		return -int64(u), true
	case !negative && u < 1<<63:
		return int64(u), true
	}
	return 0, false
}

// appendFloat appends the lenient form of a number that has a fraction or an
// exponent. ok is false when no binary64 can hold it.
func appendFloat(dst, token []byte) (form []byte, ok bool) {
	f, err := strconv.ParseFloat(string(token), 64)
	if err != nil {
		return dst, false
	}
	if bytes.IndexByte(token, '.') < 0 && f == math.Trunc(f) && math.Abs(f) < 1e16 {
		return strconv.AppendInt(dst, int64(f), 10), true
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64), true
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	if bytes.IndexByte(dst[start:], '.') < 0 {
		dst = append(dst, '.', '0')
	}
	return dst, true
}
