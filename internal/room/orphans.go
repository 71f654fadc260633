package room

import (
	"context"
	"errors"
	"slices"

	"parley/matrix/event"
	"parley/matrix/id"
)

// An event that refers to what nobody has is not received, and not rejected either:
// it may be right, and what is missing may come by another way. As long as there is
// memory for it, it is received then. Afterwards it comes when something follows it.

// missing is ErrMissing, and says what is.
type missing struct{ event id.EventID }

func (m missing) Error() string      { return ErrMissing.Error() + ": " + string(m.event) }
func (missing) Is(target error) bool { return target == ErrMissing }
func orphansWeight(l []*event.Event) (n int) {
	for _, e := range l {
		n += len(e.JSON()) + 700
	}
	return n + 200
}

// mostOrphans is how many events wait for one that is missing.
const mostOrphans = 20

// orphan keeps an event that could not be received, if that is because another one
// is missing.
func (g *Engine) orphan(e *event.Event, err error) {
	m, ok := errors.AsType[missing](err)
	if !ok {
		return
	}
	waiting, _ := g.orphans.Get(m.event)
	has := slices.ContainsFunc(waiting, func(o *event.Event) bool { return o.ID() == e.ID() })
	if !has && len(waiting) < mostOrphans {
		g.orphans.Put(m.event, append(slices.Clip(waiting), e))
	}
}

// adopt receives what waits for an event that has come. They have passed all checks
// before that of what they refer to.
func (g *Engine) adopt(ctx context.Context, come ...id.EventID) {
	for len(come) > 0 {
		waiting, ok := g.orphans.Get(come[0])
		if ok {
			g.orphans.Put(come[0], nil)
		}
		come = come[1:]
		for _, e := range waiting {
			outcome, err := g.receiveBehindGap(ctx, e, gap{})
			switch {
			case err != nil:
				g.orphan(e, err)
			case outcome != Known:
				come = append(come, e.ID())
			}
		}
	}
}
