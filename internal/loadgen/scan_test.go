package loadgen

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNextBatchIsFound(t *testing.T) {
	for _, row := range []struct {
		name, body, want string
		missing          bool
	}{
		{name: "in front", body: `{"next_batch":"s1","rooms":{}}`, want: "s1"},
		{name: "at the end, with spaces", body: `{"rooms":{"join":{}}, "next_batch" : "s72_3" }`, want: "s72_3"},
		{name: "with escapes", body: `{"next_batch":"a\"b\u002fc"}`, want: `a"b/c`},
		{name: "behind a text about it", body: `{"x":"the \"next_batch\":\"wrong\"","y":["next_batch","z"],"next_batch":"s1"}`, want: "s1"},
		{name: "missing", body: `{"rooms":{}}`, missing: true},
		{name: "no string", body: `{"next_batch":7}`, missing: true},
		{name: "cut", body: `{"next_batch":"s1`, missing: true},
		{name: "cut in an escape", body: `{"next_batch":"s1\`, missing: true},
		{name: "cut at the name", body: `{"next_batch"`, missing: true},
	} {
		if got, ok := nextBatch([]byte(row.body)); got != row.want || ok == row.missing {
			t.Errorf("%s: got %q, %v, want %q, %v", row.name, got, ok, row.want, !row.missing)
		}
	}
}

func TestSerialsAreFound(t *testing.T) {
	for _, row := range []struct {
		name, body string
		want       []int64
	}{
		{name: "none", body: `{"next_batch":"s1"}`},
		{name: "two", body: `"body":"m:0000000001 x"},{"body":"m:1234567890"}`, want: []int64{1, 1234567890}},
		{name: "one after another mark", body: `m:m:0000000002`, want: []int64{2}},
		{name: "too short", body: `m:000000000`},
		{name: "no number", body: `m:00000x0000 m:0000000003`, want: []int64{3}},
	} {
		var got []int64
		serials([]byte(row.body), []byte("m:"), func(n int64) { got = append(got, n) })
		if !slices.Equal(got, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, got, row.want)
		}
	}
}

// Of an object in which the name is not repeated, what is found is what a JSON
// decoder finds.
func FuzzNextBatch(f *testing.F) {
	f.Add(`{"next_batch":"s1","rooms":{}}`)
	f.Add(`{"a":"\\\"next_batch\":","next_batch" : "\u00e9\ud83d\ude00"}`)
	f.Add(`{"next_batch":"a\`)
	f.Fuzz(func(t *testing.T, body string) {
		got, ok := nextBatch([]byte(body))
		var want struct {
			NextBatch *string `json:"next_batch"`
		}
		var members map[string]json.RawMessage
		if !utf8.ValidString(body) || json.Unmarshal([]byte(body), &members) != nil || members["next_batch"] == nil ||
			strings.Count(body, "next_batch") != 1 || json.Unmarshal([]byte(body), &want) != nil || want.NextBatch == nil {
			return
		}
		if strings.Contains(body, `"next_batch"`) && (!ok || got != *want.NextBatch) {
			t.Errorf("%q: got %q, %v, want %q", body, got, ok, *want.NextBatch)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	for _, events := range []int{1, 100} {
		body := []byte(`{"next_batch":"s1","rooms":{"join":{"!room:localhost":{"timeline":{"events":[` +
			strings.Repeat(`{"content":{"body":"bench-0123abcd-1:0000000001 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx","msgtype":"m.text"},`+
				`"event_id":"$eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee","origin_server_ts":1700000000000,`+
				`"sender":"@bench:localhost","type":"m.room.message","unsigned":{"age":1}},`, events) + `{}],"limited":false}}}}}`)
		mark := []byte("bench-0123abcd-1:")
		b.Run(digits(int64(events)), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				n := 0
				serials(body, mark, func(int64) { n++ })
				if _, ok := nextBatch(body); !ok || n != events || limited(body) {
					b.Fatal("not found")
				}
			}
		})
	}
}
