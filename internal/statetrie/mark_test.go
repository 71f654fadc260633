package statetrie

import (
	"context"
	"errors"
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// TestMarkFindsWhatStatesNeed removes what is not marked, and reads the states.
func TestMarkFindsWhatStatesNeed(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		all := new(Memory)
		var roots []Root
		var root Root
		number := uint64(0)
		for range rapid.IntRange(1, 60).Draw(t, "changes") {
			number++
			key := Key{Type: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "type"), StateKey: rapid.StringMatching(`[a-f]{0,2}`).Draw(t, "key")}
			next, err := Put(ctx, all, root, key, number)
			if err != nil {
				t.Fatal(err)
			}
			root = next
			roots = append(roots, root)
		}
		kept := roots[rapid.IntRange(0, len(roots)-1).Draw(t, "first"):]
		seen, numbers := make(map[Address]struct{}), make(map[uint64]bool)
		for _, r := range kept {
			if err := Mark(ctx, all, r, seen, func(n uint64) { numbers[n] = true }); err != nil {
				t.Fatal(err)
			}
		}
		left := &Memory{nodes: all.All()}
		maps.DeleteFunc(left.nodes, func(a Address, _ []byte) bool { _, ok := seen[a]; return !ok })
		want := make(map[uint64]bool)
		for _, r := range kept {
			for e, err := range All(ctx, left, r) {
				if err != nil {
					t.Fatalf("a state that is needed cannot be read: %v", err)
				}
				want[e.Number] = true
			}
		}
		if !maps.Equal(numbers, want) {
			t.Errorf("got the events %v, want %v", numbers, want)
		}
		if len(left.nodes) != len(seen) {
			t.Errorf("%d nodes are marked and %d are there", len(seen), len(left.nodes))
		}
	})
}

func TestMarkNoticesWhatIsMissing(t *testing.T) {
	var m Memory
	err := Mark(context.Background(), &m, Root{1}, make(map[Address]struct{}), func(uint64) {})
	if !errors.Is(err, ErrMissing) {
		t.Errorf("got %v", err)
	}
}
