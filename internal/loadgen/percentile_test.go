package loadgen

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestQuantilesOfFewAreExact(t *testing.T) {
	for _, row := range []struct {
		name  string
		in    []time.Duration
		q     float64
		want  time.Duration
		maxim time.Duration
	}{
		{name: "of none", q: 0.5},
		{name: "of one", in: []time.Duration{7}, q: 0.5, want: 7, maxim: 7},
		{name: "the lowest", in: []time.Duration{3, 1, 2}, q: 0, want: 1, maxim: 3},
		{name: "the median of two is the shorter", in: []time.Duration{5, 1}, q: 0.5, want: 1, maxim: 5},
		{name: "the median of three", in: []time.Duration{5, 1, 3}, q: 0.5, want: 3, maxim: 5},
		{name: "99 % of few is the longest", in: []time.Duration{1, 2, 3}, q: 0.99, want: 3, maxim: 3},
		{name: "all", in: []time.Duration{1, 2, 100}, q: 1, want: 100, maxim: 100},
		{name: "negative counts as nothing", in: []time.Duration{-5}, q: 0.5},
		{name: "the longest there is", in: []time.Duration{math.MaxInt64}, q: 0.5, want: math.MaxInt64, maxim: math.MaxInt64},
	} {
		var h Histogram
		for _, d := range row.in {
			h.Record(d)
		}
		if got := h.Quantile(row.q); got != row.want || h.Max() != row.maxim || h.Count() != int64(len(row.in)) {
			t.Errorf("%s: got %d, maximum %d of %d, want %d, %d", row.name, got, h.Max(), h.Count(), row.want, row.maxim)
		}
	}
}

func TestQuantilesAreNearTheSortedOnes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOfN(rapid.Int64Range(0, math.MaxInt64), 1, 200).Draw(t, "durations")
		var h Histogram
		for _, d := range in {
			h.Record(time.Duration(d))
		}
		slices.Sort(in)
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		rank := min(max(int(math.Ceil(q*float64(len(in)))), 1), len(in))
		want, got := in[rank-1], int64(h.Quantile(q))
		if got < want || float64(got-want) > float64(want)/64+1 {
			t.Fatalf("quantile %v of %v: got %d, want %d or 1/64 more", q, in, got, want)
		}
	})
}
