package event

import (
	"runtime"
	"sync"
	"sync/atomic"

	"parley/matrix/roomver"
)

// Result is what came of one of many events: either an event or an error.
type Result struct {
	Event *Event
	Err   error
}

// ParseAll parses many PDUs of one room, on all processors, by the rules of
// Parse. The results are in the order of raw.
func ParseAll(raw [][]byte, rules *roomver.Rules) []Result {
	results := make([]Result, len(raw))
	onAllProcessors(len(raw), func(i int) {
		results[i].Event, results[i].Err = Parse(raw[i], rules)
	})
	return results
}

// onAllProcessors calls do for each number below n, on all processors, and
// returns when all calls have.
func onAllProcessors(n int, do func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}
