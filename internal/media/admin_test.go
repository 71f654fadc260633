package media

import (
	"fmt"
	"testing"
	"time"

	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

func TestUploadsAreListedInEachOrder(t *testing.T) {
	each(t, func(s *scene) {
		for _, content := range []string{"one", "second", "c"} {
			s.upload("@alice:a.test", content)
		}
		s.upload("@bob:a.test", "one")
		for _, order := range []Order{ByID, ByName, ByCreation, ByUse, BySize, ByType, ByQuarantine, ByProtection} {
			for _, backwards := range []bool{false, true} {
				list, total, err := s.OfUser(t.Context(), "@alice:a.test", order, backwards, 1, 5)
				if err != nil || total != 3 || len(list) != 2 {
					t.Errorf("by %s: got %d of %d, %v", order, len(list), total, err)
				}
			}
		}
		list, _, err := s.OfUser(t.Context(), "@alice:a.test", BySize, true, 0, 10)
		if err != nil || list[0].Size != 6 || list[2].Size != 1 {
			t.Errorf("got %+v, %v", list, err)
		}
		if Order("hash; DROP TABLE media").Known() {
			t.Error("what is no order is known")
		}
		totals, err := s.Totals(t.Context())
		if err != nil || len(totals) != 2 || totals[0].Count+totals[1].Count != 4 || totals[0].Bytes+totals[1].Bytes != 13 {
			t.Errorf("got %+v, %v", totals, err)
		}
		usage, err := s.Usage(t.Context())
		if err != nil || usage != (Usage{Uploads: 4, UploadBytes: 13}) {
			t.Errorf("got %+v, %v", usage, err)
		}
	})
}

func TestWhatIsKeptIsNotRemovedWithTheOld(t *testing.T) {
	each(t, func(s *scene) {
		quarantined, protected, kept, old := s.upload("@a:a.test", "1"), s.upload("@a:a.test", "2"), s.upload("@a:a.test", "3"), s.upload("@a:a.test", "4")
		if err := s.Quarantine(t.Context(), quarantined, "@admin:a.test", true); err != nil {
			t.Fatal(err)
		}
		if err := s.Protect(t.Context(), protected, true); err != nil {
			t.Fatal(err)
		}
		if n, err := s.QuarantineUser(t.Context(), "@a:a.test", "@admin:a.test"); n != 2 || err != nil {
			t.Errorf("put into quarantine: %d, %v", n, err)
		}
		for _, u := range []id.ContentURI{kept, old} {
			if err := s.Quarantine(t.Context(), u, "@admin:a.test", false); err != nil {
				t.Fatal(err)
			}
		}
		gone, err := s.DeleteOld(t.Context(), Old{Unused: time.Now().Add(time.Hour), Larger: -1, Keep: map[string]bool{string(kept): true}})
		if err != nil || fmt.Sprint(gone) != fmt.Sprint([]id.ContentURI{old}) {
			t.Errorf("got %v, %v, want %v", gone, err, old)
		}
		s.expectFiles("the rest is there", 3)
	})
}

func TestCopiesMakeRoom(t *testing.T) {
	each(t, func(s *scene) {
		for i := range 5 {
			in, err := s.files.receive(newReader(10+i), 100)
			if err == nil {
				err = s.keepCopy(t.Context(), in, Media{URI: id.ContentURI(fmt.Sprintf("mxc://b.test/%d", i)), Type: octets})
			}
			if err == nil {
				err = s.db.Update(t.Context(), func(tx *store.Tx) error {
					_, err := tx.Exec("UPDATE media SET used = $1 WHERE media_id = $2", i, fmt.Sprint(i))
					return err
				})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		s.expectFiles("those that were used last", 2)
		if usage, err := s.Usage(t.Context()); err != nil || usage.CopyBytes != 13+14 {
			t.Errorf("got %+v, %v", usage, err)
		}
		if c := s.Counts(); c.Fetched != 5 || c.FetchedBytes != 10+11+12+13+14 || c.Evicted != 3 || c.EvictedBytes != 10+11+12 || c.CopyBytes != 13+14 {
			t.Errorf("counted were %+v", c)
		}
	}, func(o *Options) { o.CacheSize = 30 })
}

func TestMediaAreFoundInWhatSpeaksOfThem(t *testing.T) {
	content := canonjson.Value(`{"a":["mxc://a/1",{"url":"mxc://b.test/2"}],"b":"see mxc://a/3","c":"mxc://a/../x","d":1,"url":"mxc://a/4"}`)
	var found []id.ContentURI
	Mentioned(content, func(u id.ContentURI) { found = append(found, u) })
	if fmt.Sprint(found) != "[mxc://a/1 mxc://b.test/2 mxc://a/4]" {
		t.Errorf("got %v", found)
	}
}
