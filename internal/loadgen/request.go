package loadgen

import (
	"fmt"
	"net/url"
	"strings"
)

// path joins a path from its format and segments, each of which is escaped.
func path(format string, segments ...string) string {
	escaped := make([]any, len(segments))
	for i, s := range segments {
		escaped[i] = url.PathEscape(s)
	}
	return fmt.Sprintf(format, escaped...)
}

// head returns the start of a request up to the length of its body, which is
// missing if it is negative.
func (t Target) head(method, target, token string, length int) string {
	return method + " " + t.prefix + target + t.headers(token, length)
}

// headers returns what follows the target of a request.
func (t Target) headers(token string, length int) string {
	var b strings.Builder
	b.WriteString(" HTTP/1.1\r\nHost: " + t.host + "\r\nUser-Agent: parley-bench\r\nAccept: application/json\r\n")
	if token != "" {
		b.WriteString("Authorization: Bearer " + token + "\r\n")
	}
	if length >= 0 {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", length)
	}
	b.WriteString("\r\n")
	return b.String()
}

// serialDigits is how wide a serial number is written, so that requests which
// differ in it are equally long.
const serialDigits = 10

// message is the request that sends a message into one room as one user, but for
// its serial number. That stands in the transaction ID and, behind a mark, in
// the body, by which those who receive the message know it.
type message struct {
	before, between, after []byte
}

// newMessage returns a request whose message body is as long as wanted, or as
// the mark and the number need.
func newMessage(t Target, roomID, token, transaction, mark string, length int) message {
	text := `{"msgtype":"m.text","body":"` + mark
	padding := strings.Repeat("x", max(0, length-len(mark)-serialDigits-1))
	end := " " + padding + `"}`
	target := path("/_matrix/client/v3/rooms/%s/send/m.room.message/%s", roomID, transaction)
	return message{
		before:  []byte("PUT " + t.prefix + target),
		between: []byte(t.headers(token, len(text)+serialDigits+len(end)) + text),
		after:   []byte(end),
	}
}

// append appends the request with a serial number.
func (m message) append(to []byte, serial int64) []byte {
	to = append(to, m.before...)
	to = appendSerial(to, serial)
	to = append(to, m.between...)
	to = appendSerial(to, serial)
	return append(to, m.after...)
}

func appendSerial(to []byte, n int64) []byte {
	var digits [serialDigits]byte
	for i := range digits {
		digits[serialDigits-1-i] = byte('0' + n%10)
		n /= 10
	}
	return append(to, digits[:]...)
}
