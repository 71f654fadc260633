package errand

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestPersistGoesOnAfterAPauseWithWhatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var said bytes.Buffer
		var at []time.Duration
		began := time.Now()
		Persist(ctx, slog.New(slog.NewTextHandler(&said, nil)), "looking for keys", func(context.Context) error {
			at = append(at, time.Since(began))
			switch len(at) {
			case 1:
				return errors.New("the drawer is shut")
			case 3:
				cancel()
				return ctx.Err()
			}
			return nil
		})
		if len(at) != 3 || at[0] != 0 || at[1] != retryAfter || at[2] != retryAfter {
			t.Errorf("it was done at %v", at)
		}
		if strings.Count(said.String(), "looking for keys") != 1 || !strings.Contains(said.String(), "the drawer is shut") {
			t.Errorf("it says %s", said.String())
		}
	})
}

func TestAPauseEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if began := time.Now(); Pause(ctx, time.Minute) || time.Since(began) != time.Second {
			t.Errorf("it ended after %v", time.Since(began))
		}
		if Pause(ctx, 0) {
			t.Error("the context has ended")
		}
		if began := time.Now(); !Pause(t.Context(), time.Minute) || time.Since(began) != time.Minute {
			t.Errorf("it ended after %v", time.Since(began))
		}
	})
}
