package loadgen

import (
	"bytes"
	"encoding/json"
)

// nextBatch returns the token to sync on from, of a response to /sync.
func nextBatch(body []byte) (string, bool) { return textOf(body, `"next_batch"`) }

// textOf returns a string in a response, by its quoted name. It is the first member
// of that name wherever it stands: events that have such a member deceive it, and
// there are none in the rooms of this package.
func textOf(body []byte, name string) (string, bool) {
	for {
		i := bytes.Index(body, []byte(name))
		if i < 0 {
			return "", false
		}
		body = bytes.TrimLeft(body[i+len(name):], " \t\r\n")
		if rest, ok := bytes.CutPrefix(body, []byte(":")); ok {
			return jsonString(bytes.TrimLeft(rest, " \t\r\n"))
		}
	}
}

// jsonString returns the string at the start of a JSON text.
func jsonString(text []byte) (string, bool) {
	if len(text) == 0 || text[0] != '"' {
		return "", false
	}
	escaped := false
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
			escaped = true
		case '"':
			var s string
			if !escaped {
				return string(text[1:i]), true
			}
			if err := json.Unmarshal(text[:i+1], &s); err != nil {
				return "", false
			}
			return s, true
		}
	}
	return "", false
}

// serials calls f with each serial number that follows a mark.
func serials(body, mark []byte, f func(serial int64)) {
	for {
		i := bytes.Index(body, mark)
		if i < 0 {
			return
		}
		body = body[i+len(mark):]
		if n, ok := serial(body); ok {
			f(n)
		}
	}
}

func serial(text []byte) (n int64, ok bool) {
	if len(text) < serialDigits {
		return 0, false
	}
	for _, d := range text[:serialDigits] {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = n*10 + int64(d-'0')
	}
	return n, true
}

// limited says whether a response to /sync leaves out messages of some room.
func limited(body []byte) bool {
	return bytes.Contains(body, []byte(`"limited":true`)) || bytes.Contains(body, []byte(`"limited": true`))
}
