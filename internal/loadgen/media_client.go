package loadgen

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// transferPatience is how long a file may be on its way.
const transferPatience = 10 * time.Minute

// pieceSize is how many bytes of a file are sent or received with one system call.
const pieceSize = 256 << 10

// upload returns the head of a request that uploads a file.
func (t Target) upload(token, kind string, size int64) []byte {
	head := t.head("POST", "/_matrix/media/v3/upload?filename=bench", token, -1)
	return fmt.Appendf(nil, "%sContent-Type: %s\r\nContent-Length: %d\r\n\r\n", strings.TrimSuffix(head, "\r\n"), kind, size)
}

// stream sends a request whose body is so long and begins with something, and reads
// the response, which is small.
func (c *client) stream(ctx context.Context, head, begin []byte, size int64) (response, error) {
	var r response
	err := c.over(ctx, transferPatience, func() (last bool, err error) {
		if _, err := c.tcp.Write(append(head, begin...)); err != nil {
			return true, fmt.Errorf("sending a request: %w", err)
		}
		piece := make([]byte, pieceSize)
		for rest := size - int64(len(begin)); rest > 0; {
			n, err := c.tcp.Write(piece[:min(rest, pieceSize)])
			if rest -= int64(n); err != nil {
				break // the answer says why
			}
		}
		r, err = readResponse(c.in, c.body)
		if err != nil {
			return true, fmt.Errorf("reading a response: %w", err)
		}
		c.body = r.body
		return r.last, nil
	})
	return r, err
}

// swallow sends a request, and counts the bytes of the response without keeping
// them. Of one that is no success it returns the body.
func (c *client) swallow(ctx context.Context, request []byte) (n int64, r response, err error) {
	err = c.over(ctx, transferPatience, func() (last bool, err error) {
		if _, err := c.tcp.Write(request); err != nil {
			return true, fmt.Errorf("sending a request: %w", err)
		}
		status, old, err := readStatus(c.in)
		if err != nil {
			return true, err
		}
		f, err := readHeaders(c.in)
		if err != nil {
			return true, err
		}
		r.status, r.last = status, f.last || old
		if status != 200 || f.length < 0 {
			r.body, err = readBody(c.in, f, nil)
			return r.last || err != nil, err
		}
		n, err = io.CopyBuffer(onlyWriter{io.Discard}, io.LimitReader(c.in, f.length), make([]byte, pieceSize))
		if err == nil && n < f.length {
			err = io.ErrUnexpectedEOF
		}
		return r.last || err != nil, err
	})
	if err == nil && r.body != nil {
		n = int64(len(r.body))
	}
	return n, r, err
}

// onlyWriter keeps io.Copy from reading in pieces of its own.
type onlyWriter struct{ io.Writer }

// watchMemory looks again and again how much memory processes have resident, and
// returns the most when it is asked.
func watchMemory(ctx context.Context, processes []int) (most func() int64) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan int64, 1)
	go func() {
		var peak int64
		for {
			var now int64
			for _, pid := range processes {
				r, _ := readProcess(strconv.Itoa(pid)) // a process that has gone has none
				now += r.rss
			}
			peak = max(peak, now)
			if len(processes) == 0 || pause(ctx, 5*time.Millisecond) != nil {
				done <- peak
				return
			}
		}
	}()
	return func() int64 {
		cancel()
		return <-done
	}
}
