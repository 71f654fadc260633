package loadgen

import (
	"context"
	"fmt"
	"slices"
)

// part is what of a scenario can be done alone.
type part[S any] struct {
	name string
	run  func(S, context.Context) error
}

// checkParts refuses names of parts that there are not.
func checkParts[S any](wanted []string, all []part[S]) error {
	for _, name := range wanted {
		if !slices.ContainsFunc(all, func(p part[S]) bool { return p.name == name }) {
			return fmt.Errorf("there is no part %q", name)
		}
	}
	return nil
}

// runParts does those parts of a scenario that are wanted, or all of them where none is named.
func runParts[S any](ctx context.Context, of S, wanted []string, all []part[S]) error {
	for _, p := range all {
		if wanted != nil && !slices.Contains(wanted, p.name) {
			continue
		}
		if err := p.run(of, ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}
