package loadgen

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Histogram counts durations in buckets that are at most 1/64 as wide as they
// are large: what it returns is at most 1.6 % more than what was recorded, but
// for the maximum, which is exact. It may be used by several goroutines at once.
// The zero value is empty.
type Histogram struct {
	counts [(64 - precision) << precision]atomic.Int64
	total  atomic.Int64
	max    atomic.Int64
}

// precision is how many bits below the highest tell buckets apart.
const precision = 6

// Record counts a duration. Negative ones count as 0.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(uint64(d))].Add(1)
	h.total.Add(1)
	for {
		m := h.max.Load()
		if int64(d) <= m || h.max.CompareAndSwap(m, int64(d)) {
			return
		}
	}
}

// Count returns how many durations were recorded.
func (h *Histogram) Count() int64 { return h.total.Load() }

// Max returns the longest of them, 0 if there are none.
func (h *Histogram) Max() time.Duration { return time.Duration(h.max.Load()) }

// Quantile returns the duration that at least the share q of those recorded does
// not exceed, and 0 if there are none. A quantile is that of a duration which
// was recorded: of two, the median is the shorter.
func (h *Histogram) Quantile(q float64) time.Duration {
	total := h.total.Load()
	rank := int64(q * float64(total))
	if float64(rank) < q*float64(total) {
		rank++
	}
	rank = min(max(rank, 1), total)
	seen := int64(0)
	for i := range h.counts {
		if seen += h.counts[i].Load(); seen >= rank && seen > 0 {
			return min(ceiling(i), h.Max())
		}
	}
	return 0
}

// bucket returns the index of the bucket of a number: below 2<<precision each
// has its own, above them 1<<precision share each power of two.
func bucket(n uint64) int {
	shift := max(bits.Len64(n)-precision-1, 0)
	return shift<<precision + int(n>>shift)
}

// ceiling returns the largest number in a bucket.
func ceiling(i int) time.Duration {
	shift := max(i>>precision-1, 0)
	return time.Duration((uint64(i-shift<<precision)+1)<<shift - 1)
}
