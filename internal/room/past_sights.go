package room

import (
	"context"
	"fmt"
	"slices"

	"parley/internal/statetrie"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// show gives an accepted event its place, and finds out what the state shown of the
// past is from there on.
func (p *past) show(ctx context.Context, m *entry, prev []stateres.Num) (err error) {
	r := p.room
	before, first := p.current, p.heads == nil
	p.heads = slices.DeleteFunc(p.heads, func(n stateres.Num) bool { return slices.Contains(prev, n) })
	p.heads = append(p.heads, m.num)
	p.heads = p.heads[max(0, len(p.heads)-mostBranches):]
	if m.current, err = r.statesAfter(ctx, p.heads); err != nil {
		return err
	}
	p.place++
	m.place, p.current = p.place, m.current
	if first {
		before = m.before
		p.left.place = p.place
		if err := p.begin(ctx, m.before); err != nil {
			return err
		}
	}
	own, isState := m.event.Tuple()
	if isState {
		n, err := statetrie.Get(ctx, r.nodes, m.before, statetrie.Key(own))
		if err != nil {
			return fmt.Errorf("reading the state of %s: %w", r.id, err)
		}
		m.replaces = stateres.Num(n)
	}
	won := !isState
	for c, err := range statetrie.Diff(ctx, r.nodes, before, m.current) {
		if err != nil {
			return fmt.Errorf("comparing states of %s: %w", r.id, err)
		}
		if isState && c.Key == statetrie.Key(own) && c.New == uint64(m.num) {
			won = true
		} else {
			m.merges = true
		}
		if err := p.see(ctx, c, p.place); err != nil {
			return err
		}
	}
	m.merges = m.merges || !won
	return nil
}

// see notes what a change of the state means for who may see what.
func (p *past) see(ctx context.Context, c statetrie.Change, place int64) error {
	visibility := c.Type == event.TypeHistoryVisibility && c.StateKey == ""
	if !visibility && (c.Type != event.TypeMember || !isUser(c.StateKey)) {
		return nil
	}
	e, err := p.room.eventOrNil(ctx, stateres.Num(c.New))
	if err != nil {
		return err
	}
	s := pastSight{place: place, event: stateres.Num(c.New)}
	if visibility {
		s.value = string(VisibilityOf(e))
	} else {
		s.user, s.value = id.UserID(c.StateKey), event.MembershipLeave
		if e == nil {
			s.event = stateres.Num(c.Old)
		} else if m := e.Membership(); m != "" {
			s.value = m
		}
	}
	p.sights = append(p.sights, s)
	return nil
}

// begin notes, in the place in front of the first event, what the state before it
// means for local users. What it means for others would be too much, and only hides
// from them what they have themselves.
func (p *past) begin(ctx context.Context, root statetrie.Root) error {
	r := p.room
	keys := []statetrie.Key{{Type: event.TypeHistoryVisibility}}
	members, err := r.engine.localMembers(ctx, r.num)
	if err != nil {
		return err
	}
	for _, m := range members {
		keys = append(keys, statetrie.Key{Type: event.TypeMember, StateKey: string(m.user)})
	}
	for _, key := range keys {
		was, err := statetrie.Get(ctx, r.nodes, p.earlier.Current, key)
		if err != nil {
			return err
		}
		is, err := statetrie.Get(ctx, r.nodes, root, key)
		if err != nil {
			return err
		}
		// Without anything earlier a visibility is stored that need not be that.
		if was == is && (p.earlier.Event != nil || key.Type == event.TypeMember) {
			continue
		}
		if err := p.see(ctx, statetrie.Change{Key: key, Old: was, New: is}, p.place-1); err != nil {
			return err
		}
	}
	return nil
}

// join notes, in the place in front of the event behind the gap, how what is shown
// there differs from what was put here.
func (p *past) join(ctx context.Context) error {
	if p.heads == nil {
		return nil
	}
	for c, err := range statetrie.Diff(ctx, p.room.nodes, p.current, p.behind.Current) {
		if err != nil {
			return fmt.Errorf("comparing states of %s: %w", p.room.id, err)
		}
		if err := p.see(ctx, c, p.hole.place-1); err != nil {
			return err
		}
	}
	return nil
}

// leave finds out what is still missing.
func (p *past) leave(ctx context.Context) error {
	r := p.room
	if p.heads == nil {
		p.left.place = p.hole.place
	}
	seen := make(map[id.EventID]bool)
	add := func(ids []id.EventID) error {
		for _, eventID := range ids {
			if seen[eventID] {
				continue
			}
			seen[eventID] = true
			outlier, n, err := r.findOutlier(ctx, eventID)
			if err != nil {
				return err
			}
			switch missing := n == 0 || outlier; {
			case missing && p.hole.beneath.older[eventID]:
				p.handed = append(p.handed, eventID)
			case missing:
				p.left.missing = append(p.left.missing, eventID)
			}
		}
		return nil
	}
	for _, m := range p.entries {
		if err := add(m.event.PrevEvents()); err != nil {
			return err
		}
	}
	if p.hole.island {
		return nil
	}
	return add(p.hole.missing)
}
