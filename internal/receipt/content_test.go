package receipt

import (
	"testing"

	"pgregory.net/rapid"

	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// TestContentsTellEverything: each receipt is in one of the contents, which are
// canonical, and they do not depend on the order of the receipts.
func TestContentsTellEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		receipt := rapid.Custom(func(t *rapid.T) Receipt {
			return Receipt{
				User:    rapid.SampledFrom([]id.UserID{alice, bob, "@é:a.test", "@𝕒:a.test", "@a\"b:a.test"}).Draw(t, "user"),
				Type:    rapid.SampledFrom([]string{TypeRead, TypePrivate}).Draw(t, "type"),
				Thread:  rapid.SampledFrom([]string{"", ThreadMain, "$root"}).Draw(t, "thread"),
				EventID: rapid.SampledFrom([]id.EventID{"$1", "$2", "$a:a.test", "$\uffff"}).Draw(t, "event"),
			}
		})
		receipts := rapid.SliceOfDistinct(receipt, func(r Receipt) Receipt { return r }).Draw(t, "receipts")
		shuffled := rapid.Permutation(receipts).Draw(t, "shuffled")
		told := make(map[Receipt]bool)
		contents := Contents(receipts)
		for i, again := range Contents(shuffled) {
			if string(again) != string(contents[i]) {
				t.Errorf("got %s and %s", contents[i], again)
			}
		}
		for _, c := range contents {
			if !canonjson.IsCanonical(c, canonjson.Strict) {
				t.Fatalf("not canonical: %s", c)
			}
			for event, types := range c.Members() {
				for kind, users := range types.Members() {
					for user, what := range users.Members() {
						thread, _ := what.Get("thread_id").Text()
						told[Receipt{id.UserID(user.String()), kind.String(), thread, id.EventID(event.String()), 0}] = true
					}
				}
			}
		}
		for _, r := range receipts {
			if !told[r] {
				t.Errorf("%v is not in %s", r, contents)
			}
		}
		if len(told) != len(receipts) {
			t.Errorf("%d receipts were told as %d", len(receipts), len(told))
		}
	})
}
