package accountdata

import (
	"bytes"
	"context"

	"parley/internal/journal"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

const (
	maxTag  = 255      // bytes of a tag, as the specification has it
	maxTags = 64 << 10 // bytes of all tags of a room with what is said about them
)

// Tags returns the tags of a room by their names, an object.
// https://spec.matrix.org/v1.19/client-server-api/#room-tagging
func (s *Store) Tags(ctx context.Context, user id.UserID, room id.RoomID) (canonjson.Value, error) {
	content, _, err := s.read(ctx, place{user, room, Tag})
	return tagsOf(content), err
}

// PutTag gives a room a tag, with an object about it, or replaces that. A tag that
// is too long is refused with M_INVALID_PARAM, too many with M_TOO_LARGE.
func (s *Store) PutTag(ctx context.Context, user id.UserID, room id.RoomID, tag string, about canonjson.Value) error {
	if len(tag) > maxTag {
		return mxerr.New(mxerr.InvalidParam, "A tag has at most %d bytes", maxTag)
	}
	return s.editTags(ctx, user, room, func(tags canonjson.Value) canonjson.Value { return tags.With(tag, about) })
}

// TagWith gives a room that is being made a tag, in the batch that makes it.
func (s *Store) TagWith(b *journal.Batch, user id.UserID, room id.RoomID, tag string) error {
	return s.change(place{user, room, Tag}, object("tags", object(tag, canonjson.Value("{}"))), nil)(b)
}

// DeleteTag takes a tag from a room, if it has it.
func (s *Store) DeleteTag(ctx context.Context, user id.UserID, room id.RoomID, tag string) error {
	return s.editTags(ctx, user, room, func(tags canonjson.Value) canonjson.Value { return tags.Without(tag) })
}

func (s *Store) editTags(ctx context.Context, user id.UserID, room id.RoomID, f func(canonjson.Value) canonjson.Value) error {
	return s.edit(ctx, place{user, room, Tag}, func(content []byte) ([]byte, error) {
		tags := tagsOf(content)
		next := f(tags)
		switch {
		case bytes.Equal(next, tags):
			return content, nil
		case len(next) > maxTags && len(next) > len(tags):
			return nil, mxerr.New(mxerr.TooLarge, "The tags of a room have at most %d bytes", maxTags)
		}
		return canonjson.Value(content).With("tags", next), nil
	})
}

// tagsOf returns the tags in a content that may be nil, or anything that a client
// has put.
func tagsOf(content canonjson.Value) canonjson.Value {
	if tags := content.Get("tags"); tags.Kind() == canonjson.Object {
		return tags
	}
	return canonjson.Value("{}")
}
