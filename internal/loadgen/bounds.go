package loadgen

import (
	"errors"
	"fmt"
	"time"
)

// ErrBounds: a scenario was asked for with a number out of its bounds.
var ErrBounds = errors.New("out of bounds")

// within checks a number that a scenario is asked for.
func within[N int | int64 | float64 | time.Duration](name string, n, least, most N) error {
	if n < least || n > most {
		return fmt.Errorf("%s is %v, want %v to %v: %w", name, n, least, most, ErrBounds)
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
