package loadgen

import (
	"fmt"
	"time"
)

// Row is what was measured of one case of a scenario.
type Row struct {
	Scenario string `json:"scenario"`
	Case     string `json:"case"`

	// Count is how often what is measured happened: a message was sent or
	// delivered, a sync answered. Rate is Count a second.
	Count   int64   `json:"count"`
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"per_second"`
	Latency Latency `json:"latency_ms"`
	// Bytes is the length of one response of those counted, or the memory that
	// the server needs for one client, as the notes say.
	Bytes int64 `json:"bytes,omitempty"`

	Failed    int64 `json:"failed"`
	Throttled int64 `json:"throttled"` // answered with status 429
	Missed    int64 `json:"missed"`    // deliveries that did not come
	Twice     int64 `json:"twice"`     // deliveries that came once more

	Server    *Usage   `json:"server,omitempty"`    // nil if no process was named
	Generator *Usage   `json:"generator,omitempty"` // nil if the system does not tell
	Notes     []string `json:"notes,omitempty"`
}

// Latency is percentiles in milliseconds.
type Latency struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func (r *Row) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// count writes into a row what was recorded. The row has its seconds.
func (r *Row) count(h *Histogram) {
	r.Count = h.Count()
	if r.Seconds > 0 {
		r.Rate = float64(r.Count) / r.Seconds
	}
	ms := func(d time.Duration) float64 { return float64(d) / 1e6 }
	r.Latency = Latency{
		P50: ms(h.Quantile(0.50)), P90: ms(h.Quantile(0.90)), P99: ms(h.Quantile(0.99)), Max: ms(h.Max()),
	}
}
