package loadgen

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// faults counts the requests of a scenario that failed, and keeps the first.
type faults struct {
	mu        sync.Mutex // guards all below
	failed    int64
	throttled int64
	first     error
}

// patience is how many failures in a row of one client end a scenario.
const patience = 10

// streak is how many requests of one client failed in a row.
type streak int

// judge says whether a request succeeded. If it did not, it counts that and
// waits before the next: as long as the server says where it limits rates. The
// error is why the scenario cannot go on.
func (f *faults) judge(ctx context.Context, s *streak, r response, err error) (ok bool, _ error) {
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if err == nil && r.status == 200 {
		*s = 0
		return true, nil
	}
	if err == nil && r.status == 429 {
		f.count(0, 1, nil)
		return false, pause(ctx, wait(r))
	}
	if err == nil {
		err = newRefusal(r)
	}
	f.count(1, 0, err)
	if *s++; *s >= patience {
		return false, fmt.Errorf("%d requests in a row failed: %w", patience, err)
	}
	return false, pause(ctx, 5*time.Millisecond<<min(*s, 5))
}

// insist makes a request until it succeeds, records how long that took then, and
// returns the response. The error is why there is no hope.
func (f *faults) insist(ctx context.Context, c *client, request []byte, latency *Histogram) (response, error) {
	var failures streak
	for {
		began := time.Now()
		r, err := c.do(ctx, request, setupPatience)
		took := time.Since(began)
		ok, err := f.judge(ctx, &failures, r, err)
		if ok {
			latency.Record(took)
		}
		if ok || err != nil {
			return r, err
		}
	}
}

func (f *faults) count(failed, throttled int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed += failed
	f.throttled += throttled
	if f.first == nil {
		f.first = err
	}
}

// tell writes the failures into a row.
func (f *faults) tell(row *Row) {
	f.mu.Lock()
	defer f.mu.Unlock()
	row.Failed += f.failed
	row.Throttled += f.throttled
	if f.first != nil {
		row.note("the first failure: %v", f.first)
	}
	if f.throttled > 0 {
		row.note("the server limited the rate %d times: this measures its limit; switch it off", f.throttled)
	}
}
