package errand

import (
	"context"
	"log/slog"
	"time"
)

// retryAfter is how long is waited after an error.
const retryAfter = time.Second

// Persist does something over and over until the context ends. An error is logged, as one
// of what was being done, and is followed by a pause.
func Persist(ctx context.Context, log *slog.Logger, what string, do func(context.Context) error) {
	for Insist(ctx, log, what, do) {
	}
}

// Insist is Persist until there is no error. It reports false if the context has ended.
func Insist(ctx context.Context, log *slog.Logger, what string, do func(context.Context) error) bool {
	for ctx.Err() == nil {
		err := do(ctx)
		switch {
		case ctx.Err() != nil:
		case err == nil:
			return true
		default:
			log.Error(what, "err", err)
			Pause(ctx, retryAfter)
		}
	}
	return false
}

// Pause waits for a time, and reports whether it has passed before the context ended.
func Pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
