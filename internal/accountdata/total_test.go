package accountdata

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

func TestAccountDataHasALimit(t *testing.T) {
	each(t, func(t *testing.T, n *node) {
		content := func(size int) canonjson.Value {
			return canonjson.Value(`{"x":"` + strings.Repeat("x", size-len(`{"x":""}`)) + `"}`)
		}
		n.maxTotal = 8000
		const each = 1000
		for i := range 7 {
			n.put(alice, "", fmt.Sprint("org.test.", i), string(content(each)))
		}
		n.put(alice, room, "org.test", string(content(each-100)))
		for _, tt := range []struct {
			name     string
			dataType string
			size     int
			full     bool
		}{
			{"something else is too much", "org.test.more", 101, true},
			{"something small is not", "org.test.more", 100, false},
			{"what is there may not grow", "org.test.0", each + 1, true},
			{"what is there may stay as large as it is", "org.test.0", each, false},
			{"what is there may shrink", "org.test.0", each / 2, false},
			{"then there is room again", "org.test.1", each + each/2, false},
		} {
			err := n.Put(ctx, alice, "", tt.dataType, content(tt.size))
			if full := errors.Is(err, mxerr.TooLarge); full != tt.full || !full && err != nil {
				t.Errorf("%s: got %v", tt.name, err)
			}
		}
		n.put(bob, "", "org.test", string(content(1000)))
	})
}
