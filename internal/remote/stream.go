package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"parley/matrix/canonjson"
)

// mostElement is how many bytes one element of a streamed answer may have, or a
// member of it that is no list: more than an event.
const mostElement = 1 << 20

// Stream makes a request for an object of which some members are lists of many
// thousands of elements, and hands these on one by one as they come, so that the
// answer is never in memory as a whole. The other members are returned as an object.
// An error of each ends it. Otherwise errors are those of Do; one may come after
// elements that were handed on.
func (s *Servers) Stream(ctx context.Context, c Call, lists []string, each func(list string, element canonjson.Value) error) (rest canonjson.Value, err error) {
	if c.Timeout == 0 {
		c.Timeout = callTime
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	body, err := s.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if rest, err = readStream(body, lists, each); err != nil {
		return nil, fmt.Errorf("reading what %s answers to %s: %w", c.Server, c.Path, err)
	}
	return rest, nil
}

// readStream reads an object.
func readStream(body io.Reader, lists []string, each func(string, canonjson.Value) error) (rest canonjson.Value, err error) {
	s := stream{body: body, rest: canonjson.Value("{}")}
	s.json = json.NewDecoder(&s)
	if err := s.delimiter('{'); err != nil {
		return nil, err
	}
	for s.json.More() {
		name, err := s.json.Token()
		if err != nil {
			return nil, unexpected(err)
		}
		if err := s.member(name.(string), lists, each); err != nil {
			return nil, err
		}
		s.left = mostElement
	}
	return s.rest, s.delimiter('}')
}

// stream is an object that is being read.
type stream struct {
	body io.Reader
	json *json.Decoder
	rest canonjson.Value
	left int // how much may be read before the next element is there
}

// Read gives the decoder as much as an element may have.
func (s *stream) Read(p []byte) (int, error) {
	if s.left <= 0 {
		return 0, ErrTooLarge
	}
	n, err := s.body.Read(p[:min(len(p), s.left)])
	s.left -= n
	return n, err
}

func (s *stream) delimiter(want json.Delim) error {
	s.left = mostElement
	token, err := s.json.Token()
	if err == nil && token != want {
		err = errShape
	}
	return unexpected(err)
}

// unexpected is err, but for an end that comes too early.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// member reads a member: a list by its elements.
func (s *stream) member(name string, lists []string, each func(string, canonjson.Value) error) error {
	if !slices.Contains(lists, name) {
		value, err := s.value()
		if err == nil {
			s.rest = s.rest.With(name, value)
		}
		return err
	}
	if err := s.delimiter('['); err != nil {
		return err
	}
	for s.json.More() {
		element, err := s.value()
		if err == nil {
			err = each(name, element)
		}
		if err != nil {
			return err
		}
		s.left = mostElement // for what More reads
	}
	return s.delimiter(']')
}

func (s *stream) value() (canonjson.Value, error) {
	s.left = mostElement
	var raw json.RawMessage
	if err := s.json.Decode(&raw); err != nil {
		return nil, unexpected(err)
	}
	return canonjson.Canonical(raw, canonjson.Lenient)
}
