package directory

import (
	"context"
	"fmt"
	"testing"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/signing"
)

// Users with names of two words, all of this server, of whom the one who looks shares a
// room with nobody: it is the directory that finds all.
func BenchmarkSearch(b *testing.B) {
	for _, size := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(size, " users"), func(b *testing.B) {
			storetest.Bench(b, func(b *testing.B, db *store.DB) { benchSearch(b, db, size) })
		})
	}
}

func benchSearch(b *testing.B, db *store.DB, size int) {
	ctx := context.Background()
	j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	key, err := signing.NewKey("ed25519:test", make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	names := make(map[id.UserID]canonjson.Value)
	d := New(Parts{
		Server: "a.test", DB: db, Journal: j, Rooms: room.New(db, j, room.Options{Server: "a.test", Key: key}), All: true,
		Listed: func(_ context.Context, users []id.UserID) (map[id.UserID]bool, error) {
			listed := make(map[id.UserID]bool)
			for _, user := range users {
				listed[user] = true
			}
			return listed, nil
		},
		Profile: func(_ context.Context, user id.UserID) (canonjson.Value, error) { return names[user], nil },
	})
	if err := d.open(ctx); err != nil {
		b.Fatal(err)
	}
	d.fill.done = true
	syllables := [...]string{"ma", "ri", "ka", "to", "len", "an", "jo", "be", "sa", "vi", "ro", "del", "gu", "ste", "phi", "ny"}
	word := func(n int) (s string) {
		for range 3 {
			s += syllables[n%16]
			n /= 16
		}
		return s
	}
	for first := 0; first < size; first += 5000 {
		var fresh []entry
		for i := range 5000 {
			n := (first + i) * 2654435761 % (1 << 32)
			user := id.UserID(fmt.Sprintf("@%s%d:a.test", word(n), first+i))
			name := word(n>>8) + " " + word(n>>20)
			names[user] = canonjson.Value("{}").With("displayname", canonjson.Text(name))
			fresh = append(fresh, entry{user: user, words: wordsOf(user, name)})
		}
		if err := db.Update(ctx, func(tx *store.Tx) error { return d.add(tx, fresh) }); err != nil {
			b.Fatal(err)
		}
		if err := d.names.Seal(ctx); err != nil {
			b.Fatal(err)
		}
	}
	for _, q := range []struct{ name, term string }{
		{"a letter", "m"}, {"three letters", "mar"}, {"a name", word(1234)}, {"both names", word(77) + " " + word(5)},
		{"mistyped", "makirto" + "x"}, {"nobody", "xyzxyz"},
	} {
		b.Run(q.name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := d.Search(ctx, "@me:a.test", q.term, 10); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
