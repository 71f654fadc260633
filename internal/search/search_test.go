package search

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"parley/internal/room"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/stateres"
)

type numbered = stateres.Num

func TestWhatWasThereBeforeTheIndexIsFound(t *testing.T) {
	play(t, room.Options{}, func(s *scene) {
		roomID := s.create()
		first := s.say(roomID, "first word")
		gone := s.say(roomID, "gone word")
		s.redact(roomID, gone)
		s.edit(roomID, first, "edited text")
		for i := range chunk + 10 {
			s.say(roomID, fmt.Sprint("filler ", i))
		}
		s.say(roomID, "last word")
		defer s.follow()()
		s.want("word", "last word")
		s.want("edited", "first word")
		s.want(`"filler 509"`, "filler 509")
	})
}

func TestTheIndexGoesOnWhereItWas(t *testing.T) {
	play(t, room.Options{}, func(s *scene) {
		roomID := s.create()
		stop := s.follow()
		kept, gone := s.say(roomID, "kept word"), s.say(roomID, "gone word")
		s.want("word", "gone word", "kept word")
		stop()
		s.redact(roomID, gone)
		s.edit(roomID, kept, "other text")
		s.say(roomID, "new word")
		defer s.follow()()
		s.want("word", "new word")
		s.want("text", "kept word")
	})
}

func TestFailuresLeaveTheIndexWhole(t *testing.T) {
	for _, point := range []store.Point{store.BeforeBegin, store.BeforeCommit, store.AfterCommit} {
		play(t, room.Options{}, func(s *scene) {
			roomID := s.create()
			for i := range 70 {
				s.say(roomID, fmt.Sprint("word ", i)) // more than a block
			}
			edited := s.say(roomID, "edited")
			s.edit(roomID, edited, "corrected")
			s.faults.Begin(point)
			defer s.follow()()
			s.settle()
			s.faults.End()
			s.want("corrected", "edited")
			page, err := s.index.Find(s.ctx, s.query("word"))
			if err != nil || page.Count != 70 || len(page.Hits) != 10 || s.rows("search_docs") != 71 {
				t.Errorf("%d results of %d, %v; %d texts", len(page.Hits), page.Count, err, s.rows("search_docs"))
			}
		})
	}
}

func TestWhatIsPurgedLeavesTheIndex(t *testing.T) {
	play(t, room.Options{}, func(s *scene) {
		roomID, other := s.create(), s.create()
		defer s.follow()()
		for i := range 100 {
			s.say(roomID, fmt.Sprint("secret ", i))
		}
		s.say(roomID, "plain word")
		s.say(other, "other word")
		s.settle()
		s.do(s.index.texts.Seal(s.ctx))
		last, err := s.rooms.Now(s.ctx, roomID)
		s.do(err)
		s.purged(s.rooms.PurgeHistory(s.ctx, roomID, last.Place, false))
		s.want("secret")
		s.want("word", "other word", "plain word")
		if n := s.rows("search_docs"); n != 2 {
			t.Errorf("there are %d texts, want 2", n)
		}
		s.do(s.index.locked(func() error { return s.index.texts.Tidy(s.ctx) }))
		if n := s.rows("text_gone"); n != 0 {
			t.Errorf("%d texts are in lists still", n)
		}
		s.purged(s.rooms.Delete(s.ctx, other, room.Deletion{Purge: true}))
		s.want("word", "plain word")
		if n := s.rows("search_docs"); n != 1 {
			t.Errorf("there are %d texts, want 1", n)
		}
	})
}

// purged waits for a purge.
func (s *scene) purged(name string, err error) {
	s.Helper()
	s.do(err)
	for _, kind := range []room.PurgeKind{room.PurgeHistory, room.PurgeRoom} {
		if p, err := s.rooms.WaitForPurge(s.ctx, name, kind); err == nil && p.Status != room.PurgeComplete {
			s.Fatalf("the purge is %s: %s", p.Status, p.Error)
		}
	}
}

func TestADeletedRoomIsRemovedAtOnce(t *testing.T) {
	play(t, room.Options{}, func(s *scene) {
		roomID := s.create()
		stop := s.follow()
		for i := range 70 {
			s.say(roomID, fmt.Sprint("word ", i))
		}
		s.settle()
		stop()
		num, err := s.rooms.Num(s.ctx, roomID)
		s.do(err)
		s.do(s.index.DeleteRoom(s.ctx, num))
		if n := s.rows("search_docs"); n != 0 {
			t.Errorf("%d texts are left", n)
		}
	})
}

func TestWhatIsTooOldIsNotFound(t *testing.T) {
	play(t, room.Options{Retention: room.Retention{Enabled: true, Default: time.Hour}}, func(s *scene) {
		roomID := s.create()
		defer s.follow()()
		s.sayAt(roomID, "old word", time.Now().Add(-2*time.Hour).UnixMilli())
		s.say(roomID, "new word")
		s.want("word", "new word")
	})
}

func TestTheIndexIsMadeAnew(t *testing.T) {
	play(t, room.Options{}, func(s *scene) {
		roomID := s.create()
		defer s.follow()()
		for i := range 100 {
			s.say(roomID, fmt.Sprint("word ", i))
		}
		s.settle()
		// Something has gone wrong with it.
		s.do(s.db.Update(s.ctx, func(tx *store.Tx) error {
			_, err := tx.Exec("DELETE FROM search_docs WHERE doc % 2 = 0")
			return err
		}))
		s.do(s.index.Rebuild(s.ctx))
		if p := s.index.Progress(); p.Done != 0 || p.Total < 100 {
			t.Errorf("at first, %+v is done", p)
		}
		s.want(`"word 10"`, "word 10")
		if page, err := s.index.Find(s.ctx, s.query("word")); err != nil || page.Count != 100 {
			t.Errorf("%d are found, %v", page.Count, err)
		}
		if n := s.rows("search_docs"); n != 100 {
			t.Errorf("there are %d texts, want 100", n)
		}
	})
}

func TestAnIndexThatIsNotWantedGoes(t *testing.T) {
	play(t, room.Options{}, func(s *scene) {
		roomID := s.create()
		stop := s.follow()
		for range 100 {
			s.say(roomID, "word")
		}
		s.settle()
		stop()
		s.do(s.index.Remove(s.ctx))
		for _, table := range []string{"search_docs", "search_fill", "text_tail", "text_lists", "text_blocks"} {
			if n := s.rows(table); n != 0 {
				t.Errorf("%s has %d rows", table, n)
			}
		}
		if head := s.parts.Journal.Head(); head > 0 {
			if upTo, err := s.parts.Journal.Trim(s.ctx, head); err != nil || upTo != head {
				t.Errorf("the journal is trimmed up to %d of %d, %v", upTo, head, err)
			}
		}
		defer s.follow()()
		if n := len(s.found("word")); n != 10 {
			t.Errorf("when it is wanted again, %d are found", n)
		}
	})
}

// Whatever the blocks are like, pages add up to all results in their order.
func TestPagesAddUp(t *testing.T) {
	play(t, room.Options{}, func(s *scene) {
		random := rand.New(rand.NewPCG(3, 4))
		rooms := []id.RoomID{s.create(), s.create(), s.create()}
		hidden := s.create()
		_, err := s.rooms.Leave(s.ctx, hidden, room.Move{Sender: bob})
		s.do(err)
		defer s.follow()()
		type said struct {
			ts   int64
			text string
		}
		var all []said
		for i := range 300 {
			m := said{1_000_000 + int64(random.IntN(1000)), fmt.Sprint("number ", i)}
			if i%3 == 0 {
				m.text = fmt.Sprint("word ", i)
				all = append(all, m)
			}
			s.sayAt(rooms[random.IntN(3)], m.text, m.ts)
			if i%7 == 0 {
				s.sayAt(hidden, fmt.Sprint("hidden word ", i), m.ts)
			}
			if i%100 == 50 {
				s.settle()
				s.do(s.index.locked(func() error { return s.index.texts.Seal(s.ctx) }))
			}
		}
		slices.SortFunc(all, func(a, b said) int { return cmp.Compare(b.ts, a.ts) })
		s.settle()
		for _, size := range []int{1, 7, 50} {
			q := s.query("word")
			q.Limit = size
			var got []said
			for page := 0; page <= len(all)/size+1; page++ {
				p, err := s.index.Find(s.ctx, q)
				s.do(err)
				for i, name := range s.said(p) {
					got = append(got, said{p.Hits[i].ts, name})
				}
				if page == 0 && (p.Count < 90 || p.Count > 110) {
					t.Errorf("there are about %d results, want 100", p.Count)
				}
				if !p.More {
					break
				}
				q.After = p.Next
			}
			// Those of one time come in the order in which they were numbered.
			slices.SortStableFunc(got, func(a, b said) int { return cmp.Or(cmp.Compare(b.ts, a.ts), cmp.Compare(a.text, b.text)) })
			slices.SortStableFunc(all, func(a, b said) int { return cmp.Or(cmp.Compare(b.ts, a.ts), cmp.Compare(a.text, b.text)) })
			if !slices.Equal(got, all) {
				t.Errorf("pages of %d: got %d results, want %d", size, len(got), len(all))
			}
		}
	})
}

// The best of the latest results come first, then those before these: no page is the last
// while there are more.
func TestMoreResultsThanAreRankedAtOnceComeInPages(t *testing.T) {
	play(t, room.Options{}, func(s *scene) {
		roomID := s.create()
		defer s.follow()()
		const all = mostRanked + 150
		for i := range all {
			s.sayAt(roomID, fmt.Sprint("word ", i), int64(1_000_000+i))
		}
		s.sayAt(roomID, "words", 1) // of the worst rank, and the oldest
		s.settle()
		q := s.query("word")
		q.Recent, q.Limit = false, 200
		got := make(map[string]int)
		last := ""
		for page := 0; ; page++ {
			p, err := s.index.Find(s.ctx, q)
			s.do(err)
			for i, name := range s.said(p) {
				got[name]++
				last = name
				if i > 0 && p.Hits[i].Rank > p.Hits[i-1].Rank {
					t.Errorf("page %d has %d before %d", page, p.Hits[i-1].Rank, p.Hits[i].Rank)
				}
			}
			if p.Count < all-50 || p.Count > all+50 {
				t.Errorf("page %d: there are about %d results, want %d", page, p.Count, all+1)
			}
			if !p.More {
				break
			}
			if page > 10 {
				t.Fatal("there is no end")
			}
			q.After = p.Next
		}
		for name, n := range got {
			if n > 1 {
				t.Errorf("%q is there %d times", name, n)
			}
		}
		if len(got) != all+1 || last != "words" {
			t.Errorf("there are %d results, the last %q, want %d", len(got), last, all+1)
		}
	})
}

func TestTextsOfEvents(t *testing.T) {
	rules, _ := roomver.Lookup("11")
	for _, tt := range []struct{ name, kind, content, want string }{
		{"a body", "m.room.message", `{"body":"Hello"}`, "hello"},
		{"no body", "m.room.message", `{}`, ""},
		{"a body that is none", "m.room.message", `{"body":["a"]}`, ""},
		{"in a block", "m.room.message", `{"m.text":[{"mimetype":"text/html","body":"<b>x</b>"},{"body":"Plain"}]}`, "plain"},
		{"a block that is none", "m.room.message", `{"m.text":{"body":"x"}}`, ""},
		{"a reply", "m.room.message", `{"body":"> <@a:b> said\n> more\n\nAnswer\n> not a quote","m.relates_to":{"m.in_reply_to":{"event_id":"$e"}}}`, "answer > not a quote"},
		{"a reply that only quotes", "m.room.message", `{"body":"> <@a:b> said","m.relates_to":{"m.in_reply_to":{"event_id":"$e"}}}`, "> <@a:b> said"},
		{"what looks like a quote", "m.room.message", `{"body":"> said\n\nAnswer"}`, "> said answer"},
		{"a replacement", "m.room.message", `{"body":"* Better","m.new_content":{"body":"Better"},"m.relates_to":{"rel_type":"m.replace","event_id":"$e"}}`, "better"},
		{"a name", "m.room.name", `{"name":"Name","body":"x"}`, "name"},
		{"a topic", "m.room.topic", `{"topic":"Topic"}`, "topic"},
		{"a topic in a block", "m.room.topic", `{"m.topic":{"m.text":[{"body":"Topic"}]}}`, "topic"},
		{"a message of another kind", "org.test.other", `{"body":"x"}`, ""},
	} {
		state := ""
		if tt.kind == "m.room.name" || tt.kind == "m.room.topic" {
			state = `"state_key":"",`
		}
		e, err := event.Parse([]byte(`{"auth_events":[],"content":`+tt.content+`,"depth":1,"hashes":{"sha256":""},"origin_server_ts":1,"prev_events":[],`+
			`"room_id":"!r:a.test","sender":"@alice:a.test","signatures":{},`+state+`"type":"`+tt.kind+`"}`), rules)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := textOf(e); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
