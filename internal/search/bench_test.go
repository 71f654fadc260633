package search

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/internal/room"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
)

// benchSizes are how many messages there are: as PARLEY_BENCH_MESSAGES says, separated
// by commas, or few.
func benchSizes() []int {
	sizes := []int{10_000, 50_000}
	if list := os.Getenv("PARLEY_BENCH_MESSAGES"); list != "" {
		sizes = nil
		for text := range strings.SplitSeq(list, ",") {
			n, _ := strconv.Atoi(text)
			sizes = append(sizes, n)
		}
	}
	return sizes
}

// A speaker says what people say: some words often, most seldom, a tenth in Japanese.
type speaker struct {
	random *rand.Rand
	zipf   *rand.Zipf
}

func newSpeaker() *speaker {
	r := rand.New(rand.NewPCG(1, 2))
	return &speaker{r, rand.NewZipf(r, 1.15, 4, 60_000)}
}

// word returns a word by how seldom it is said. The often ones are short.
func word(n uint64) string {
	const consonants, vowels = "tnshrdlcmwfgypbvkjxqz", "eaoiu"
	var b strings.Builder
	for n += 3; n > 0; n /= 105 {
		b.WriteByte(consonants[n%21])
		b.WriteByte(vowels[n/21%5])
	}
	return b.String()
}

func (s *speaker) sentence() string {
	var b strings.Builder
	if s.random.IntN(10) == 0 {
		for range 5 + s.random.IntN(30) {
			b.WriteRune(rune(0x4e00 + min(s.zipf.Uint64(), 6000)))
		}
		return b.String()
	}
	for i := range 3 + s.random.IntN(16) {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(word(s.zipf.Uint64()))
	}
	return b.String()
}

// fill puts messages into rooms of which bob is in half, past the engine: that would take
// longer than all that is measured.
func (s *scene) fillWith(messages, rooms int) {
	s.Helper()
	type target struct {
		num   room.Num
		json  canonjson.Value
		place int64
	}
	var targets []target
	for i := range rooms {
		roomID, _, err := s.rooms.Create(s.ctx, room.NewRoom{Creator: alice, Preset: room.PublicChat})
		s.do(err)
		if i%2 == 0 {
			_, err = s.rooms.Join(s.ctx, roomID, room.Move{Sender: bob})
			s.do(err)
		}
		if s.largest == "" {
			s.largest = roomID
		}
		eventID := s.say(roomID, "template")
		num, err := s.rooms.Num(s.ctx, roomID)
		s.do(err)
		it, _, err := s.rooms.Item(s.ctx, roomID, eventID)
		s.do(err)
		targets = append(targets, target{num, it.Event.JSON(), it.Place})
	}
	last, err := s.rooms.LastStored(s.ctx)
	s.do(err)
	next := int64(last) + 1_000_000
	insert := &store.Insert{Table: "events", Columns: []store.Column{
		{Name: "event", Type: store.Int}, {Name: "room", Type: store.Int}, {Name: "event_id", Type: store.Text}, {Name: "place", Type: store.Int},
		{Name: "status", Type: store.Int}, {Name: "merges", Type: store.Bool}, {Name: "unread", Type: store.Int}, {Name: "loud", Type: store.Int},
		{Name: "threaded_unread", Type: store.Int}, {Name: "threaded_loud", Type: store.Int}, {Name: "auth", Type: store.Blob}, {Name: "json", Type: store.Blob},
	}}
	speaker := newSpeaker()
	ts := time.Now().Add(-365 * 24 * time.Hour).UnixMilli()
	step := 365 * 24 * time.Hour.Milliseconds() / int64(messages)
	for done := 0; done < messages; {
		var rows [][]any
		for ; len(rows) < 5000 && done < messages; done++ {
			t := &targets[int(speaker.zipf.Uint64())%len(targets)]
			t.place++
			next++
			ts += step
			json := t.json.With("content", canonjson.Value(`{"msgtype":"m.text"}`).With("body", canonjson.Text(speaker.sentence()))).
				With("origin_server_ts", canonjson.Integer(ts))
			rows = append(rows, []any{next, int64(t.num), fmt.Sprintf("$%043d", next), t.place, int64(1), false, int64(0), int64(0), int64(0), int64(0), []byte{}, []byte(json)})
		}
		s.do(s.db.Update(s.ctx, func(tx *store.Tx) error { return tx.QueueAll(insert, rows) }))
	}
}

// size returns how many bytes the index takes in the database.
func (s *scene) size() (bytes int64) {
	s.Helper()
	err := s.db.View(s.ctx, func(tx *store.Tx) error {
		for _, table := range []string{"search_docs", "text_lists", "text_tail", "text_blocks", "text_gone"} {
			query := "SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name = '" + table + "' OR name LIKE '" + table + "_by%'"
			if tx.Dialect() == store.PostgreSQL {
				query = "SELECT pg_total_relation_size('" + table + "')"
			}
			var n int64
			if err := tx.Row(query).Scan(&n); err != nil {
				return err
			}
			bytes += n
		}
		return nil
	})
	s.do(err)
	return bytes
}

var benchQueries = []struct {
	name, term string
	recent     bool
	rooms      int // in how many; 0: in all
}{
	{"a rare word", word(40_000), true, 0},
	{"a common word", word(20), true, 0},
	{"a common word by rank", word(20), false, 0},
	{"a common word in one room", word(20), true, 1},
	{"three common words", word(20) + " " + word(35) + " " + word(51), true, 0},
	{"two letters", word(5)[:2], true, 0},
	{"a part of a word", word(30_000)[1:5], true, 0},
	{"two characters", "三乇", true, 0},
	{"one character", "上", true, 0},
	{"a phrase that nobody said", `"` + strings.Repeat(word(20)+" ", 3) + `"`, true, 0},
	{"nothing of it is there", "xqzxqz", true, 0},
}

func BenchmarkSearch(b *testing.B) {
	for _, size := range benchSizes() {
		b.Run(fmt.Sprint(size, " messages"), func(b *testing.B) {
			storetest.Bench(b, func(b *testing.B, db *store.DB) { benchSearch(b, db, size) })
		})
	}
}

func benchSearch(b *testing.B, db *store.DB, size int) {
	s := newScene(b, db, room.Options{})
	s.fillWith(size, 1000)
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	start := time.Now()
	go s.index.Run(ctx)
	s.settleWithin(time.Hour)
	took := time.Since(start)
	bytes := s.size()
	b.Logf("%d messages: indexed %.0f in a second, %d bytes for each", size, float64(size)/took.Seconds(), bytes/int64(size))
	for _, q := range benchQueries {
		b.Run(q.name, func(b *testing.B) {
			query := s.query(q.term)
			query.Recent = q.recent
			if q.rooms > 0 {
				query.Room = s.largest
			}
			var page Page
			for b.Loop() {
				var err error
				if page, err = s.index.Find(s.ctx, query); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(page.Count), "results")
		})
	}
}
