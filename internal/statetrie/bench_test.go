package statetrie

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// benchRoom is a room of so many members, with the other state a room has, as
// its events came: numbered among those of the server's other rooms.
func benchRoom(size int) []Entry {
	var entries []Entry
	number := uint64(2_000_000)
	add := func(k Key) {
		number += 7
		entries = append(entries, Entry{k, number})
	}
	for _, typ := range []string{
		"m.room.create", "m.room.power_levels", "m.room.join_rules", "m.room.history_visibility", "m.room.guest_access",
		"m.room.name", "m.room.topic", "m.room.avatar", "m.room.canonical_alias", "m.room.encryption", "m.room.server_acl",
	} {
		add(Key{typ, ""})
	}
	for i := range size {
		add(member(i))
	}
	for i := range 10 {
		add(Key{"im.vector.modular.widgets", fmt.Sprintf("widget_%d", i)})
	}
	return entries
}

// writes counts what reaches the store and keeps it.
type writes struct {
	Memory
	nodes, bytes int
}

func (w *writes) Save(ctx context.Context, nodes []Node) error {
	w.nodes += len(nodes)
	for _, n := range nodes {
		w.bytes += len(n.Bytes)
	}
	return w.Memory.Save(ctx, nodes)
}

func (w *writes) report(b *testing.B) {
	b.ReportMetric(float64(w.bytes)/float64(b.N), "written-B/op")
	b.ReportMetric(float64(w.nodes)/float64(b.N), "written-nodes/op")
}

func eachSize(b *testing.B, run func(b *testing.B, store *writes, root Root, size int)) {
	for _, size := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("members=%d", size), func(b *testing.B) {
			store := new(writes)
			root, err := Build(context.Background(), store, slices.Values(benchRoom(size)))
			if err != nil {
				b.Fatal(err)
			}
			store.nodes, store.bytes = 0, 0
			b.ReportAllocs()
			run(b, store, root, size)
		})
	}
}

func BenchmarkGet(b *testing.B) {
	eachSize(b, func(b *testing.B, store *writes, root Root, size int) {
		ctx, random := context.Background(), rand.New(rand.NewPCG(1, 2))
		for b.Loop() {
			if n, err := Get(ctx, store, root, member(random.IntN(size))); err != nil || n == 0 {
				b.Fatal(n, err)
			}
		}
	})
}

// A member changes: a name, an avatar, a leave.
func BenchmarkPutMember(b *testing.B) {
	eachSize(b, func(b *testing.B, store *writes, root Root, size int) {
		ctx, random := context.Background(), rand.New(rand.NewPCG(1, 2))
		number := uint64(9_000_000)
		for b.Loop() {
			number++
			if _, err := Put(ctx, store, root, member(random.IntN(size)), number); err != nil {
				b.Fatal(err)
			}
		}
		store.report(b)
	})
}

func BenchmarkPutNewMember(b *testing.B) {
	eachSize(b, func(b *testing.B, store *writes, root Root, size int) {
		ctx := context.Background()
		next := size
		for b.Loop() {
			next++
			if _, err := Put(ctx, store, root, member(next), 9_000_000); err != nil {
				b.Fatal(err)
			}
		}
		store.report(b)
	})
}

func BenchmarkPutTopic(b *testing.B) {
	eachSize(b, func(b *testing.B, store *writes, root Root, size int) {
		ctx := context.Background()
		number := uint64(9_000_000)
		for b.Loop() {
			number++
			if _, err := Put(ctx, store, root, Key{"m.room.topic", ""}, number); err != nil {
				b.Fatal(err)
			}
		}
		store.report(b)
	})
}

func twentyChanges(random *rand.Rand, size int) []Entry {
	var made []Entry
	for i := range 20 {
		made = append(made, Entry{member(random.IntN(size)), uint64(9_000_000 + i)})
	}
	return made
}

func BenchmarkApply20(b *testing.B) {
	eachSize(b, func(b *testing.B, store *writes, root Root, size int) {
		ctx, random := context.Background(), rand.New(rand.NewPCG(1, 2))
		for b.Loop() {
			if _, err := Apply(ctx, store, root, twentyChanges(random, size)); err != nil {
				b.Fatal(err)
			}
		}
		store.report(b)
	})
}

func BenchmarkDiff20(b *testing.B) {
	eachSize(b, func(b *testing.B, store *writes, root Root, size int) {
		ctx := context.Background()
		after, err := Apply(ctx, store, root, twentyChanges(rand.New(rand.NewPCG(1, 2)), size))
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			n := 0
			for _, err := range Diff(ctx, store, root, after) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			if n < 15 || n > 20 {
				b.Fatalf("%d changes", n)
			}
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	for _, size := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("members=%d", size), func(b *testing.B) {
			ctx, entries := context.Background(), benchRoom(size)
			b.ReportAllocs()
			var store *writes
			for b.Loop() {
				store = new(writes)
				if _, err := Build(ctx, store, slices.Values(entries)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(store.bytes), "stored-B")
			b.ReportMetric(float64(store.nodes), "stored-nodes")
			b.ReportMetric(float64(store.bytes)/float64(len(entries)), "stored-B/entry")
		})
	}
}

func BenchmarkAll(b *testing.B) {
	eachSize(b, func(b *testing.B, store *writes, root Root, size int) {
		for b.Loop() {
			for _, err := range All(context.Background(), store, root) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

func BenchmarkOfType(b *testing.B) {
	eachSize(b, func(b *testing.B, store *writes, root Root, size int) {
		for b.Loop() {
			n := 0
			for _, err := range OfType(context.Background(), store, root, "im.vector.modular.widgets") {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			if n != 10 {
				b.Fatal(n)
			}
		}
	})
}
