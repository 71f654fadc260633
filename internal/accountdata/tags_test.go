package accountdata

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"parley/internal/journal"
	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

func TestTags(t *testing.T) {
	each(t, func(t *testing.T, n *node) {
		tags := func(want string) {
			t.Helper()
			if got, err := n.Tags(ctx, alice, room); err != nil || string(got) != want {
				t.Errorf("tags: got %s, %v, want %s", got, err, want)
			}
		}
		edit := func(err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		tags(`{}`)
		edit(n.DeleteTag(ctx, alice, room, "u.none"))
		if head := n.journal.Head(); head != 0 {
			t.Errorf("nothing changed, and the journal has %d entries", head)
		}
		edit(n.PutTag(ctx, alice, room, "u.work", canonjson.Value(`{"order":0.25}`)))
		edit(n.PutTag(ctx, alice, room, "m.favourite", canonjson.Value(`{}`)))
		edit(n.PutTag(ctx, alice, room, "u.work", canonjson.Value(`{"order":0.5}`)))
		tags(`{"m.favourite":{},"u.work":{"order":0.5}}`)
		edit(n.DeleteTag(ctx, alice, room, "m.favourite"))
		tags(`{"u.work":{"order":0.5}}`)
		if got, err := n.Get(ctx, alice, room, Tag); err != nil || string(got) != `{"tags":{"u.work":{"order":0.5}}}` {
			t.Errorf("as account data: %s, %v", got, err)
		}
		n.put(alice, room, Tag, `{"tags":7,"x":1}`)
		tags(`{}`)
		edit(n.PutTag(ctx, alice, room, "a\x00", canonjson.Value(`{}`)))
		if got, err := n.Get(ctx, alice, room, Tag); err != nil || string(got) != `{"tags":{"a\u0000":{}},"x":1}` {
			t.Errorf("after something else was there: %s, %v", got, err)
		}
	})
}

// TestARoomIsMadeWithATag: which the next sync has.
func TestARoomIsMadeWithATag(t *testing.T) {
	each(t, func(t *testing.T, n *node) {
		pos, err := n.journal.Append(ctx, func(b *journal.Batch) error { return n.TagWith(b, alice, room, "m.server_notice") })
		if err != nil {
			t.Fatal(err)
		}
		n.want("since", show(n.Since(ctx, alice, pos-1, pos)), "!room:a.test m.tag {\"tags\":{\"m.server_notice\":{}}}\n")
	})
}

func TestTagsHaveLimits(t *testing.T) {
	each(t, func(t *testing.T, n *node) {
		if err := n.PutTag(ctx, alice, room, strings.Repeat("a", 256), canonjson.Value(`{}`)); !errors.Is(err, mxerr.InvalidParam) {
			t.Errorf("a long tag: %v", err)
		}
		about := canonjson.Value(fmt.Sprintf(`{"x":"%s"}`, strings.Repeat("x", maxTags/2)))
		if err := n.PutTag(ctx, alice, room, "a", about); err != nil {
			t.Error(err)
		}
		if err := n.PutTag(ctx, alice, room, "b", about); !errors.Is(err, mxerr.TooLarge) {
			t.Errorf("too much: %v", err)
		}
		n.put(alice, room, Tag, fmt.Sprintf(`{"tags":{"a":%s,"b":%s,"c":{}}}`, about, about))
		if err := n.DeleteTag(ctx, alice, room, "c"); err != nil {
			t.Errorf("less of too much: %v", err)
		}
	})
}
