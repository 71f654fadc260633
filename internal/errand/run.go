package errand

import (
	"context"
	"log/slog"
	"sync"
)

// Work is how the errands of a queue are done.
type Work[K comparable] struct {
	// What names the work in the log.
	What string
	// Recall returns what was left undone before. It is tried until it succeeds.
	Recall func(context.Context) ([]K, error)
	// Do does an errand. It is tried again later until it succeeds, which may be
	// in another process, and so may be done twice.
	Do func(context.Context, K) error
	// AtOnce is how many are done at once.
	AtOnce int
	// Log gets what went wrong.
	Log *slog.Logger
	// Usual, unless nil, reports whether an error of Do is one as they happen in the
	// world, which is no fault of this server.
	Usual func(error) bool
}

// Run does what was left from before and then what is added, until the context
// ends. A queue is run once.
func (q *Queue[K]) Run(ctx context.Context, w Work[K]) {
	q.recall(ctx, w)
	var wg sync.WaitGroup
	for range w.AtOnce {
		wg.Go(func() {
			for {
				key, ok := q.next(ctx)
				if !ok {
					return
				}
				err := w.Do(ctx, key)
				if err != nil && ctx.Err() == nil {
					level := slog.LevelError
					if w.Usual != nil && w.Usual(err) {
						level = slog.LevelInfo
					}
					w.Log.Log(ctx, level, w.What+": trying again later", "about", key, "err", err)
				}
				q.done(key, err != nil)
			}
		})
	}
	wg.Wait()
	q.stop()
}

// recall is all that lets an errand be found that nobody adds to the queue, so it
// goes on until it succeeds.
func (q *Queue[K]) recall(ctx context.Context, w Work[K]) {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		keys, err := w.Recall(ctx)
		if err == nil {
			q.Add(keys...)
			return
		}
		if ctx.Err() == nil {
			w.Log.ErrorContext(ctx, w.What+": looking again later for what was left", "err", err)
		}
		if !Pause(ctx, wait) {
			return
		}
	}
}
